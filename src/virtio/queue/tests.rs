use super::*;
use crate::virtio::guest::{Desc, INDIRECT, NEXT, WRITE};
use proptest::prelude::*;
use std::sync::atomic::AtomicUsize;
use vm_memory::GuestAddress;

const TABLE: u64 = 0x1000;
const AVAIL: u64 = 0x2000;
const USED: u64 = 0x3000;
const INNER: u64 = 0x4000;
const MEMORY: u64 = 0x1_0000;
const SIZE: u16 = 8;

#[derive(Default)]
struct Count(AtomicUsize);

impl Interrupt for Count {
    fn raise(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn queue(event_idx: bool) -> (Queue, Memory, Arc<Count>) {
    let mem = Memory::new(&[(0, MEMORY)], None).unwrap();
    let mut ring = Ring::new(SIZE).unwrap();
    ring.try_set_desc_table_address(GuestAddress(TABLE)).unwrap();
    ring.try_set_avail_ring_address(GuestAddress(AVAIL)).unwrap();
    ring.try_set_used_ring_address(GuestAddress(USED)).unwrap();
    ring.set_event_idx(event_idx);
    ring.set_ready(true);
    let interrupt = Arc::new(Count::default());
    (Queue::new(ring, mem.clone(), interrupt.clone()), mem, interrupt)
}

fn put(mem: &Memory, table: u64, index: u64, (addr, len, flags, next): Desc) {
    let at = table + 16 * index;
    mem.write(at, &addr.to_le_bytes()).unwrap();
    mem.write(at + 8, &len.to_le_bytes()).unwrap();
    mem.write(at + 12, &flags.to_le_bytes()).unwrap();
    mem.write(at + 14, &next.to_le_bytes()).unwrap();
}

fn offer(mem: &Memory, n: u16, head: u16) {
    mem.write(AVAIL + 4 + 2 * u64::from(n % SIZE), &head.to_le_bytes()).unwrap();
    mem.write(AVAIL + 2, &(n + 1).to_le_bytes()).unwrap();
}

/// The specification's rules (virtio 1.2, 2.7.4 to 2.7.5) over plain values: what a chain is, or that it is none.
/// Readable and writable parts as (address, length).
type Parts = Vec<(u64, u32)>;
fn model(direct: &[Desc], inner: &[Desc], head: u16) -> Option<(Parts, Parts)> {
    let (mut readable, mut writable) = (Vec::new(), Vec::new());
    let (mut table, mut at, mut nested, mut steps, mut total) = (direct, head, false, 0, 0u64);
    loop {
        let &(addr, len, flags, next) = table.get(usize::from(at))?;
        if flags & INDIRECT != 0 {
            if nested || addr != INNER || len % 16 != 0 {
                return None;
            }
            (table, at, nested, steps) = (inner.get(..len as usize / 16)?, 0, true, 0);
            continue;
        }
        total += u64::from(len);
        steps += 1;
        if addr.checked_add(u64::from(len)).is_none_or(|end| end > MEMORY) || total > u64::from(u32::MAX) {
            return None;
        }
        match flags & WRITE != 0 {
            true => writable.push((addr, len)),
            false if writable.is_empty() => readable.push((addr, len)),
            false => return None,
        }
        if flags & NEXT == 0 {
            return Some((readable, writable));
        }
        if steps >= table.len() {
            return None;
        }
        at = next;
    }
}

fn descriptor(count: u16) -> impl Strategy<Value = Desc> {
    let len = prop_oneof![4 => 0u32..300, 1 => any::<u32>(), 1 => Just(0)];
    let addr = prop_oneof![8 => 0x8000u64..MEMORY, 1 => MEMORY - 4..MEMORY + 4, 1 => any::<u64>()];
    let flags = prop_oneof![3 => Just(0), 3 => Just(NEXT), 2 => Just(NEXT | WRITE), 2 => Just(WRITE), 1 => any::<u16>().prop_map(|f| f & !INDIRECT)];
    let next = prop_oneof![8 => 0..count, 1 => any::<u16>()];
    let plain = (addr, len, flags, next);
    let indirect = (prop_oneof![6 => (1u32..=12).prop_map(|n| n * 16), 1 => 0..300u32], 0..4u16)
        .prop_map(|(len, low)| (INNER, len, INDIRECT | low, 0));
    prop_oneof![8 => plain, 1 => indirect]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() })]

    /// Whatever is in the tables, `pop` gives exactly what the specification calls a chain, or an error.
    #[test]
    fn pop_agrees_with_the_specification(
        direct in proptest::collection::vec(descriptor(SIZE), usize::from(SIZE)),
        mut inner in proptest::collection::vec(descriptor(12), 12),
        head in prop_oneof![8 => 0..SIZE, 1 => any::<u16>()],
    ) {
        let (mut q, mem, _) = queue(false);
        let base = mem.slice(0, 0).unwrap().iovec().iov_base as u64;
        direct.iter().enumerate().for_each(|(i, d)| put(&mem, TABLE, i as u64, *d));
        inner.resize(20, (u64::MAX, 1, 0, 0));
        inner.iter().enumerate().for_each(|(i, d)| put(&mem, INNER, i as u64, *d));
        offer(&mem, 0, head);
        let got = q.pop();
        let parts = |slices: &[Slice]| -> Parts {
            slices.iter().map(|s| (s.iovec().iov_base as u64 - base, s.len() as u32)).collect()
        };
        match model(&direct, &inner, head) {
            Some((readable, writable)) => {
                let chain = got.unwrap().unwrap();
                prop_assert_eq!((parts(&chain.readable), parts(&chain.writable)), (readable, writable));
                q.push(&chain, 7).unwrap();
                prop_assert_eq!(mem.read::<8>(USED + 4).unwrap()[..2].to_vec(), head.to_le_bytes().to_vec());
            }
            None => prop_assert!(got.is_err()),
        }
        prop_assert!(q.pop().unwrap().is_none());
    }

    /// What the driver writes is taken, and what the device puts is found, however it is cut into pieces.
    #[test]
    fn taking_and_putting_ignore_the_pieces(
        cuts in proptest::collection::vec(0u32..40, 1..6),
        asks in proptest::collection::vec(0usize..50, 1..8),
    ) {
        let (_, mem, _) = queue(false);
        let total: usize = cuts.iter().sum::<u32>() as usize;
        let data: Vec<u8> = (0..total).map(|i| i as u8).collect();
        let mut chain = Chain::default();
        for (i, len) in cuts.iter().enumerate() {
            let at: u32 = cuts.iter().take(i).sum();
            let from = mem.slice(0x8000 + u64::from(at), *len as usize).unwrap();
            from.copy_from(&data[at as usize..]);
            chain.readable.push(from);
            chain.writable.push(mem.slice(0xa000 + u64::from(at), *len as usize).unwrap());
        }
        prop_assert_eq!(chain.sizes(), (total, total));
        let mut seen: Vec<u8> = Vec::new();
        for ask in asks {
            let mut out = vec![0xee; ask];
            let n = chain.take_into(&mut out);
            prop_assert_eq!(n, ask.min(total - seen.len()));
            prop_assert_eq!(chain.put(&out[..n]), n);
            seen.extend(&out[..n]);
            prop_assert_eq!(chain.sizes(), (total - seen.len(), total - seen.len()));
        }
        prop_assert_eq!(&seen, &data[..seen.len()]);
        let mut copy = vec![0; total];
        mem.slice(0xa000, total).unwrap().copy_to(&mut copy);
        prop_assert_eq!(&copy[..seen.len()], &seen[..]);
    }

    /// The available index is the driver's: at most a ring full of requests, or the ring is broken.
    #[test]
    fn an_impossible_available_index_is_an_error(idx in any::<u16>()) {
        let (mut q, mem, _) = queue(false);
        put(&mem, TABLE, 0, (0x8000, 1, 0, 0));
        mem.write(AVAIL + 2, &idx.to_le_bytes()).unwrap();
        prop_assert_eq!(q.pop().is_ok(), idx <= SIZE);
    }
}

