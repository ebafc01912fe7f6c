//! Block device (virtio 1.2, 5.2): the driver reads and writes the sectors of a disk image.

mod flow;
mod full;
mod ide;
mod request;

use super::{Built, Kind};
use crate::config::values::Maybe;
use crate::config::Switch;
use crate::event::Notify;
use crate::host::image::{self, Format, How, Image, SECTOR, Writes};
use crate::mem::Slice;
use crate::spec;
use crate::sys::uring::Done;
use crate::virtio::{Chain, ConfigSpace, Device, Io};
use anyhow::{Context, Result, bail, ensure};
use flow::Spot;
use full::{OnFull, Waiting};
use request::{Limits, RANGE, RANGES, Request, SEGMENT, SEGMENTS, Work};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::str::FromStr;
use virtio_bindings::virtio_blk::*;

spec! {
    pub struct Spec {
        /// The image: a file (raw, qcow2, or one of the formats that are only read) or a block device.
        path: PathBuf,
        /// The guest may not write; others may read the image meanwhile.
        readonly: Switch = "off",
        /// What the guest sees as serial number, 20 bytes at most.
        serial: Maybe<String> = "",
        /// `auto` goes by the content; or raw, qcow2, vmdk, vdi, vpc. A raw image that looks like another wants `raw`.
        format: Format = "auto",
        /// What the guest writes goes to a temporary file; nothing of it is left in the end.
        throwaway: Switch = "off",
        /// What the guest writes goes to this new qcow2 image on top of the image, which is not changed.
        keep_as as "keep-as": Maybe<PathBuf> = "",
        /// `writeback`: what the guest flushed is safe. `writethrough`: what it wrote is. `unsafe`: flushes are ignored.
        cache: Cache = "writeback",
        /// Number of request queues, 1 to 16.
        queues: u16 = "1",
        /// How the host is asked: by io_uring, or `sync`, one request after the other. `auto` takes what is faster.
        io: Way = "auto",
        /// What the guest sees: `virtio`, or for old guests `ide`, a drive of the board's IDE controller.
        bus: ide::Bus = "virtio",
        /// With `bus=ide`: a CD-ROM (and then read-only). Without it that follows from the image's content, or `.iso`.
        cdrom: Maybe<Switch> = "",
        /// Past the host's page cache (O_DIRECT): for raw images.
        direct: Switch = "off",
        /// When the host has no room for what the guest writes: `report` an I/O error to it, or `stop` it until there is room.
        on_enospc as "on-enospc": OnFull = "report",
    }
}

pub static KIND: Kind = Kind {
    name: "disk",
    about: "A disk: an image file or a block device.",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, host| {
        let spec = Spec::parse(options)?;
        spec.check()?;
        if spec.bus == ide::Bus::Ide {
            return ide::build(&spec).map(Built::Drive);
        }
        let image = image::open(&spec.path, &spec.how()?)?;
        Ok(Built::virtio(Disk::new(image, &spec, &host.notify)?))
    },
    sample: "{tmp}",
};

impl Spec {
    fn how(&self) -> Result<How> {
        let (throwaway, readonly) = (self.throwaway.0, self.readonly.0);
        let writes = match self.keep_as.0.clone() {
            Some(_) if throwaway => bail!("`keep-as=` and `throwaway` contradict each other"),
            Some(_) if readonly => bail!("`keep-as=` is of no use with `readonly`"),
            Some(new) => Writes::Overlay(new),
            None if throwaway && !readonly => Writes::Throwaway,
            None => Writes::Image,
        };
        Ok(How { format: self.format, readonly, direct: self.direct.0, writes })
    }

    fn check(&self) -> Result<()> {
        ensure!((1..=QUEUES).contains(&self.queues), "`queues={}`: want 1 to {QUEUES}", self.queues);
        self.serial().map(drop)
    }

    fn serial(&self) -> Result<[u8; VIRTIO_BLK_ID_BYTES as usize]> {
        let serial = self.serial.0.as_deref().unwrap_or_default();
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        let to = id.get_mut(..serial.len()).with_context(|| format!("`serial={serial}`: want 20 bytes at most"))?;
        to.copy_from_slice(serial.as_bytes());
        Ok(id)
    }
}

