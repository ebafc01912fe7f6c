use super::*;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};

fn disassemble(bytes: &[u8]) -> String {
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_small_hex_numbers_in_decimal(false);
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_show_branch_size(false);
    let mut lines = Vec::new();
    for instruction in &mut Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE) {
        let mut line = String::new();
        formatter.format(&instruction, &mut line);
        lines.push(line);
    }
    lines.join("; ")
}

#[test]
fn the_bytes_are_what_the_text_says() {
    let common = [&ENTER_RING_3, &LOOP, &WAIT, &SYSCALL, &SYSCALL_ENTRY, &CPUID, &RING];
    for code in common.into_iter().chain(INSTRUCTIONS.iter().map(|i| &i.code)) {
        assert_eq!(disassemble(code.bytes), code.text);
    }
    assert_eq!(disassemble(&stub(14)), "mov al, 0xe; out 0xe1, al; hlt; jmp 0x4; nop");
}

#[test]
fn each_instruction_has_its_name() {
    for instruction in INSTRUCTIONS {
        assert!(instruction.code.text.starts_with(instruction.name), "{}", instruction.name);
    }
}
