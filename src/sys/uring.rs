//! io_uring: transfers of one file that are handed to the kernel many at once, and come back in any order.
//! It is safe to use because what a transfer touches belongs to the ring until the kernel is done with it.

use io_uring::{IoUring, opcode, squeue, types::Fd, types::FsyncFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Memory that a transfer touches.
///
/// # Safety
/// What `list` gives may be read and written at that address as long as the value lives, wherever it is moved.
pub unsafe trait Parts {
    /// Puts the pieces into the empty `to`, in order; 1024 (UIO_MAXIOV) at most.
    fn list(&self, to: &mut Vec<libc::iovec>);
}

/// What is to be done, from which offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Read(u64),
    Write(u64),
    /// fdatasync(2).
    Sync,
}

/// An operation that has come back: what it was told with, its memory, and how many bytes it moved.
pub struct Done<P, T> {
    pub tag: T,
    pub parts: P,
    pub moved: io::Result<usize>,
}

pub struct Ring<P: Parts, T> {
    uring: IoUring,
    file: File,
    slots: Vec<Slot<P, T>>,
    free: Vec<usize>,
    /// Pushed, and the kernel has not been told.
    pushed: usize,
}

struct Slot<P, T> {
    /// The kernel reads it at any time until the operation is done.
    list: Vec<libc::iovec>,
    under_way: Option<(P, T)>,
}

// SAFETY: the addresses in the lists are those of the slots' own parts, which go with them.
unsafe impl<P: Parts + Send, T: Send> Send for Ring<P, T> {}

impl<P: Parts, T> Ring<P, T> {
    /// For `entries` operations at a time, a power of two, on `file`. Refused where the host has no io_uring, or does not let us.
    pub fn new(entries: u32, file: &File) -> io::Result<Ring<P, T>> {
        // Linux 5.19 can do without interrupting us for each completion: we come by anyway.
        let uring = IoUring::builder().setup_coop_taskrun().build(entries).or_else(|e| match e.raw_os_error() {
            Some(libc::EINVAL) => IoUring::new(entries),
            _ => Err(e),
        })?;
        // Not registered: the kernel lets go of registered files, and of the locks on them, some time after the process has ended.
        let file = file.try_clone()?;
        let slots: Vec<Slot<P, T>> = (0..entries).map(|_| Slot { list: Vec::new(), under_way: None }).collect();
        Ok(Ring { uring, file, free: (0..slots.len()).collect(), slots, pushed: 0 })
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    pub fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes an operation; [`Ring::submit`] tells the kernel. It comes back when there is no room.
    pub fn push(&mut self, op: Op, parts: P, tag: T) -> Result<(), (P, T)> {
        let Some(index) = self.free.pop() else { return Err((parts, tag)) };
        let slot = &mut self.slots[index];
        slot.list.clear();
        parts.list(&mut slot.list);
        slot.under_way = Some((parts, tag));
        let entry = entry(Fd(self.file.as_raw_fd()), op, &slot.list).user_data(index as u64);
        // SAFETY: the list is not touched, and the memory it names is not given back, before the kernel has answered.
        if unsafe { self.uring.submission().push(&entry) }.is_ok() {
            self.pushed += 1;
            return Ok(());
        }
        // There are as many entries as slots, so this is not reached.
        self.free.push(index);
        Err(slot.under_way.take().expect("it was put there just now"))
    }

    /// Tells the kernel of all that was pushed; what it can do at once it does now.
    pub fn submit(&mut self) -> io::Result<()> {
        self.enter(0)
    }

    /// The same, and waits until one operation at least has come back.
    pub fn wait(&mut self) -> io::Result<()> {
        self.enter(usize::from(self.under_way() > 0))
    }

    fn enter(&mut self, wait_for: usize) -> io::Result<()> {
        while self.pushed > 0 || wait_for > 0 {
            match self.uring.submit_and_wait(wait_for) {
                Ok(taken) => {
                    self.pushed = self.pushed.saturating_sub(taken);
                    if self.pushed == 0 || taken == 0 {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Adds what has come back to `done`. No system call.
    pub fn reap(&mut self, done: &mut Vec<Done<P, T>>) {
        for answer in self.uring.completion() {
            let index = answer.user_data() as usize;
            let Some((parts, tag)) = self.slots.get_mut(index).and_then(|slot| slot.under_way.take()) else { continue };
            self.free.push(index);
            let moved = usize::try_from(answer.result()).map_err(|_| io::Error::from_raw_os_error(-answer.result()));
            done.push(Done { tag, parts, moved });
        }
    }
}

/// Readable while something has come back that was not reaped.
impl<P: Parts, T> AsFd for Ring<P, T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring is open as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) }
    }
}

impl<P: Parts, T> Drop for Ring<P, T> {
    /// The kernel may touch nothing any more when the memory goes.
    fn drop(&mut self) {
        let mut done = Vec::new();
        while self.under_way() > 0 {
            if self.wait().is_err() {
                // Memory that is never given back is better than memory that changes in other hands.
                self.slots.drain(..).for_each(std::mem::forget);
                return;
            }
            self.reap(&mut done);
            done.clear();
        }
    }
}

fn entry(file: Fd, op: Op, list: &[libc::iovec]) -> squeue::Entry {
    let count = list.len() as u32;
    match (op, list) {
        // One piece needs no list: the kernel has less to look at.
        (Op::Read(at), [one]) if let Ok(len) = u32::try_from(one.iov_len) => {
            opcode::Read::new(file, one.iov_base.cast(), len).offset(at).build()
        }
        (Op::Write(at), [one]) if let Ok(len) = u32::try_from(one.iov_len) => {
            opcode::Write::new(file, one.iov_base.cast(), len).offset(at).build()
        }
        (Op::Read(at), list) => opcode::Readv::new(file, list.as_ptr(), count).offset(at).build(),
        (Op::Write(at), list) => opcode::Writev::new(file, list.as_ptr(), count).offset(at).build(),
        (Op::Sync, _) => opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC).build(),
    }
}

/// From now on this thread gets what a container's rules make of io_uring_setup(2): EPERM.
#[cfg(test)]
pub fn refuse_on_this_thread() {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut rules = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number of the system call
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: rules.len() as u16, filter: rules.as_mut_ptr() };
    // SAFETY: the program is read during the call; both calls are about this thread only.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "{}", io::Error::last_os_error());
}

#[cfg(test)]
mod tests;
