//! The report about a guest that cannot go on: what happened, the instruction, the registers.

use super::Vcpu;
use super::backend::{self, Engine};
use crate::mem::Memory;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use kvm_bindings::{
    KVM_INTERNAL_ERROR_DELIVERY_EV, KVM_INTERNAL_ERROR_EMULATION, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
    KVM_INTERNAL_ERROR_SIMUL_EX, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, kvm_regs, kvm_segment, kvm_sregs,
};
use std::fmt::Write;

/// What ended the guest.
#[derive(Debug, Clone, Copy)]
pub enum Why<'a> {
    TripleFault,
    /// KVM_EXIT_INTERNAL_ERROR: suberror and detail.
    InternalError {
        suberror: u32,
        data: &'a [u64],
    },
    /// KVM_EXIT_FAIL_ENTRY: the processor's own reason.
    FailEntry {
        reason: u64,
    },
}

/// The longest instruction (SDM 2A, 2.3.11).
const LONGEST: usize = 15;

/// Several lines, without a newline at the end. Never fails: what cannot be found out is said to be missing.
/// To be called on the vCPU's own thread, while the guest does not run.
pub fn describe(vcpu: &Vcpu, memory: &Memory, why: Why<'_>) -> String {
    let mut out = String::new();
    let state = (vcpu.fd().get_regs(), vcpu.fd().get_sregs());
    let (Ok(regs), Ok(sregs)) = state else {
        return format!("{}\nthe registers cannot be read", headline(why));
    };
    let mode = Mode::of(&regs, &sregs);
    let rip = regs.rip;
    let bytes = reported_bytes(why).or_else(|| instruction_bytes(vcpu, memory, mode.linear(&sregs, rip)));
    let instruction = bytes.as_deref().and_then(|b| disassemble(b, rip, mode.bits));
    let _ = writeln!(out, "{}", headline(why));
    let _ = writeln!(out, "at {:04x}:{rip:x}, {mode}, ring {}", sregs.cs.selector, sregs.ss.dpl);
    match (&instruction, bytes) {
        (Some((text, len)), Some(bytes)) => {
            let _ = writeln!(out, "    {}  {text}", hex(bytes.get(..*len).unwrap_or_default()));
        }
        (None, Some(bytes)) => {
            let _ = writeln!(out, "    {}  (no instruction)", hex(&bytes));
        }
        (_, None) => {
            let _ = writeln!(out, "    the instruction is not in memory");
        }
    }
    let name = instruction.as_ref().and_then(|(text, _)| mnemonic(text));
    for line in explain(why, name, rip, &sregs) {
        let _ = writeln!(out, "{line}");
    }
    if let Some(line) = pending(vcpu) {
        let _ = writeln!(out, "{line}");
    }
    registers(&mut out, &regs, &sregs);
    out.truncate(out.trim_end().len());
    out
}

/// Where the vCPU is and what it has in its registers, in several lines. The guest does not run.
pub fn state(vcpu: &Vcpu) -> String {
    let (Ok(regs), Ok(sregs)) = (vcpu.fd().get_regs(), vcpu.fd().get_sregs()) else {
        return "the registers cannot be read".into();
    };
    let mode = Mode::of(&regs, &sregs);
    let mut out = format!("at {:04x}:{:x}, {mode}, ring {}\n", sregs.cs.selector, regs.rip, sregs.ss.dpl);
    registers(&mut out, &regs, &sregs);
    out.truncate(out.trim_end().len());
    out
}

fn headline(why: Why<'_>) -> String {
    match why {
        Why::TripleFault => "triple fault: an exception could not be delivered, nor the double fault after it".into(),
        Why::FailEntry { reason } => {
            format!("the processor refused to enter the guest (hardware reason {reason:#x}): its state is invalid")
        }
        Why::InternalError { suberror, data } => {
            let what = match suberror {
                KVM_INTERNAL_ERROR_EMULATION => "an instruction could not be interpreted",
                KVM_INTERNAL_ERROR_SIMUL_EX => "two exceptions at once",
                KVM_INTERNAL_ERROR_DELIVERY_EV => "the guest left while an event was being delivered",
                KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON => "the guest left for a reason KVM does not know",
                _ => "of an unknown kind",
            };
            // For emulation the words are the instruction's bytes, which have a line of their own.
            let shown = if suberror == KVM_INTERNAL_ERROR_EMULATION { &[] } else { data };
            let detail: String = shown.iter().map(|w| format!(" {w:#x}")).collect();
            let detail = if detail.is_empty() { detail } else { format!(" [{}]", detail.trim()) };
            format!("KVM internal error {suberror}: {what}{detail}")
        }
    }
}

