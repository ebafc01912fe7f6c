//! From the format that a guest plays to one that any listener takes: two channels of S16 at 48000 Hz.
//!
//! Another rate is brought there by a windowed sinc: a straight line between samples would be a few lines shorter, but leaves
//! images of high notes at a tenth of their strength. What a piece needs of the one before is kept, so pieces join without a click.

use super::{Format, Sample};

/// Frames a second that come out.
pub const RATE: u32 = 48000;
/// Bytes of a frame that comes out: two samples of 16 bits, little-endian, the left one first.
pub const FRAME: usize = 4;

/// The sinc is cut off after so many zero crossings to each side.
const CROSSINGS: u32 = 16;
/// Its values between two crossings.
const FINE: u32 = 256;
/// What is kept of the lower of both bands; the rest is where the filter falls.
const BAND: f64 = 0.9;
/// Of Kaiser's window: what is to be kept away is 60 dB down (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.5.3).
const BETA: f64 = 5.65;
/// The rates that are converted are between these; there are no others.
const RATES: [u32; 2] = [4000, 384_000];

pub struct Converter {
    sample: Sample,
    channels: usize,
    /// `None`: the rate is right.
    resampler: Option<Resampler>,
}

impl Converter {
    pub fn new(format: Format) -> Converter {
        let [low, high] = RATES;
        let rate = format.rate.clamp(low, high);
        let resampler = (rate != RATE).then(|| Resampler::new(rate));
        Converter { sample: format.sample, channels: usize::from(format.channels.max(1)), resampler }
    }

    /// The next piece, of whole frames. What comes out may be a few frames shorter, which the next piece brings.
    pub fn convert(&mut self, bytes: &[u8]) -> Vec<u8> {
        let size = self.sample.size() as usize;
        let frame = |bytes: &[u8]| {
            let mut samples = bytes.chunks_exact(size).map(|bytes| number(self.sample, bytes));
            let left = samples.next().unwrap_or(0.0);
            [left, samples.next().unwrap_or(left)]
        };
        let frames = bytes.chunks_exact(size * self.channels).map(frame);
        match &mut self.resampler {
            None => frames.flat_map(s16).collect(),
            Some(resampler) => {
                resampler.recent.extend(frames);
                resampler.run()
            }
        }
    }
}

/// From -1 to 1.
fn number(sample: Sample, bytes: &[u8]) -> f32 {
    let four = || bytes.first_chunk().copied().unwrap_or_default();
    match sample {
        Sample::U8 => (f32::from(bytes.first().copied().unwrap_or(0x80)) - 128.0) / 128.0,
        Sample::S16 => f32::from(i16::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())) / 32768.0,
        Sample::S32 => (f64::from(i32::from_le_bytes(four())) / 2_147_483_648.0) as f32,
        Sample::Float => {
            let value = f32::from_le_bytes(four());
            // What is no number would be heard for as long as the filter is.
            if value.is_nan() { 0.0 } else { value.clamp(-1.0, 1.0) }
        }
    }
}

fn s16(frame: [f32; 2]) -> [u8; FRAME] {
    // What is too loud stays as loud as can be.
    let [left, right] = frame.map(|value| ((value * 32768.0).round() as i16).to_le_bytes());
    [left[0], left[1], right[0], right[1]]
}

struct Resampler {
    /// Half of the windowed sinc, from its middle on.
    table: Vec<f32>,
    /// Places of the table from one frame to the next.
    stride: f32,
    /// Frames to each side that have a part in one that comes out.
    reach: usize,
    rate: u32,
    /// What came and is still needed.
    recent: Vec<[f32; 2]>,
    /// The next frame that comes out is so many 48000ths behind this one of them.
    at: usize,
    phase: u32,
}

impl Resampler {
    fn new(rate: u32) -> Resampler {
        let last = f64::from(CROSSINGS * FINE);
        let value = |n: u32| {
            let x = f64::from(n) / f64::from(FINE) * std::f64::consts::PI;
            let sinc = if n == 0 { 1.0 } else { x.sin() / x };
            (sinc * bessel(BETA * (1.0 - (f64::from(n) / last).powi(2)).sqrt()) / bessel(BETA)) as f32
        };
        let crossings = BAND * (f64::from(RATE) / f64::from(rate)).min(1.0);
        let reach = (f64::from(CROSSINGS) / crossings).ceil() as usize;
        Resampler {
            table: (0..=CROSSINGS * FINE).map(value).collect(),
            stride: (crossings * f64::from(FINE)) as f32,
            reach,
            rate,
            // It was silent before.
            recent: vec![[0.0; 2]; reach],
            at: reach,
            phase: 0,
        }
    }

    /// All that can be told already.
    fn run(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(frame) = self.frame() {
            out.extend(s16(frame));
            let phase = self.phase + self.rate;
            self.at += (phase / RATE) as usize;
            self.phase = phase % RATE;
        }
        let used = (self.at + 1 - self.reach).min(self.recent.len());
        self.recent.drain(..used);
        self.at -= used;
        out
    }

    /// The next one, if all that it needs has come.
    fn frame(&self) -> Option<[f32; 2]> {
        let first = self.at + 1 - self.reach;
        let near = self.recent.get(first..first + 2 * self.reach)?;
        let behind = self.phase as f32 / RATE as f32;
        let (mut sum, mut all) = ([0.0; 2], 0.0);
        for (n, frame) in near.iter().enumerate() {
            let away = (n as f32 - (self.reach - 1) as f32 - behind).abs() * self.stride;
            let place = away as usize;
            let (Some(low), Some(high)) = (self.table.get(place), self.table.get(place + 1)) else { continue };
            let weight = low + (high - low) * away.fract();
            let [left, right] = frame;
            sum = [sum[0] + weight * left, sum[1] + weight * right];
            all += weight;
        }
        Some(sum.map(|sum| sum / all))
    }
}

/// The modified Bessel function of the first kind and order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests;
