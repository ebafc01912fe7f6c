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
/// Frames that are added at once.
const LANES: usize = 4;
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
    rate: u32,
    /// Frames to each side that have a part in one that comes out.
    reach: usize,
    /// Their parts, for each place between two frames where one that comes out may lie; empty until they are needed.
    parts: Vec<Vec<f32>>,
    /// 48000ths of a frame from one such place to the next.
    between: u32,
    /// What came and is still needed.
    recent: Vec<[f32; 2]>,
    /// The next frame that comes out is so many 48000ths behind this one of them.
    at: usize,
    phase: u32,
}

impl Resampler {
    fn new(rate: u32) -> Resampler {
        let reach = ((f64::from(CROSSINGS) / crossings(rate)).ceil() as usize).next_multiple_of(LANES / 2);
        let between = common_divisor(rate, RATE);
        Resampler {
            rate,
            reach,
            parts: vec![Vec::new(); (RATE / between) as usize],
            between,
            // It was silent before.
            recent: vec![[0.0; 2]; reach],
            at: reach,
            phase: 0,
        }
    }

    /// All that can be told already.
    fn run(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let first = |at: usize| at + 1 - self.reach;
        while let Some(near) = self.recent.get(first(self.at)..first(self.at) + 2 * self.reach)
            && let Some(parts) = self.parts.get_mut((self.phase / self.between) as usize)
        {
            if parts.is_empty() {
                *parts = all_parts(self.rate, self.reach, self.phase);
            }
            out.extend(s16(blend(near, parts)));
            let phase = self.phase + self.rate;
            self.at += (phase / RATE) as usize;
            self.phase = phase % RATE;
        }
        let used = first(self.at).min(self.recent.len());
        self.recent.drain(..used);
        self.at -= used;
        out
    }
}

/// Their sum, each with its part. Several are added side by side, which processors do at once.
fn blend(frames: &[[f32; 2]], parts: &[f32]) -> [f32; 2] {
    let mut sums = [[0.0; 2]; LANES];
    for (frames, parts) in frames.as_chunks::<LANES>().0.iter().zip(parts.as_chunks::<LANES>().0) {
        for (sum, (frame, part)) in sums.iter_mut().zip(frames.iter().zip(parts)) {
            *sum = [sum[0] + part * frame[0], sum[1] + part * frame[1]];
        }
    }
    sums.iter().fold([0.0; 2], |all, sum| [all[0] + sum[0], all[1] + sum[1]])
}

/// Zero crossings of the sinc from one frame of this rate to the next.
fn crossings(rate: u32) -> f64 {
    BAND * (f64::from(RATE) / f64::from(rate)).min(1.0)
}

/// The parts of `reach` frames to each side of a place, which is `phase` 48000ths behind the last on the left. Together they are 1.
fn all_parts(rate: u32, reach: usize, phase: u32) -> Vec<f32> {
    let behind = f64::from(phase) / f64::from(RATE);
    let away = |n: usize| (n as f64 - (reach - 1) as f64 - behind) * crossings(rate);
    let parts: Vec<f64> = (0..2 * reach).map(|n| windowed_sinc(away(n))).collect();
    let all: f64 = parts.iter().sum();
    parts.iter().map(|part| (part / all) as f32).collect()
}

/// At so many crossings from its middle; how high it is in the middle does not matter.
fn windowed_sinc(place: f64) -> f64 {
    let x = place * std::f64::consts::PI;
    let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
    let window = (1.0 - (place / f64::from(CROSSINGS)).powi(2)).max(0.0);
    if window == 0.0 { 0.0 } else { sinc * bessel(BETA * window.sqrt()) }
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { common_divisor(b, a % b) }
}

/// The modified Bessel function of the first kind and order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..25 {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests;
