//! The tables for firmware, which puts them where it likes: two files, and a script that says which of their fields are
//! addresses and checksums (QEMU: hw/acpi/bios-linker-loader.c; the same in SeaBIOS's romfile_loader and OVMF).

use super::{Board, FACS, image};
use anyhow::{Context, Result};

/// Names of the files for the firmware configuration device.
pub const TABLES_FILE: &str = "etc/acpi/tables";
pub const RSDP_FILE: &str = "etc/acpi/rsdp";
pub const LOADER_FILE: &str = "etc/table-loader";

/// Bytes of a command, and of a file name in it.
const COMMAND: usize = 128;
const NAME: usize = 56;
const RSDP: usize = 36;

/// By name.
pub struct Files(pub [(&'static str, Vec<u8>); 3]);

/// Where the first checksum of an RSDP is and what it is of, and the second (ACPI 6.5, 5.2.5.3).
const RSDP_CHECKSUMS: [(usize, usize); 2] = [(8, 20), (32, RSDP)];
const CHECKSUM: usize = 9;
const HEADER: usize = 36;
/// FADT: FIRMWARE_CTRL, DSDT, X_DSDT with their lengths (5.2.9).
const FADT_POINTERS: [(usize, u8); 3] = [(36, 4), (40, 4), (140, 8)];

pub fn files(board: &Board) -> Result<Files> {
    // Addresses are offsets into the file: the firmware adds where that is.
    let image = image(board, 0)?;
    let mut tables = image.bytes;
    let mut rsdp = tables.get(..RSDP).context("an image without RSDP")?.to_vec();
    tables.iter_mut().take(FACS).for_each(|byte| *byte = 0);
    let mut script = Script::default();
    script.allocate(RSDP_FILE, 16, Zone::Low);
    script.allocate(TABLES_FILE, FACS as u32, Zone::High);
    for (signature, at, len) in &image.tables {
        let pointers: Vec<_> = match signature {
            b"FACP" => FADT_POINTERS.to_vec(),
            b"RSDT" => (HEADER..*len).step_by(4).map(|at| (at, 4)).collect(),
            b"XSDT" => (HEADER..*len).step_by(8).map(|at| (at, 8)).collect(),
            _ => continue,
        };
        for (field, len) in pointers {
            script.pointer((TABLES_FILE, at + field), len);
        }
        tables.iter_mut().skip(at + CHECKSUM).take(1).for_each(|byte| *byte = 0);
        script.checksum((TABLES_FILE, at + CHECKSUM), *at, *len);
    }
    script.pointer((RSDP_FILE, 16), 4);
    script.pointer((RSDP_FILE, 24), 8);
    for (field, len) in RSDP_CHECKSUMS {
        rsdp.iter_mut().skip(field).take(1).for_each(|byte| *byte = 0);
        script.checksum((RSDP_FILE, field), 0, len);
    }
    Ok(Files([(TABLES_FILE, tables), (RSDP_FILE, rsdp), (LOADER_FILE, script.0)]))
}

/// Where memory for a file is.
#[derive(Clone, Copy)]
enum Zone {
    High = 1,
    /// Where guests scan for the RSDP.
    Low = 2,
}

#[derive(Default)]
struct Script(Vec<u8>);

impl Script {
    fn command(&mut self, number: u32, parts: &[&[u8]]) {
        let end = self.0.len() + COMMAND;
        self.0.extend_from_slice(&number.to_le_bytes());
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        self.0.resize(end, 0);
    }

    /// Puts a file into memory.
    fn allocate(&mut self, file: &str, align: u32, zone: Zone) {
        self.command(1, &[&name(file), &align.to_le_bytes(), &[zone as u8]]);
    }

    /// Adds the address of the tables to a field.
    fn pointer(&mut self, (file, at): (&str, usize), len: u8) {
        self.command(2, &[&name(file), &name(TABLES_FILE), &(at as u32).to_le_bytes(), &[len]]);
    }

    /// Makes the sum of `len` bytes from `start` zero by the byte at `at`.
    fn checksum(&mut self, (file, at): (&str, usize), start: usize, len: usize) {
        let words = [at, start, len].map(|word| (word as u32).to_le_bytes());
        self.command(3, &[&name(file), words.as_flattened()]);
    }
}

fn name(file: &str) -> [u8; NAME] {
    let mut field = [0; NAME];
    field.iter_mut().zip(file.bytes()).for_each(|(to, from)| *to = from);
    field
}

#[cfg(test)]
mod tests;
