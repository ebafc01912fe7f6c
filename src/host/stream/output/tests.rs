use super::super::sink::Descriptor;
use super::*;
use std::io::{PipeReader, Read, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

fn to_pipe() -> (Arc<Output>, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    (Output::new(Descriptor::shared(OwnedFd::from(writer)).unwrap()), reader)
}

/// `len` bytes that tell where they are from.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 251 + i) as u8).collect()
}

fn read_exact(mut from: impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn without_a_reader_writes_return_and_everything_arrives_later_in_order() {
    let bytes = pattern(3 << 20);
    let (output, reader) = to_pipe();
    // These would hang here if they waited: nobody reads, and a pipe holds 64 KiB.
    for piece in bytes.chunks(999) {
        output.write(piece);
    }
    assert!(output.queue.lock().writing);
    let received = std::thread::scope(|s| {
        let reading = s.spawn(|| read_exact(&reader, bytes.len()));
        output.drain();
        reading.join().unwrap()
    });
    assert!(received == bytes, "lost, changed or out of order");
    // And with the queue empty, directly again.
    assert!(!output.queue.lock().writing);
    output.write(b"direct");
    assert_eq!(read_exact(&reader, 6), b"direct");
    assert!(!output.queue.lock().writing);
}

#[test]
fn a_socket_that_others_share_works_the_same() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let output = Output::new(Descriptor::shared(OwnedFd::from(ours)).unwrap());
    let bytes = pattern(1 << 20);
    output.write(&bytes);
    assert!(read_exact(&theirs, bytes.len()) == bytes);
    output.drain();
}

#[test]
fn a_reader_that_leaves_ends_the_wait() {
    let (output, reader) = to_pipe();
    output.write(&pattern(1 << 20));
    drop(reader);
    output.drain();
    output.write(b"nobody reads this");
    output.drain();
    assert_eq!(output.queue.lock().len, 0);
}

#[test]
fn what_does_not_fit_is_dropped_at_the_front_with_a_note() {
    let (output, mut reader) = to_pipe();
    let line = [b'.'; PIECE];
    let pieces = CAP / PIECE + 40;
    for _ in 0..pieces {
        output.write(&line);
    }
    output.write(b"the end");
    assert!(output.queue.lock().len <= CAP);
    let received = std::thread::scope(|s| {
        let reading = s.spawn(|| {
            let mut all = Vec::new();
            let mut buf = [0; 4096];
            while !all.ends_with(b"the end") {
                let n = reader.read(&mut buf).unwrap();
                all.extend_from_slice(&buf[..n]);
            }
            all
        });
        output.drain();
        reading.join().unwrap()
    });
    let text = String::from_utf8(received).unwrap();
    // Two when the writer took the first note before the last loss.
    let notes: Vec<&str> = text.split("[kiln: ").skip(1).map(|rest| rest.split_once(" bytes").unwrap().0).collect();
    let lost: usize = notes.iter().map(|n| n.parse::<usize>().unwrap()).sum();
    assert!(lost > 0 && notes.len() <= 2, "{notes:?}");
    assert_eq!(text.matches('.').count() + lost, pieces * PIECE);
}

#[test]
fn the_flags_of_a_shared_descriptor_stay() {
    let (_reader, writer) = pipe().unwrap();
    let flags = |fd: i32| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        info.lines().find(|l| l.starts_with("flags:")).unwrap().to_string()
    };
    let before = flags(writer.as_raw_fd());
    let output = Output::new(Descriptor::shared(writer.try_clone().unwrap().into()).unwrap());
    output.write(&pattern(1 << 20));
    assert_eq!(flags(writer.as_raw_fd()), before);
}

#[test]
fn a_shared_file_is_continued_where_it_was() {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before ").unwrap();
    let output = Output::new(Descriptor::shared(file.try_clone().unwrap().into()).unwrap());
    output.write(b"guest");
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "before guest");
}

#[test]
fn what_was_opened_for_reading_gets_no_output() {
    let (mut reader, writer) = pipe().unwrap();
    let output = Output::new(Descriptor::shared(reader.try_clone().unwrap().into()).unwrap());
    drop(writer);
    output.write(b"not into our own input");
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0, "the end, and nobody holds it open");
}
