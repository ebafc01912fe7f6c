use super::*;
use crate::mem::Memory;
use std::io::Write;
use std::os::fd::AsFd;

fn memory() -> Memory {
    Memory::new(&[(0, 0x10_0000)], None).unwrap()
}

#[test]
fn more_parts_than_one_call_takes_go_in_order() {
    let mem = memory();
    let file = tempfile::tempfile().unwrap();
    // 3000 parts of 0 to 6 bytes, with gaps between them.
    let parts: Vec<_> = (0..3000).map(|i| mem.slice(i * 16, (i % 7) as usize).unwrap()).collect();
    let total: usize = parts.iter().map(Slice::len).sum();
    for (i, part) in parts.iter().enumerate() {
        part.fill(i as u8);
    }
    write_at(file.as_fd(), 5, &parts).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 5 + total as u64);
    let back: Vec<_> = (0..3000).map(|i| mem.slice(0x8_0000 + i * 16, (i % 7) as usize).unwrap()).collect();
    assert_eq!(read_at(file.as_fd(), 5, &back).unwrap(), total);
    for (i, part) in back.iter().enumerate() {
        let mut bytes = [0; 8];
        let n = part.copy_to(&mut bytes);
        assert!(bytes[..n].iter().all(|b| *b == i as u8), "part {i}");
    }
}

#[test]
fn the_end_of_the_file_is_said() {
    let mem = memory();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[9; 700]).unwrap();
    let parts = [mem.slice(0, 512).unwrap(), mem.slice(0x1000, 512).unwrap()];
    assert_eq!(read_at(file.as_fd(), 0, &parts).unwrap(), 700);
    assert_eq!(read_at(file.as_fd(), 9000, &parts).unwrap(), 0);
    assert!(read_at(file.as_fd(), u64::MAX, &parts).is_err());
}

#[test]
fn what_does_not_fit_comes_into_the_tail() {
    let mem = memory();
    let (a, b) = std::os::unix::net::UnixDatagram::pair().unwrap();
    a.send(&[1, 2, 3, 4, 5, 6]).unwrap();
    let mut tail = [0; 8];
    let parts = [mem.slice(0, 1).unwrap(), mem.slice(16, 3).unwrap()];
    assert_eq!(receive(b.as_fd(), 0, &[&parts[0], &parts[1]], &mut tail).unwrap(), 6);
    assert_eq!(
        (mem.read::<1>(0).unwrap(), mem.read::<3>(16).unwrap(), tail[..3].to_vec()),
        ([1], [2, 3, 4], vec![5, 6, 0])
    );
    assert_eq!(send(b.as_fd(), 2, &parts).unwrap(), 2);
    assert_eq!((a.recv(&mut tail).unwrap(), tail[..2].to_vec()), (2, vec![3, 4]));
    a.send(&[9, 8, 7]).unwrap();
    assert_eq!(receive(b.as_fd(), 2, &[&parts[0], &parts[1]], &mut tail).unwrap(), 3);
    assert_eq!((mem.read::<1>(0).unwrap(), mem.read::<3>(16).unwrap(), tail[0]), ([1], [2, 9, 8], 7));
}

#[test]
fn bytes_are_put_across_parts() {
    let mem = memory();
    let parts = [mem.slice(0, 3).unwrap(), mem.slice(8, 0).unwrap(), mem.slice(16, 4).unwrap()];
    assert_eq!(copy_from(&parts, 2, &[1, 2, 3, 4, 5, 6]), 5);
    assert_eq!((mem.read::<4>(0).unwrap(), mem.read::<5>(16).unwrap()), ([0, 0, 1, 0], [2, 3, 4, 5, 0]));
    zero_from(&parts, 4);
    assert_eq!((mem.read::<4>(0).unwrap(), mem.read::<5>(16).unwrap()), ([0, 0, 1, 0], [2, 0, 0, 0, 0]));
    assert_eq!(copy_from(&parts, 7, &[1]), 0);
}

/// Addresses and lengths of what is left from byte `n` on.
fn rest(parts: &[Slice], mut n: usize) -> Vec<(*mut libc::c_void, usize)> {
    let mut all = Vec::new();
    for part in parts {
        let cut = n.min(part.len());
        n -= cut;
        if cut < part.len() {
            all.push((part.skip(cut).iovec().iov_base, part.len() - cut));
        }
    }
    all
}

#[test]
fn a_short_transfer_goes_on_where_it_stopped() {
    let mem = memory();
    let parts: Vec<_> = [5, 3, 8].iter().enumerate().map(|(i, n)| mem.slice(i as u64 * 16, *n).unwrap()).collect();
    for n in 0..=16 {
        let mut iov: Vec<_> = parts.iter().map(Slice::iovec).collect();
        let want = rest(&parts, n);
        let rest: Vec<_> = advance(&mut iov, n).iter().map(|v| (v.iov_base, v.iov_len)).collect();
        assert_eq!(rest, want, "{n}");
    }
    // One byte at a time, through the loop.
    let calls = std::cell::Cell::new(0);
    let all = transfer(7, &parts, |_, at| {
        assert_eq!(at, 7 + calls.get());
        calls.set(calls.get() + 1);
        1
    });
    assert_eq!((all.unwrap(), calls.get()), (16, 16));
}
