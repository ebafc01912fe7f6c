//! Entropy (virtio 1.2, 5.4): fills the driver's buffers from a host file.

use super::{Built, Kind};
use crate::spec;
use crate::virtio::{Device, Io};
use anyhow::{Context, Result, ensure};
use std::{fs::File, io::Read, os::unix::fs::FileTypeExt, path::PathBuf};

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
    bare: true,
    build: |options, _host| {
        let source = Spec::parse(options)?.source;
        let file = open(&source).with_context(|| format!("source={}", source.display()))?;
        Ok(Built::virtio(Rng { source: file }))
    },
    sample: "",
};

/// The most that one request is given; the driver asks again for more.
const LIMIT: usize = 4096;

struct Rng {
    source: File,
}

/// A character device or a plain file. A pipe could keep the device waiting for ever, and with it a reset.
fn open(source: &std::path::Path) -> Result<File> {
    let kind = source.metadata()?.file_type();
    ensure!(kind.is_char_device() || kind.is_file(), "is neither a character device nor a file");
    Ok(File::open(source)?)
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
            let mut bytes = [0; LIMIT];
            let wanted = chain.sizes().1.min(LIMIT);
            let n = self.source.read(bytes.get_mut(..wanted).unwrap_or_default()).context("read entropy")?;
            // A request that is given nothing would only come again (5.4.6.2: at least one byte).
            ensure!(n > 0 || wanted == 0, "the source of entropy has ended");
            Ok(chain.put(bytes.get(..n).unwrap_or_default()) as u32)
        })
    }
}

#[cfg(test)]
mod tests;
