//! ZRLE (RFC 6143, section 7.7.6): tiles of 64 by 64 pixels with palettes and runs, compressed by zlib.

use super::palette::pack;
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
        self.bytes.clear();
        for y in (0..block.rect.height).step_by(TILE as usize) {
            for x in (0..block.rect.width).step_by(TILE as usize) {
                self.zrle_tile(block.part(x, y, TILE, TILE));
            }
        }
        header(block.rect, Kind::Zrle.number(), out);
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.zrle.put(&self.bytes, wish.level, out);
        let length = (out.len() - at - 4) as u32;
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn zrle_tile(&mut self, tile: Block<'_>) {
        self.runs.look(tile.rows());
        let few = self.palette.look(self.runs.colours(), RUN_COLOURS);
        let form = self.form(tile.rect.width as usize, tile.rect.height as usize, few);
        let pixel = self.format.compact();
        let Encoder { bytes, palette, runs, numbers, .. } = self;
        let colours = palette.colours();
        let number = |colour| palette.number(colour).unwrap_or_default();
        match form {
            Form::Raw => {
                bytes.push(0);
                tile.rows().for_each(|row| pixel.put(row, bytes));
            }
            Form::Solid => {
                bytes.push(1);
                pixel.put(colours, bytes);
            }
            Form::Packed(bits) => {
                bytes.push(colours.len() as u8);
                pixel.put(colours, bytes);
                numbers.clear();
                runs.iter().for_each(|(colour, length)| numbers.resize(numbers.len() + length, number(colour)));
                numbers.chunks(tile.rect.width.max(1) as usize).for_each(|row| pack(row, bits, bytes));
            }
            Form::Runs => {
                bytes.push(128);
                for (colour, length) in runs.iter() {
                    pixel.put(&[colour], bytes);
                    run(length, bytes);
                }
            }
            Form::PaletteRuns => {
                bytes.push(128 + colours.len() as u8);
                pixel.put(colours, bytes);
                for (colour, length) in runs.iter() {
                    match length {
                        1 => bytes.push(number(colour)),
                        _ => {
                            bytes.push(number(colour) | 0x80);
                            run(length, bytes);
                        }
                    }
                }
            }
        }
    }

    /// The form of the tile that was looked at with the fewest bytes, before zlib.
    fn form(&self, width: usize, height: usize, few: bool) -> Form {
        let colours = self.palette.colours().len();
        if few && colours <= 1 {
            return Form::Solid;
        }
        let all = self.runs.len();
        let pixel = self.format.compact().bytes();
        let mut best = (width * height * pixel, Form::Raw);
        let mut offer = |bytes, form| {
            if bytes < best.0 {
                best = (bytes, form);
            }
        };
        offer((pixel + 1) * all, Form::Runs);
        if few {
            offer(pixel * colours + 2 * all - self.runs.single(), Form::PaletteRuns);
        }
        if few && colours <= PACKED_COLOURS {
            let bits = match colours {
                ..=2 => 1,
                3..=4 => 2,
                _ => 4,
            };
            offer(pixel * colours + (width * bits as usize).div_ceil(8) * height, Form::Packed(bits));
        }
        best.1
    }
}

fn run(length: usize, out: &mut Vec<u8>) {
    let rest = length - 1;
    out.resize(out.len() + rest / 255, 255);
    out.push((rest % 255) as u8);
}
