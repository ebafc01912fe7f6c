use super::*;
use crate::platform::rig::{accesses, read8};
use proptest::prelude::*;

const BASE: u64 = 0xffc0_0000;
const LEN: u64 = 4 * BLOCK;

/// What was kept, whether the content is shown, and whether keeping fails.
#[derive(Clone, Default)]
struct Notes(Arc<Lock<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    hidden: bool,
    full: bool,
}

impl Backing for Notes {
    fn store(&self, at: u64, data: &[u8]) -> Result<()> {
        let mut kept = self.0.lock();
        ensure!(!kept.full, "no space is left");
        kept.bytes[at as usize..at as usize + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn show(&self, on: bool) -> Result<()> {
        let mut kept = self.0.lock();
        assert_eq!(kept.hidden, on, "no change that is none");
        kept.hidden = !on;
        Ok(())
    }
}

fn flash() -> (Arc<Flash>, Notes, Memory) {
    let memory = Memory::new(&[(BASE, LEN)], None).unwrap();
    let content: Vec<u8> = (0..LEN).map(|i| (i * 7 + 1) as u8).collect();
    memory.write(BASE, &content).unwrap();
    let notes = Notes::default();
    notes.0.lock().bytes = content;
    (Flash::new(memory.clone(), Box::new(notes.clone())).unwrap(), notes, memory)
}

/// What the guest sees: the memory, or what the device answers.
fn load(flash: &Flash, notes: &Notes, memory: &Memory, at: u64) -> u8 {
    if notes.0.lock().hidden { read8(flash, at) } else { memory.read::<1>(BASE + at).unwrap()[0] }
}

#[test]
fn edk2_takes_it_for_flash() {
    let (flash, notes, memory) = flash();
    let original = load(&flash, &notes, &memory, 0);
    flash.write(0, &[0x50]);
    assert_eq!(load(&flash, &notes, &memory, 0), original, "else it would be RAM");
    flash.write(0, &[0x70]);
    assert_eq!(load(&flash, &notes, &memory, 0), 0);
    flash.write(0, &[0xff]);
    assert_eq!(load(&flash, &notes, &memory, 0), original);
    assert!(!notes.0.lock().hidden);
}

#[test]
fn programming_clears_bits_and_erasing_sets_a_block() {
    let (flash, notes, memory) = flash();
    let before = load(&flash, &notes, &memory, BLOCK + 5);
    for byte in [0x40, 0xf0] {
        flash.write(BLOCK + 5, &[byte]);
    }
    assert_eq!(read8(&*flash, 0), READY);
    flash.write(BLOCK + 5, &[0xff]);
    assert_eq!(load(&flash, &notes, &memory, BLOCK + 5), before & 0xf0);
    for byte in [0x20, 0xd0, 0xff] {
        flash.write(BLOCK + 77, &[byte]);
    }
    let all = |memory: &Memory| -> Vec<u8> { (0..LEN).map(|at| memory.read::<1>(BASE + at).unwrap()[0]).collect() };
    let content = all(&memory);
    assert!(content[BLOCK as usize..2 * BLOCK as usize].iter().all(|b| *b == 0xff));
    assert!(content[..BLOCK as usize].iter().chain(&content[2 * BLOCK as usize..]).any(|b| *b != 0xff));
    assert_eq!(notes.0.lock().bytes, content, "all of it was kept");
    // In an erased block a byte takes any value.
    for byte in [0x10, 0x5a, 0xff] {
        flash.write(BLOCK, &[byte]);
    }
    assert_eq!(load(&flash, &notes, &memory, BLOCK), 0x5a);
}

#[test]
fn a_buffer_is_programmed_when_it_is_confirmed() {
    let (flash, notes, memory) = flash();
    flash.write(0, &[0x20]);
    flash.write(0, &[0xd0]);
    flash.write(16, &[0xe8]);
    assert_eq!(read8(&*flash, 16), READY);
    flash.write(16, &[3]);
    flash.write(16, b"ab");
    flash.write(18, b"c");
    flash.write(19, b"d");
    assert_eq!(memory.read(BASE + 16).unwrap(), [0xff; 4]);
    flash.write(16, &[0xd0]);
    flash.write(16, &[0xff]);
    assert_eq!(memory.read(BASE + 16).unwrap(), *b"abcd");
    assert_eq!(notes.0.lock().bytes[16..20], *b"abcd");
}

#[test]
fn a_change_that_cannot_be_kept_is_not_made() {
    let (flash, notes, memory) = flash();
    notes.0.lock().full = true;
    let before = memory.read::<1>(BASE).unwrap();
    for byte in [0x10, 0] {
        flash.write(0, &[byte]);
    }
    assert_eq!(read8(&*flash, 0), READY | PROGRAM_ERROR);
    for byte in [0x50, 0x20, 0xd0] {
        flash.write(0, &[byte]);
    }
    assert_eq!(read8(&*flash, 0), READY | ERASE_ERROR);
    assert_eq!(memory.read::<1>(BASE).unwrap(), before);
}

#[test]
fn a_reset_shows_the_content_again() {
    let (flash, notes, memory) = flash();
    flash.write(0, &[0x90]);
    assert_eq!((read8(&*flash, 0), read8(&*flash, 1)), (0x89, 0x18));
    flash.reset().unwrap();
    assert!(!notes.0.lock().hidden);
    assert_eq!(read8(&*flash, 9), memory.read::<1>(BASE + 9).unwrap()[0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_done_what_is_seen_is_what_is_kept(list in accesses(LEN)) {
        let (flash, notes, memory) = flash();
        for access in &list {
            access.run(&*flash);
        }
        // Commands at the end of the chip and beyond it.
        for byte in [0xff, 0x10, 0, 0x20, 0xd0, 0xe8, 1, 2, 3, 0xd0] {
            flash.write(LEN, &[byte]);
            flash.write(u64::MAX, &[byte]);
        }
        flash.reset().unwrap();
        let mut seen = vec![0; LEN as usize];
        memory.slice(BASE, LEN as usize).unwrap().copy_to(&mut seen);
        prop_assert_eq!(&notes.0.lock().bytes, &seen);
    }
}
