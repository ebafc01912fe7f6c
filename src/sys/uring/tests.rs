use super::*;
use std::os::unix::fs::FileExt;

/// Memory of the test's own.
struct Bytes(Vec<Box<[u8]>>);

// SAFETY: what is boxed stays where it is when the box is moved.
unsafe impl Parts for Bytes {
    fn list(&self, to: &mut Vec<libc::iovec>) {
        to.extend(self.0.iter().map(|b| libc::iovec { iov_base: b.as_ptr() as *mut _, iov_len: b.len() }));
    }
}

fn bytes(parts: &[&[u8]]) -> Bytes {
    Bytes(parts.iter().map(|p| (*p).into()).collect())
}

/// `None`, with a word about it, where the host does not let us.
fn ring(entries: u32, file: &File) -> Option<Ring<Bytes, u32>> {
    Ring::new(entries, file).inspect_err(|e| println!("SKIPPED: io_uring: {e}")).ok()
}

fn all(ring: &mut Ring<Bytes, u32>) -> Vec<Done<Bytes, u32>> {
    let mut done = Vec::new();
    while ring.under_way() > 0 {
        ring.wait().unwrap();
        ring.reap(&mut done);
    }
    done.sort_by_key(|d| d.tag);
    done
}

#[test]
fn what_is_written_is_read() {
    let file = tempfile::tempfile().unwrap();
    let Some(mut ring) = ring(8, &file) else { return };
    assert!(ring.push(Op::Write(10), bytes(&[b"one"]), 1).is_ok());
    assert!(ring.push(Op::Write(13), bytes(&[b"t", b"wo", b""]), 2).is_ok());
    assert!(ring.push(Op::Sync, bytes(&[]), 3).is_ok());
    let moved: Vec<usize> = all(&mut ring).into_iter().map(|d| d.moved.unwrap()).collect();
    assert_eq!(moved, [3, 3, 0]);
    assert!(ring.push(Op::Read(9), bytes(&[&[1; 4], &[2; 9]]), 4).is_ok());
    assert!(ring.push(Op::Read(16), bytes(&[&[3]]), 5).is_ok());
    let done = all(&mut ring);
    assert_eq!(*done[0].moved.as_ref().unwrap(), 7, "the file ends there");
    assert_eq!(*done[0].parts.0[0], *b"\0one");
    assert_eq!(*done[0].parts.0[1], *b"two\x02\x02\x02\x02\x02\x02");
    assert_eq!(*done[1].moved.as_ref().unwrap(), 0);
}

#[test]
fn it_takes_as_many_as_was_said_and_gives_the_others_back() {
    let file = tempfile::tempfile().unwrap();
    let Some(mut ring) = ring(4, &file) else { return };
    for n in 0..4 {
        assert!(ring.has_room());
        assert!(ring.push(Op::Write(u64::from(n)), bytes(&[&[n as u8]]), n).is_ok());
    }
    assert!(!ring.has_room());
    let (back, tag) = ring.push(Op::Sync, bytes(&[b"x"]), 9).err().unwrap();
    assert_eq!((tag, &*back.0[0]), (9, &b"x"[..]));
    assert_eq!(all(&mut ring).len(), 4);
    assert!(ring.has_room());
}

#[test]
fn errors_are_the_systems() {
    let file = File::open("/proc/self/exe").unwrap();
    let Some(mut ring) = ring(2, &file) else { return };
    assert!(ring.push(Op::Write(0), bytes(&[b"x"]), 1).is_ok());
    assert_eq!(all(&mut ring)[0].moved.as_ref().unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn dropping_it_waits_for_all() {
    let file = tempfile::tempfile().unwrap();
    let Some(mut ring) = ring(64, &file) else { return };
    for n in 0..64u32 {
        assert!(ring.push(Op::Write(u64::from(n) << 16), bytes(&[&[7; 0x1_0000]]), n).is_ok());
    }
    drop(ring);
    let mut got = vec![0; 64 << 16];
    file.read_exact_at(&mut got, 0).unwrap();
    assert!(got.iter().all(|b| *b == 7));
}
