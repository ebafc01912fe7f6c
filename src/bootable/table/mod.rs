//! Partition tables: GPT (UEFI 2.10, chapter 5), and the older one in the master boot record.

mod gpt;
mod mbr;

use super::disk::Part;
use anyhow::Result;

/// How partitions are numbered and named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Gpt,
    Mbr,
}

impl Scheme {
    /// GRUB's name.
    pub fn grub(self) -> &'static str {
        match self {
            Scheme::Gpt => "gpt",
            Scheme::Mbr => "msdos",
        }
    }
}

/// A partition, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// As Linux numbers them, from 1.
    pub number: u32,
    pub start: u64,
    pub len: u64,
    /// What `root=PARTUUID=` calls it.
    pub uuid: String,
}

#[derive(Debug)]
pub struct Table {
    pub scheme: Scheme,
    pub partitions: Vec<Partition>,
    /// What is wrong with it and does no harm.
    pub remarks: Vec<String>,
}

/// None: it has no partition table.
pub fn read(disk: &Part) -> Result<Option<Table>> {
    match gpt::read(disk)? {
        Some(table) => Ok(Some(table)),
        None => mbr::read(disk),
    }
}

/// Whether the first sector holds an old partition table that makes sense.
pub fn has_mbr(sector: &[u8]) -> bool {
    mbr::is(sector)
}

#[cfg(test)]
mod tests;
