use super::*;
use proptest::prelude::*;
use std::f64::consts::TAU;

const SAMPLES: [Sample; 4] = [Sample::U8, Sample::S16, Sample::S32, Sample::Float];
const GUEST_RATES: [u32; 14] =
    [5512, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 64000, 88200, 96000, 176_400, 192_000, 384_000];

fn encode(sample: Sample, value: f64) -> Vec<u8> {
    match sample {
        Sample::U8 => vec![(value * 127.0 + 128.0).round() as u8],
        Sample::S16 => ((value * 32767.0).round() as i16).to_le_bytes().to_vec(),
        Sample::S32 => ((value * 2_147_483_647.0).round() as i32).to_le_bytes().to_vec(),
        Sample::Float => (value as f32).to_le_bytes().to_vec(),
    }
}

/// A quarter of a second of a tone for each channel, of half the full strength.
fn tones(format: Format, hertz: [f64; 2]) -> Vec<u8> {
    let value =
        |n: u32, hertz: f64| encode(format.sample, 0.5 * (TAU * hertz * f64::from(n) / f64::from(format.rate)).sin());
    let channels = &hertz[..usize::from(format.channels)];
    (0..format.rate / 4).flat_map(|n| channels.iter().flat_map(move |hertz| value(n, *hertz))).collect()
}

/// One channel of what came out, from -1 to 1.
fn channel(out: &[u8], number: usize) -> Vec<f64> {
    let sample = |frame: &[u8]| f64::from(i16::from_le_bytes([frame[2 * number], frame[2 * number + 1]])) / 32768.0;
    out.chunks_exact(FRAME).map(sample).collect()
}

/// The strength of a tone in what came out, and of all that is not that tone. The ends, where it begins out of silence, do not count.
fn heard(samples: &[f64], hertz: f64) -> (f64, f64) {
    let samples = &samples[1200..10800];
    let angle = |n: usize| TAU * hertz * n as f64 / f64::from(RATE);
    let (mut sin, mut cos) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        sin += sample * angle(n).sin();
        cos += sample * angle(n).cos();
    }
    let half = samples.len() as f64 / 2.0;
    let (sin, cos) = (sin / half, cos / half);
    let rest =
        samples.iter().enumerate().map(|(n, sample)| (sample - sin * angle(n).sin() - cos * angle(n).cos()).powi(2));
    (sin.hypot(cos), (2.0 * rest.sum::<f64>() / samples.len() as f64).sqrt())
}

#[test]
fn a_tone_that_goes_in_comes_out() {
    for rate in GUEST_RATES {
        for (sample, channels) in SAMPLES.into_iter().zip([1, 2, 2, 1]) {
            let format = Format { sample, channels, rate };
            let hertz = [1000.0, 1500.0];
            let out = Converter::new(format).convert(&tones(format, hertz));
            let frames = out.len() / FRAME;
            assert!(frames.abs_diff(RATE as usize / 4) < 250, "{format:?}: {frames} frames");
            // Half of the last bit of a byte is much.
            let most = if sample == Sample::U8 { 0.01 } else { 0.000_5 };
            for (number, hertz) in [hertz[0], hertz[usize::from(channels) - 1]].into_iter().enumerate() {
                let (tone, rest) = heard(&channel(&out, number), hertz);
                assert!(
                    (tone - 0.5).abs() < 0.01 && rest < most,
                    "{format:?}: {tone} of {hertz} Hz and {rest} of others"
                );
            }
        }
    }
}

#[test]
fn high_notes_stay_and_bring_no_others() {
    let at = |rate, hertz: f64| {
        let format = Format { sample: Sample::Float, channels: 1, rate };
        let out = Converter::new(format).convert(&tones(format, [hertz, 0.0]));
        heard(&channel(&out, 0), hertz)
    };
    for (rate, hertz) in [(44100, 10_000.0), (44100, 16_000.0), (22050, 8000.0), (96000, 16_000.0)] {
        let (tone, rest) = at(rate, hertz);
        assert!((tone - 0.5).abs() < 0.01 && rest < 0.001, "{hertz} of {rate} Hz: {tone}, {rest} of others");
    }
    // What 48000 Hz cannot carry is gone, not folded down.
    for (rate, hertz) in [(96000, 30_000.0), (384_000, 100_000.0)] {
        let (_, rest) = at(rate, hertz);
        assert!(rest < 0.001, "{hertz} of {rate} Hz: {rest}");
    }
}

#[test]
fn what_needs_no_conversion_is_not_touched() {
    let format = Format { sample: Sample::S16, channels: 2, rate: RATE };
    let all: Vec<u8> = (0..=u16::MAX).flat_map(|n| [n, !n]).flat_map(u16::to_le_bytes).collect();
    assert_eq!(Converter::new(format).convert(&all), all);
}

#[test]
fn what_is_too_loud_or_no_number_stays_within() {
    let format = Format { sample: Sample::Float, channels: 1, rate: 44100 };
    let mut converter = Converter::new(format);
    let wild = [f32::NAN, f32::INFINITY, -f32::INFINITY, 9e30].into_iter().cycle().take(400);
    converter.convert(&wild.flat_map(f32::to_le_bytes).collect::<Vec<_>>());
    let out = converter.convert(&[0; 4 * 1000]);
    assert!(channel(&out, 0)[100..].iter().all(|sample| *sample == 0.0), "it is still heard");
    // The corners of a square are higher than it is.
    let square = (0..4000).map(|n| if n / 50 % 2 == 0 { 1f32 } else { -1.0 });
    let out = converter.convert(&square.flat_map(f32::to_le_bytes).collect::<Vec<_>>());
    let samples = channel(&out, 1);
    let loud: Vec<f64> = samples.into_iter().filter(|sample| sample.abs() > 0.5).collect();
    let turns = loud.windows(2).filter(|w| w[0] * w[1] < 0.0).count();
    assert_eq!((turns, loud.len() > 4000), (4000 / 50 - 1, true), "what is too loud turns over");
}

proptest! {
    /// So there is no click where two of them meet.
    #[test]
    fn pieces_sound_like_the_whole(
        rate in prop::sample::select(&GUEST_RATES[..]),
        which in 0usize..4,
        channels in 1u16..3,
        noise in prop::collection::vec(any::<u8>(), 0..6000),
        cuts in prop::collection::vec(0usize..400, 1..20),
    ) {
        let format = Format { sample: SAMPLES[which], channels, rate };
        let whole = Converter::new(format).convert(&noise);
        let mut converter = Converter::new(format);
        let (mut rest, mut out) = (&noise[..], Vec::new());
        for cut in cuts.into_iter().cycle() {
            let (piece, after) = rest.split_at((cut * format.frame() as usize).clamp(format.frame() as usize, 4000).min(rest.len()));
            out.extend(converter.convert(piece));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(out == whole);
        let expected = noise.len() as u64 / u64::from(format.frame()) * u64::from(RATE) / u64::from(rate);
        prop_assert!(out.len() as u64 / FRAME as u64 <= expected + 1);
    }
}