/// What the reader cannot know from the rest.
fn explain(why: Why<'_>, instruction: Option<&str>, rip: u64, sregs: &kvm_sregs) -> Vec<String> {
    match why {
        Why::InternalError { suberror: KVM_INTERNAL_ERROR_EMULATION, .. } => {
            let name = instruction.unwrap_or("this instruction");
            vec![match backend::engine() {
                Engine::Pvm => format!(
                    "This host's KVM (PVM) interprets the guest's ring 0 and lacks {name}: no virtual machine monitor \
                     can run it here. `kiln doctor` tells what this host can do."
                ),
                _ => format!(
                    "KVM interprets an instruction only where the processor cannot carry it out for the guest, such as \
                     an access to a device's memory; it lacks {name}. `kiln doctor` tells what this host can do."
                ),
            }]
        }
        // AMD: the VMCB is undefined after a shutdown (APM 2, 15.14.3), so KVM puts the processor through INIT.
        Why::TripleFault if rip == 0xfff0 && sregs.cs.base == 0xffff_0000 => {
            vec!["AMD processors forget the state of a triple fault: what follows is the state after INIT.".into()]
        }
        _ => Vec::new(),
    }
}

/// KVM puts them into the error's data since Linux 5.15: flags, then a length byte and up to 15 bytes.
fn reported_bytes(why: Why<'_>) -> Option<Vec<u8>> {
    let Why::InternalError { suberror: KVM_INTERNAL_ERROR_EMULATION, data } = why else { return None };
    let [flags, rest @ ..] = data else { return None };
    if flags & u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) == 0 {
        return None;
    }
    let bytes: Vec<u8> = rest.iter().take(2).flat_map(|w| w.to_le_bytes()).collect();
    let (len, bytes) = bytes.split_first()?;
    bytes.get(..usize::from(*len).min(LONGEST)).filter(|b| !b.is_empty()).map(<[u8]>::to_vec)
}

/// Up to 15 bytes at `linear`, page by page as the guest's page tables say.
fn instruction_bytes(vcpu: &Vcpu, memory: &Memory, linear: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST {
        let at = linear.wrapping_add(bytes.len() as u64);
        let here = (4096 - (at % 4096) as usize).min(LONGEST - bytes.len());
        let Some(physical) = vcpu.fd().translate_gva(at).ok().filter(|t| t.valid != 0) else { break };
        let Ok(slice) = memory.slice(physical.physical_address, here) else { break };
        let mut part = vec![0; here];
        slice.copy_to(&mut part);
        bytes.extend(part);
    }
    Some(bytes).filter(|b| !b.is_empty())
}

