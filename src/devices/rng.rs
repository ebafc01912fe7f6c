//! Entropy (virtio 1.2, 5.4): fills the driver's buffers from a host file.

use super::Kind;
use crate::spec;
use crate::virtio::{Device, Io};
use anyhow::{Context, Result};
use std::{fs::File, io::Read, path::PathBuf};

spec! {
    pub struct Spec {
        /// Where the entropy comes from.
        source: PathBuf = "/dev/urandom",
    }
}

pub static KIND: Kind = Kind {
    name: "rng",
    about: "Gives the guest entropy.",
    options: Spec::OPTIONS,
    build: |options, _host| {
        let spec = Spec::parse(options)?;
        let source = File::open(&spec.source).with_context(|| format!("open {}", spec.source.display()))?;
        Ok(Box::new(Rng { source }))
    },
    sample: "",
};

/// The most that one request is given; the driver asks again for more.
const LIMIT: usize = 4096;

struct Rng {
    source: File,
}

impl Device for Rng {
    fn id(&self) -> u32 {
        4
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![256]
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        let Some(queue) = io.queues.get_mut(queue) else { return Ok(()) };
        queue.serve(|chain| {
            let wanted = chain.sizes().1.min(LIMIT);
            let mut bytes = vec![0; wanted];
            let n = self.source.read(&mut bytes).context("read entropy")?;
            Ok(chain.put(bytes.get(..n).unwrap_or_default()) as u32)
        })
    }
}
