//! Writing everything back before the machine is turned off, by a thread: a file system that hangs, which may be what is
//! being tested, must not keep the command's status.

use crate::sys::pid1;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// For the directories of the host: the host is there, and its disk may be slow.
const SHARES: Duration = Duration::from_secs(120);
/// For everything else.
const REST: Duration = Duration::from_secs(10);

pub struct Flush {
    go: SyncSender<()>,
    done: Receiver<Result<(), String>>,
}

impl Flush {
    /// `shares`: those that were written to are to be on the host before the end is told.
    pub fn start(shares: Vec<(String, File)>) -> io::Result<Flush> {
        let (go, wait) = sync_channel(1);
        let (tell, done) = sync_channel(2);
        let body = move || {
            if wait.recv().is_ok() {
                let write_back = |(path, dir): &(String, File)| {
                    pid1::sync_file_system(dir).map_err(|e| format!("write back shared directory {path}: {e}"))
                };
                let _ = tell.send(shares.iter().try_for_each(write_back));
                pid1::sync();
                let _ = tell.send(Ok(()));
            }
        };
        thread::Builder::new().name("flush".into()).stack_size(64 << 10).spawn(body)?;
        Ok(Flush { go, done })
    }

    /// An error if a shared directory is not as the command left it.
    pub fn finish(&self) -> Result<(), String> {
        let _ = self.go.send(());
        match self.done.recv_timeout(SHARES) {
            Ok(result) => result?,
            Err(RecvTimeoutError::Timeout) => {
                return Err("write back shared directories: the host does not answer".into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("write back shared directories: the thread is gone".into());
            }
        }
        let _ = self.done.recv_timeout(REST);
        Ok(())
    }
}
