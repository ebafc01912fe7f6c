//! The PS/2 controller with a keyboard and a mouse (IBM PS/2 Hardware Interface Technical Reference, keyboard/auxiliary device controller).

use crate::port::{in8, out8};
use crate::tap::line;
use crate::{Result, apic, cpu, ensure, time};

const DATA: u16 = 0x60;
const STATUS: u16 = 0x64;
const COMMAND: u16 = 0x64;
/// Bits of the status.
const OUTPUT_FULL: u8 = 1 << 0;
const INPUT_FULL: u8 = 1 << 1;
const FROM_AUX: u8 = 1 << 5;
/// What a device answers to a command.
const ACK: u8 = 0xfa;

pub struct Ps2;

impl Ps2 {
    /// Both devices report, with interrupts; the keyboard in scan code set 1 (translated), the mouse with a wheel.
    pub fn open() -> Result<Ps2> {
        command(0xad)?;
        command(0xa7)?;
        while in8(STATUS) & OUTPUT_FULL != 0 {
            in8(DATA);
        }
        command(0x20)?;
        let config = read()?.0;
        command(0x60)?;
        // Interrupts of both, translation; neither is switched off.
        write((config | 0x43) & !0x30)?;
        command(0xae)?;
        command(0xa8)?;
        ask(&[0xf4], false)?;
        let knock = |rate| ask(&[0xf3, rate], true);
        knock(200)?;
        knock(100)?;
        knock(80)?;
        ask(&[0xf2], true)?;
        let id = read()?.0;
        ask(&[0xf4], true)?;
        line(format_args!("ps2 mouse {id}"));
        apic::route(1, cpu::vector());
        apic::route(12, cpu::vector());
        Ok(Ps2)
    }

    pub fn look(&mut self) {
        loop {
            let status = in8(STATUS);
            if status & OUTPUT_FULL == 0 {
                return;
            }
            let from = if status & FROM_AUX != 0 { "aux" } else { "key" };
            line(format_args!("ps2 {from} {:02x}", in8(DATA)));
        }
    }
}

fn wait(bit: u8, set: bool) -> Result {
    ensure!(time::spin(|| (in8(STATUS) & bit != 0) == set), "the PS/2 controller's status stays {:#x}", in8(STATUS));
    Ok(())
}

fn command(byte: u8) -> Result {
    wait(INPUT_FULL, false)?;
    out8(COMMAND, byte);
    Ok(())
}

fn write(byte: u8) -> Result {
    wait(INPUT_FULL, false)?;
    out8(DATA, byte);
    Ok(())
}

/// A byte, and whether the mouse sent it.
fn read() -> Result<(u8, bool)> {
    wait(OUTPUT_FULL, true)?;
    let aux = in8(STATUS) & FROM_AUX != 0;
    Ok((in8(DATA), aux))
}

/// Each byte to a device, which acknowledges it.
fn ask(bytes: &[u8], aux: bool) -> Result {
    for byte in bytes {
        if aux {
            command(0xd4)?;
        }
        write(*byte)?;
        let answer = read()?;
        ensure!(answer == (ACK, aux), "{byte:#x} is answered with {:#x} (mouse: {})", answer.0, answer.1);
    }
    Ok(())
}
