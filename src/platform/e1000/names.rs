//! Offsets and bits of the registers, by the manual's names: "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
//! Developer's Manual" (Intel 317453, here "SDM"), chapter 13.

pub const CTRL: u32 = 0x0000;
/// The same register again.
pub const CTRL_DUP: u32 = 0x0004;
pub const STATUS: u32 = 0x0008;
pub const EECD: u32 = 0x0010;
pub const EERD: u32 = 0x0014;
pub const CTRL_EXT: u32 = 0x0018;
pub const MDIC: u32 = 0x0020;
pub const FCAL: u32 = 0x0028;
pub const FCT: u32 = 0x0030;
/// VLAN Ether Type.
pub const VET: u32 = 0x0038;
/// Interrupt causes: read, throttle, set; mask: set, clear.
pub const ICR: u32 = 0x00c0;
pub const ITR: u32 = 0x00c4;
pub const ICS: u32 = 0x00c8;
pub const IMS: u32 = 0x00d0;
pub const IMC: u32 = 0x00d8;
pub const RCTL: u32 = 0x0100;
pub const FCTTV: u32 = 0x0170;
pub const TXCW: u32 = 0x0178;
pub const TCTL: u32 = 0x0400;
pub const TIPG: u32 = 0x0410;
pub const AIFS: u32 = 0x0458;
pub const LEDCTL: u32 = 0x0e00;
pub const PBA: u32 = 0x1000;
pub const FCRTL: u32 = 0x2160;
pub const FCRTH: u32 = 0x2168;
/// A ring: base address (low, high), length, head and tail, at these distances from the first.
pub const RDBAL: u32 = 0x2800;
pub const TDBAL: u32 = 0x3800;
pub const BASE_HIGH: u32 = 0x04;
pub const LENGTH: u32 = 0x08;
pub const HEAD: u32 = 0x10;
pub const TAIL: u32 = 0x18;
pub const RDTR: u32 = 0x2820;
pub const RXDCTL: u32 = 0x2828;
pub const RADV: u32 = 0x282c;
pub const RSRPD: u32 = 0x2c00;
pub const TXDMAC: u32 = 0x3000;
pub const TIDV: u32 = 0x3820;
pub const TXDCTL: u32 = 0x3828;
pub const TADV: u32 = 0x382c;
pub const TSPMT: u32 = 0x3830;
pub const RXCSUM: u32 = 0x5000;
/// Multicast table array: 128 words.
pub const MTA: u32 = 0x5200;
/// Receive addresses: 16 pairs of low and high word.
pub const RAL: u32 = 0x5400;
pub const RAH: u32 = 0x5404;
/// VLAN filter table array: 128 words.
pub const VFTA: u32 = 0x5600;
pub const WUC: u32 = 0x5800;
pub const WUFC: u32 = 0x5808;
pub const MANC: u32 = 0x5820;
/// The registers end here; statistics (SDM 13.7) are at 0x4000 to 0x40ff.
pub const END: u32 = 0x5900;

pub const STATISTICS: std::ops::Range<u32> = 0x4000..0x4100;
/// Missed packets, receive oversize.
pub const MPC: u32 = 0x4010;
pub const ROC: u32 = 0x40ac;
/// Good packets received and sent: all, broadcast, multicast.
pub const GPRC: u32 = 0x4074;
pub const BPRC: u32 = 0x4078;
pub const MPRC: u32 = 0x407c;
pub const GPTC: u32 = 0x4080;
pub const BPTC: u32 = 0x40f4;
pub const MPTC: u32 = 0x40f0;
/// Octets, 64 bits each: good ones received and sent, and all of them.
pub const GORCL: u32 = 0x4088;
pub const GOTCL: u32 = 0x4090;
pub const TORL: u32 = 0x40c0;
pub const TOTL: u32 = 0x40c8;
/// Total packets received and sent.
pub const TPR: u32 = 0x40d0;
pub const TPT: u32 = 0x40d4;
/// TCP segmentation contexts.
pub const TSCTC: u32 = 0x40f8;

/// SDM 13.4.1
pub mod ctrl {
    pub const FD: u32 = 1 << 0;
    pub const SLU: u32 = 1 << 6;
    pub const SPEED_1000: u32 = 2 << 8;
    pub const RST: u32 = 1 << 26;
    pub const VME: u32 = 1 << 30;
    pub const PHY_RST: u32 = 1 << 31;
}

/// SDM 13.4.2
pub mod status {
    pub const FD: u32 = 1 << 0;
    pub const LU: u32 = 1 << 1;
    pub const SPEED_1000: u32 = 2 << 6;
}

/// SDM 13.4.17
pub mod cause {
    pub const TXDW: u32 = 1 << 0;
    pub const TXQE: u32 = 1 << 1;
    pub const LSC: u32 = 1 << 2;
    pub const RXDMT0: u32 = 1 << 4;
    pub const RXT0: u32 = 1 << 7;
    pub const MDAC: u32 = 1 << 9;
    /// All there are.
    pub const ALL: u32 = 0x0001_f7df;
}

/// SDM 13.4.22
pub mod rctl {
    pub const EN: u32 = 1 << 1;
    pub const UPE: u32 = 1 << 3;
    pub const MPE: u32 = 1 << 4;
    pub const LPE: u32 = 1 << 5;
    pub const BAM: u32 = 1 << 15;
    pub const VFE: u32 = 1 << 18;
    pub const BSEX: u32 = 1 << 25;
    pub const SECRC: u32 = 1 << 26;
}

/// SDM 13.4.33
pub mod tctl {
    pub const EN: u32 = 1 << 1;
    pub const PSP: u32 = 1 << 3;
}

/// SDM 13.4.54
pub mod rxcsum {
    pub const IPOFL: u32 = 1 << 8;
    pub const TUOFL: u32 = 1 << 9;
}
