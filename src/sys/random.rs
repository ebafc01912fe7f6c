//! Bytes that nobody can guess.

use std::io;

/// Fills `bytes`, at most 256, from the kernel (getrandom(2)).
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: the buffer and its length. So few come at once or not at all.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if usize::try_from(n).is_ok_and(|n| n == bytes.len()) { Ok(()) } else { Err(io::Error::last_os_error()) }
}
