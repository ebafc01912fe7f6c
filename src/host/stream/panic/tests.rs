use super::*;
use crate::event::Request::{Panicked, Panicking};

struct Sent(Lock<Vec<u8>>);

impl Stream for Sent {
    fn write(&self, data: &[u8]) {
        self.0.lock().extend(data);
    }
}

/// What is told when `output` is written in pieces of `size`; and all of it must arrive.
fn told(output: &[u8], size: usize) -> Vec<Request> {
    let (sent, told) = (Arc::new(Sent(Lock::default())), Arc::new(Lock::new(Vec::new())));
    let sink = told.clone();
    let watch = PanicWatch::new(sent.clone(), Arc::new(move |r| sink.lock().push(r)));
    for piece in output.chunks(size) {
        watch.write(piece);
    }
    assert_eq!(*sent.0.lock(), output);
    std::mem::take(&mut *told.lock())
}

fn always(output: &str, requests: &[Request]) {
    for size in [1, 2, 3, 7, 16, 4096] {
        assert_eq!(told(output.as_bytes(), size), requests, "{output:?} in pieces of {size}");
    }
}

#[test]
fn a_panic_is_seen_however_it_is_written() {
    let first = "Kernel panic - not syncing: VFS: Unable to mount root fs";
    for before in
        ["", "[    1.234567] ", "[12345.678901][    T1] ", "<0>[    0.1] ", "[    1.2] [   C12] ", "\x1b[1;31m"]
    {
        always(&format!("boot\r\n{before}{first}\x1b[0m\r\nmore"), &[Panicking]);
        always(&format!("boot\n{before}---[ end {first} ]---\n"), &[Panicked]);
    }
    always(&format!("[ 1.0] {first}\n[ 1.1] CPU: 0\n[ 1.2] ---[ end {first} ]---\n"), &[Panicking, Panicked]);
    // Colours may be anywhere, and a progress line may be cut off.
    always("\x1b[33m[ 1.0]\x1b[0m \x1b[1mKernel\x1b[m panic - not syncing\n", &[Panicking]);
    always(&format!("loading...\r{first}\n"), &[Panicking]);
}

#[test]
fn what_only_mentions_a_panic_is_none() {
    for line in [
        "echo Kernel panic - not syncing: x",
        "grep: [init] Kernel panic - not syncing",
        "[ ok ] Kernel panic - not syncing",
        "Kernel panic - not",
        "---[ end trace 0000 ]---",
        "[[[[[",
        "[",
        "<0>",
        "",
    ] {
        always(&format!("{line}\r\n"), &[]);
    }
    // Not before the line has ended: what comes after the request may not be shown.
    always("Kernel panic - not syncing: x", &[]);
}

#[test]
fn endless_lines_and_sequences_take_no_memory() {
    let mut line = Line::default();
    for i in 0..1_000_000u32 {
        assert_eq!(line.add(b'a' + (i % 26) as u8), None);
    }
    line.add(0x1b);
    line.add(b'[');
    for _ in 0..1_000_000 {
        line.add(b';');
    }
    assert!(line.text.capacity() <= 2 * LOOK);
    // A sequence that never ends does not hide the next line.
    line.add(b'\n');
    assert_eq!(b"Kernel panic - not syncing\n".iter().find_map(|b| line.add(*b)), Some(Panicking));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_tolerated(output: Vec<u8>) {
        told(&output, 5);
    }
}
