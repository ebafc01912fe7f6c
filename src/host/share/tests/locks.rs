//! Locks between the guest's programs and the host's.

use super::kernel::mounted;
use super::*;
use crate::sys::flock::{self, Range};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::thread::{JoinHandle, spawn};

const HOST: Settings = Settings { locks: Locking::Host, ..RW };
const ALL: Range = Range { kind: libc::F_WRLCK, start: 0, len: 0 };
const NONE: Range = Range { kind: libc::F_UNLCK, ..ALL };

fn open(dir: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(dir.join("f")).unwrap()
}

fn held<T: std::fmt::Debug>(result: std::io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A thread that waits for a lock on `file`, and says how that ended.
fn waiting(file: File, lock: impl FnOnce(&File) -> std::io::Result<()> + Send + 'static) -> JoinHandle<Option<i32>> {
    crate::sys::accept_calls().unwrap();
    spawn(move || {
        flock::hear_calls();
        lock(&file).err().and_then(|e| e.raw_os_error())
    })
}

#[test]
fn range_locks_are_shared_with_the_host() {
    mounted(
        HOST,
        |_| (),
        |m| {
            let (here, there, third) = (open(m.path()), open(m.plain()), open(m.path()));
            let part = Range { kind: libc::F_WRLCK, start: 10, len: 5 };
            flock::lock_range(here.as_fd(), part, false).unwrap();
            held(flock::lock_range(there.as_fd(), ALL, false));
            held(flock::lock_range(third.as_fd(), ALL, false));
            flock::lock_range(there.as_fd(), Range { start: 15, ..part }, false).unwrap();
            flock::lock_range(third.as_fd(), Range { start: 5, ..part }, false).unwrap();
            let found = flock::lock_in_the_way(third.as_fd(), Range { start: 12, len: 100, ..part }).unwrap();
            assert!(found == part || found == Range { start: 15, ..part }, "{found:?}");
            assert_eq!(flock::lock_in_the_way(third.as_fd(), Range { start: 100, ..ALL }).unwrap().kind, libc::F_UNLCK);
            flock::lock_range(here.as_fd(), NONE, false).unwrap();
            flock::lock_range(there.as_fd(), part, false).unwrap();
            held(flock::lock_range(here.as_fd(), part, false));
            drop(there);
            flock::lock_range(here.as_fd(), part, false).unwrap();
            let shared = Range { kind: libc::F_RDLCK, start: 200, len: 1 };
            let there = open(m.plain());
            flock::lock_range(here.as_fd(), shared, false).unwrap();
            flock::lock_range(there.as_fd(), shared, false).unwrap();
            held(flock::lock_range(there.as_fd(), Range { kind: libc::F_WRLCK, ..shared }, false));
            drop(here);
            // The client lets go of it in its own time.
            flock::lock_range(there.as_fd(), Range { kind: libc::F_WRLCK, ..shared }, true).unwrap();
        },
    );
}

#[test]
fn whole_file_locks_are_shared_with_the_host() {
    mounted(
        HOST,
        |_| (),
        |m| {
            let (here, there) = (open(m.path()), open(m.plain()));
            flock::lock_whole(here.as_fd(), libc::LOCK_EX, false).unwrap();
            held(flock::lock_whole(there.as_fd(), libc::LOCK_SH, false));
            flock::lock_whole(here.as_fd(), libc::LOCK_SH, false).unwrap();
            flock::lock_whole(there.as_fd(), libc::LOCK_SH, false).unwrap();
            held(flock::lock_whole(here.as_fd(), libc::LOCK_EX, false));
            flock::lock_whole(there.as_fd(), libc::LOCK_UN, false).unwrap();
            flock::lock_whole(here.as_fd(), libc::LOCK_EX, false).unwrap();
            drop(here);
            flock::lock_whole(there.as_fd(), libc::LOCK_EX, true).unwrap();
        },
    );
}

#[test]
fn who_waits_for_a_lock_holds_up_nobody_and_gets_it() {
    mounted(
        HOST,
        |_| (),
        |m| {
            let there = open(m.plain());
            flock::lock_range(there.as_fd(), ALL, false).unwrap();
            flock::lock_whole(there.as_fd(), libc::LOCK_EX, false).unwrap();
            let mut all = Vec::new();
            for i in 0..6 {
                all.push(waiting(open(m.path()), move |f| match i % 2 {
                    0 => flock::lock_range(f.as_fd(), ALL, true),
                    _ => flock::lock_whole(f.as_fd(), libc::LOCK_EX, true),
                }));
            }
            for i in 0..100 {
                fs::write(m.path().join(format!("other-{i}")), b"x").unwrap();
            }
            assert!(all.iter().all(|thread| !thread.is_finished()));
            drop(there);
            for thread in all {
                assert_eq!(thread.join().unwrap(), None);
            }
        },
    );
}

#[test]
fn who_waits_for_a_lock_can_be_interrupted() {
    mounted(
        HOST,
        |_| (),
        |m| {
            let there = open(m.plain());
            flock::lock_range(there.as_fd(), ALL, false).unwrap();
            flock::lock_whole(there.as_fd(), libc::LOCK_EX, false).unwrap();
            for whole in [false, true] {
                let thread = waiting(open(m.path()), move |f| match whole {
                    false => flock::lock_range(f.as_fd(), ALL, true),
                    true => flock::lock_whole(f.as_fd(), libc::LOCK_EX, true),
                });
                while !thread.is_finished() {
                    crate::sys::call_out(&thread);
                    std::thread::yield_now();
                }
                assert_eq!(thread.join().unwrap(), Some(libc::EINTR));
            }
            drop(there);
            let here = open(m.path());
            flock::lock_range(here.as_fd(), ALL, true).unwrap();
            flock::lock_whole(here.as_fd(), libc::LOCK_EX, true).unwrap();
        },
    );
}
