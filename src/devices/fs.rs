//! File system device (virtio 1.2, 5.11): a directory of the host, for `mount -t virtiofs`.

use super::Kind;
use crate::config::Switch;
use crate::host::share::{Answer, Cache, Server, Settings};
use crate::spec;
use crate::virtio::{Device, Io};
use anyhow::{Result, ensure};
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
        let settings = Settings { readonly: spec.readonly.0, cache: spec.cache };
        Ok(Box::new(Fs { tag: name, server: Server::open(&spec.path, settings)? }))
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

struct Fs {
    tag: [u8; TAG],
    server: Server,
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

    fn start(&mut self, _io: &mut Io) -> Result<()> {
        Server::prepare_thread()
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        let Some(queue) = io.queues.get_mut(queue) else { return Ok(()) };
        queue.serve(|chain| match self.server.serve(&chain.readable, &chain.writable) {
            Answer::Reply(written) => Ok(written),
            Answer::Nothing => Ok(0),
        })
    }

    fn reset(&mut self) {
        self.server.reset();
    }
}
