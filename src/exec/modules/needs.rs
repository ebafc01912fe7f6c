//! What a kernel must have, one row each.

use super::Wants;
use crate::config::Transport;

pub struct Need {
    /// Without CONFIG_.
    pub option: &'static str,
    /// The module that the option makes; none where it cannot be one.
    pub module: Option<&'static str>,
    /// Required: what kiln exec needs it for. Otherwise: what is without it.
    pub why: &'static str,
    pub required: bool,
    pub when: fn(&Wants) -> bool,
}

const fn built_in(option: &'static str, why: &'static str) -> Need {
    Need { option, module: None, why, required: true, when: |_| true }
}

const fn driver(option: &'static str, module: &'static str, why: &'static str) -> Need {
    Need { option, module: Some(module), why, required: true, when: |_| true }
}

const fn when(when: fn(&Wants) -> bool, need: Need) -> Need {
    Need { when, ..need }
}

const PCI: fn(&Wants) -> bool = |w| matches!(w.transport, Transport::Pci);
const MMIO: fn(&Wants) -> bool = |w| matches!(w.transport, Transport::Mmio);

/// Modules are loaded in this order, each after those it depends on.
pub const NEEDS: &[Need] = &[
    built_in("BLK_DEV_INITRD", "to take its initramfs"),
    built_in("BINFMT_ELF", "to run programs"),
    built_in("PROC_FS", "for /proc"),
    built_in("SYSFS", "for /sys"),
    built_in("DEVTMPFS", "for /dev"),
    built_in("TMPFS", "to keep what the command writes"),
    when(|w| w.terminal, built_in("UNIX98_PTYS", "to give the command a terminal")),
    when(PCI, built_in("PCI", "to find its devices")),
    driver("VIRTIO", "virtio", "for its devices"),
    when(PCI, driver("VIRTIO_PCI", "virtio_pci", "to find its devices")),
    when(MMIO, driver("VIRTIO_MMIO", "virtio_mmio", "to find its devices")),
    driver("VIRTIO_CONSOLE", "virtio_console", "to talk to the command"),
    driver("FUSE_FS", "fuse", "to show the host's files"),
    driver("VIRTIO_FS", "virtiofs", "to show the host's files"),
    driver("OVERLAY_FS", "overlay", "to keep writes away from the host's files"),
    when(|w| w.net, driver("VIRTIO_NET", "virtio_net", "for --net")),
    when(|w| w.disk, driver("VIRTIO_BLK", "virtio_blk", "for --disk")),
    Need { required: false, ..built_in("SERIAL_8250_CONSOLE", "there will be no kernel log") },
];

/// With one of these the kernel describes its log (VMCOREINFO): the newer name, and that before Linux 6.9.
pub const LOG_IN_MEMORY: [&str; 2] = ["VMCORE_INFO", "CRASH_CORE"];
