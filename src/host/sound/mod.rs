//! Where sound goes: nowhere, into a WAV file, or to a program of the host that plays it; and to those who listen through a display.

mod convert;
mod hub;
mod player;
mod wav;

pub use convert::{FRAME, RATE};
pub use hub::Hub;
pub use player::Player;
pub use wav::Wav;

use anyhow::Result;
use std::str::FromStr;

/// How a sample is written: little-endian, interleaved, as ALSA's format of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    U8,
    S16,
    S32,
    /// From -1.0 to 1.0 in 32 bits.
    Float,
}

impl Sample {
    /// Bytes.
    pub fn size(self) -> u32 {
        match self {
            Sample::U8 => 1,
            Sample::S16 => 2,
            Sample::S32 | Sample::Float => 4,
        }
    }

    /// What each byte of silence is.
    pub fn silence(self) -> u8 {
        if self == Sample::U8 { 0x80 } else { 0 }
    }
}

impl FromStr for Sample {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Sample, &'static str> {
        match text {
            "u8" => Ok(Sample::U8),
            "s16" => Ok(Sample::S16),
            "s32" => Ok(Sample::S32),
            "float" => Ok(Sample::Float),
            _ => Err("want u8, s16, s32 or float"),
        }
    }
}

/// What a stream of sound is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub sample: Sample,
    /// Samples side by side: 1 or 2.
    pub channels: u16,
    /// Frames a second.
    pub rate: u32,
}

impl Format {
    /// Bytes of one sample of every channel.
    pub fn frame(self) -> u32 {
        self.sample.size() * u32::from(self.channels)
    }

    pub fn bytes_per_second(self) -> u32 {
        self.frame().saturating_mul(self.rate)
    }
}

/// Takes what a guest plays, at the pace at which it is to be heard. Never waits: what cannot be taken is lost, and said once.
pub trait Sink: Send {
    /// Sound of this format begins.
    fn start(&mut self, format: Format);
    /// Whole frames of the format that has begun.
    fn write(&mut self, bytes: &[u8]);
    /// It ends, for now.
    fn stop(&mut self);
}

/// Hears nothing.
pub struct Null;

impl Sink for Null {
    fn start(&mut self, _format: Format) {}
    fn write(&mut self, _bytes: &[u8]) {}
    fn stop(&mut self) {}
}

#[cfg(test)]
mod tests;
