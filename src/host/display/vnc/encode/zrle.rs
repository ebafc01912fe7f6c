//! ZRLE (RFC 6143, section 7.7.6): tiles of 64 by 64 pixels with palettes and runs, compressed by zlib.

use super::palette::{numbers, pack};
use super::{Block, Encoder, Kind, TILE, Wish, header};

/// The most colours of a palette with runs.
const RUN_COLOURS: usize = 127;
/// The most colours of a palette with packed pixels.
const PACKED_COLOURS: usize = 16;

/// How a tile is written.
enum Form {
    Raw,
    Solid,
    /// Bits of a pixel.
    Packed(u32),
    Runs,
    PaletteRuns,
}

impl Encoder {
    pub(super) fn zrle(&mut self, wish: Wish, block: Block<'_>, out: &mut Vec<u8>) {
        let rect = block.rect;
        self.bytes.clear();
        let mut tile = std::mem::take(&mut self.tile);
        for y in (0..rect.height).step_by(TILE as usize) {
            for x in (0..rect.width).step_by(TILE as usize) {
                let (width, height) = (TILE.min(rect.width - x), TILE.min(rect.height - y));
                tile.clear();
                for row in y..y + height {
                    let start = (row * rect.width + x) as usize;
                    tile.extend_from_slice(block.pixels.get(start..start + width as usize).unwrap_or_default());
                }
                self.tile(&tile, width as usize);
            }
        }
        self.tile = tile;
        header(rect, Kind::Zrle.number(), out);
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.zrle.put(&self.bytes, wish.level, out);
        let length = (out.len() - at - 4) as u32;
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn tile(&mut self, tile: &[u32], width: usize) {
        let few = self.palette.look(tile, RUN_COLOURS);
        let form = self.form(tile, width, few);
        let pixel = self.format.compact();
        let Encoder { bytes, palette, .. } = self;
        let colours = palette.colours();
        match form {
            Form::Raw => {
                bytes.push(0);
                pixel.put(tile, bytes);
            }
            Form::Solid => {
                bytes.push(1);
                pixel.put(colours, bytes);
            }
            Form::Packed(bits) => {
                bytes.push(colours.len() as u8);
                pixel.put(colours, bytes);
                for row in tile.chunks(width) {
                    pack(numbers(palette, row), bits, bytes);
                }
            }
            Form::Runs => {
                bytes.push(128);
                runs(tile, |colour, length| {
                    pixel.put(&[colour], bytes);
                    run(length, bytes);
                });
            }
            Form::PaletteRuns => {
                bytes.push(128 + colours.len() as u8);
                pixel.put(colours, bytes);
                runs(tile, |colour, length| {
                    let number = palette.number(colour);
                    if length == 1 {
                        bytes.push(number);
                    } else {
                        bytes.push(number | 0x80);
                        run(length, bytes);
                    }
                });
            }
        }
    }

    /// The form with the fewest bytes, before zlib.
    fn form(&self, tile: &[u32], width: usize, few: bool) -> Form {
        let colours = self.palette.colours().len();
        if few && colours <= 1 {
            return Form::Solid;
        }
        let (mut all, mut single) = (0, 0);
        runs(tile, |_, length| {
            all += 1;
            single += usize::from(length == 1);
        });
        let pixel = self.format.compact().bytes();
        let mut best = (tile.len() * pixel, Form::Raw);
        let mut offer = |bytes, form| {
            if bytes < best.0 {
                best = (bytes, form);
            }
        };
        offer((pixel + 1) * all, Form::Runs);
        if few {
            offer(pixel * colours + 2 * all - single, Form::PaletteRuns);
        }
        if few && colours <= PACKED_COLOURS {
            let bits = match colours {
                ..=2 => 1,
                3..=4 => 2,
                _ => 4,
            };
            let rows = tile.len() / width.max(1);
            offer(pixel * colours + (width * bits as usize).div_ceil(8) * rows, Form::Packed(bits));
        }
        best.1
    }
}

/// Calls `each` with the colour and length of every run.
fn runs(pixels: &[u32], mut each: impl FnMut(u32, usize)) {
    for run in pixels.chunk_by(|a, b| a == b) {
        if let Some(colour) = run.first() {
            each(*colour, run.len());
        }
    }
}

fn run(length: usize, out: &mut Vec<u8>) {
    let rest = length - 1;
    out.resize(out.len() + rest / 255, 255);
    out.push((rest % 255) as u8);
}
