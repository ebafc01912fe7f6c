//! The same images as drives of the board's IDE controller, for guests without virtio: `bus=ide`.

use super::{Cache, Spec};
use crate::config::Switch;
use crate::host::image::{self, Writes};
use crate::platform::ide::{self, Drive};
use anyhow::{Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str::FromStr;

/// The `bus=` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    Virtio,
    Ide,
}

impl FromStr for Bus {
    type Err = String;
    fn from_str(text: &str) -> Result<Bus, String> {
        match text {
            "virtio" => Ok(Bus::Virtio),
            "ide" => Ok(Bus::Ide),
            _ => Err("want virtio or ide".to_string()),
        }
    }
}

pub fn build(spec: &Spec) -> Result<Drive> {
    ensure!(spec.queues == 1, "`queues={}`: an IDE drive has one", spec.queues);
    let cdrom = spec.cdrom.0.map_or_else(|| is_disc(&spec.path), |Switch(on)| on);
    let readonly = spec.readonly.0 || cdrom;
    let cache = match spec.cache {
        Cache::Writeback => ide::Cache::Writeback,
        Cache::Writethrough => ide::Cache::Writethrough,
        Cache::Unsafe => ide::Cache::Unsafe,
    };
    let mut how = image::How { readonly, ..spec.how()? };
    if cdrom {
        ensure!(spec.keep_as.0.is_none(), "`keep-as=` is of no use with a CD-ROM");
        how.writes = Writes::Image;
    }
    let image = image::open(&spec.path, &how)?;
    Ok(Drive { image, cdrom, readonly, serial: spec.serial.0.clone(), cache })
}

/// ISO 9660 has its identifier in the second byte of block 16 (ECMA-119, 8.1).
fn is_disc(path: &Path) -> bool {
    const AT: u64 = 16 * 2048 + 1;
    let mut found = [0; 5];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut found, AT));
    let named = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("iso"));
    named || (read.is_ok() && &found == b"CD001")
}

#[cfg(test)]
mod tests;
