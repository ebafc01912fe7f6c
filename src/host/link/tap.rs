//! A tap interface of the host: an existing one, or one that lives as long as the guest.

use super::{HEADER, Link, Offloads};
use crate::mem::{Slice, vectored};
use crate::sys::tap as sys;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

pub struct Tap {
    /// One for each pair of queues.
    queues: Vec<File>,
    /// How many of them the interface sends frames to.
    attached: usize,
    offloads: Offloads,
}

impl Tap {
    pub fn open(name: &str, pairs: usize) -> Result<Tap> {
        let odd = |c: char| c == '/' || c == '%' || c.is_whitespace() || c.is_control();
        ensure!(!name.is_empty() && !name.contains(odd), "`tap={name}`: that is no name of a network interface");
        ensure!(name.len() <= sys::NAME, "`tap={name}`: want a name of {} bytes at most", sys::NAME);
        let mut queues = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            let file = open_device()?;
            attach(&file, name, pairs > 1)?;
            let size = sys::set_header_size(&file, HEADER as libc::c_int);
            size.with_context(|| format!("set the header size of tap {name}"))?;
            queues.push(file);
        }
        if let Err(e) = sys::bring_up(name) {
            log::warn!("tap {name} is down ({e}): `ip link set {name} up` as root brings it up");
        }
        let Some(first) = queues.first() else { bail!("a link needs a queue") };
        let offloads = offered(first).with_context(|| format!("ask tap {name} for its offloads"))?;
        let mut tap = Tap { queues, attached: pairs, offloads };
        tap.set_pairs(1).with_context(|| format!("set the queues of tap {name}"))?;
        Ok(tap)
    }
}

fn open_device() -> Result<File> {
    let device = sys::DEVICE;
    match sys::open() {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            Err(e).with_context(|| format!("open {device} (`modprobe tun` as root loads the driver)"))
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(e)
            .with_context(|| format!("open {device} (`chmod 666 {device}` as root lets everybody use taps they own)")),
        other => other.with_context(|| format!("open {device}")),
    }
}

fn attach(file: &File, name: &str, multi_queue: bool) -> Result<()> {
    let e = match sys::attach(file, name, multi_queue) {
        Ok(()) => return Ok(()),
        // The interface may have been made for several queues; one is enough for us.
        Err(e) if e.kind() == ErrorKind::InvalidInput && !multi_queue => match sys::attach(file, name, true) {
            Ok(()) => return Ok(()),
            Err(_) => e,
        },
        Err(e) => e,
    };
    let advice = match e.kind() {
        ErrorKind::PermissionDenied => {
            let queues = if multi_queue { " multi_queue" } else { "" };
            format!("it is not yours; `ip tuntap add dev {name} mode tap{queues} user $USER` as root makes one that is")
        }
        ErrorKind::ResourceBusy => "another program has it open".to_string(),
        ErrorKind::InvalidInput if multi_queue => format!(
            "it is no tap, or not one with several queues; `ip tuntap add dev {name} mode tap multi_queue` makes one"
        ),
        ErrorKind::InvalidInput => "there is an interface of that name that is no tap".to_string(),
        ErrorKind::ArgumentListTooLong => "it has no queue left".to_string(),
        _ => return Err(e).with_context(|| format!("open tap {name}")),
    };
    Err(e).with_context(|| format!("open tap {name} ({advice})"))
}

/// What this kernel's tap can do; afterwards nothing is on.
fn offered(file: &File) -> Result<Offloads> {
    let Offloads(mut all) = Offloads::CHECKSUM.with(Offloads::TSO4).with(Offloads::TSO6).with(Offloads::ECN);
    all |= Offloads::UFO.0;
    let newer = Offloads(all).with(Offloads::USO);
    // USO is there since Linux 6.2.
    let offered = match sys::set_offloads(file, flags(newer)) {
        Ok(()) => newer,
        Err(_) => Offloads(all),
    };
    sys::set_offloads(file, 0)?;
    Ok(offered)
}

/// As TUN_F_*. Nothing makes sense without the checksum, nor ECN without TSO; the kernel refuses that.
fn flags(offloads: Offloads) -> libc::c_uint {
    if !offloads.has(Offloads::CHECKSUM) {
        return 0;
    }
    let tso = offloads.has(Offloads::TSO4) || offloads.has(Offloads::TSO6);
    let pairs = [
        (true, libc::TUN_F_CSUM),
        (offloads.has(Offloads::TSO4), libc::TUN_F_TSO4),
        (offloads.has(Offloads::TSO6), libc::TUN_F_TSO6),
        (offloads.has(Offloads::ECN) && tso, libc::TUN_F_TSO_ECN),
        (offloads.has(Offloads::UFO), libc::TUN_F_UFO),
        (offloads.has(Offloads::USO), libc::TUN_F_USO4 | libc::TUN_F_USO6),
    ];
    pairs.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag)
}

impl Link for Tap {
    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn set_offloads(&mut self, guest: Offloads) -> io::Result<()> {
        // They belong to the interface, not to the queue.
        self.queues.first().map_or(Ok(()), |file| sys::set_offloads(file, flags(guest)))
    }

    fn set_header(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = libc::c_int::try_from(bytes).map_err(|_| ErrorKind::InvalidInput)?;
        self.queues.iter().try_for_each(|file| sys::set_header_size(file, bytes))
    }

    fn set_pairs(&mut self, n: usize) -> io::Result<()> {
        for (i, file) in self.queues.iter().enumerate() {
            match (i < self.attached, i < n) {
                (false, true) => sys::set_queue(file, true)?,
                (true, false) => sys::set_queue(file, false)?,
                _ => {}
            }
        }
        self.attached = n.min(self.queues.len());
        Ok(())
    }

    fn fd(&self, pair: usize) -> Option<BorrowedFd<'_>> {
        self.queues.get(pair).map(|file| file.as_fd())
    }

    fn receive(&mut self, pair: usize, parts: &[&Slice], tail: &mut [u8]) -> io::Result<usize> {
        let file = self.queues.get(pair).ok_or(ErrorKind::InvalidInput)?;
        vectored::receive(file.as_fd(), 0, parts, tail)
    }

    fn send(&mut self, pair: usize, parts: &[Slice]) -> io::Result<()> {
        let file = self.queues.get(pair).ok_or(ErrorKind::InvalidInput)?;
        vectored::send(file.as_fd(), 0, parts).map(drop)
    }

    fn send_own(&mut self, pair: usize, frame: &[u8]) -> io::Result<()> {
        let file = self.queues.get(pair).ok_or(ErrorKind::InvalidInput)?;
        vectored::send_own(file.as_fd(), frame).map(drop)
    }
}
