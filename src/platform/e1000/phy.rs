//! The transceiver, an M88E1011 at address 1 of the management bus (SDM chapter 11; IEEE 802.3, 22.2.4), reached through
//! MDIC (13.4.7). Its cable either is plugged in, and then 1000 Mb/s full duplex were negotiated at once, or it is not.

const ADDRESS: u32 = 1;

/// MDIC bits and fields.
const WRITE: u32 = 1;
const READ: u32 = 2;
const READY: u32 = 1 << 28;
const INTERRUPT: u32 = 1 << 29;
const ERROR: u32 = 1 << 30;

/// Register 0: reset and the restart of autonegotiation clear themselves.
const RESET: u16 = 1 << 15;
const AUTONEGOTIATE: u16 = 1 << 12;
const RESTART: u16 = 1 << 9;

/// Registers 2 and 3: who it is. Linux insists on this one for a 82540.
const ID: [u16; 2] = [0x0141, 0x0c20];

pub struct Phy {
    registers: [u16; 32],
    /// MDIC.
    access: u32,
}

/// What an access through MDIC means for the rest of the card.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accessed {
    /// An interrupt was asked for.
    pub interrupt: bool,
    /// The link was negotiated anew.
    pub negotiated: bool,
}

impl Phy {
    pub fn new() -> Phy {
        let mut phy = Phy { registers: [0; 32], access: READY };
        phy.reset();
        phy
    }

    /// SDM 11.3: what is there after a reset.
    pub fn reset(&mut self) {
        self.registers = [0; 32];
        let fields = [
            // Autonegotiation, full duplex, 1000 Mb/s.
            (0, 0x1140),
            (2, ID[0]),
            (3, ID[1]),
            // Advertised, and the partner's abilities: 10 and 100, both duplex modes; acknowledged.
            (4, 0x01e1),
            (5, 0x41e1),
            (6, 0x0001),
            // 1000BASE-T: advertised; the partner can, and both receivers are well.
            (9, 0x0300),
            (10, 0x3c00),
            // 1000BASE-T in both duplex modes.
            (15, 0x3000),
            (16, 0x0360),
            (20, 0x0d60),
        ];
        for (at, value) in fields {
            self.set(at, value);
        }
    }

    fn set(&mut self, at: usize, value: u16) {
        if let Some(register) = self.registers.get_mut(at) {
            *register = value;
        }
    }

    pub fn mdic(&self) -> u32 {
        self.access
    }

    /// Every access is done at once.
    pub fn write_mdic(&mut self, value: u32, link: bool) -> Accessed {
        let (phy, register) = (value >> 21 & 0x1f, (value >> 16 & 0x1f) as usize);
        let mut accessed = Accessed { interrupt: value & INTERRUPT != 0, negotiated: false };
        self.access = value & !(ERROR | 1 << 31) | READY;
        match value >> 26 & 3 {
            READ if phy == ADDRESS => self.access = self.access & !0xffff | u32::from(self.read(register, link)),
            WRITE if phy == ADDRESS => accessed.negotiated = self.write(register, value as u16),
            // Nobody answers there.
            _ => self.access |= ERROR,
        }
        accessed
    }

    fn read(&self, register: usize, link: bool) -> u16 {
        match register {
            // What it can; link, negotiation complete. Then (M88) 1000 Mb/s full duplex, resolved, link.
            1 if link => 0x796d,
            1 => 0x7949,
            17 if link => 0xac00,
            17 => 0x8000,
            5 | 10 if !link => 0,
            _ => self.registers.get(register).copied().unwrap_or(0),
        }
    }

    /// True when the link is negotiated anew.
    fn write(&mut self, register: usize, value: u16) -> bool {
        match register {
            0 => {
                if value & RESET != 0 {
                    self.reset();
                } else {
                    self.set(0, value & !RESTART);
                }
                value & RESET != 0 || value & (AUTONEGOTIATE | RESTART) == AUTONEGOTIATE | RESTART
            }
            4 | 7 | 9 | 16 | 18 | 20 | 22 | 24..=30 => {
                self.set(register, value);
                false
            }
            _ => false,
        }
    }
}
