//! The probe guests, in machine code. Each runs in 64-bit mode and reports through three ports; set-up is the host's.
//! They use plain integer instructions but for the one that is probed (a KVM may interpret ring 0 and lack others).
//! The tests disassemble every one of them and compare it with the text beside it.

/// The guest is done.
pub const DONE: u8 = 0xe0;
/// An exception or interrupt arrived; the byte is its vector.
pub const TRAP: u8 = 0xe1;
/// 32 bits to tell.
pub const VALUE: u8 = 0xe2;

/// Machine code and what a disassembler says about it.
pub struct Code {
    pub bytes: &'static [u8],
    pub text: &'static str,
}

const fn code(bytes: &'static [u8], text: &'static str) -> Code {
    Code { bytes, text }
}

/// The state of ring 3 is on the stack.
pub const ENTER_RING_3: Code = code(&[0x48, 0xcf], "iretq");

/// Counts ecx down.
pub const LOOP: Code = code(&[0xff, 0xc9, 0x75, 0xfc, 0xe6, DONE], "dec ecx; jne 0x0; out 0xe0, al");

/// The same with interrupts on.
pub const WAIT: Code = code(&[0xfb, 0xff, 0xc9, 0x75, 0xfc, 0xe6, DONE], "sti; dec ecx; jne 0x1; out 0xe0, al");

/// Tells the code segment it has after SYSCALL and SYSRET.
pub const SYSCALL: Code =
    code(&[0x0f, 0x05, 0x8c, 0xc8, 0xe7, VALUE, 0xe6, DONE], "syscall; mov eax, cs; out 0xe2, eax; out 0xe0, al");

/// Where SYSCALL goes: tells the code segment it has there.
pub const SYSCALL_ENTRY: Code =
    code(&[0x8c, 0xc8, 0xe7, VALUE, 0x48, 0x0f, 0x07], "mov eax, cs; out 0xe2, eax; sysretq");

/// Tells EAX, EBX, ECX and EDX of leaf esi, subleaf ecx.
pub const CPUID: Code = code(
    &[
        0x89, 0xf0, 0x0f, 0xa2, 0xe7, VALUE, 0x89, 0xd8, 0xe7, VALUE, 0x89, 0xc8, 0xe7, VALUE, 0x89, 0xd0, 0xe7, VALUE,
        0xe6, DONE,
    ],
    "mov eax, esi; cpuid; out 0xe2, eax; mov eax, ebx; out 0xe2, eax; mov eax, ecx; out 0xe2, eax; mov eax, edx; out 0xe2, eax; out 0xe0, al",
);

/// Rings the doorbell that rsi points to.
pub const RING: Code =
    code(&[0xc7, 0x06, 0x01, 0x00, 0x00, 0x00, 0xe6, DONE], "mov dword ptr [rsi], 0x1; out 0xe0, al");

/// Where CPUID says that an instruction is there: leaf, register (0 EAX to 3 EDX) and bit.
pub type Feature = (u32, usize, u32);

/// One instruction that Linux uses in ring 0.
pub struct Instruction {
    pub name: &'static str,
    pub code: Code,
    /// `None`: every processor has it.
    pub feature: Option<Feature>,
}

const fn instruction(name: &'static str, code: Code, feature: Option<Feature>) -> Instruction {
    Instruction { name, code, feature }
}

/// rsi points to 4 KiB of zeroes; eax, ecx, edx and ebx hold 1.
pub const INSTRUCTIONS: &[Instruction] = &[
    instruction(
        "cmpxchg16b",
        code(&[0x48, 0x0f, 0xc7, 0x0e, 0xe6, DONE], "cmpxchg16b [rsi]; out 0xe0, al"),
        Some((1, 2, 13)),
    ),
    instruction("xsave", code(&[0x48, 0x0f, 0xae, 0x26, 0xe6, DONE], "xsave64 [rsi]; out 0xe0, al"), Some((1, 2, 26))),
    instruction("int3", code(&[0xcc], "int3"), None),
    instruction("stac", code(&[0x0f, 0x01, 0xcb, 0xe6, DONE], "stac; out 0xe0, al"), Some((7, 1, 20))),
    instruction(
        "popcnt",
        code(&[0xf3, 0x0f, 0xb8, 0xc0, 0xe6, DONE], "popcnt eax, eax; out 0xe0, al"),
        Some((1, 2, 23)),
    ),
    instruction(
        "shlx",
        code(&[0xc4, 0xe2, 0x71, 0xf7, 0xc0, 0xe6, DONE], "shlx eax, eax, ecx; out 0xe0, al"),
        Some((7, 1, 8)),
    ),
    instruction(
        "paddd",
        code(&[0x66, 0x0f, 0xfe, 0xc0, 0xe6, DONE], "paddd xmm0, xmm0; out 0xe0, al"),
        Some((1, 3, 26)),
    ),
];

/// What the gate of each vector leads to: tells the vector and stops.
pub fn stub(vector: u8) -> [u8; 8] {
    // mov al, VECTOR; out TRAP, al; hlt; jmp to the hlt
    [0xb0, vector, 0xe6, TRAP, 0xf4, 0xeb, 0xfd, 0x90]
}

#[cfg(test)]
mod tests;
