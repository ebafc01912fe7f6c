//! The machine's own kernel as the client: the share is mounted over /dev/fuse, in a mount namespace of the test's own.

use super::*;
use crate::sys::{self, mount};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::thread::JoinHandle;

/// A directory that is shared, and where it is mounted.
pub struct Mounted {
    pub dir: tempfile::TempDir,
    at: tempfile::TempDir,
    pump: Option<JoinHandle<Server>>,
}

/// Runs `test` on a thread that sees a mount of a new directory; `prepare` fills it before.
pub fn mounted(settings: Settings, prepare: impl FnOnce(&Path), test: impl FnOnce(&Mounted) + Send) {
    mounted_by(None, settings, prepare, test);
}

/// The same, with a server that is `user`.
pub fn mounted_by(
    user: Option<u32>,
    settings: Settings,
    prepare: impl FnOnce(&Path),
    test: impl FnOnce(&Mounted) + Send,
) {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    std::thread::scope(|scope| {
        let test = move || {
            let Some(mut mounted) = Mounted::new(dir, user, settings) else { return };
            test(&mounted);
            mounted.end();
        };
        if let Err(panic) = scope.spawn(test).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Mounted {
    fn new(dir: tempfile::TempDir, user: Option<u32>, settings: Settings) -> Option<Mounted> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let (Ok(device), Ok(())) = (device, mount::unshare_mounts()) else {
            println!("SKIPPED: needs /dev/fuse and root");
            return None;
        };
        let at = tempfile::tempdir().unwrap();
        mount::mount_fuse(&device, at.path()).unwrap();
        let shared = dir.path().to_path_buf();
        let pump = std::thread::spawn(move || {
            if let Some(user) = user {
                mount::become_user(user, user).unwrap();
            }
            pump(device, Rig::new(&shared, settings))
        });
        Some(Mounted { dir, at, pump: Some(pump) })
    }

    /// The mount.
    pub fn path(&self) -> &Path {
        self.at.path()
    }

    /// The same directory without the server between.
    pub fn plain(&self) -> &Path {
        self.dir.path()
    }

    fn end(&mut self) {
        mount::unmount(self.path()).unwrap();
        if let Some(pump) = self.pump.take() {
            pump.join().unwrap();
        }
    }
}

/// Serves until the mount is gone.
fn pump(mut device: File, mut rig: Rig) -> Server {
    let mut request = vec![0; 0x11_0000];
    loop {
        if let Some(bell) = rig.server.bell() {
            let [_, rung] = sys::fd::wait_readable([device.as_fd(), sys::fd::of(bell)]).unwrap();
            if rung {
                rig.finish(|reply| drop(device.write(reply)));
                continue;
            }
        }
        match device.read(&mut request) {
            Ok(n) => {
                if let Some(reply) = rig.serve(&request[..n], ROOM) {
                    // ENOENT: the caller was killed meanwhile.
                    let _ = device.write(&reply);
                }
            }
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => return rig.server,
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR | libc::EAGAIN)) => {}
            Err(e) => panic!("read /dev/fuse: {e}"),
        }
    }
}

#[test]
fn a_tree_is_read_through_the_mount() {
    let fill = |dir: &Path| {
        fs::create_dir(dir.join("d")).unwrap();
        fs::write(dir.join("d/f"), b"hello").unwrap();
        std::os::unix::fs::symlink("d/f", dir.join("l")).unwrap();
        for i in 0..3000 {
            fs::write(dir.join(format!("d/file-{i}")), b"").unwrap();
        }
    };
    for settings in [RW, RO] {
        mounted(settings, fill, |m| {
            assert_eq!(fs::read(m.path().join("l")).unwrap(), b"hello");
            assert_eq!(fs::read_dir(m.path().join("d")).unwrap().count(), 3001);
            let made = fs::write(m.path().join("d/new"), vec![7; 3 << 20]);
            assert_eq!(made.is_err(), settings.readonly, "{made:?}");
            if !settings.readonly {
                assert_eq!(fs::read(m.plain().join("d/new")).unwrap(), vec![7; 3 << 20]);
            }
        });
    }
}
