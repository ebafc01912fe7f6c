//! The notes of a dump: the registers of each vCPU, twice, and VMCOREINFO.
//!
//! As QEMU's dump-guest-memory writes them (target/i386/arch_dump.c): NT_PRSTATUS is what debuggers know; the note "QEMU"
//! has the system registers, from which crash and libkdumpfile find page tables and KASLR offset without VMCOREINFO.

use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};

/// linux/elf.h
const NT_PRSTATUS: u32 = 1;

/// What a dump says of one vCPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct Registers {
    pub regs: kvm_regs,
    pub sregs: kvm_sregs,
    pub kernel_gs_base: u64,
}

/// All notes, one after another, in the order crash wants: by kind, then by processor.
pub fn encode(cpus: &[Registers], vmcoreinfo: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for (pid, cpu) in (1u32..).zip(cpus) {
        note(&mut out, b"CORE\0", NT_PRSTATUS, &prstatus(pid, cpu));
    }
    cpus.iter().for_each(|cpu| note(&mut out, b"QEMU\0", 0, &qemu(cpu)));
    if let Some(text) = vmcoreinfo {
        note(&mut out, b"VMCOREINFO\0", 0, text);
    }
    out
}

/// System V ABI, chapter 5, "Note Section"; Linux aligns to 4 in 64-bit files too.
fn note(out: &mut Vec<u8>, name: &[u8], kind: u32, desc: &[u8]) {
    for word in [name.len() as u32, desc.len() as u32, kind] {
        out.extend(word.to_le_bytes());
    }
    for part in [name, desc] {
        out.extend(part);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// struct elf_prstatus (linux/elfcore.h): of it pr_pid and pr_reg, a struct user_regs_struct (asm/user_64.h).
fn prstatus(pid: u32, cpu: &Registers) -> Vec<u8> {
    const PR_PID: usize = 32;
    const PR_REG: usize = 112;
    const SIZE: usize = 336;
    let (r, s) = (&cpu.regs, &cpu.sregs);
    let selector = |s: &kvm_segment| u64::from(s.selector);
    let registers = [
        r.r15,
        r.r14,
        r.r13,
        r.r12,
        r.rbp,
        r.rbx,
        r.r11,
        r.r10,
        r.r9,
        r.r8,
        r.rax,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        r.rax, // orig_rax
        r.rip,
        selector(&s.cs),
        r.rflags,
        r.rsp,
        selector(&s.ss),
        s.fs.base,
        s.gs.base,
        selector(&s.ds),
        selector(&s.es),
        selector(&s.fs),
        selector(&s.gs),
    ];
    let mut out = vec![0; PR_PID];
    out.extend(pid.to_le_bytes());
    out.resize(PR_REG, 0);
    registers.iter().for_each(|v| out.extend(v.to_le_bytes()));
    out.resize(SIZE, 0);
    out
}

/// QEMUCPUState, version 1.
fn qemu(cpu: &Registers) -> Vec<u8> {
    const SIZE: u32 = 440;
    let (r, s) = (&cpu.regs, &cpu.sregs);
    let mut out = [1u32.to_le_bytes(), SIZE.to_le_bytes()].concat();
    let general = [
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
        r.rip, r.rflags,
    ];
    general.iter().for_each(|v| out.extend(v.to_le_bytes()));
    let mut segment = |selector: u16, limit: u32, flags: u32, base: u64| {
        [u32::from(selector), limit, flags, 0].iter().for_each(|v| out.extend(v.to_le_bytes()));
        out.extend(base.to_le_bytes());
    };
    for of in [&s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss, &s.ldt, &s.tr] {
        segment(of.selector, of.limit, flags(of), of.base);
    }
    let mut table = |t: &kvm_dtable| segment(0, u32::from(t.limit), 0, t.base);
    table(&s.gdt);
    table(&s.idt);
    for value in [s.cr0, 0, s.cr2, s.cr3, s.cr4, cpu.kernel_gs_base] {
        out.extend(value.to_le_bytes());
    }
    out
}

/// As in the second word of a descriptor (SDM 3A, figure 3-8).
fn flags(s: &kvm_segment) -> u32 {
    let bit = |value: u8, at: u32| u32::from(value) << at;
    bit(s.type_, 8)
        | bit(s.s, 12)
        | bit(s.dpl, 13)
        | bit(s.present, 15)
        | bit(s.avl, 20)
        | bit(s.l, 21)
        | bit(s.db, 22)
        | bit(s.g, 23)
}
