//! The framebuffer that the boot protocol tells of.

use crate::picture::pixel;
use crate::start::Framebuffer;
use crate::tap::line;
use crate::{Context, Result, ensure};

pub struct Early(Framebuffer);

impl Early {
    pub fn open(context: &Context) -> Result<Early> {
        let Some(screen) = context.screen else { return Err("the zero page tells of no framebuffer".into()) };
        let Framebuffer { kind, at, len, width, height, depth, pitch, colours } = screen;
        line(format_args!(
            "early {width}x{height} depth {depth} pitch {pitch} at {at:#x}+{len:#x} type {kind:#x} colours {colours:?}"
        ));
        ensure!(depth == 32, "the framebuffer has {depth} bits a pixel");
        ensure!(u32::from(pitch) >= width * 4 && pitch % 4 == 0, "the pitch {pitch} does not fit {width} pixels");
        ensure!(u64::from(pitch) * u64::from(height) <= len, "{height} rows of {pitch} bytes do not fit {len}");
        ensure!(colours == [(8, 16), (8, 8), (8, 0)], "the colours are at {colours:?}");
        Ok(Early(screen))
    }

    pub fn draw(&self, n: u32) {
        let Framebuffer { at, width, height, pitch, .. } = self.0;
        for y in 0..height {
            let row = (at + u64::from(y) * u64::from(pitch)) as *mut u32;
            for x in 0..width {
                // SAFETY: inside the framebuffer, which is mapped; `open` has compared the sizes.
                unsafe { row.add(x as usize).write_volatile(pixel(n, x, y)) };
            }
        }
    }
}