/// The first instruction in Intel syntax, and its length.
fn disassemble(bytes: &[u8], ip: u64, bits: u32) -> Option<(String, usize)> {
    let mut decoder = Decoder::with_ip(bits, bytes, ip, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut text = String::new();
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.format(&instruction, &mut text);
    Some((text, instruction.len()))
}

/// The instruction's name without prefixes.
fn mnemonic(text: &str) -> Option<&str> {
    text.split(' ')
        .find(|w| !matches!(*w, "lock" | "rep" | "repe" | "repne" | "bnd" | "notrack" | "xacquire" | "xrelease"))
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    bytes.join(" ")
}

/// The processor's mode of operation (SDM 3A, 2.2).
struct Mode {
    name: &'static str,
    /// Of the code: 16, 32 or 64.
    bits: u32,
}

const CR0_PE: u64 = 1 << 0;
const RFLAGS_VM: u64 = 1 << 17;
const EFER_LMA: u64 = 1 << 10;

impl Mode {
    fn of(regs: &kvm_regs, sregs: &kvm_sregs) -> Mode {
        let code = if sregs.cs.db != 0 { 32 } else { 16 };
        let (name, bits) = match () {
            _ if sregs.cr0 & CR0_PE == 0 => ("real mode", 16),
            _ if sregs.efer & EFER_LMA != 0 && sregs.cs.l != 0 => ("64-bit mode", 64),
            _ if sregs.efer & EFER_LMA != 0 => ("compatibility mode", code),
            _ if regs.rflags & RFLAGS_VM != 0 => ("virtual-8086 mode", 16),
            _ => ("protected mode", code),
        };
        Mode { name, bits }
    }

    fn linear(&self, sregs: &kvm_sregs, rip: u64) -> u64 {
        match self.bits {
            64 => rip,
            _ => sregs.cs.base.wrapping_add(rip) & 0xffff_ffff,
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name {
            name @ ("protected mode" | "compatibility mode") => write!(f, "{}-bit {name}", self.bits),
            name => f.write_str(name),
        }
    }
}

/// The exception that was on its way into the guest.
fn pending(vcpu: &Vcpu) -> Option<String> {
    let exception = vcpu.fd().get_vcpu_events().ok()?.exception;
    if exception.injected == 0 && exception.pending == 0 {
        return None;
    }
    let names = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS", "#NP", "#SS", "#GP", "#PF", "",
        "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
    ];
    let name = names.get(usize::from(exception.nr)).copied().unwrap_or_default();
    let code = match exception.has_error_code {
        0 => String::new(),
        _ => format!(", error code {:#x}", exception.error_code),
    };
    Some(format!("exception {} {name}{code} is being delivered", exception.nr))
}

fn registers(out: &mut String, r: &kvm_regs, s: &kvm_sregs) {
    let rows = [
        [("rax", r.rax), ("rbx", r.rbx), ("rcx", r.rcx), ("rdx", r.rdx)],
        [("rsi", r.rsi), ("rdi", r.rdi), ("rbp", r.rbp), ("rsp", r.rsp)],
        [("r8 ", r.r8), ("r9 ", r.r9), ("r10", r.r10), ("r11", r.r11)],
        [("r12", r.r12), ("r13", r.r13), ("r14", r.r14), ("r15", r.r15)],
    ];
    for row in rows {
        let cells: Vec<_> = row.iter().map(|(name, value)| format!("{name} {value:016x}")).collect();
        let _ = writeln!(out, "{}", cells.join("  "));
    }
    let _ = writeln!(out, "rip {:016x}  rflags {:08x}{}", r.rip, r.rflags, names(r.rflags, RFLAGS));
    let _ = writeln!(out, "cr0 {:08x}{}", s.cr0, names(s.cr0, CR0));
    let _ = writeln!(out, "cr2 {:016x}  cr3 {:016x}  cr8 {:x}", s.cr2, s.cr3, s.cr8);
    let _ = writeln!(out, "cr4 {:08x}{}  efer {:04x}{}", s.cr4, names(s.cr4, CR4), s.efer, names(s.efer, EFER));
    for (name, segment) in [
        ("cs", &s.cs),
        ("ss", &s.ss),
        ("ds", &s.ds),
        ("es", &s.es),
        ("fs", &s.fs),
        ("gs", &s.gs),
        ("tr", &s.tr),
        ("ldt", &s.ldt),
    ] {
        let _ = writeln!(out, "{name:<3} {}", selector(segment));
    }
    for (name, table) in [("gdt", &s.gdt), ("idt", &s.idt)] {
        let _ = writeln!(out, "{name}      base {:016x} limit {:08x}", table.base, table.limit);
    }
}

fn selector(s: &kvm_segment) -> String {
    if s.unusable != 0 || s.present == 0 {
        return format!("{:04x} unusable", s.selector);
    }
    let kind = match (s.s, s.type_ & 8) {
        (0, _) => "system",
        (_, 0) => "data",
        (_, _) if s.l != 0 => "code64",
        (_, _) if s.db != 0 => "code32",
        (_, _) => "code16",
    };
    format!("{:04x} base {:016x} limit {:08x} {kind} type {:x} dpl {}", s.selector, s.base, s.limit, s.type_, s.dpl)
}

type Bits = &'static [(u32, &'static str)];
const RFLAGS: Bits = &[
    (0, "CF"),
    (2, "PF"),
    (4, "AF"),
    (6, "ZF"),
    (7, "SF"),
    (8, "TF"),
    (9, "IF"),
    (10, "DF"),
    (11, "OF"),
    (14, "NT"),
    (16, "RF"),
    (17, "VM"),
    (18, "AC"),
];
const CR0: Bits = &[
    (0, "PE"),
    (1, "MP"),
    (2, "EM"),
    (3, "TS"),
    (5, "NE"),
    (16, "WP"),
    (18, "AM"),
    (29, "NW"),
    (30, "CD"),
    (31, "PG"),
];
const CR4: Bits = &[
    (4, "PSE"),
    (5, "PAE"),
    (7, "PGE"),
    (9, "OSFXSR"),
    (10, "OSXMMEXCPT"),
    (11, "UMIP"),
    (12, "LA57"),
    (16, "FSGSBASE"),
    (17, "PCIDE"),
    (18, "OSXSAVE"),
    (20, "SMEP"),
    (21, "SMAP"),
    (22, "PKE"),
    (23, "CET"),
];
const EFER: Bits = &[(0, "SCE"), (8, "LME"), (10, "LMA"), (11, "NXE"), (12, "SVME")];

/// ` [PE PG]`: the names of the bits that are set.
fn names(value: u64, bits: Bits) -> String {
    let set: Vec<_> = bits.iter().filter(|(bit, _)| value >> bit & 1 == 1).map(|(_, name)| *name).collect();
    if set.is_empty() { String::new() } else { format!(" [{}]", set.join(" ")) }
}

#[cfg(test)]
mod tests;
