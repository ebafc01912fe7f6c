use super::*;

const ENTRY64: Entry = Entry::Linux64 { rip: 0x100_0000, zero_page: 0x7000 };
const PVH: Entry = Entry::Pvh { eip: 0x10_0000, start_info: 0x8000 };

#[test]
fn descriptors_are_the_well_known_ones() {
    assert_eq!(gdt(true), [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067, 0]);
    assert_eq!(gdt(false)[2], 0x00cf_9b00_0000_ffff);
}

#[test]
fn the_first_4_gib_are_mapped_as_they_are() {
    let memory = Memory::new(&[(0, 1 << 20)], None).unwrap();
    write_tables(&memory, Protocol::Linux64).unwrap();
    let word = |at: u64| u64::from_le_bytes(memory.read(at).unwrap());
    for address in [0u64, 0x1234_5678, 0x3fff_ffff, 0x4000_0000, 0xbfe0_0000, 0xffff_ffff] {
        let table = |entry: u64| entry & 0x000f_ffff_ffff_f000;
        let pml4e = word(layout::PAGE_TABLES + (address >> 39 & 0x1ff) * 8);
        let pdpte = word(table(pml4e) + (address >> 30 & 0x1ff) * 8);
        let pde = word(table(pdpte) + (address >> 21 & 0x1ff) * 8);
        assert_eq!((pml4e & 0xfff, pdpte & 0xfff, pde & 0xfff), (3, 3, 0x83));
        assert_eq!(pde & !0x1f_ffff, address & !0x1f_ffff);
    }
    assert_eq!(word(layout::PAGE_TABLES + 8), 0);
    assert_eq!(word(layout::GDT + 16), 0x00af_9b00_0000_ffff);
}

#[test]
fn each_protocol_finds_its_pointer_where_it_looks() {
    let start = |entry| registers(&entry, kvm_sregs::default());
    let (regs, sregs) = start(ENTRY64);
    assert_eq!((regs.rip, regs.rsi, regs.rflags), (0x100_0000, 0x7000, 2));
    assert_eq!((sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer), (0x8000_0011, 0x9000, 0x20, 0x500));
    assert_eq!((sregs.cs.l, sregs.cs.db, sregs.cs.selector, sregs.ds.selector), (1, 0, 0x10, 0x18));

    let (regs, sregs) = start(Entry::Linux32 { eip: 0x100_0000, zero_page: 0x7000 });
    assert_eq!((regs.rsi, regs.rbp, regs.rdi, regs.rbx), (0x7000, 0, 0, 0));
    assert_eq!((sregs.cr0, sregs.efer, sregs.cs.l, sregs.cs.db), (0x11, 0, 0, 1));

    let (regs, _) = start(PVH);
    assert_eq!((regs.rip, regs.rbx), (0x10_0000, 0x8000));
    let (regs, _) = start(Entry::Multiboot { eip: 1, info: 0x8000 });
    assert_eq!((regs.rax, regs.rbx), (0x2bad_b002, 0x8000));
}

/// What a reset vCPU had of another life does not stay, and what is not ours does.
#[test]
fn registers_of_an_earlier_life_are_gone() {
    let old = kvm_sregs { cr0: !0, cr2: !0, cr3: !0, cr4: !0, efer: !0, apic_base: 0xfee0_0900, ..Default::default() };
    let (_, sregs) = registers(&PVH, old);
    assert_eq!((sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.efer), (0x11, 0, 0, 0, 0));
    assert_eq!(sregs.apic_base, 0xfee0_0900);
    assert_eq!((sregs.tr.type_, sregs.tr.s, sregs.tr.limit), (0xb, 0, 0x67));
}
