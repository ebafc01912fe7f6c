//! What the user asked for, as plain data. Nothing is opened here, and nothing here knows a device:
//! [`Device`] carries `key=value` pairs, and the file of the device gives them types.

mod archive;
mod gdb;
pub mod options;
pub mod values;

pub use archive::{Archive, Part};
pub use gdb::{Gdb, Listen};
pub use options::{OptionDoc, Options};
pub use values::{Mac, Size, Switch};

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Config {
    /// What the machine is called; without it, its process number.
    pub name: Option<String>,
    pub payload: Payload,
    /// Starts the guest in place of the payload.
    pub firmware: Option<Firmware>,
    pub memory: Ram,
    pub topology: Topology,
    pub devices: Vec<Device>,
    /// Ways to look at the screen.
    pub displays: Vec<Display>,
    /// What is printed on the keys of the guest's keyboard, by a name that host/seat/keymap knows.
    pub keyboard_layout: Option<String>,
    pub transport: Transport,
    /// What stands behind ttyS0..ttyS3: a stream as host/stream understands it.
    pub serial: Vec<String>,
    /// Port of the debug-exit device.
    pub debug_exit: Option<u16>,
    /// What a guest's reset does. Without a word: a reset restarts the guest, a triple fault ends it.
    pub reboot: Option<Reboot>,
    pub timeout: Option<Duration>,
    /// Where guest memory goes when the guest panics or faults.
    pub dump: Option<PathBuf>,
    /// A debugger may attach.
    pub gdb: Option<Gdb>,
}

/// What runs in the guest.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    pub kernel: PathBuf,
    /// The files themselves, where they are not the host's: `kernel` is then what messages call the kernel.
    pub found: Option<Found>,
    /// Initial RAM disks in order (a multiboot kernel's modules).
    pub initrd: Vec<PathBuf>,
    /// An initial RAM disk of kiln's own; it follows the others.
    pub built: Option<Arc<Archive>>,
    /// Put before the command line of a Linux kernel: where its console is.
    pub linux_args: String,
    /// The kernel command line as the user gave it.
    pub cmdline: String,
    /// Enter a bzImage at its own 64-bit entry instead of unpacking it on the host.
    pub decompressor: bool,
}

/// A BIOS or UEFI, and what it needs on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    pub image: FirmwareImage,
    /// Where the variables of UEFI are kept; without it they are forgotten.
    pub nvram: Option<PathBuf>,
    /// What the firmware says about itself on its debug port.
    pub log: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareImage {
    /// As Debian packages them.
    Seabios,
    Ovmf,
    File(PathBuf),
}

/// A kernel and its initial RAM disks that were in an image. They come before those of the host.
#[derive(Debug, Clone)]
pub struct Found {
    pub kernel: Arc<File>,
    /// What messages call each, and what is in it.
    pub initrd: Vec<(String, Arc<Archive>)>,
}

#[derive(Debug, Clone, Copy)]
pub struct Ram {
    /// Bytes.
    pub size: u64,
    /// Huge page size in bytes.
    pub hugepages: Option<u64>,
}

/// How the vCPUs are arranged; their number is the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    pub sockets: u32,
    /// Cores in a socket.
    pub cores: u32,
    /// Threads in a core.
    pub threads: u32,
}

impl Topology {
    /// How many there are; none when the product overflows.
    pub fn cpus(&self) -> Option<u32> {
        self.sockets.checked_mul(self.cores)?.checked_mul(self.threads)
    }
}

/// One virtio device, as `--KIND OPTIONS` asked for it.
#[derive(Debug, Clone)]
pub struct Device {
    /// A row of devices::KINDS.
    pub kind: &'static str,
    /// `disk0`, `disk1`, `net0`.
    pub id: String,
    pub options: Options,
}

/// `--display KIND[=...]`.
#[derive(Debug, Clone)]
pub struct Display {
    /// A row of host::display::KINDS.
    pub kind: &'static str,
    pub options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Pci,
    Mmio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    Restart,
    Exit,
}