#[test]
fn a_request_of_too_many_descriptors_is_an_error() {
    for count in [LONGEST as u64, LONGEST as u64 + 1] {
        let (mut q, mem, _) = queue(false);
        for i in 0..count {
            put(&mem, INNER, i, (0x8000, 1, if i + 1 < count { NEXT } else { 0 }, i as u16 + 1));
        }
        put(&mem, TABLE, 0, (INNER, count as u32 * 16, INDIRECT, 0));
        offer(&mem, 0, 0);
        assert_eq!(q.pop().is_ok(), count == LONGEST as u64, "{count}");
    }
}

#[test]
fn without_event_idx_the_flag_keeps_interrupts_away() {
    let (mut q, mem, interrupt) = queue(false);
    put(&mem, TABLE, 0, (0x8000, 4, WRITE, 0));
    for (n, flags) in [0u16, 1, 0].into_iter().enumerate() {
        mem.write(AVAIL, &flags.to_le_bytes()).unwrap();
        offer(&mem, n as u16, 0);
        q.refill();
        q.serve(|chain| Ok(chain.put(&[1, 2]) as u32)).unwrap();
    }
    assert_eq!(interrupt.0.load(Ordering::SeqCst), 2);
    assert_eq!(mem.read::<2>(USED).unwrap(), [0, 0], "kicks are asked for again");
    assert_eq!(mem.read::<2>(USED + 2).unwrap(), [3, 0]);
}

