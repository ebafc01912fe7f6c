//! A serial port: National Semiconductor's PC16550D, the UART of a PC. Register names and behaviour are from its data sheet.
//!
//! The line has no speed: what is written has left at once, and input comes as fast as the guest takes it, so the
//! receiver never overruns. There is no modem either: it is always there and ready.

mod receiver;

use crate::bus::Mmio;
use crate::host::stream::Stream;
use crate::irq::Line;
use crate::part::Part;
use crate::sys::Lock;
use anyhow::Result;
use receiver::Receiver;
use std::sync::{Arc, Weak};

/// Offsets of the registers.
mod register {
    /// Receiver buffer (read), transmitter holding (write); low divisor latch while DLAB.
    pub const DATA: u64 = 0;
    /// Interrupt enable; high divisor latch while DLAB.
    pub const IER: u64 = 1;
    /// Interrupt identification (read), FIFO control (write).
    pub const IIR_FCR: u64 = 2;
    pub const LCR: u64 = 3;
    pub const MCR: u64 = 4;
    pub const LSR: u64 = 5;
    pub const MSR: u64 = 6;
    pub const SCR: u64 = 7;
}

/// Interrupt enable register.
mod ier {
    pub const RECEIVED: u8 = 1;
    pub const THRE: u8 = 2;
    pub const LINE_STATUS: u8 = 4;
    pub const MODEM_STATUS: u8 = 8;
    pub const ALL: u8 = 0x0f;
}

/// Interrupt identification register, highest priority first.
mod iir {
    pub const LINE_STATUS: u8 = 6;
    pub const RECEIVED: u8 = 4;
    pub const TIMEOUT: u8 = 0xc;
    pub const THRE: u8 = 2;
    pub const MODEM_STATUS: u8 = 0;
    pub const NONE: u8 = 1;
    pub const FIFOS: u8 = 0xc0;
}

/// FIFO control register.
mod fcr {
    pub const ENABLE: u8 = 1;
    pub const CLEAR_RECEIVER: u8 = 2;
}

/// Divisor latch access bit of the line control register.
const DLAB: u8 = 0x80;

/// Modem control register.
mod mcr {
    pub const DTR: u8 = 1;
    pub const RTS: u8 = 2;
    pub const OUT1: u8 = 4;
    /// On a PC the interrupt only gets out of the chip with it.
    pub const OUT2: u8 = 8;
    pub const LOOP: u8 = 0x10;
    pub const ALL: u8 = 0x1f;
}

/// Line status register.
mod lsr {
    pub const READY: u8 = 1;
    pub const OVERRUN: u8 = 2;
    /// Holding register and shift register are empty, as always.
    pub const EMPTY: u8 = 0x60;
}

/// Modem status register; the low half says which of the high half changed since it was read (of RI: that it ended).
mod msr {
    pub const CTS: u8 = 0x10;
    pub const DSR: u8 = 0x20;
    pub const RI: u8 = 0x40;
    pub const DCD: u8 = 0x80;
    pub const CHANGES: u8 = 0x0f;
}

/// 115200 bit/s: what everybody announces.
const DIVISOR: [u8; 2] = [1, 0];

pub struct Serial {
    name: String,
    line: Arc<dyn Line>,
    stream: Arc<dyn Stream>,
    me: Weak<Serial>,
    /// Held while the stream is written and read, which never waits.
    chip: Lock<Chip>,
}

struct Chip {
    ier: u8,
    lcr: u8,
    mcr: u8,
    msr: u8,
    scr: u8,
    divisor: [u8; 2],
    overrun: bool,
    /// The transmitter got empty (or its interrupt was enabled), and the guest has not been told.
    thre: bool,
    receiver: Receiver,
    /// How often in a row the guest has read the line status without storing anything in between.
    polls: u8,
    /// The stream was asked for input.
    listening: bool,
    /// Level of the interrupt line.
    asserted: bool,
}

impl Chip {
    fn new() -> Chip {
        Chip {
            ier: 0,
            lcr: 3,
            mcr: 0,
            msr: msr::CTS | msr::DSR | msr::DCD,
            scr: 0,
            divisor: DIVISOR,
            overrun: false,
            thre: false,
            receiver: Receiver::default(),
            polls: 0,
            listening: false,
            asserted: false,
        }
    }

    fn looped(&self) -> bool {
        self.mcr & mcr::LOOP != 0
    }

    /// Input that comes earlier is not lost: it waits in the stream, and not in a FIFO that the driver clears when it starts.
    /// A second look at the line status in a row can only be for input, as the transmitter is always empty.
    fn wants_input(&self) -> bool {
        let interrupts = self.ier & ier::RECEIVED != 0 && self.mcr & mcr::OUT2 != 0;
        !self.looped() && (interrupts || self.polls >= 2)
    }

    fn latch(&self) -> bool {
        self.lcr & DLAB != 0
    }

    /// The interrupt of highest priority that is enabled and pending.
    fn pending(&self) -> u8 {
        let enabled = |bit| self.ier & bit != 0;
        if enabled(ier::LINE_STATUS) && self.overrun {
            iir::LINE_STATUS
        } else if enabled(ier::RECEIVED) && self.receiver.triggered() {
            iir::RECEIVED
        } else if enabled(ier::RECEIVED) && self.receiver.has_data() {
            // Nothing more is on its way, so the four characters' time is over at once.
            iir::TIMEOUT
        } else if enabled(ier::THRE) && self.thre {
            iir::THRE
        } else if enabled(ier::MODEM_STATUS) && self.msr & msr::CHANGES != 0 {
            iir::MODEM_STATUS
        } else {
            iir::NONE
        }
    }

