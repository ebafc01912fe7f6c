//! The terminal, pipes and slow readers, with the real program and guests of a few instructions.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;
use support::*;

const S5: u16 = 5 << 10 | 1 << 13;

/// Prints `>`, then sends back what it receives, up to and with a `q`; then powers off.
fn echo() -> Vec<u8> {
    let mut code = print(">");
    code.extend([0x66, 0xba, 0xfd, 0x03]); // again: mov dx, 0x3fd
    code.extend([0xec, 0xa8, 0x01, 0x74, 0xf7]); // in al, dx; test al, 1; jz again
    code.extend([0x66, 0xba, 0xf8, 0x03, 0xec, 0xee]); // mov dx, 0x3f8; in al, dx; out dx, al
    code.extend([0x3c, b'q', 0x75, 0xed]); // cmp al, 'q'; jne again
    [code, out16(0x604, S5), HALT.to_vec()].concat()
}

/// A guest that hangs and takes no input.
fn hang() -> Vec<u8> {
    [print(">"), HALT.to_vec()].concat()
}

/// kiln on a terminal of its own.
struct Session {
    ours: File,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Session {
    fn start(test: &str, code: &[u8]) -> Option<Session> {
        if !have_kvm(test) {
            return None;
        }
        let dir = scratch();
        let guest = file(&dir, "guest.elf", &guest(code));
        let (ours, theirs) = terminal();
        let tty = || Stdio::from(theirs.try_clone().unwrap());
        let mut command = kiln();
        command.arg("run").arg(guest).args(["--memory", "16M", "--timeout", "60s"]);
        let child = command.stdin(tty()).stdout(tty()).stderr(tty()).spawn().unwrap();
        let mut session = Session { ours, child, _dir: dir };
        assert_eq!(session.shown(1), b">", "the guest runs");
        assert!(session.is_raw());
        Some(session)
    }

    fn types(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).unwrap();
    }

    /// Waits for `len` bytes on the screen.
    fn shown(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ours.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn is_raw(&self) -> bool {
        let now = attributes(&self.ours);
        now.c_lflag & (libc::ICANON | libc::ECHO | libc::ISIG) == 0 && now.c_oflag & libc::OPOST == 0
    }

    fn ends(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        assert!(!self.is_raw(), "the terminal is as it was");
        status
    }

    fn send(&self, signal: i32) {
        // SAFETY: no pointers; the child has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }
}

/// Both ends of a pseudo terminal as a shell leaves it for a program.
fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: openpty fills two descriptors; the other arguments may be null.
    assert_eq!(unsafe { libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast()) }, 0);
    // Whoever is started by another test at this moment must not hold our end open.
    // SAFETY: no pointers; two new descriptors that nobody else owns.
    unsafe {
        libc::fcntl(ours, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(theirs, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(ours), File::from_raw_fd(theirs))
    }
}

fn attributes(of: &File) -> libc::termios {
    // SAFETY: tcgetattr fills a termios, for which all zeroes are valid.
    unsafe {
        let mut settings = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(of.as_raw_fd(), &raw mut settings), 0);
        settings
    }
}

#[test]
fn every_key_but_ctrl_a_is_the_guests() {
    let Some(mut session) = Session::start("keys", &echo()) else { return };
    session.types(b"ls\r\x03\x1a\x04\x11\x13\x7f\xff\x00\x01a\n");
    assert_eq!(session.shown(13), b"ls\r\x03\x1a\x04\x11\x13\x7f\xff\x00\x01\n");
    session.types(b"q");
    assert_eq!(session.ends().code(), Some(0));
}

#[test]
fn ctrl_a_x_ends_a_guest_that_hangs() {
    let Some(mut session) = Session::start("Ctrl-A x", &hang()) else { return };
    session.types(&[b'.'; 5000]);
    session.types(b"\x01c");
    let help = b"\r\nCtrl-A x   end the guest\r\n";
    assert_eq!(session.shown(help.len()), help);
    session.types(b"\x01x");
    assert_eq!(session.ends().code(), Some(130));
}

#[test]
fn signals_kill_and_leave_the_terminal_in_order() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let Some(session) = Session::start("signals", &hang()) else { return };
        session.send(signal);
        assert_eq!(session.ends().signal(), Some(signal));
    }
    let Some(mut session) = Session::start("SIGKILL", &hang()) else { return };
    session.send(libc::SIGKILL);
    assert_eq!(session.child.wait().unwrap().signal(), Some(libc::SIGKILL));
    // By another process, which comes a moment later.
    (0..1000).find(|_| {
        std::thread::sleep(Duration::from_millis(5));
        !session.is_raw()
    });
    session.ends();
}

#[test]
fn a_pipe_passes_every_byte_and_its_end_is_no_end() {
    if !have_kvm("pipe") {
        return;
    }
    let dir = scratch();
    let guest = file(&dir, "guest.elf", &guest(&echo()));
    let mut command = kiln();
    command.arg("run").arg(&guest).args(["--memory", "16M", "--timeout", "60s"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let bytes: Vec<u8> = (0..=255).filter(|b| *b != b'q').chain(*b"\x01x\x01cq").collect();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(output.stdout, [b">", &bytes[..]].concat());
}

#[test]
fn a_reader_that_sleeps_holds_up_nobody_and_loses_nothing() {
    if !have_kvm("slow reader") {
        return;
    }
    let dir = scratch();
    let len = 150_000u32;
    // mov dx, 0x3f8; mov ecx, len; next: mov al, cl; out dx, al; dec ecx; jnz next
    let mut code = vec![0x66, 0xba, 0xf8, 0x03, 0xb9];
    code.extend(len.to_le_bytes());
    code.extend([0x88, 0xc8, 0xee, 0x49, 0x75, 0xfa]);
    let code = [code, out(0x2f8, b'!'), out16(0x604, S5), HALT.to_vec()].concat();
    let (guest, log) = (file(&dir, "guest.elf", &guest(&code)), dir.path().join("log"));
    let mut command = kiln();
    command.arg("run").arg(&guest).args(["--memory", "16M", "--timeout", "60s", "--serial", "stdio"]);
    command.args(["--serial", &format!("file={}", log.display())]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // The guest gets to its end although nobody has read what it said, which is more than a pipe holds.
    while std::fs::read(&log).unwrap_or_default() != b"!" {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the rest was read");
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected: Vec<u8> = (1..=len).rev().map(|n| n as u8).collect();
    assert!(output.stdout == expected, "{} of {len} bytes", output.stdout.len());
}

#[test]
fn a_reader_that_left_is_no_reason_to_stay() {
    if !have_kvm("closed reader") {
        return;
    }
    let dir = scratch();
    let guest = file(&dir, "guest.elf", &guest(&[print("nobody reads this"), out16(0x604, S5)].concat()));
    let mut command = kiln();
    command.arg("run").arg(&guest).args(["--memory", "16M", "--timeout", "60s"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
