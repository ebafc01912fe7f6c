//! A sound card (virtio 1.2, 5.14) that plays a tone on each of its two channels.

use crate::tap::line;
use crate::virtio::{self, Buffer, Device, EVENT_IDX, Queue};
use crate::{Context, Result, ensure, rt};
use alloc::vec::Vec;

const ID: u32 = 25;
/// Requests (5.14.6.1), and what they are answered with.
const PCM_INFO: u32 = 0x100;
const SET_PARAMS: u32 = 0x101;
const PREPARE: u32 = 0x102;
const RELEASE: u32 = 0x103;
const START: u32 = 0x104;
const STOP: u32 = 0x105;
const OK: u32 = 0x8000;
/// `VIRTIO_SND_PCM_FMT_S16`, `VIRTIO_SND_PCM_RATE_44100`
const S16: u32 = 5;
const RATE_44100: u32 = 6;
const FRAMES_PER_SECOND: u64 = 44100;
const QUEUES: u16 = 4;

/// Frames of a wave on the left, and on the right: 441 Hz and 735 Hz.
const WAVES: [usize; 2] = [100, 60];
/// Whole waves of both: 34 ms.
const FRAMES: usize = 1500;
const PERIODS: usize = 4;
const PERIOD: usize = 4 * FRAMES;
const HEADER: usize = 4;
const STATUS: usize = 8;

pub struct Sound {
    control: Queue,
    transmit: Queue,
    _device: Device,
    memory: &'static mut [u8],
    /// One after the other, each with its stream's number before it and its status behind it.
    periods: &'static mut [u8],
    /// How many were given to the device in all, and those that it has.
    given: usize,
    playing: usize,
    /// Those that are still to be played.
    left: u64,
}

/// A sine of half the full strength, in one wave of so many frames: of each value and the one before follows the next.
fn wave(frames: usize) -> Vec<i16> {
    // The cosine of the step, by its series; the angle is small.
    let step = 2.0 * core::f64::consts::PI / frames as f64;
    let (mut cos, mut sin, mut term) = (0.0, 0.0, 1.0);
    for n in 0..16 {
        match n % 4 {
            0 => cos += term,
            1 => sin += term,
            2 => cos -= term,
            _ => sin -= term,
        }
        term *= step / (n + 1) as f64;
    }
    let (mut before, mut now) = (-sin, 0.0);
    let mut all = Vec::new();
    for _ in 0..frames {
        let scaled = now * 16384.0;
        all.push(if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 } as i16);
        (before, now) = (now, 2.0 * cos * now - before);
    }
    all
}

impl Sound {
    /// Begins to play, for at least so many milliseconds.
    pub fn begin(context: &Context, milliseconds: u64) -> Result<Sound> {
        let mut device = Device::new(virtio::first(context, ID)?, EVENT_IDX)?;
        let mut queues = Vec::new();
        for n in 0..QUEUES {
            queues.push(device.queue(n, 64)?);
        }
        device.start()?;
        ensure!(device.transport.config32(4) == 2, "there are {} streams", device.transport.config32(4));
        let transmit = queues.swap_remove(2);
        let control = queues.swap_remove(0);
        let (memory, periods) = (rt::pages(4096, 4096), rt::pages(PERIODS * (HEADER + PERIOD + STATUS), 4096));
        let left = (milliseconds * FRAMES_PER_SECOND / 1000).div_ceil(FRAMES as u64);
        let mut sound = Sound { control, transmit, _device: device, memory, periods, given: 0, playing: 0, left };
        sound.ask(&[PCM_INFO, 0, 1, 32])?;
        let buffer = (PERIODS * PERIOD) as u32;
        sound.ask(&[SET_PARAMS, 0, buffer, PERIOD as u32, 0, 2 | S16 << 8 | RATE_44100 << 16])?;
        sound.ask(&[PREPARE, 0])?;
        let waves = WAVES.map(wave);
        let frames = (0..FRAMES).flat_map(|n| [0, 1].map(|channel| waves[channel][n % WAVES[channel]]));
        let samples: Vec<u8> = frames.flat_map(i16::to_le_bytes).collect();
        for period in sound.periods.chunks_exact_mut(HEADER + PERIOD + STATUS) {
            period[HEADER..HEADER + PERIOD].copy_from_slice(&samples);
        }
        for _ in 0..PERIODS {
            sound.give()?;
        }
        sound.transmit.kick();
        sound.ask(&[START, 0])?;
        line(format_args!("sound begins"));
        Ok(sound)
    }

    /// One request on the control queue, which must be done.
    fn ask(&mut self, words: &[u32]) -> Result {
        let (request, answer) = self.memory.split_at_mut(1024);
        let mut len = 0;
        for (to, word) in request.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
            len += 4;
        }
        self.control.request(&[Buffer::out(&request[..len]), Buffer::into(&mut answer[..256])])?;
        // SAFETY: the device wrote it, behind the compiler's back.
        let status = unsafe { answer.as_ptr().cast::<u32>().read_volatile() };
        ensure!(status == OK, "request {:#x} is answered with {status:#x}", words[0]);
        Ok(())
    }

    /// The next period, unless it has been enough.
    fn give(&mut self) -> Result {
        if self.left == 0 {
            return Ok(());
        }
        let at = self.given % PERIODS * (HEADER + PERIOD + STATUS);
        let (out, status) = self.periods[at..].split_at_mut(HEADER + PERIOD);
        self.transmit.add(&[Buffer::out(out), Buffer::into(&mut status[..STATUS])])?;
        self.left -= 1;
        self.given += 1;
        self.playing += 1;
        Ok(())
    }

    /// Gives again what has been played, until enough has; then the stream ends.
    pub fn look(&mut self) -> Result {
        if self.playing == 0 {
            return Ok(());
        }
        let mut any = false;
        while self.transmit.pop()?.is_some() {
            self.playing -= 1;
            self.give()?;
            any = true;
        }
        if any {
            self.transmit.kick();
        }
        if self.playing == 0 {
            self.ask(&[STOP, 0])?;
            self.ask(&[RELEASE, 0])?;
            line(format_args!("sound ends"));
        }
        Ok(())
    }
}
