//! Requests and answers of a virtio-snd (virtio 1.2, 5.14.6). What is read here has been copied out of guest memory, and means
//! nothing yet.

use crate::host::sound::{Format, Sample};
use crate::virtio::Chain;

/// What a request is answered with (5.14.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    Ok = 0x8000,
    BadMessage = 0x8001,
    NotSupported = 0x8002,
}

/// Bytes of struct virtio_snd_pcm_status, which ends every transfer.
pub const STATUS: usize = 8;
/// Streams, by number: one plays, one records.
pub const STREAMS: usize = 2;
const OUTPUT: usize = 0;

/// `VIRTIO_SND_PCM_FMT_*`
const SAMPLES: [(u8, Sample); 4] = [(4, Sample::U8), (5, Sample::S16), (17, Sample::S32), (19, Sample::Float)];
/// `VIRTIO_SND_PCM_RATE_*` are places in this list.
const RATES: [u32; 14] =
    [5512, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 64000, 88200, 96000, 176_400, 192_000, 384_000];
/// `VIRTIO_SND_CHMAP_FL` and `_FR`: front left, front right.
const LEFT_RIGHT: [u8; 2] = [3, 4];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// What there is of something: from which number on, how many, bytes of each answer.
    Info(Info, u32, u32, u32),
    Set(u32, Parameters),
    Prepare(u32),
    Release(u32),
    Start(u32),
    Stop(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Info {
    Jacks,
    Streams,
    ChannelMaps,
}

/// struct virtio_snd_pcm_set_params, after its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    pub buffer_bytes: u32,
    pub period_bytes: u32,
    pub features: u32,
    pub channels: u8,
    pub format: u8,
    pub rate: u8,
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| u32::from_le_bytes(*field))
}

impl Request {
    pub fn take(chain: &mut Chain) -> Result<Request, Status> {
        fn more<const N: usize>(chain: &mut Chain) -> Result<[u8; N], Status> {
            chain.take::<N>().map_err(|_| Status::BadMessage)
        }
        let code = u32::from_le_bytes(more::<4>(chain)?);
        let info = |kind, fields: [u8; 12]| Request::Info(kind, number(&fields, 0), number(&fields, 4), number(&fields, 8));
        Ok(match code {
            0x0001 => info(Info::Jacks, more(chain)?),
            0x0100 => info(Info::Streams, more(chain)?),
            0x0200 => info(Info::ChannelMaps, more(chain)?),
            0x0101 => {
                let f = more::<20>(chain)?;
                let [.., channels, format, rate, _padding] = f;
                let (buffer_bytes, period_bytes, features) = (number(&f, 4), number(&f, 8), number(&f, 12));
                Request::Set(number(&f, 0), Parameters { buffer_bytes, period_bytes, features, channels, format, rate })
            }
            0x0102 => Request::Prepare(number(&more::<4>(chain)?, 0)),
            0x0103 => Request::Release(number(&more::<4>(chain)?, 0)),
            0x0104 => Request::Start(number(&more::<4>(chain)?, 0)),
            0x0105 => Request::Stop(number(&more::<4>(chain)?, 0)),
            _ => return Err(Status::NotSupported),
        })
    }
}

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Every format there is.
    All,
    /// This one.
    Only(Format),
}

impl Offer {
    pub fn of(format: Format) -> Option<Offer> {
        RATES.contains(&format.rate).then_some(Offer::Only(format))
    }

    fn has(self, format: Format) -> bool {
        match self {
            Offer::All => matches!(format.channels, 1 | 2),
            Offer::Only(only) => only == format,
        }
    }

    /// The format that the parameters ask for. Errors when there is no such, or the sizes make no sense.
    pub fn check(self, p: &Parameters) -> Result<Format, Status> {
        let sample = SAMPLES.iter().find(|(number, _)| *number == p.format).map(|(_, sample)| *sample);
        let rate = RATES.get(usize::from(p.rate)).copied();
        let (Some(sample), Some(rate)) = (sample, rate) else { return Err(Status::NotSupported) };
        let format = Format { sample, channels: u16::from(p.channels), rate };
        if !self.has(format) || p.features != 0 {
            return Err(Status::NotSupported);
        }
        if p.period_bytes == 0 || p.period_bytes > p.buffer_bytes {
            return Err(Status::BadMessage);
        }
        Ok(format)
    }

    /// struct virtio_snd_pcm_info of stream `number`.
    fn stream(self, number: usize) -> Vec<u8> {
        let samples = SAMPLES.iter().filter(|(_, sample)| match self {
            Offer::All => true,
            Offer::Only(only) => only.sample == *sample,
        });
        let formats: u64 = samples.map(|(bit, _)| 1 << bit).sum();
        let rates = (0..RATES.len()).filter(|i| match self {
            Offer::All => true,
            Offer::Only(only) => RATES.get(*i) == Some(&only.rate),
        });
        let rates: u64 = rates.map(|bit| 1 << bit).sum();
        let (least, most) = match self {
            Offer::All => (1, 2),
            Offer::Only(only) => (only.channels as u8, only.channels as u8),
        };
        // No function of HDA, no features.
        let mut info = vec![0; 8];
        info.extend(formats.to_le_bytes());
        info.extend(rates.to_le_bytes());
        info.extend([direction(number), least, most, 0, 0, 0, 0, 0]);
        info
    }

    /// The answer to a request for `count` things of `kind` from number `first` on, in `size` bytes each.
    pub fn info(self, kind: Info, first: u32, count: u32, size: u32) -> Result<Vec<u8>, Status> {
        let there = if kind == Info::Jacks { 0 } else { STREAMS as u32 };
        if first.checked_add(count).is_none_or(|end| end > there) {
            return Err(Status::BadMessage);
        }
        let mut answer = Vec::new();
        for number in first..first + count {
            let number = number as usize;
            let mut one = match kind {
                Info::Jacks => Vec::new(),
                Info::Streams => self.stream(number),
                Info::ChannelMaps => {
                    // struct virtio_snd_chmap_info
                    let mut map = [&[0, 0, 0, 0, direction(number), 2][..], &LEFT_RIGHT].concat();
                    map.resize(24, 0);
                    map
                }
            };
            // A driver with another size for it is of another version.
            if size as usize != one.len() {
                return Err(Status::BadMessage);
            }
            answer.append(&mut one);
        }
        Ok(answer)
    }
}

/// `VIRTIO_SND_D_OUTPUT` or `VIRTIO_SND_D_INPUT`
fn direction(stream: usize) -> u8 {
    if stream == OUTPUT { 0 } else { 1 }
}