#[test]
fn with_event_idx_the_driver_says_when() {
    let (mut q, mem, interrupt) = queue(true);
    put(&mem, TABLE, 0, (0x8000, 4, WRITE, 0));
    // Used event: interrupt when entry 2 has been used. The flag means nothing now.
    mem.write(AVAIL, &1u16.to_le_bytes()).unwrap();
    mem.write(AVAIL + 4 + 2 * u64::from(SIZE), &2u16.to_le_bytes()).unwrap();
    for n in 0..5 {
        offer(&mem, n, 0);
        q.refill();
        q.serve(|_| Ok(0)).unwrap();
        assert_eq!(interrupt.0.load(Ordering::SeqCst), usize::from(n >= 2), "after {n}");
        // The available event: kick for the next one.
        assert_eq!(mem.read::<2>(USED + 4 + 8 * u64::from(SIZE)).unwrap(), (n + 1).to_le_bytes());
    }
}

#[test]
fn what_is_undone_comes_again() {
    let (mut q, mem, _) = queue(false);
    put(&mem, TABLE, 3, (0x8000, 4, 0, 0));
    offer(&mem, 0, 3);
    assert!(q.pop().unwrap().is_some());
    q.undo_pop();
    assert_eq!(q.pop().unwrap().unwrap().head, 3);
    assert!(q.pop().unwrap().is_none());
}

#[test]
fn one_wake_up_serves_one_ring() {
    let (mut q, mem, _) = queue(false);
    put(&mem, TABLE, 0, (0x8000, 4, 0, 0));
    offer(&mem, 0, 0);
    let mut n = 0;
    let endless = |n: &mut u16| {
        *n += 1;
        offer(&mem, *n, 0);
    };
    q.serve(|_| {
        Ok({
            endless(&mut n);
            0
        })
    })
    .unwrap();
    assert_eq!((n, q.again()), (SIZE, true));
    assert!(!q.enable_kicks().unwrap(), "it is called again without");
    q.refill();
    q.begin();
    q.serve(|_| {
        Ok({
            endless(&mut n);
            0
        })
    })
    .unwrap();
    assert_eq!((n, q.again()), (2 * SIZE, true));
}