    /// What the modem lines are: looped back ones come from our own outputs.
    fn update_modem(&mut self) {
        let wired = |output, input| if self.mcr & output != 0 { input } else { 0 };
        let now = if self.looped() {
            wired(mcr::RTS, msr::CTS)
                | wired(mcr::DTR, msr::DSR)
                | wired(mcr::OUT1, msr::RI)
                | wired(mcr::OUT2, msr::DCD)
        } else {
            msr::CTS | msr::DSR | msr::DCD
        };
        let before = self.msr & !msr::CHANGES;
        let changed = (before ^ now) & !msr::RI | before & !now & msr::RI;
        self.msr = now | self.msr & msr::CHANGES | changed >> 4;
    }
}

impl Serial {
    /// `line` is the pin of the interrupt controller, `stream` what the cable leads to.
    pub fn new(name: &str, line: Arc<dyn Line>, stream: Arc<dyn Stream>) -> Arc<Serial> {
        let chip = Lock::new(Chip::new());
        Arc::new_cyclic(|me| Serial { name: name.to_string(), line, stream, me: me.clone(), chip })
    }

    fn load(&self, offset: u64) -> u8 {
        let mut chip = self.chip.lock();
        let value = match offset {
            register::DATA | register::IER if chip.latch() => chip.divisor.get(offset as usize).copied().unwrap_or(0),
            register::DATA => {
                let byte = chip.receiver.take();
                if !chip.receiver.has_data() {
                    self.receive(&mut chip);
                }
                byte
            }
            register::IER => chip.ier,
            register::IIR_FCR => {
                let pending = chip.pending();
                if pending == iir::THRE {
                    chip.thre = false;
                }
                pending | if chip.receiver.fifo() { iir::FIFOS } else { 0 }
            }
            register::LCR => chip.lcr,
            register::MCR => chip.mcr,
            register::LSR => {
                chip.polls = chip.polls.saturating_add(1);
                self.receive(&mut chip);
                let ready = if chip.receiver.has_data() { lsr::READY } else { 0 };
                let overrun = if std::mem::take(&mut chip.overrun) { lsr::OVERRUN } else { 0 };
                lsr::EMPTY | ready | overrun
            }
            register::MSR => {
                let value = chip.msr;
                chip.msr &= !msr::CHANGES;
                value
            }
            register::SCR => chip.scr,
            _ => 0xff,
        };
        self.update(&mut chip);
        value
    }

    fn store(&self, offset: u64, value: u8) {
        let mut chip = self.chip.lock();
        chip.polls = 0;
        match offset {
            register::DATA | register::IER if chip.latch() => {
                if let Some(half) = chip.divisor.get_mut(offset as usize) {
                    *half = value;
                }
            }
            register::DATA => {
                if chip.looped() {
                    chip.overrun |= !chip.receiver.put(value);
                } else {
                    // A system call for each byte, but output is never late: nothing says when the guest has finished.
                    self.stream.write(&[value]);
                }
                chip.thre = true;
            }
            register::IER => {
                let enabled = value & !chip.ier;
                chip.ier = value & ier::ALL;
                if enabled & ier::THRE != 0 {
                    chip.thre = true;
                }
                self.receive(&mut chip);
            }
            register::IIR_FCR => {
                chip.receiver.set_fifo(value & fcr::ENABLE != 0, value >> 6);
                if value & fcr::CLEAR_RECEIVER != 0 {
                    chip.receiver.clear();
                }
                self.receive(&mut chip);
            }
            register::LCR => chip.lcr = value,
            register::MCR => {
                chip.mcr = value & mcr::ALL;
                chip.update_modem();
                self.receive(&mut chip);
            }
            register::SCR => chip.scr = value,
            // Line and modem status are for factory tests, when written.
            _ => {}
        }
        self.update(&mut chip);
    }

    /// Takes from the stream what there is room for, if the guest wants it. The first time, input begins to be collected.
    fn receive(&self, chip: &mut Chip) {
        if !chip.wants_input() {
            return;
        }
        if !std::mem::replace(&mut chip.listening, true) {
            let me = self.me.clone();
            self.stream.listen(Arc::new(move || {
                if let Some(serial) = me.upgrade() {
                    let mut chip = serial.chip.lock();
                    serial.receive(&mut chip);
                    serial.update(&mut chip);
                }
            }));
        }
        chip.receiver.fill(|room| self.stream.read(room));
    }

    fn update(&self, chip: &mut Chip) {
        let asserted = chip.pending() != iir::NONE && chip.mcr & mcr::OUT2 != 0 && !chip.looped();
        if std::mem::replace(&mut chip.asserted, asserted) != asserted {
            self.line.set(asserted);
        }
    }
}

/// A wider access is one byte at each of several registers, as on the ISA bus.
impl Mmio for Serial {
    fn read(&self, offset: u64, data: &mut [u8]) {
        for (i, byte) in data.iter_mut().enumerate() {
            *byte = self.load(offset.saturating_add(i as u64));
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        for (i, byte) in data.iter().enumerate() {
            self.store(offset.saturating_add(i as u64), *byte);
        }
    }
}

impl Part for Serial {
    fn name(&self) -> &str {
        &self.name
    }

    fn reset(&self) -> Result<()> {
        let mut chip = self.chip.lock();
        *chip = Chip { asserted: chip.asserted, listening: chip.listening, ..Chip::new() };
        self.update(&mut chip);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
