//! Why a request was refused, as its client is told.

use std::io;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

pub type Res<T> = Result<T, Errno>;

impl Errno {
    pub const ACCES: Errno = Errno(libc::EACCES);
    pub const BADF: Errno = Errno(libc::EBADF);
    pub const INVAL: Errno = Errno(libc::EINVAL);
    pub const IO: Errno = Errno(libc::EIO);
    pub const NFILE: Errno = Errno(libc::ENFILE);
    pub const NOENT: Errno = Errno(libc::ENOENT);
    pub const NOMEM: Errno = Errno(libc::ENOMEM);
    pub const NOSYS: Errno = Errno(libc::ENOSYS);
    pub const NOTSUP: Errno = Errno(libc::EOPNOTSUPP);
    pub const NXIO: Errno = Errno(libc::ENXIO);
    pub const RANGE: Errno = Errno(libc::ERANGE);
    pub const ROFS: Errno = Errno(libc::EROFS);
    pub const STALE: Errno = Errno(libc::ESTALE);
}

impl From<io::Error> for Errno {
    fn from(e: io::Error) -> Errno {
        let of_ours = if e.kind() == io::ErrorKind::InvalidInput { libc::EINVAL } else { libc::EIO };
        Errno(e.raw_os_error().unwrap_or(of_ours))
    }
}
