//! The ioctls of /dev/net/tun (linux/if_tun.h, netdevice(7)).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

pub const DEVICE: &str = "/dev/net/tun";

/// The longest name of a network interface.
pub const NAME: usize = libc::IFNAMSIZ - 1;

/// struct ifreq, as far as it is used here.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

impl Request {
    fn new(name: &str, flags: libc::c_int) -> io::Result<Request> {
        let mut request = Request { name: [0; libc::IFNAMSIZ], flags: flags as libc::c_short, rest: [0; 22] };
        let to = request.name.get_mut(..name.len()).filter(|to| to.len() <= NAME);
        to.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(name.as_bytes());
        Ok(request)
    }
}

/// A new, non-blocking descriptor of the tun driver, connected to no interface yet.
pub fn open() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE)
}

/// Connects `file` to the tap interface `name`, with struct virtio_net_hdr in front of every frame.
/// Creates the interface, for as long as `file` is open, when there is none of that name.
pub fn attach(file: &File, name: &str, multi_queue: bool) -> io::Result<()> {
    let queue = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    let mut request = Request::new(name, libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | queue)?;
    // SAFETY: the kernel reads and writes one struct ifreq.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request) })
}

/// Bytes of the header in front of every frame.
pub fn set_header_size(file: &File, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads one int.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &bytes) })
}

/// `offloads` (TUN_F_*) is what the reader of `file` copes with.
pub fn set_offloads(file: &File, offloads: libc::c_uint) -> io::Result<()> {
    // SAFETY: the argument is a number, not a pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)) })
}

/// Whether the interface sends frames to this queue.
pub fn set_queue(file: &File, attached: bool) -> io::Result<()> {
    let request = Request::new("", if attached { libc::IFF_ATTACH_QUEUE } else { libc::IFF_DETACH_QUEUE })?;
    // SAFETY: the kernel reads one struct ifreq.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETQUEUE, &request) })
}

/// Brings the interface up if it is down.
pub fn bring_up(name: &str) -> io::Result<()> {
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut request = Request::new(name, 0)?;
    // SAFETY: the kernel reads and writes one struct ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as libc::Ioctl, &mut request) })?;
    if request.flags & libc::IFF_UP as libc::c_short != 0 {
        return Ok(());
    }
    request.flags |= libc::IFF_UP as libc::c_short;
    // SAFETY: the kernel reads one struct ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &request) })
}

/// From now on this thread, and what it starts, sees a network of its own.
#[cfg(test)]
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: no pointers; concerns this thread only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
