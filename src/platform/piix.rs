//! The south bridge of a 440FX board, PIIX3 (Intel 82371SB): what its functions say they are.
//! Most of what hangs on its ISA bridge are parts of their own (the clock, the keyboard controller, KVM's interrupt chips).

use crate::irq::Line;
use crate::part::Part;
use crate::pci::{Class, Config, Function, Identity, Socket};
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;

/// The slot it has on every such board.
pub const SLOT: u8 = 1;

const INTEL: u16 = 0x8086;

/// Function 0.
const ISA: Identity = Identity {
    vendor: INTEL,
    device: 0x7000,
    revision: 0,
    class: Class(6, 1, 0),
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// PIRQ route control (data sheet, 2.2.8): where each of four PCI interrupts goes. Bit 7: nowhere.
const PIRQ: u16 = 0x60;
pub const PIRQS: usize = 4;
const NOWHERE: u8 = 1 << 7;
/// Interrupts that can be chosen: not the timer's, the keyboard's, the cascade's, the clock's and the FPU's.
const CHOICES: u16 = 0xdef8;
/// Interrupts of ISA.
pub const IRQS: u32 = 16;
const LINES: usize = IRQS as usize;

/// The ISA bridge, which also brings PCI interrupts to the interrupt controllers of a PC where firmware, or a kernel
/// that has no IOAPIC, has it so.
pub struct IsaBridge(Lock<State>);

struct State {
    config: Config,
    /// The four PCI interrupts, as they are now.
    asserted: [bool; PIRQS],
    /// ISA interrupts. Which of them are up here.
    lines: Vec<Arc<dyn Line>>,
    raised: [bool; LINES],
}

impl IsaBridge {
    /// `lines` are the 16 interrupts of ISA.
    pub fn new(lines: Vec<Arc<dyn Line>>) -> Arc<IsaBridge> {
        let state = State { config: power_on(), asserted: [false; PIRQS], lines, raised: [false; LINES] };
        Arc::new(IsaBridge(Lock::new(state)))
    }

    /// A line that is `line`, and PCI interrupt `pirq` as well.
    pub fn input(self: &Arc<IsaBridge>, pirq: usize, line: Arc<dyn Line>) -> Arc<dyn Line> {
        Arc::new(Input { bridge: self.clone(), pirq, line })
    }
}

fn power_on() -> Config {
    let mut config = Config::new(&ISA);
    config.set(PIRQ, &[NOWHERE; PIRQS]);
    config.allow(PIRQ, &[NOWHERE | 0xf; PIRQS]);
    config
}

impl State {
    /// Makes the ISA interrupts follow.
    fn route(&mut self) {
        let mut wanted = [false; LINES];
        for (register, asserted) in (PIRQ..).zip(self.asserted) {
            let route = self.config.u8(register);
            let there = route & NOWHERE == 0 && CHOICES >> (route & 0xf) & 1 == 1;
            wanted.iter_mut().skip(usize::from(route & 0xf)).take(1).for_each(|up| *up |= asserted && there);
        }
        for ((line, raised), wanted) in self.lines.iter().zip(&mut self.raised).zip(wanted) {
            if *raised != wanted {
                *raised = wanted;
                line.set(wanted);
            }
        }
    }
}

struct Input {
    bridge: Arc<IsaBridge>,
    pirq: usize,
    line: Arc<dyn Line>,
}

impl Line for Input {
    fn set(&self, asserted: bool) {
        self.line.set(asserted);
        let mut state = self.bridge.0.lock();
        state.asserted.iter_mut().skip(self.pirq).take(1).for_each(|input| *input = asserted);
        state.route();
    }
}

impl Function for IsaBridge {
    fn read(&self, offset: u16, data: &mut [u8]) {
        self.0.lock().config.read(offset, data);
    }

    fn write(&self, offset: u16, data: &[u8]) {
        let mut state = self.0.lock();
        state.config.write(offset, data);
        state.route();
    }

    fn plug(self: Arc<Self>, _socket: &Socket) -> Result<()> {
        Ok(())
    }
}

impl Part for IsaBridge {
    fn name(&self) -> &str {
        "piix3"
    }

    fn reset(&self) -> Result<()> {
        let mut state = self.0.lock();
        state.config = power_on();
        state.route();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
