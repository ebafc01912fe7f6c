//! The MADT: processors and interrupt controllers (ACPI 6.5, 5.2.12).

use super::super::layout;
use super::Board;
use super::table::table;

const REVISION: u8 = 5;
/// There are PICs as well.
const PCAT_COMPAT: u32 = 1;
const ENABLED: u32 = 1;
/// The NMI input of every local APIC.
const LINT_NMI: u8 = 1;
const ACTIVE_HIGH_LEVEL: u16 = 1 | 3 << 2;

pub fn madt(board: &Board) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 + 16 * board.apic_ids.len());
    body.extend_from_slice(&(layout::LAPIC as u32).to_le_bytes());
    body.extend_from_slice(&PCAT_COMPAT.to_le_bytes());
    let mut wide = false;
    for (uid, id) in (0u32..).zip(&board.apic_ids) {
        match (u8::try_from(uid), u8::try_from(*id)) {
            // 255 is no id, but the address of all.
            (Ok(uid), Ok(id)) if id < u8::MAX => local_apic(&mut body, uid, id),
            _ => {
                local_x2apic(&mut body, uid, *id);
                wide = true;
            }
        }
    }
    io_apic(&mut body);
    override_of(&mut body, layout::IRQ_SCI as u8, layout::IRQ_SCI, ACTIVE_HIGH_LEVEL);
    // The NMI input of all processors, which the two kinds of entry name apart.
    body.extend_from_slice(&[4, 6, 0xff, 0, 0, LINT_NMI]);
    if wide {
        body.extend_from_slice(&[0xa, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, LINT_NMI, 0, 0, 0]);
    }
    table(*b"APIC", REVISION, &body)
}

fn local_apic(body: &mut Vec<u8>, uid: u8, id: u8) {
    body.extend_from_slice(&[0, 8, uid, id]);
    body.extend_from_slice(&ENABLED.to_le_bytes());
}

fn local_x2apic(body: &mut Vec<u8>, uid: u32, id: u32) {
    body.extend_from_slice(&[9, 16, 0, 0]);
    for word in [id, ENABLED, uid] {
        body.extend_from_slice(&word.to_le_bytes());
    }
}

/// KVM's has id 0 at power-on.
fn io_apic(body: &mut Vec<u8>) {
    body.extend_from_slice(&[1, 12, 0, 0]);
    body.extend_from_slice(&(layout::IOAPIC as u32).to_le_bytes());
    body.extend_from_slice(&0u32.to_le_bytes()); // its first interrupt
}

/// An ISA interrupt that is not edge triggered, or not where its number says.
fn override_of(body: &mut Vec<u8>, irq: u8, gsi: u32, flags: u16) {
    body.extend_from_slice(&[2, 10, 0, irq]);
    body.extend_from_slice(&gsi.to_le_bytes());
    body.extend_from_slice(&flags.to_le_bytes());
}
