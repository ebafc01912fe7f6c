use super::*;
use proptest::prelude::*;

const VIRTUAL: u64 = 0xffff_ffff_8000_0000;
/// Where things are, in guest physical addresses; the kernel maps them at VIRTUAL + address.
const PML4: u64 = 0x1000;
const PRB: u64 = 0x5000;
const RING: u64 = 0x5100;
const DESCS: u64 = 0x6000;
const INFOS: u64 = 0x8000;
const DATA: u64 = 0x1f_f000;
const COUNT_BITS: u32 = 4;
const SIZE_BITS: u32 = 8;

fn vmcoreinfo() -> String {
    let prb = VIRTUAL + PRB;
    let top = VIRTUAL + PML4;
    let mut text = format!("OSRELEASE=6.1.0\nSYMBOL(prb)={prb:x}\nSYMBOL(init_top_pgt)={top:x}\nNUMBER(phys_base)=0\n");
    for (name, n) in [
        ("OFFSET(printk_ringbuffer.desc_ring)", 0),
        ("OFFSET(printk_ringbuffer.text_data_ring)", 40),
        ("OFFSET(prb_desc_ring.count_bits)", 0),
        ("OFFSET(prb_desc_ring.descs)", 8),
        ("OFFSET(prb_desc_ring.infos)", 16),
        ("OFFSET(prb_desc_ring.head_id)", 24),
        ("OFFSET(prb_desc_ring.tail_id)", 32),
        ("SIZE(prb_desc)", 24),
        ("OFFSET(prb_desc.state_var)", 0),
        ("OFFSET(prb_desc.text_blk_lpos)", 8),
        ("OFFSET(prb_data_blk_lpos.begin)", 0),
        ("OFFSET(prb_data_blk_lpos.next)", 8),
        ("SIZE(printk_info)", 88),
        ("OFFSET(printk_info.seq)", 0),
        ("OFFSET(printk_info.ts_nsec)", 8),
        ("OFFSET(printk_info.text_len)", 16),
        ("OFFSET(prb_data_ring.size_bits)", 0),
        ("OFFSET(prb_data_ring.data)", 8),
    ] {
        text += &format!("{name}={n}\n");
    }
    text
}

/// A kernel that has said `lines`, in a ring of 16 records and 256 bytes of text.
fn guest(lines: &[&str]) -> Memory {
    let memory = Memory::new(&[(0, 4 << 20)], None).unwrap();
    let put = |at: u64, value: u64| memory.write(at, &value.to_le_bytes()).unwrap();
    // The last 2 GiB in pages of 2 MiB, but for the first of them, whose pages of 4 KiB are in order.
    put(PML4 + 511 * 8, 0x2000 | 1);
    put(0x2000 + 510 * 8, 0x3000 | 1);
    put(0x3000, 0x4000 | 1);
    put(0x3008, 0x20_0000 | 0x81);
    (0..512).for_each(|page| put(0x4000 + page * 8, page << 12 | 1));
    put(PRB, VIRTUAL + RING);
    let (count, size) = (1u64 << COUNT_BITS, 1u64 << SIZE_BITS);
    let mut at = 0u64;
    for (n, line) in (0u64..).zip(lines) {
        let need = (8 + line.len() as u64).next_multiple_of(8);
        let wraps = at / size != (at + need - 1) / size;
        let (begin, next) = (at, if wraps { (at / size + 1) * size + need } else { at + need });
        let text = if wraps { 8 } else { at % size + 8 };
        memory.write(DATA + text, line.as_bytes()).unwrap();
        let desc = DESCS + n % count * 24;
        put(desc, 2 << 62 | n);
        put(desc + 8, begin);
        put(desc + 16, next);
        let info = INFOS + n % count * 88;
        put(info, n);
        put(info + 8, n * 1_500_000_000);
        memory.write(info + 16, &(line.len() as u16).to_le_bytes()).unwrap();
        at = next;
    }
    let head = (lines.len() as u64).wrapping_sub(1);
    put(RING, u64::from(COUNT_BITS));
    [VIRTUAL + DESCS, VIRTUAL + INFOS, head, head.saturating_sub(count - 1)]
        .into_iter()
        .zip([8, 16, 24, 32])
        .for_each(|(v, at)| put(RING + at, v));
    put(RING + 40, u64::from(SIZE_BITS));
    put(RING + 48, VIRTUAL + DATA);
    memory
}

fn said(lines: &[&str]) -> (String, u64) {
    let log = read(&guest(lines), vmcoreinfo().as_bytes()).unwrap();
    (String::from_utf8(log.text).unwrap(), log.lost)
}

#[test]
fn records_are_read_in_order_with_their_times() {
    let (text, lost) = said(&["Linux version 6.1", "two\nlines", ""]);
    assert_eq!(text, "[    0.000000] Linux version 6.1\n[    1.500000] two\n[    1.500000] lines\n[    3.000000] \n");
    assert_eq!(lost, 0);
}

#[test]
fn text_that_wraps_around_begins_at_the_start_of_the_ring() {
    let long = "x".repeat(100);
    let lines = [&long[..], &long, "the one that wraps around the end of the ring", "after"];
    let (text, _) = said(&lines);
    assert!(text.contains("the one that wraps around the end of the ring\n"), "{text}");
    assert!(text.ends_with("after\n"), "{text}");
}

#[test]
fn what_was_overwritten_is_counted() {
    let lines: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (text, lost) = said(&lines);
    assert_eq!(lost, 4);
    assert!(text.starts_with("[    6.000000] line 4\n"), "{text}");
}

#[test]
fn a_record_that_is_being_written_is_left_out() {
    let memory = guest(&["one", "two", "three"]);
    memory.write(DESCS + 24, &1u64.to_le_bytes()).unwrap();
    let log = read(&memory, vmcoreinfo().as_bytes()).unwrap();
    assert_eq!(String::from_utf8(log.text).unwrap(), "[    0.000000] one\n[    3.000000] three\n");
}

#[test]
fn nonsense_is_an_error() {
    let memory = guest(&["one"]);
    let error = |info: &str| read(&memory, info.as_bytes()).err().map(|e| format!("{e:#}")).unwrap_or_default();
    assert!(error("OSRELEASE=5.4.0\n").contains("older than Linux 5.10"));
    assert!(error(&vmcoreinfo().replace("phys_base)=0", "phys_base)=zero")).contains("phys_base"));
    assert!(error(&vmcoreinfo().replace("SIZE(prb_desc)=24", "SIZE(prb_desc)=99999999999")).contains("SIZE(prb_desc)"));
    memory.write(RING, &40u32.to_le_bytes()).unwrap();
    assert!(error(&vmcoreinfo()).contains("too many records"));
}

proptest! {
    /// Whatever the guest does to its memory, reading ends, with text no longer than the ring allows.
    #[test]
    fn a_hostile_guest_is_read_to_an_end(
        changes in proptest::collection::vec((0u64..0x9000, any::<u64>()), 0..40),
        near in proptest::collection::vec((0u64..64, any::<u64>()), 0..8),
    ) {
        let memory = guest(&["one", "two", "three"]);
        for (at, value) in changes {
            memory.write(at, &value.to_le_bytes()).unwrap();
        }
        for (at, value) in near {
            memory.write(RING + at, &value.to_le_bytes()).unwrap();
        }
        if let Ok(log) = read(&memory, vmcoreinfo().as_bytes()) {
            prop_assert!(log.text.len() < 1 << 26);
        }
    }

    #[test]
    fn arbitrary_notes_are_no_panic(info in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&guest(&["one"]), &info);
    }
}
