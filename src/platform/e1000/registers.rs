//! The registers (SDM chapter 13) and the interrupt line that follows from them. Only this is touched by vCPUs: what is to
//! be done about a write beyond a register's value is an [`Effect`].

use super::eeprom::Eeprom;
use super::filter::Filter;
use super::names::*;
use super::phy::Phy;
use crate::irq::Line;
use std::sync::Arc;

const WORDS: usize = (END / 4) as usize;

/// What a write asks of the worker and of whoever wrote.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Effect {
    /// There may be something to do.
    pub kick: bool,
    /// The worker may touch guest memory in ways that it must not touch it any more.
    pub stop: bool,
}

const NOTHING: Effect = Effect { kick: false, stop: false };
const KICK: Effect = Effect { kick: true, stop: false };
const STOP: Effect = Effect { kick: false, stop: true };

/// A ring of descriptors, as the driver set it up (SDM 3.2.6, 3.4). Both ends lie within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    pub base: u64,
    /// Descriptors, up to 65536.
    pub count: u32,
    pub head: u32,
    pub tail: u32,
}

/// Bytes of a descriptor.
pub const DESCRIPTOR: u64 = 16;

impl Ring {
    /// Descriptors that are the card's.
    pub fn available(&self) -> u32 {
        if self.tail >= self.head { self.tail - self.head } else { self.count - self.head + self.tail }
    }

    /// Address of the descriptor at the head.
    pub fn at(&self) -> Option<u64> {
        self.base.checked_add(DESCRIPTOR * u64::from(self.head))
    }

    pub fn advance(&mut self) {
        self.head = if self.head + 1 == self.count { 0 } else { self.head + 1 };
    }
}

/// Frames that were sent or received.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub frames: u32,
    pub octets: u64,
    pub broadcast: u32,
    pub multicast: u32,
    /// Lost for want of room; too long.
    pub missed: u32,
    pub oversize: u32,
    /// Packets that were cut into segments.
    pub segmented: u32,
}

/// Bytes of the frame check sequence, which the counters count.
pub const FCS: usize = 4;

impl Tally {
    pub fn count(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.octets += (frame.len().max(60) + FCS) as u64;
        match frame.first_chunk::<6>() {
            Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => self.broadcast += 1,
            Some([first, ..]) if first & 1 == 1 => self.multicast += 1,
            _ => {}
        }
    }
}

pub struct Registers {
    words: Box<[u32; WORDS]>,
    eeprom: Eeprom,
    phy: Phy,
    mac: [u8; 6],
    line: Arc<dyn Line>,
    /// What the line was set to.
    asserted: bool,
    /// COMMAND's INTx Disable and Bus Master.
    pub intx_off: bool,
    pub master: bool,
    /// The cable is plugged in.
    cable: bool,
    /// Counts resets: what was begun before one is not to be seen after it.
    pub generation: u64,
    /// The receiver waits for descriptors.
    pub starved: bool,
}

impl Registers {
    pub fn new(mac: [u8; 6], eeprom: Eeprom, line: Arc<dyn Line>) -> Registers {
        let mut registers = Registers {
            words: Box::new([0; WORDS]),
            eeprom,
            phy: Phy::new(),
            mac,
            line,
            asserted: false,
            intx_off: false,
            master: false,
            cable: true,
            generation: 0,
            starved: false,
        };
        registers.reset();
        registers
    }

    /// CTRL.RST, and power-on. What PCI says, and the cable, stay as they are.
    pub fn reset(&mut self) {
        self.words.fill(0);
        self.eeprom.reset();
        self.phy.reset();
        self.generation += 1;
        self.starved = false;
        let [a, b, c, d, e, f] = self.mac;
        let fields = [
            (CTRL, ctrl::FD | ctrl::SLU | ctrl::SPEED_1000),
            (VET, 0x8100),
            (PBA, 0x0010_0030),
            (TIPG, 0x0060_2008),
            (RAL, u32::from_le_bytes([a, b, c, d])),
            (RAH, u32::from_le_bytes([e, f, 0, 0]) | 1 << 31),
            (LEDCTL, 0x0706_8302),
        ];
        fields.iter().for_each(|(at, value)| self.set(*at, *value));
        self.update();
    }

    pub fn get(&self, at: u32) -> u32 {
        self.words.get((at / 4) as usize).copied().unwrap_or(0)
    }

