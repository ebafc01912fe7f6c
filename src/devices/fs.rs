//! File system device (virtio 1.2, 5.11): a directory of the host, for `mount -t virtiofs`.

use super::{Built, Kind};
use crate::config::Switch;
use crate::host::share::{Answer, Cache, Locking, Server, Settings};
use crate::spec;
use crate::sys::fd;
use crate::virtio::{Chain, Device, Io, Queue};
use anyhow::{Result, ensure};
use std::collections::HashMap;
use std::path::PathBuf;

spec! {
    pub struct Spec {
        /// The directory of the host.
        path: PathBuf,
        /// What the guest calls it: `mount -t virtiofs TAG DIR`. 36 bytes at most.
        tag: String = "share",
        /// Nothing in the directory can be changed.
        readonly: Switch = "off",
        /// How long the guest believes what it knows: `auto` a second, `always` for ever, `never` not at all.
        cache: Cache = "auto",
        /// `guest`: file locks are the guest's own. `host`: they are shared with the host's programs.
        locks: Locking = "guest",
    }
}

pub static KIND: Kind = Kind {
    name: "fs",
    about: "A directory of the host, for the guest to mount (virtiofs).",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, _host| {
        let spec = Spec::parse(options)?;
        let tag = spec.tag.as_bytes();
        ensure!((1..=TAG).contains(&tag.len()), "`tag={}`: want 1 to {TAG} bytes", spec.tag);
        let mut name = [0; TAG];
        name.iter_mut().zip(tag).for_each(|(to, from)| *to = *from);
        let settings = Settings { readonly: spec.readonly.0, cache: spec.cache, locks: spec.locks };
        let server = Server::open(&spec.path, settings)?;
        Ok(Built::virtio(Fs { tag: name, server, waiting: HashMap::new(), tickets: 0 }))
    },
    sample: "/,readonly",
};

/// Bytes of the tag, padded with NUL.
const TAG: usize = 36;
/// Descriptors of each queue. Linux makes its largest request of what the request queue holds: the 256 pages of 1 MiB, and
/// the headers.
const QUEUE_SIZE: u16 = 512;
/// One worker serves them all, so more than one would only be more to look at.
const REQUEST_QUEUES: u32 = 1;

/// The token of the bell that requests which waited ring.
const BELL: u32 = 0;

struct Fs {
    tag: [u8; TAG],
    server: Server,
    /// Requests that wait for a lock, by their tickets: the queue, and the request.
    waiting: HashMap<u64, (usize, Chain)>,
    tickets: u64,
}

impl Fs {
    /// Serves what is in the queue. Not in the order of the queue, if something has to wait.
    fn serve(&mut self, index: usize, queue: &mut Queue) -> Result<()> {
        let mut any = false;
        while let Some(chain) = queue.pop()? {
            let written = match self.server.serve(&chain.readable, &chain.writable, self.tickets) {
                Answer::Reply(written) => written,
                Answer::Nothing => 0,
                Answer::Later => {
                    self.waiting.insert(self.tickets, (index, chain));
                    self.tickets += 1;
                    continue;
                }
            };
            queue.push(&chain, written)?;
            any = true;
        }
        if any { queue.signal() } else { Ok(()) }
    }

    /// Answers what has waited.
    fn finish(&mut self, io: &mut Io) -> Result<()> {
        for done in self.server.finished() {
            let Some((index, chain)) = self.waiting.remove(&done.ticket) else { continue };
            let Some(queue) = io.queues.get_mut(index) else { continue };
            if let Answer::Reply(written) = done.reply(&chain.writable) {
                queue.push(&chain, written)?;
                queue.signal()?;
            }
        }
        Ok(())
    }
}

impl Device for Fs {
    fn id(&self) -> u32 {
        26
    }

    /// virtio 1.2, 5.11.2: hiprio, then the request queues.
    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 1 + REQUEST_QUEUES as usize]
    }

    /// struct virtio_fs_config (virtio 1.2, 5.11.4).
    fn config(&self) -> Vec<u8> {
        let mut config = self.tag.to_vec();
        config.extend(REQUEST_QUEUES.to_le_bytes());
        config
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        if let Some(bell) = self.server.bell() {
            io.watch(fd::of(bell), BELL)?;
        }
        Server::prepare_thread()
    }

    fn queue_ready(&mut self, index: usize, io: &mut Io) -> Result<()> {
        let Some(queue) = io.queues.get_mut(index).filter(|queue| queue.ready()) else { return Ok(()) };
        loop {
            queue.disable_kicks()?;
            self.serve(index, queue)?;
            if !queue.enable_kicks()? {
                return Ok(());
            }
        }
    }

    fn fd_ready(&mut self, _token: u32, io: &mut Io) -> Result<()> {
        self.finish(io)
    }

    fn quiesce(&mut self, io: &mut Io) -> Result<()> {
        self.waiting.clear();
        match self.server.bell() {
            Some(bell) => io.unwatch(fd::of(bell)),
            None => Ok(()),
        }
    }

    fn reset(&mut self) {
        self.server.reset();
    }
}

#[cfg(test)]
mod tests;
