//! ttyS0, a 16550A (National Semiconductor PC16550D data sheet); the report goes through it between the tests.

use crate::cpu::{self, Page};
use crate::port::{in_string, in8, out_string, out8};
use crate::{Context, Result, apic, ensure, time};

const BASE: u16 = 0x3f8;
const DATA: u16 = BASE;
const IER: u16 = BASE + 1;
const IIR: u16 = BASE + 2;
const FCR: u16 = BASE + 2;
const LCR: u16 = BASE + 3;
const MCR: u16 = BASE + 4;
const LSR: u16 = BASE + 5;
const MSR: u16 = BASE + 6;
const SCRATCH: u16 = BASE + 7;

const DATA_READY: u8 = 1;
const EMPTY: u8 = 0x60;
const LOOP: u8 = 0x10;
const OUT2: u8 = 8;

fn wait_empty() -> Result {
    ensure!(time::spin(|| in8(LSR) & EMPTY == EMPTY), "the transmitter does not get empty");
    Ok(())
}

pub fn registers(_: &mut Context) -> Result {
    for value in [0x55, 0xaa, 0] {
        out8(SCRATCH, value);
        ensure!(in8(SCRATCH) == value, "the scratch register reads {:#x}, not {value:#x}", in8(SCRATCH));
    }
    out8(LCR, 0x83);
    out8(DATA, 1);
    out8(IER, 0);
    let divisor = (in8(DATA), in8(IER));
    out8(LCR, 3);
    ensure!(divisor == (1, 0), "the divisor latch reads {divisor:?}");
    ensure!(in8(LCR) == 3, "LCR reads {:#x}", in8(LCR));
    out8(FCR, 7);
    ensure!(in8(IIR) & 0xc0 == 0xc0, "with FIFOs on, IIR reads {:#x}", in8(IIR));
    out8(FCR, 0);
    ensure!(in8(IIR) & 0xc0 == 0, "with FIFOs off, IIR reads {:#x}", in8(IIR));
    out8(FCR, 7);
    wait_empty()
}

pub fn loopback(_: &mut Context) -> Result {
    wait_empty()?;
    out8(FCR, 7);
    out8(MCR, LOOP | 3);
    let result = looped();
    out8(MCR, OUT2 | 3);
    out8(FCR, 7);
    result
}

fn looped() -> Result {
    // DTR is looped to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD.
    ensure!(in8(MSR) & 0xf0 == 0x30, "with DTR and RTS looped, MSR reads {:#x}", in8(MSR));
    let mut text: [u8; 16] = *b"kiln self-test\r\n";
    for byte in &text[..4] {
        out8(DATA, *byte);
        ensure!(time::spin(|| in8(LSR) & DATA_READY != 0), "a byte does not come back");
        let got = in8(DATA);
        ensure!(got == *byte, "{byte:#x} comes back as {got:#x}");
    }
    out_string(DATA, &text);
    let mut got = [0; 16];
    ensure!(time::spin(|| in8(LSR) & DATA_READY != 0), "a string does not come back");
    in_string(DATA, &mut got);
    ensure!(got == text, "the FIFO gives back {got:02x?}");
    ensure!(in8(LSR) & DATA_READY == 0, "the FIFO holds more than was put in");
    text.reverse();
    out_string(DATA, &text);
    out8(FCR, 3);
    ensure!(in8(LSR) & DATA_READY == 0, "clearing the FIFO leaves something in it");
    Ok(())
}

pub fn interrupt(_: &mut Context) -> Result {
    wait_empty()?;
    let vector = cpu::vector();
    let page = Page::boot();
    apic::route(4, vector);
    out8(MCR, OUT2 | 3);
    in8(IIR);
    out8(IER, 2);
    let came = time::spin(|| page.count(vector) > 0);
    let reason = in8(IIR) & 0xf;
    out8(IER, 0);
    apic::unroute(4);
    ensure!(came, "no interrupt when the transmitter is empty (IIR {reason:#x})");
    ensure!(reason == 2, "IIR reads {reason:#x}, not transmitter empty");
    Ok(())
}
