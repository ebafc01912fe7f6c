//! Pictures of the screen as PNG files, and whether the screen shows one.

use crate::host::screen::{Picture, Size};
use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Limits, Transformations};
use std::io::Cursor;

/// Bytes that the decoder may have for itself, beside the picture: rows, and texts that are not looked at.
const DECODER: usize = 8 << 20;

/// RGB, 8 bits each.
pub fn png(picture: &Picture) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, picture.size.width, picture.size.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let bytes: Vec<u8> = picture.pixels.iter().flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(1)).collect();
    let write = |encoder: Encoder<'_, &mut Vec<u8>>| {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&bytes)?;
        writer.finish()
    };
    write(encoder).context("encode the picture")?;
    Ok(file)
}

/// A picture that the screen is expected to show.
pub struct Reference {
    size: Size,
    /// 0x00RRGGBB where it counts.
    pixels: Vec<Option<u32>>,
    counted: usize,
    /// How many of the pixels that count may differ, in percent.
    tolerance: f64,
}

impl Reference {
    /// Pixels that are not opaque do not count. `tolerance` is in percent, from 0 to 100.
    /// Errors on what is no PNG, is larger than any screen, or has no pixel that counts.
    pub fn parse(file: &[u8], tolerance: f64) -> Result<Reference> {
        ensure!((0.0..=100.0).contains(&tolerance), "a tolerance of {tolerance} percent: want one from 0 to 100");
        let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: DECODER });
        decoder.set_transformations(Transformations::normalize_to_color8());
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let mut reader = decoder.read_info().context("it is no PNG that can be read")?;
        let (width, height) = (reader.info().width, reader.info().height);
        let Some(size) = Size::checked(width, height) else {
            bail!("{width}x{height} pixels are more than a screen has")
        };
        let length = reader.output_buffer_size().context("it is too large")?;
        let mut bytes = vec![0; length];
        let frame = reader.next_frame(&mut bytes).context("it is no PNG that can be read")?;
        bytes.truncate(frame.buffer_size());
        let channels = frame.color_type.samples();
        let pixels: Vec<_> = bytes.chunks_exact(channels).map(pixel).collect();
        ensure!(pixels.len() == size.pixels(), "it has not as many pixels as it says");
        let counted = pixels.iter().flatten().count();
        ensure!(counted > 0, "all of it is transparent: any screen would do");
        Ok(Reference { size, pixels, counted, tolerance })
    }

    /// The share of the pixels that count, in percent, which are not as in a picture of this size.
    /// `None`: the picture has another size.
    pub fn difference(&self, size: Size, pixels: &[u32]) -> Option<f64> {
        if size != self.size || pixels.len() != self.pixels.len() {
            return None;
        }
        let differ = |(want, has): &(&Option<u32>, &u32)| want.is_some_and(|want| want != **has);
        let differing = self.pixels.iter().zip(pixels).filter(differ).count();
        Some(differing as f64 * 100.0 / self.counted as f64)
    }

    /// Whether that share is small enough.
    pub fn allows(&self, difference: Option<f64>) -> bool {
        difference.is_some_and(|share| share <= self.tolerance)
    }

    pub fn size(&self) -> Size {
        self.size
    }
}

/// 8 bits a channel: grey, grey and alpha, RGB, RGB and alpha.
fn pixel(channels: &[u8]) -> Option<u32> {
    let rgb = |r, g, b| u32::from_be_bytes([0, r, g, b]);
    match *channels {
        [grey] | [grey, 255] => Some(rgb(grey, grey, grey)),
        [r, g, b] | [r, g, b, 255] => Some(rgb(r, g, b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
