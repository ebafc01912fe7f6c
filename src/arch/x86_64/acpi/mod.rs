//! The ACPI tables (ACPI 6.5), written into guest memory at start and after every reset.
//!
//! ```text
//! 0xe0000 RSDP -> RSDT, XSDT -> FADT -> FACS (at 0xe0040)
//!                            |       -> DSDT
//!                            -> MADT   processors, IOAPIC
//!                            -> MCFG   PCI configuration space (ECAM), where there is PCI
//! ```

mod dsdt;
mod fixed;
mod loader;
mod madt;
mod table;

pub use loader::{Files, files};

use super::layout;
use crate::mem::Memory;
use anyhow::{Context, Result, ensure};

/// What the tables describe.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// Of every vCPU, by index (cpuid::apic_ids).
    pub apic_ids: Vec<u32>,
    /// ttyS0 and so on.
    pub serial_ports: usize,
    pub pci: Option<PciWindows>,
    pub virtio_mmio: Vec<MmioWindow>,
    pub pvpanic: bool,
    /// Somebody may type: the guest is told of the keyboard controller, which takes its driver some time.
    pub keyboard: bool,
    /// Firmware puts the tables into memory, and PCI has no ECAM.
    pub firmware: bool,
}

/// Where the PCI host bridge forwards to, as (base, length in bytes): windows for BARs below and above 4 GiB.
/// A window of length 0 is not there.
#[derive(Debug, Clone, Copy)]
pub struct PciWindows {
    pub mmio32: (u64, u64),
    pub mmio64: (u64, u64),
}

/// One virtio-mmio device, below 4 GiB.
#[derive(Debug, Clone, Copy)]
pub struct MmioWindow {
    pub base: u64,
    /// Bytes.
    pub len: u64,
    /// Edge triggered.
    pub gsi: u32,
}

/// Offsets from layout::ACPI. The FACS wants a multiple of 64 (ACPI 6.5, 5.2.10).
const FACS: usize = 0x40;
const TABLES: usize = 0x80;

/// Puts all tables at layout::ACPI. Errors when they do not fit, or the board has a device where none can be.
pub fn write(memory: &Memory, board: &Board) -> Result<()> {
    let image = image(board, layout::ACPI as u32)?;
    let room = layout::ACPI_END - layout::ACPI;
    ensure!(image.bytes.len() as u64 <= room, "ACPI tables of {} bytes, room for {room}", image.bytes.len());
    memory.write(layout::ACPI, &image.bytes).context("write ACPI tables")
}

/// The tables as they are at `base`.
fn image(board: &Board, base: u32) -> Result<Image> {
    let mut image = Image { bytes: vec![0; TABLES], base, tables: Vec::new() };
    let dsdt = image.add(&dsdt::dsdt(board)?);
    let mut tables = vec![image.add(&fixed::fadt(board, dsdt, image.address(FACS)))];
    tables.push(image.add(&madt::madt(board)));
    if board.pci.is_some() && !board.firmware {
        tables.push(image.add(&fixed::mcfg()));
    }
    let rsdt = image.add(&fixed::rsdt(&tables));
    let xsdt = image.add(&fixed::xsdt(&tables));
    image.put(0, &fixed::rsdp(rsdt, xsdt));
    image.put(FACS, &fixed::facs());
    Ok(image)
}

struct Image {
    bytes: Vec<u8>,
    base: u32,
    /// Signature, offset and length of each table with a header.
    tables: Vec<([u8; 4], usize, usize)>,
}

impl Image {
    /// Where a byte of the image is for the guest. It fits: the length is checked at the end.
    fn address(&self, offset: usize) -> u32 {
        self.base.saturating_add(offset as u32)
    }

    /// Appends a table; says its address.
    fn add(&mut self, table: &[u8]) -> u32 {
        let at = self.bytes.len().next_multiple_of(16);
        self.bytes.resize(at, 0);
        self.bytes.extend_from_slice(table);
        let signature = table.first_chunk().copied().unwrap_or_default();
        self.tables.push((signature, at, table.len()));
        self.address(at)
    }

    fn put(&mut self, at: usize, table: &[u8]) {
        for (byte, new) in self.bytes.iter_mut().skip(at).zip(table) {
            *byte = *new;
        }
    }
}

#[cfg(test)]
mod tests;
