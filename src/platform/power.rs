//! Power management (ACPI 6.5, 4.8.3): power button, sleep control, the power management timer; and the reset
//! control register at port 0xcf9.
//!
//! ```text
//! offset  0  PM1a status   2 bytes, write 1 to clear
//!         2  PM1a enable   2
//!         4  PM1a control  2
//!         6  reads as 0
//!         8  PM timer      4, read only
//! ```
//! The timer's own interrupt (TMR_STS) does not exist: its carry never sets the bit, so nothing has to wake up for it.

use crate::bus::Mmio;
use crate::event::{Notify, Request};
use crate::irq::Line;
use crate::part::Part;
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Length of the window over event block, control block and timer.
pub const LEN: u64 = 12;

/// PM1 status and enable: power button.
const POWER_BUTTON: u16 = 1 << 8;
/// Enable bits that can be set: timer, global lock, power button, sleep button, RTC.
const ENABLE: u16 = 1 << 0 | 1 << 5 | POWER_BUTTON | 1 << 9 | 1 << 10;
/// PM1 control: ACPI mode, which is the only one here (FADT SMI_CMD is 0).
const SCI_EN: u16 = 1 << 0;
/// PM1 control: bus master wake-up, the only other bit that keeps its value beside the sleep type.
const BM_RLD: u16 = 1 << 1;
const SLP_TYP_SHIFT: u16 = 10;
const SLP_TYP: u16 = 7 << SLP_TYP_SHIFT;
const SLP_EN: u16 = 1 << 13;

/// ACPI 6.5, 4.8.3.3: ticks of the timer in a second.
const TIMER_HZ: u128 = 3_579_545;

pub struct Power {
    sci: Arc<dyn Line>,
    notify: Notify,
    /// SLP_TYP of S5, as the DSDT's \_S5 says.
    s5: u8,
    start: Instant,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    status: u16,
    enable: u16,
    control: u16,
}

impl State {
    fn sci(&self) -> bool {
        self.status & self.enable != 0
    }
}

impl Power {
    /// `sci` is the system control interrupt, `s5` the sleep type that powers off.
    pub fn new(sci: Arc<dyn Line>, s5: u8, notify: Notify) -> Power {
        Power { sci, notify, s5, start: Instant::now(), state: Lock::default() }
    }

    /// The power button goes down: the guest shuts down if it wants to.
    pub fn press_button(&self) {
        self.change(|state| state.status |= POWER_BUTTON);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        let before = state.sci();
        change(&mut state);
        if state.sci() != before {
            self.sci.set(!before);
        }
    }

    /// All registers at one moment.
    fn image(&self) -> [u8; LEN as usize] {
        let state = self.state.lock();
        let [s0, s1] = state.status.to_le_bytes();
        let [e0, e1] = state.enable.to_le_bytes();
        let [c0, c1] = (state.control | SCI_EN).to_le_bytes();
        let [t0, t1, t2, t3] = ticks(self.start.elapsed()).to_le_bytes();
        [s0, s1, e0, e1, c0, c1, 0, 0, t0, t1, t2, t3]
    }
}

/// The timer's value, which wraps.
fn ticks(since_power_on: Duration) -> u32 {
    (since_power_on.as_nanos().wrapping_mul(TIMER_HZ) / 1_000_000_000) as u32
}

/// `register` with its low (`high` false) or high byte replaced.
fn with_byte(register: u16, high: bool, byte: u8) -> u16 {
    let [low, top] = register.to_le_bytes();
    u16::from_le_bytes(if high { [low, byte] } else { [byte, top] })
}

impl Mmio for Power {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let image = self.image();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = image.get(start..).unwrap_or_default();
        data.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// Byte by byte: no bit's effect needs two of them (sleep type and sleep enable share one).
    fn write(&self, offset: u64, data: &[u8]) {
        let mut off = false;
        self.change(|state| {
            for (at, &byte) in (offset..LEN).zip(data) {
                let high = at & 1 == 1;
                match at {
                    0 | 1 => state.status &= !with_byte(0, high, byte),
                    2 | 3 => state.enable = with_byte(state.enable, high, byte) & ENABLE,
                    4 | 5 => {
                        let value = with_byte(state.control, high, byte);
                        state.control = value & (BM_RLD | SLP_TYP);
                        off |= value & SLP_EN != 0 && (value & SLP_TYP) >> SLP_TYP_SHIFT == u16::from(self.s5);
                    }
                    _ => {}
                }
            }
        });
        if off {
            (self.notify)(Request::Shutdown);
        }
    }
}

impl Part for Power {
    fn name(&self) -> &str {
        "power"
    }

    fn reset(&self) -> Result<()> {
        self.change(|state| *state = State::default());
        Ok(())
    }
}

/// Reset control register (PIIX/ICH): bit 2 resets, bit 1 chooses a hard reset, which every reset here is.
/// It lies among the PCI configuration ports, so its window is the single byte 0xcf9.
pub struct ResetPort {
    notify: Notify,
    value: Lock<u8>,
}

const RESET_CPU: u8 = 1 << 2;
/// The bits that can be read back: full reset, hard reset.
const RESET_KIND: u8 = 1 << 3 | 1 << 1;

impl ResetPort {
    pub fn new(notify: Notify) -> ResetPort {
        ResetPort { notify, value: Lock::default() }
    }
}

impl Mmio for ResetPort {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some(byte) = data.first_mut() {
            *byte = *self.value.lock();
        }
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        let Some(&value) = data.first() else { return };
        *self.value.lock() = value & RESET_KIND;
        if value & RESET_CPU != 0 {
            (self.notify)(Request::Reset);
        }
    }
}

impl Part for ResetPort {
    fn name(&self) -> &str {
        "reset"
    }

    fn reset(&self) -> Result<()> {
        *self.value.lock() = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
