use super::*;
use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;

fn quiet() -> Notify {
    Arc::new(|_| {})
}

fn opened(spec: &str) -> Arc<dyn Stream> {
    open(spec, "ttyS0", &quiet()).unwrap()
}

fn refused(spec: &str) -> String {
    format!("{:#}", open(spec, "ttyS0", &quiet()).err().unwrap())
}

/// Reads exactly `len` bytes of input, waiting for them.
fn input(stream: &dyn Stream, len: usize) -> Vec<u8> {
    let (tell, told) = mpsc::channel();
    stream.listen(Arc::new(move || {
        let _ = tell.send(());
    }));
    let mut all = Vec::new();
    while all.len() < len {
        let mut buf = [0; 700];
        let want = buf.len().min(len - all.len());
        match stream.read(&mut buf[..want]) {
            0 => told.recv().unwrap(),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
    all
}

#[test]
fn wrong_specifications_say_what_there_is() {
    assert_eq!(refused("tcp=1"), format!("`tcp=1` is no stream; there are: {KINDS}"));
    assert_eq!(refused("stdio=1"), format!("`stdio=1` is no stream; there are: {KINDS}"));
    assert_eq!(refused(""), format!("`` is no stream; there are: {KINDS}"));
    assert_eq!(refused("file"), "file: want file=PATH");
    assert_eq!(refused("unix="), "unix=: want unix=PATH");
    assert_eq!(refused("fd=x"), "fd=x: want a number: invalid digit found in string");
    assert_eq!(refused("fd=1"), "fd=1: the standard descriptors are `stdio`");
    assert_eq!(refused("fd=9999"), "take over fd=9999: Bad file descriptor (os error 9)");
    assert_eq!(refused("file=/nowhere/x"), "open /nowhere/x: No such file or directory (os error 2)");
    let long = format!("/tmp/{}", "x".repeat(110));
    assert_eq!(
        refused(&format!("unix={long}")),
        format!("listen on {long}: the path has 115 bytes, a socket's at most 107")
    );
}

#[test]
fn files_grow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for spec in ["file=", "file:"] {
        let stream = opened(&format!("{spec}{}", path.display()));
        stream.write(b"one ");
        stream.write(b"two ");
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), "one two one two ");
}

#[test]
fn a_descriptor_goes_both_ways() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let stream = opened(&format!("fd={}", ours.as_raw_fd()));
    stream.write(b"out");
    (&theirs).write_all(b"in").unwrap();
    let mut out = [0; 3];
    (&theirs).read_exact(&mut out).unwrap();
    assert_eq!((&out, input(&*stream, 2).as_slice()), (b"out", &b"in"[..]));
}

#[test]
fn a_session_ends_when_the_guest_hangs_up_after_all_it_said() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let stream = opened(&format!("session={}", ours.as_raw_fd()));
    drop(ours);
    // More than the socket holds: the rest is queued when the guest hangs up.
    let said = vec![7; 1 << 20];
    stream.write(&said);
    stream.hung_up();
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).unwrap();
    assert!(heard == said, "{} bytes", heard.len());
}

#[test]
fn input_waits_in_the_pipe_until_it_is_read() {
    let (reader, writer) = pipe().unwrap();
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 253) as u8).collect();
    let stream = opened(&format!("fd={}", reader.as_raw_fd()));
    let writing = std::thread::spawn({
        let bytes = bytes.clone();
        move || (&writer).write_all(&bytes)
    });
    assert!(input(&*stream, bytes.len()) == bytes);
    writing.join().unwrap().unwrap();
    // The end of the input is not an error; output to a descriptor for reading only goes nowhere.
    stream.write(b"x");
    assert_eq!(stream.read(&mut [0; 4]), 0);
}

#[test]
fn a_socket_has_one_client_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let stream = opened(&format!("unix={}", path.display()));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    stream.write(b"nobody hears this");
    for word in [b"first", b"again"] {
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(word).unwrap();
        assert_eq!(input(&*stream, 5), word);
        stream.write(word);
        let mut echo = [0; 5];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, word);
        // A client that only listens from now on still hears.
        client.shutdown(std::net::Shutdown::Write).unwrap();
        stream.write(b"still there");
        let mut more = [0; 11];
        client.read_exact(&mut more).unwrap();
    }
    assert!(refused(&format!("unix={}", path.display())).ends_with("another process listens there"));
}

#[test]
fn a_client_that_reads_nothing_stops_neither_guest_nor_exit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let stream = unix::listen(&path).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    input(&*stream, 1);
    stream.write(&vec![b'.'; 4 << 20]);
    drop(client);
    stream.output.drain();
}

#[test]
fn a_stale_socket_is_replaced_and_other_files_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (stale, file) = (dir.path().join("stale"), dir.path().join("file"));
    drop(UnixListener::bind(&stale).unwrap());
    let stream = opened(&format!("unix={}", stale.display()));
    let mut client = UnixStream::connect(&stale).unwrap();
    client.write_all(b"hi").unwrap();
    assert_eq!(input(&*stream, 2), b"hi");
    File::create(&file).unwrap();
    let says = refused(&format!("unix={}", file.display()));
    assert_eq!(says, format!("listen on {}: the file exists and is no socket", file.display()));
    assert!(file.exists());
}

#[test]
fn a_pseudo_terminal_comes_and_goes() {
    let (master, path) = crate::sys::term::open_pty().unwrap();
    let stream = pty::over(master);
    // Nobody has it open: this is dropped and holds nobody up.
    stream.write(&[b'.'; 100_000]);
    stream.output.drain();
    for word in [b"first", b"again"] {
        let mut user = File::options().read(true).write(true).open(&path).unwrap();
        user.write_all(word).unwrap();
        assert_eq!(input(&*stream, 5), word);
        stream.write(b"a\nb\x03");
        let mut out = [0; 4];
        user.read_exact(&mut out).unwrap();
        assert_eq!(&out, b"a\nb\x03", "raw: nothing is translated");
    }
}
