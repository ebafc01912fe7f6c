//! ACPI tables (ACPI 6.5, 5.2): found, checked by their sums, and read for what the tests need.

use crate::port::{in32, out16};
use crate::{Result, ensure};
use alloc::format;
use alloc::vec::Vec;

/// A table that has been checked.
pub struct Table(&'static [u8]);

impl Table {
    pub fn signature(&self) -> &'static str {
        core::str::from_utf8(&self.0[..4]).unwrap_or("????")
    }

    pub fn bytes(&self, at: usize) -> &'static [u8] {
        self.0.get(at..).unwrap_or(&[])
    }

    /// A little-endian number of `N` bytes; fields beyond the end of an old table read as 0.
    pub fn number<const N: usize>(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        let field = self.bytes(at);
        let n = N.min(field.len());
        bytes[..n].copy_from_slice(&field[..n]);
        u64::from_le_bytes(bytes)
    }
}

fn memory(at: u64, len: usize) -> &'static [u8] {
    crate::cpu::map(at, len as u64);
    // SAFETY: mapped, and nobody changes firmware tables.
    unsafe { core::slice::from_raw_parts(at as *const u8, len) }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, b| sum.wrapping_add(*b))
}

/// All tables behind the RSDP: `hint`, or where BIOSes put it (5.2.5.1).
pub fn tables(hint: u64) -> Result<Vec<Table>> {
    let is_rsdp = |at: &u64| memory(*at, 8) == b"RSD PTR ";
    let mut places = (0xe_0000..0x10_0000).step_by(16);
    let scanned = places.find(is_rsdp);
    let rsdp = if hint != 0 && is_rsdp(&hint) { Some(hint) } else { scanned };
    let Some(rsdp) = rsdp else { return Err("there is no RSDP".into()) };
    ensure!(scanned.is_some(), "the RSDP at {rsdp:#x} is not where a BIOS puts it");
    let rsdp = memory(rsdp, 36);
    ensure!(sum(&rsdp[..20]) == 0 && sum(rsdp) == 0, "the RSDP's checksum is wrong");
    ensure!(rsdp[15] >= 2, "the RSDP has revision {}", rsdp[15]);
    let xsdt = table(u64::from_le_bytes(rsdp[24..32].try_into().unwrap_or_default()))?;
    ensure!(xsdt.signature() == "XSDT", "the RSDP leads to {}", xsdt.signature());
    let mut all = Vec::new();
    for entry in xsdt.bytes(36).as_chunks::<8>().0 {
        all.push(table(u64::from_le_bytes(*entry))?);
    }
    let fadt = all.iter().find(|t| t.signature() == "FACP");
    if let Some(at) = fadt.map(|fadt| fadt.number::<8>(140)).filter(|at| *at != 0) {
        all.push(table(at)?);
    } else if let Some(at) = fadt.map(|fadt| fadt.number::<4>(40)).filter(|at| *at != 0) {
        all.push(table(at)?);
    }
    Ok(all)
}

fn table(at: u64) -> Result<Table> {
    let header = memory(at, 36);
    let len = u32::from_le_bytes(header[4..8].try_into().unwrap_or_default()) as usize;
    ensure!((36..1 << 20).contains(&len), "the table at {at:#x} has length {len}");
    let table = Table(memory(at, len));
    ensure!(sum(table.0) == 0, "the checksum of {} is wrong", table.signature());
    Ok(table)
}

pub fn find<'a>(tables: &'a [Table], signature: &str) -> Result<&'a Table> {
    tables.iter().find(|t| t.signature() == signature).ok_or_else(|| format!("there is no {signature}"))
}

/// What MADT says (5.2.12).
pub struct Interrupts {
    /// APIC IDs of the usable processors.
    pub processors: Vec<u32>,
    pub local: u64,
    /// The IOAPIC's address and first GSI.
    pub ioapics: Vec<(u64, u32)>,
    /// Which GSI the timer (ISA line 0) has.
    pub timer: u32,
}

pub fn interrupts(tables: &[Table]) -> Result<Interrupts> {
    let madt = find(tables, "APIC")?;
    let mut out = Interrupts { processors: Vec::new(), local: madt.number::<4>(36), ioapics: Vec::new(), timer: 0 };
    let mut at = 44;
    while let [kind, len, ..] = *madt.bytes(at) {
        ensure!(len >= 2 && madt.bytes(at).len() >= len.into(), "MADT's entry at {at} has length {len}");
        match kind {
            0 if madt.number::<4>(at + 4) & 1 == 1 => out.processors.push(madt.number::<1>(at + 3) as u32),
            9 if madt.number::<4>(at + 8) & 1 == 1 => out.processors.push(madt.number::<4>(at + 4) as u32),
            1 => out.ioapics.push((madt.number::<4>(at + 4), madt.number::<4>(at + 8) as u32)),
            2 if madt.number::<1>(at + 3) == 0 => out.timer = madt.number::<4>(at + 4) as u32,
            _ => {}
        }
        at += usize::from(len);
    }
    Ok(out)
}

/// The PM timer (4.8.3.3): its port.
pub fn pm_timer(tables: &[Table]) -> Result<u16> {
    let port = find(tables, "FACP")?.number::<4>(76);
    ensure!(port != 0, "FADT names no PM timer");
    Ok(port as u16)
}

pub fn read_pm_timer(port: u16) -> u32 {
    in32(port) & 0xff_ffff
}

/// Switches the machine off (7.4.2, 16.1.6): the sleep type is in the DSDT's `\_S5` package.
pub fn power_off(tables: &[Table]) -> Result {
    let dsdt = find(tables, "DSDT")?.bytes(0);
    let found = dsdt.windows(5).position(|w| w == b"_S5_\x12");
    let Some(at) = found else { return Err("DSDT has no _S5_".into()) };
    // PackageOp PkgLength NumElements, then the first element: ZeroOp, OneOp, or BytePrefix and a byte.
    let sleep = match dsdt.get(at + 7..at + 9) {
        Some([0x0a, byte]) => *byte,
        Some([byte, _]) => *byte,
        _ => return Err("DSDT ends in _S5_".into()),
    };
    let control = find(tables, "FACP")?.number::<4>(64) as u16;
    out16(control, u16::from(sleep) << 10 | 1 << 13);
    Ok(())
}