/// The `cache=` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    Writeback,
    Writethrough,
    Unsafe,
}

impl FromStr for Cache {
    type Err = String;
    fn from_str(text: &str) -> Result<Cache, String> {
        match text {
            "writeback" => Ok(Cache::Writeback),
            "writethrough" => Ok(Cache::Writethrough),
            "unsafe" => Ok(Cache::Unsafe),
            _ => Err("want writeback, writethrough or unsafe".to_string()),
        }
    }
}

/// The `io=` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Auto,
    Uring,
    Sync,
}

impl FromStr for Way {
    type Err = String;
    fn from_str(text: &str) -> Result<Way, String> {
        match text {
            "auto" => Ok(Way::Auto),
            "uring" => Ok(Way::Uring),
            "sync" => Ok(Way::Sync),
            _ => Err("want auto, uring or sync".to_string()),
        }
    }
}

const QUEUES: u16 = 16;
const QUEUE_SIZE: u16 = 256;
/// Offset of `writeback` in the configuration space.
const WRITEBACK_AT: usize = 32;

struct Disk {
    image: Box<dyn Image>,
    limits: Limits,
    cache: Cache,
    queues: u16,
    /// virtio 1.2, 5.2.6.2: when off, a write is answered once it is safe.
    writeback: bool,
    /// The host carries requests out by io_uring; the ring is there while the device runs.
    by_ring: bool,
    ring: Option<flow::Hand>,
    spot: flow::Spot,
    /// Queues (a bit for each) with requests that wait for room, and with answers that were not signalled.
    starved: u32,
    touched: u32,
    /// Lend their memory.
    spare: Vec<Chain>,
    done: Vec<Done<Vec<Slice>, Request>>,
    /// With `on-enospc=stop`.
    waiting: Option<Waiting>,
    /// The log has an error of this disk already.
    complained: bool,
}

impl Disk {
    fn new(image: Box<dyn Image>, spec: &Spec, notify: &Notify) -> Result<Disk> {
        let limits = Limits { size: image.size(), readonly: spec.readonly.0, serial: spec.serial()? };
        let by_ring = by_ring(image.as_ref(), spec.io)?;
        let spot = Spot::new(image.as_ref(), spec.io);
        let waiting = || Waiting::new(spec.path.display().to_string(), notify.clone());
        let waiting = (spec.on_enospc == OnFull::Stop).then(waiting);
        Ok(Disk {
            image,
            limits,
            cache: spec.cache,
            queues: spec.queues,
            writeback: spec.cache != Cache::Writethrough,
            by_ring,
            ring: None,
            spot,
            starved: 0,
            touched: 0,
            spare: Vec::new(),
            done: Vec::new(),
            waiting,
            complained: false,
        })
    }

    /// The guest can repeat a failing request for ever; the log gets the first.
    fn complain(&mut self, work: &Work, e: &io::Error) {
        let what = match work {
            Work::Read { .. } => "read",
            Work::Write { .. } => "write",
            Work::Discard(_) => "discard blocks of",
            Work::Zero(_) => "zero blocks of",
            Work::Flush | Work::Answer(_) => "flush",
        };
        let hint = match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "; the guest sees I/O errors until there is room again (`on-enospc=stop` lets it wait)"
            }
            _ => "; the guest sees an I/O error",
        };
        if !std::mem::replace(&mut self.complained, true) {
            log::error!("{what} the disk image: {e}{hint}");
        }
    }
}

