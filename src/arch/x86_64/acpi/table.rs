//! The header and checksum that all tables share (ACPI 6.5, 5.2.6).

pub const OEM: [u8; 6] = *b"KILN  ";
pub const OEM_TABLE: [u8; 8] = *b"KILNPC  ";
pub const CREATOR: [u8; 4] = *b"KILN";

const HEADER: usize = 36;
const CHECKSUM: usize = 9;

/// A table of `signature` with this after its header.
pub fn table(signature: [u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let length = HEADER + body.len();
    let mut table = Vec::with_capacity(length);
    table.extend_from_slice(&signature);
    table.extend_from_slice(&(length as u32).to_le_bytes());
    table.extend_from_slice(&[revision, 0]);
    table.extend_from_slice(&OEM);
    table.extend_from_slice(&OEM_TABLE);
    table.extend_from_slice(&1u32.to_le_bytes());
    table.extend_from_slice(&CREATOR);
    table.extend_from_slice(&1u32.to_le_bytes());
    table.extend_from_slice(body);
    table[CHECKSUM] = checksum(&table);
    table
}

/// The byte that makes the sum of all zero, in place of a zero.
pub fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}
