//! Sound (virtio 1.2, 5.14): one stream that plays, and one that records silence.
//!
//! ```text
//! queue 0 control   what there is; a stream's parameters, start and stop
//!       1 events    (nothing ever happens that a driver has to be told)
//!       2 transmit  buffers to play    --> a sink: a WAV file, a player on the host, or nothing; and the hub
//!       3 receive   buffers to fill    <-- silence
//! ```

mod protocol;
mod stream;

use super::{Built, Kind};
use crate::config::values::Maybe;
use crate::host::sound::{Format, Null, Player, Sample, Sink, Wav};
use crate::spec;
use crate::virtio::{Chain, Device, Io};
use anyhow::{Context, Result};
use protocol::{Offer, Request, STREAMS, Status};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;
use stream::Stream;

spec! {
    pub struct Spec {
        /// Where sound goes: host, to a program that plays it (pw-cat, pacat or aplay), or null: nowhere but to the page of --display web.
        to: To = "host",
        /// Writes it to this file instead, which is made anew.
        wav: Maybe<PathBuf> = "",
        /// How a sample is written in the file: u8, s16, s32 or float.
        format: Sample = "s16",
        /// Frames a second in the file, two samples each.
        rate: u32 = "48000",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Host,
    Null,
}

impl FromStr for To {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<To, &'static str> {
        match text {
            "host" => Ok(To::Host),
            "null" => Ok(To::Null),
            _ => Err("want host, null or wav=FILE"),
        }
    }
}

pub static KIND: Kind = Kind {
    name: "sound",
    about: "A sound card: what the guest plays is heard on the host or in the browser, or goes to a WAV file.",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, host| {
        let spec = Spec::parse(options)?;
        let (sink, offer) = spec.sink()?;
        Ok(Built::virtio(Sound::new(Box::new(host.sound.card(sink)), offer)?))
    },
    sample: "null",
};

impl Spec {
    /// A file has one format, so the guest is offered no other. A player takes them all.
    fn sink(&self) -> Result<(Box<dyn Sink>, Offer)> {
        if let Some(path) = &self.wav.0 {
            let format = Format { sample: self.format, channels: 2, rate: self.rate };
            let offer = Offer::of(format);
            let offer = offer.with_context(|| format!("`rate={}`: want a usual one, such as 44100 or 48000", self.rate))?;
            return Ok((Box::new(Wav::create(path, format)?), offer));
        }
        match self.to {
            To::Null => Ok((Box::new(Null), Offer::All)),
            To::Host => Ok((Box::new(Player::find(&std::env::var_os("PATH").unwrap_or_default())?), Offer::All)),
        }
    }
}

const CONTROL: usize = 0;
const TRANSMIT: usize = 2;

struct Sound {
    /// By their numbers: the one that plays, the one that records.
    streams: [Stream; STREAMS],
    offer: Offer,
}

impl Sound {
    fn new(sink: Box<dyn Sink>, offer: Offer) -> Result<Sound> {
        Ok(Sound { streams: [Stream::new(Some(sink))?, Stream::new(None)?], offer })
    }

    /// Answers a request on the control queue.
    fn control(&mut self, chain: &mut Chain, io: &mut Io) -> Result<u32> {
        let answer = match Request::take(chain) {
            Ok(request) => self.answer(request, io)?,
            Err(status) => Err(status),
        };
        let (status, body) = answer.map_or_else(|status| (status, Vec::new()), |body| (Status::Ok, body));
        let head = chain.put(&(status as u32).to_le_bytes());
        Ok((head + chain.put(&body)) as u32)
    }

    /// The outer errors are those of a broken ring.
    fn answer(&mut self, request: Request, io: &mut Io) -> Result<Result<Vec<u8>, Status>> {
        let number = match request {
            Request::Info(kind, first, count, size) => return Ok(self.offer.info(kind, first, count, size)),
            Request::Set(number, _) | Request::Prepare(number) | Request::Release(number) => number as usize,
            Request::Start(number) | Request::Stop(number) => number as usize,
        };
        let queue = io.queues.get_mut(TRANSMIT.saturating_add(number));
        let (Some(stream), Some(queue)) = (self.streams.get_mut(number), queue) else {
            return Ok(Err(Status::BadMessage));
        };
        let done = match request {
            Request::Info(..) => Ok(()),
            Request::Set(_, parameters) => self.offer.check(&parameters).and_then(|format| stream.set(format)),
            Request::Prepare(_) => stream.prepare(),
            Request::Start(_) => stream.start(Instant::now(), queue)?,
            Request::Stop(_) => stream.stop()?,
            Request::Release(_) => stream.release(queue)?,
        };
        Ok(done.map(|()| Vec::new()))
    }

    fn serve(&mut self, io: &mut Io) -> Result<()> {
        loop {
            let Some(queue) = io.queues.get_mut(CONTROL) else { return Ok(()) };
            queue.disable_kicks()?;
            let mut next = queue.pop()?;
            let any = next.is_some();
            while let Some(mut chain) = next {
                let written = self.control(&mut chain, io)?;
                let Some(queue) = io.queues.get_mut(CONTROL) else { return Ok(()) };
                queue.push(&chain, written)?;
                next = queue.pop()?;
            }
            let Some(queue) = io.queues.get_mut(CONTROL) else { return Ok(()) };
            if any {
                queue.signal()?;
            }
            if !queue.enable_kicks()? {
                return Ok(());
            }
        }
    }

    /// Takes what the driver gives a stream to play, or to fill.
    fn transfer(&mut self, number: usize, io: &mut Io) -> Result<()> {
        let queue = io.queues.get_mut(TRANSMIT + number);
        let (Some(stream), Some(queue)) = (self.streams.get_mut(number), queue) else { return Ok(()) };
        loop {
            queue.disable_kicks()?;
            let mut any = false;
            while let Some(mut chain) = queue.pop()? {
                // struct virtio_snd_pcm_xfer
                let named = chain.take::<4>().map(|id| u32::from_le_bytes(id) as usize == number);
                match named {
                    Ok(true) => stream.take(chain, queue)?,
                    _ => stream.refuse(chain, queue)?,
                }
                any = true;
            }
            if any {
                queue.signal()?;
            }
            if !queue.enable_kicks()? {
                break;
            }
        }
        stream.run(Instant::now(), queue)
    }
}

impl Device for Sound {
    fn id(&self) -> u32 {
        25
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![64; 4]
    }

    /// `jacks`, `streams`, `chmaps`
    fn config(&self) -> Vec<u8> {
        [0, STREAMS as u32, STREAMS as u32].iter().flat_map(|field| field.to_le_bytes()).collect()
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        for (stream, token) in self.streams.iter().zip(0..) {
            io.watch(stream.timer.as_fd(), token)?;
        }
        Ok(())
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        match queue {
            CONTROL => {
                // What is to be played comes before the order to play it.
                (0..STREAMS).try_for_each(|number| self.transfer(number, io))?;
                self.serve(io)
            }
            _ => queue.checked_sub(TRANSMIT).map_or(Ok(()), |number| self.transfer(number, io)),
        }
    }

    fn fd_ready(&mut self, token: u32, io: &mut Io) -> Result<()> {
        self.transfer(token as usize, io)
    }

    fn reset(&mut self) {
        self.streams.iter_mut().for_each(Stream::reset);
    }
}

#[cfg(test)]
mod tests;
