use super::*;
use crate::kvm::{self, Exit, Reserved, Vcpu, Vm};
use crate::mem::Memory;
use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment};

const PAGE_TABLES: u64 = 0x1000;
const CODE: u64 = 0x8000;
const VIDEO: u64 = 0x20_0000;
const LEN: u64 = 1 << 20;
/// No memory: a store to it says that the guest has come so far.
const DOORBELL: u64 = 0x40_0000;

struct Guest {
    vcpu: Vcpu,
    slot: VideoSlot,
    video: Video,
    memory: Memory,
    _vm: Vm,
}

/// A guest in 64-bit mode on ring `ring` that stores a byte of its counter, from 1, at the beginning of each page of
/// video memory in turn, and rings after each. `None` (said aloud) where there is no KVM.
fn guest(ring: u8) -> Option<Guest> {
    let kvm = match kvm::open() {
        Ok(kvm) => kvm,
        Err(e) => {
            eprintln!("SKIPPED: {e:#}");
            return None;
        }
    };
    let memory = Memory::new(&[(0, 0x20_0000)], None).unwrap();
    let put = |at: u64, value: u64| memory.write(at, &value.to_le_bytes()).unwrap();
    put(PAGE_TABLES, (PAGE_TABLES + 0x1000) | 7);
    put(PAGE_TABLES + 0x1000, (PAGE_TABLES + 0x2000) | 7);
    (0..3u64).for_each(|n| put(PAGE_TABLES + 0x2000 + 8 * n, n << 21 | 0x87));
    // again: mov [rdi], al; mov [rsi], al; inc al; add rdi, 4096; jmp again
    let code = [0x88, 0x07, 0x88, 0x06, 0xfe, 0xc0, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0xeb, 0xf1];
    memory.write(CODE, &code).unwrap();
    let vm = Vm::new(&kvm, &memory, &Reserved { identity_map: 0xfffb_c000, tss: 0xfffb_d000 }).unwrap();
    let video = Video::new(LEN).unwrap();
    let slot = vm.video(&video);
    slot.place(Some(VIDEO)).unwrap();
    let vcpu = vm.vcpu(0).unwrap();
    let supported = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES).unwrap();
    vcpu.fd().set_cpuid2(&supported).unwrap();
    let mut s = vcpu.fd().get_sregs().unwrap();
    let rpl = u16::from(ring);
    let code = kvm_segment {
        limit: 0xffff_ffff,
        selector: 0x28 | rpl,
        type_: 11,
        present: 1,
        dpl: ring,
        s: 1,
        l: 1,
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment { selector: 0x20 | rpl, type_: 3, l: 0, db: 1, ..code };
    s.cs = code;
    (s.ss, s.ds, s.es, s.fs, s.gs) = (data, data, data, data, data);
    s.tr = kvm_segment { base: 0, limit: 103, selector: 0x30, type_: 11, present: 1, ..Default::default() };
    s.gdt = kvm_dtable { base: 0, limit: 0x3f, ..Default::default() };
    (s.cr0, s.cr3, s.cr4, s.efer) = (1 << 31 | 1 << 16 | 0x33, PAGE_TABLES, 0x620, 0x500);
    vcpu.fd().set_sregs(&s).unwrap();
    let regs = kvm_regs { rip: CODE, rflags: 2, rax: 1, rdi: VIDEO, rsi: DOORBELL, ..Default::default() };
    vcpu.fd().set_regs(&regs).unwrap();
    Some(Guest { vcpu, slot, video, memory, _vm: vm })
}

/// Why the guest stopped at protected memory.
#[derive(Debug, PartialEq)]
enum Stopped {
    Fault,
    /// KVM interprets the instruction: the store is ours to do.
    Store,
}

impl Guest {
    /// To the next ring of the bell.
    fn step(&mut self) -> u8 {
        match self.vcpu.run().unwrap() {
            Exit::Write { address: DOORBELL, data } => data[0],
            other => panic!("{other:?}"),
        }
    }

    /// Into protected memory.
    fn stop(&mut self) -> Stopped {
        match self.vcpu.run().unwrap() {
            Exit::Fault { address } => {
                assert!(address.is_none_or(|at| (VIDEO..VIDEO + LEN).contains(&at)), "{address:x?}");
                Stopped::Fault
            }
            Exit::Write { address, data } if (VIDEO..VIDEO + LEN).contains(&address) => {
                self.video.write(address - VIDEO, data);
                Stopped::Store
            }
            other => panic!("{other:?}"),
        }
    }

    fn dirty(&self) -> u64 {
        self.slot.take_dirty().unwrap()[0]
    }

    fn byte(&self, page: u64) -> u8 {
        let mut byte = [0];
        assert_eq!(self.video.read(page << 12, &mut byte), 1);
        byte[0]
    }
}

#[test]
fn what_is_written_is_told_once() {
    for ring in [0, 3] {
        let Some(mut g) = guest(ring) else { return };
        assert_eq!((g.step(), g.step()), (1, 2));
        assert_eq!((g.dirty(), g.dirty()), (0b11, 0), "ring {ring}");
        assert_eq!((g.step(), g.dirty()), (3, 0b100));
        assert_eq!((g.byte(0), g.byte(2)), (1, 3));
    }
}

#[test]
fn a_store_to_protected_memory_stops_the_guest_and_is_not_lost() {
    for ring in [0, 3] {
        let Some(mut g) = guest(ring) else { return };
        assert_eq!((g.step(), g.dirty()), (1, 1));
        for page in 1..20u64 {
            g.video.protect(true).unwrap();
            let stopped = g.stop();
            if page == 1 {
                println!("ring {ring}: {stopped:?}");
            }
            g.video.protect(false).unwrap();
            assert_eq!(u64::from(g.step()), page + 1);
            assert_eq!(u64::from(g.byte(page)), page + 1, "ring {ring}");
            let seen = g.dirty() >> page & 1 == 1;
            assert!(seen || stopped == Stopped::Store, "ring {ring}, page {page}: not told");
        }
    }
}

#[test]
fn it_moves_and_does_not_lie_over_other_memory() {
    let Some(mut g) = guest(0) else { return };
    assert_eq!(g.step(), 1);
    assert!(g.slot.place(Some(0x10_0000)).is_err(), "RAM is there");
    assert!(g.slot.take_dirty().unwrap().is_empty());
    g.slot.place(Some(VIDEO)).unwrap();
    g.slot.place(Some(VIDEO)).unwrap();
    assert_eq!((g.step(), g.dirty() & 2, g.byte(1)), (2, 2, 2));
    g.slot.place(None).unwrap();
    assert_eq!(g.stop(), Stopped::Store);
    assert_eq!((g.step(), g.byte(2)), (3, 3), "as a device it takes stores too");
    assert_eq!(g.memory.read::<1>(CODE).unwrap(), [0x88]);
}