/// Whether io_uring is to be used, as far as the image and the host allow it.
fn by_ring(image: &dyn Image, way: Way) -> Result<bool> {
    match (way, image.plain()) {
        (Way::Sync, _) | (Way::Auto, None) => Ok(false),
        (Way::Uring, None) => bail!("`io=uring`: only a raw image can be served by io_uring; leave it out, or say `io=sync`"),
        (Way::Uring | Way::Auto, Some(_)) => match flow::ring(image) {
            Ok(_) => Ok(true),
            Err(e) if way == Way::Auto => {
                log::info!("the host gives no io_uring ({e}): disk requests are carried out one after the other");
                Ok(false)
            }
            Err(e) => Err(e).context("`io=uring`: set io_uring up (kernel.io_uring_disabled, or a container's rules?)"),
        },
    }
}

impl Device for Disk {
    fn id(&self) -> u32 {
        2
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; usize::from(self.queues)]
    }

    fn features(&self) -> u64 {
        let mut bits = vec![
            VIRTIO_BLK_F_SIZE_MAX,
            VIRTIO_BLK_F_SEG_MAX,
            VIRTIO_BLK_F_BLK_SIZE,
            VIRTIO_BLK_F_TOPOLOGY,
            VIRTIO_BLK_F_FLUSH,
            VIRTIO_BLK_F_CONFIG_WCE,
        ];
        if self.queues > 1 {
            bits.push(VIRTIO_BLK_F_MQ);
        }
        match self.limits.readonly {
            true => bits.push(VIRTIO_BLK_F_RO),
            false => bits.extend([VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES]),
        }
        bits.iter().fold(0, |all, bit| all | 1 << bit)
    }

    /// struct virtio_blk_config (virtio 1.2, 5.2.4).
    fn config(&self) -> Vec<u8> {
        let block = (self.image.physical_block() / SECTOR as u32).max(1);
        let mut c = Vec::with_capacity(60);
        c.extend((self.image.size() / SECTOR).to_le_bytes()); // capacity
        c.extend(SEGMENT.to_le_bytes()); // size_max
        c.extend(SEGMENTS.to_le_bytes()); // seg_max
        c.extend([0; 4]); // geometry
        c.extend((SECTOR as u32).to_le_bytes()); // blk_size
        c.extend([block.ilog2() as u8, 0]); // physical_block_exp, alignment_offset
        c.extend(1u16.to_le_bytes()); // min_io_size, in blocks
        c.extend(0u32.to_le_bytes()); // opt_io_size
        c.extend([u8::from(self.writeback), 0]); // writeback, unused0
        c.extend(self.queues.to_le_bytes()); // num_queues
        c.extend(RANGE.to_le_bytes()); // max_discard_sectors
        c.extend((RANGES as u32).to_le_bytes()); // max_discard_seg
        c.extend(block.to_le_bytes()); // discard_sector_alignment
        c.extend(RANGE.to_le_bytes()); // max_write_zeroes_sectors
        c.extend((RANGES as u32).to_le_bytes()); // max_write_zeroes_seg
        c.extend([1, 0, 0, 0]); // write_zeroes_may_unmap, unused1
        c
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        // virtio 1.2, 5.2.6.2: a driver that knows of no cache must not be given one.
        if !io.has(VIRTIO_BLK_F_FLUSH) && !io.has(VIRTIO_BLK_F_CONFIG_WCE) {
            self.writeback = self.cache == Cache::Unsafe;
        }
        self.start_ring(io)
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        self.take(queue, &mut io.queues)?;
        self.see_to_waiting(io)
    }

    fn fd_ready(&mut self, token: u32, io: &mut Io) -> Result<()> {
        match token {
            full::TIMER => self.try_again(io),
            _ => {
                self.ring_ready(&mut io.queues)?;
                self.see_to_waiting(io)
            }
        }
    }

    fn quiesce(&mut self, io: &mut Io) -> Result<()> {
        self.drain(io)?;
        self.give_waiting_up(io)
    }

    fn config_written(&mut self, at: usize, data: &[u8], config: &ConfigSpace, _io: Option<&mut Io>) {
        if let (WRITEBACK_AT, &[value @ (0 | 1)]) = (at, data) {
            self.writeback = value == 1;
            config.store(at, data);
        }
    }

    fn reset(&mut self) {
        self.writeback = self.cache != Cache::Writethrough;
    }
}

#[cfg(test)]
mod tests;