    fn set(&mut self, at: u32, value: u32) {
        if let Some(word) = self.words.get_mut((at / 4) as usize) {
            *word = value;
        }
    }

    /// The driver reads the word at `at`.
    pub fn read(&mut self, at: u32) -> u32 {
        match at & !3 {
            CTRL_DUP => self.get(CTRL),
            STATUS => self.status(),
            EECD => self.eeprom.eecd(),
            EERD => self.eeprom.eerd(),
            MDIC => self.phy.mdic(),
            ICR => {
                let causes = self.get(ICR);
                self.set(ICR, 0);
                self.update();
                causes
            }
            ICS | IMC => 0,
            // 64 bits: the high half clears both, the low one nothing (SDM 13.7.21).
            at @ (GORCL | GOTCL | TORL | TOTL) => self.get(at),
            at if STATISTICS.contains(&at) => {
                let value = self.get(at);
                self.set(at, 0);
                if matches!(at - 4, GORCL | GOTCL | TORL | TOTL) {
                    self.set(at - 4, 0);
                }
                value
            }
            at => self.get(at),
        }
    }

    /// SDM 13.4.2
    fn status(&self) -> u32 {
        status::FD | status::SPEED_1000 | if self.link() { status::LU } else { 0 }
    }

    fn link(&self) -> bool {
        self.cable && self.get(CTRL) & ctrl::SLU != 0
    }

    /// The driver writes the word at `at`.
    pub fn write(&mut self, at: u32, value: u32) -> Effect {
        match at & !3 {
            CTRL | CTRL_DUP => return self.control(value),
            EECD => self.eeprom.write_eecd(value),
            EERD => self.eeprom.write_eerd(value),
            MDIC => self.manage(value),
            // Ones clear.
            ICR => self.set(ICR, self.get(ICR) & !value),
            ICS => self.set(ICR, self.get(ICR) | value & cause::ALL),
            IMS => self.set(IMS, self.get(IMS) | value & cause::ALL),
            IMC => self.set(IMS, self.get(IMS) & !value),
            at @ (RCTL | TCTL) => return self.switch(at, value),
            // What is not the receiver's is the transmitter's: together 64 KiB.
            PBA => self.set(PBA, value & 0x3f | 0x40u32.saturating_sub(value & 0x3f) << 16),
            at => return self.plain(at, value),
        }
        self.update();
        NOTHING
    }

    fn plain(&mut self, at: u32, value: u32) -> Effect {
        self.set(at, value & writable(at) | self.get(at) & !writable(at));
        const TRANSMIT_TAIL: u32 = TDBAL + TAIL;
        const RECEIVE_TAIL: u32 = RDBAL + TAIL;
        match at {
            TRANSMIT_TAIL => KICK,
            RECEIVE_TAIL if std::mem::take(&mut self.starved) => KICK,
            _ => NOTHING,
        }
    }

    /// RCTL or TCTL.
    fn switch(&mut self, at: u32, value: u32) -> Effect {
        const { assert!(rctl::EN == tctl::EN) };
        let was = self.get(at) & rctl::EN != 0;
        self.set(at, value);
        self.starved &= at != RCTL;
        if was && value & rctl::EN == 0 { STOP } else { KICK }
    }

    fn control(&mut self, value: u32) -> Effect {
        if value & ctrl::RST != 0 {
            self.reset();
            return STOP;
        }
        let before = self.link();
        self.set(CTRL, value & !ctrl::PHY_RST);
        if value & ctrl::PHY_RST != 0 {
            self.phy.reset();
        }
        if self.link() != before || value & ctrl::PHY_RST != 0 {
            self.cause(cause::LSC);
        }
        NOTHING
    }

    fn manage(&mut self, value: u32) {
        let accessed = self.phy.write_mdic(value, self.cable);
        if accessed.interrupt {
            self.cause(cause::MDAC);
        }
        if accessed.negotiated && self.link() {
            self.cause(cause::LSC);
        }
    }

    /// Something happened that the driver may want to know.
    pub fn cause(&mut self, causes: u32) {
        self.set(ICR, self.get(ICR) | causes);
        self.update();
    }

    /// An interrupt is pending, whether it may use the line or not.
    pub fn pending(&self) -> bool {
        self.get(ICR) & self.get(IMS) != 0
    }

