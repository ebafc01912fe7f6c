//! Transfers between files and guest memory that pass through no buffer of ours: the kernel copies straight into and
//! out of the slices.

use super::Slice;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The most parts the kernel takes in one call (UIO_MAXIOV).
pub const PARTS: usize = 1024;

/// Fills `parts` in order from `offset` of the file. Says how many bytes there were: fewer than asked only at its end.
pub fn read_at(fd: BorrowedFd<'_>, offset: u64, parts: &[Slice]) -> io::Result<usize> {
    transfer(offset, parts, |iov, at| {
        // SAFETY: every iovec lies in guest memory that `parts` keeps alive; the kernel only copies into it.
        unsafe { libc::preadv(fd.as_raw_fd(), iov.as_ptr(), iov.len() as libc::c_int, at) }
    })
}

/// Writes all of `parts` in order at `offset` of the file.
pub fn write_at(fd: BorrowedFd<'_>, offset: u64, parts: &[Slice]) -> io::Result<()> {
    let wanted: usize = parts.iter().map(Slice::len).sum();
    let done = transfer(offset, parts, |iov, at| {
        // SAFETY: as in `read_at`; the kernel only copies out of it.
        unsafe { libc::pwritev(fd.as_raw_fd(), iov.as_ptr(), iov.len() as libc::c_int, at) }
    })?;
    if done == wanted { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Writes all of `parts` in order to where the end of the file is then (RWF_APPEND).
pub fn append(fd: BorrowedFd<'_>, parts: &[Slice]) -> io::Result<()> {
    let wanted: usize = parts.iter().map(Slice::len).sum();
    let done = transfer(0, parts, |iov, at| {
        // SAFETY: as in `write_at`.
        unsafe { libc::pwritev2(fd.as_raw_fd(), iov.as_ptr(), iov.len() as libc::c_int, at, libc::RWF_APPEND) }
    })?;
    if done == wanted { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one message (a frame of a tap or of a datagram socket): into `parts` from byte `skip` on, and what does not
/// fit there into `tail`. Says how many bytes there were; more than both hold are lost. Takes fewer than [`PARTS`] parts.
pub fn receive(fd: BorrowedFd<'_>, skip: usize, parts: &[&Slice], tail: &mut [u8]) -> io::Result<usize> {
    let mut iov: Vec<libc::iovec> = Vec::with_capacity(parts.len() + 1);
    iov.extend(parts.iter().map(|part| part.iovec()));
    iov.push(libc::iovec { iov_base: tail.as_mut_ptr().cast(), iov_len: tail.len() });
    let iov = advance(&mut iov, skip);
    // SAFETY: the parts lie in guest memory that stays alive, `tail` is borrowed for the call.
    retry(|| unsafe { libc::readv(fd.as_raw_fd(), iov.as_ptr(), iov.len() as libc::c_int) })
}

/// Sends `parts` from byte `skip` on as one message. Errors when there are more than the kernel takes at once.
pub fn send(fd: BorrowedFd<'_>, skip: usize, parts: &[Slice]) -> io::Result<usize> {
    let mut iov: Vec<libc::iovec> = parts.iter().map(Slice::iovec).collect();
    let iov = advance(&mut iov, skip);
    // SAFETY: every iovec lies in guest memory that `parts` keeps alive.
    retry(|| unsafe { libc::writev(fd.as_raw_fd(), iov.as_ptr(), iov.len() as libc::c_int) })
}

/// Sends `message`, which lies in memory of our own.
pub fn send_own(fd: BorrowedFd<'_>, message: &[u8]) -> io::Result<usize> {
    // SAFETY: the buffer and its length; the kernel only copies out of it.
    retry(|| unsafe { libc::write(fd.as_raw_fd(), message.as_ptr().cast(), message.len()) })
}

/// Copies `data` to byte `at` of `parts`, across them; says how much fitted.
pub fn copy_from<'a>(parts: impl IntoIterator<Item = &'a Slice>, mut at: usize, mut data: &[u8]) -> usize {
    let mut done = 0;
    for part in parts {
        let cut = at.min(part.len());
        at -= cut;
        let n = part.skip(cut).copy_from(data);
        done += n;
        data = data.get(n..).unwrap_or_default();
    }
    done
}

/// Copies from byte `at` of `parts` on, across them, as much as `to` holds; says how much there was.
pub fn copy_to<'a>(parts: impl IntoIterator<Item = &'a Slice>, mut at: usize, to: &mut [u8]) -> usize {
    let mut done = 0;
    for part in parts {
        let cut = at.min(part.len());
        at -= cut;
        done += part.skip(cut).copy_to(to.get_mut(done..).unwrap_or_default());
    }
    done
}

/// Fills everything in `parts` from byte `at` on with zero.
pub fn zero_from(parts: &[Slice], mut at: usize) {
    for part in parts {
        let cut = at.min(part.len());
        at -= cut;
        part.skip(cut).fill(0);
    }
}

/// Takes the first `n` bytes away.
pub fn skip(parts: &mut Vec<Slice>, mut n: usize) {
    let mut gone = 0;
    for part in parts.iter_mut() {
        if n < part.len() {
            *part = part.skip(n);
            break;
        }
        n -= part.len();
        gone += 1;
    }
    parts.drain(..gone);
}

/// Calls `op` until all is moved or the file ends, and goes on after a short transfer.
fn transfer(offset: u64, parts: &[Slice], op: impl Fn(&[libc::iovec], libc::off_t) -> isize) -> io::Result<usize> {
    let mut iov: Vec<libc::iovec> = parts.iter().filter(|p| !p.is_empty()).map(Slice::iovec).collect();
    let mut rest = iov.as_mut_slice();
    let mut done = 0usize;
    while !rest.is_empty() {
        let at = offset.checked_add(done as u64).and_then(|at| libc::off_t::try_from(at).ok());
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        let now = rest.len().min(PARTS);
        let n = retry(|| op(rest.get(..now).unwrap_or_default(), at))?;
        if n == 0 {
            break;
        }
        done += n;
        rest = advance(rest, n);
    }
    Ok(done)
}

/// Takes the first `n` bytes away.
fn advance(iov: &mut [libc::iovec], mut n: usize) -> &mut [libc::iovec] {
    let whole = iov
        .iter()
        .take_while(|part| {
            part.iov_len <= n && {
                n -= part.iov_len;
                true
            }
        })
        .count();
    let rest = iov.get_mut(whole..).unwrap_or_default();
    if let Some(first) = rest.first_mut() {
        first.iov_base = first.iov_base.wrapping_byte_add(n);
        first.iov_len -= n;
    }
    rest
}

fn retry(op: impl Fn() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(op()) {
            Ok(n) => return Ok(n),
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e => return Err(e),
            },
        }
    }
}

#[cfg(test)]
mod tests;