    /// Makes the line follow.
    pub fn update(&mut self) {
        let asserted = self.pending() && !self.intx_off;
        if asserted != self.asserted {
            self.asserted = asserted;
            self.line.set(asserted);
        }
    }

    pub fn set_cable(&mut self, plugged: bool) {
        if std::mem::replace(&mut self.cable, plugged) != plugged {
            self.cause(cause::LSC);
        }
    }

    /// Either ring is in use.
    pub fn running(&self) -> bool {
        (self.get(RCTL) | self.get(TCTL)) & rctl::EN != 0
    }

    /// The transmitter's ring (at [`TDBAL`]) or the receiver's, if that is on and may use memory, and makes sense.
    /// None for who does not know of the last reset.
    pub fn ring(&self, at: u32, generation: u64) -> Option<Ring> {
        let control = if at == TDBAL { TCTL } else { RCTL };
        let ring = Ring {
            base: u64::from(self.get(at + BASE_HIGH)) << 32 | u64::from(self.get(at)),
            count: self.get(at + LENGTH) / DESCRIPTOR as u32,
            head: self.get(at + HEAD),
            tail: self.get(at + TAIL),
        };
        let on = self.get(control) & rctl::EN != 0 && self.master && generation == self.generation;
        (on && ring.head < ring.count && ring.tail < ring.count).then_some(ring)
    }

    /// The card has used descriptors up to `head`. Says whether it was still the same ring: after a reset it is not.
    pub fn used(&mut self, at: u32, generation: u64, head: u32) -> bool {
        let same = generation == self.generation;
        if same {
            self.set(at + HEAD, head);
        }
        same
    }

    pub fn filter(&self) -> Filter<'_> {
        Filter::new(self)
    }

    /// SDM 13.7: counters stay at their largest value.
    pub fn count_received(&mut self, tally: &Tally) {
        let counters = [(GPRC, tally.frames), (TPR, tally.frames), (BPRC, tally.broadcast), (MPRC, tally.multicast)];
        counters.iter().for_each(|(at, n)| self.count(*at, *n));
        self.count(MPC, tally.missed);
        self.count(ROC, tally.oversize);
        self.count_octets(GORCL, tally.octets);
        self.count_octets(TORL, tally.octets);
    }

    pub fn count_sent(&mut self, tally: &Tally) {
        let counters = [(GPTC, tally.frames), (TPT, tally.frames), (BPTC, tally.broadcast), (MPTC, tally.multicast)];
        counters.iter().for_each(|(at, n)| self.count(*at, *n));
        self.count(TSCTC, tally.segmented);
        self.count_octets(GOTCL, tally.octets);
        self.count_octets(TOTL, tally.octets);
    }

    fn count(&mut self, at: u32, n: u32) {
        self.set(at, self.get(at).saturating_add(n));
    }

    fn count_octets(&mut self, at: u32, n: u64) {
        let sum = (u64::from(self.get(at + 4)) << 32 | u64::from(self.get(at))).saturating_add(n);
        self.set(at, sum as u32);
        self.set(at + 4, (sum >> 32) as u32);
    }
}

/// Which bits of a word without side effects the driver may write; none of one that does not exist.
fn writable(at: u32) -> u32 {
    for ring in [RDBAL, TDBAL] {
        match at.wrapping_sub(ring) {
            0 => return 0xffff_fff0,
            LENGTH => return 0x000f_ff80,
            HEAD | TAIL => return 0xffff,
            _ => {}
        }
    }
    const PLAIN: &[u32] = &[
        CTRL_EXT,
        FCAL,
        FCAL + 4,
        FCT,
        VET,
        ITR,
        FCTTV,
        TXCW,
        TIPG,
        AIFS,
        LEDCTL,
        FCRTL,
        FCRTH,
        RDBAL + BASE_HIGH,
        RDTR,
        RXDCTL,
        RADV,
        RSRPD,
        TDBAL + BASE_HIGH,
        TXDMAC,
        TIDV,
        TXDCTL,
        TADV,
        TSPMT,
        RXCSUM,
        WUC,
        WUFC,
        MANC,
    ];
    match at {
        RAL..0x5480 if at & 4 != 0 => 0x8003_ffff,
        MTA..0x5400 | RAL..0x5480 | VFTA..0x5800 => u32::MAX,
        _ if PLAIN.contains(&at) => u32::MAX,
        _ => 0,
    }
}
