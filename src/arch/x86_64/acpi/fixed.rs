//! Tables of a fixed form: RSDP, RSDT, XSDT, FADT, FACS, MCFG.

use super::super::layout;
use super::Board;
use super::table::{CREATOR, OEM, OEM_TABLE, checksum, table};
use acpi_tables::Aml;
use acpi_tables::fadt::{FADTBuilder, Flags, PmProfile};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};

/// Bytes of the PM1a registers and the timer (ACPI 6.5, 4.8.3).
const PM1_EVENT_LEN: u8 = 4;
const PM1_CONTROL_LEN: u8 = 2;
const PM_TIMER_LEN: u8 = 4;
/// What the reset register wants to be written.
const RESET_VALUE: u8 = 6;
/// Byte of the CMOS memory that has the century.
const CENTURY: u8 = 0x32;

/// ACPI 6.5, 5.2.5.3. The first checksum is of the 20 bytes that ACPI 1.0 knows.
pub fn rsdp(rsdt: u32, xsdt: u32) -> [u8; 36] {
    const V1: usize = 20;
    let mut rsdp = [0; 36];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(&OEM);
    rsdp[15] = 2;
    rsdp[16..20].copy_from_slice(&rsdt.to_le_bytes());
    rsdp[8] = checksum(&rsdp[..V1]);
    rsdp[20..24].copy_from_slice(&36u32.to_le_bytes());
    rsdp[24..32].copy_from_slice(&u64::from(xsdt).to_le_bytes());
    rsdp[32] = checksum(&rsdp);
    rsdp
}

pub fn rsdt(tables: &[u32]) -> Vec<u8> {
    let body: Vec<u8> = tables.iter().flat_map(|at| at.to_le_bytes()).collect();
    table(*b"RSDT", 1, &body)
}

pub fn xsdt(tables: &[u32]) -> Vec<u8> {
    let body: Vec<u8> = tables.iter().flat_map(|at| u64::from(*at).to_le_bytes()).collect();
    table(*b"XSDT", 1, &body)
}

/// ACPI 6.5, 5.2.9: the full hardware model, always in ACPI mode (no SMI command port), with the power button as a
/// fixed event and no general-purpose events.
pub fn fadt(board: &Board, dsdt: u32, facs: u32) -> Vec<u8> {
    const LEGACY_DEVICES: u16 = 1 << 0;
    const KEYBOARD_CONTROLLER: u16 = 1 << 1;
    const VGA_NOT_PRESENT: u16 = 1 << 2;
    /// Too slow to be used: there are no C2 and C3 (ACPI 6.5, table 5.9).
    const NO_C2: u16 = 101;
    const NO_C3: u16 = 1001;

    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, 1).preferred_pm_profile(PmProfile::EnterpriseServer);
    for flag in [
        Flags::Wbinvd,
        Flags::ProcC1,
        Flags::SlpButton, // there is no fixed sleep button
        Flags::FixRtc,    // the clock wakes nobody
        Flags::TmrValExt,
        Flags::ResetRegSup,
    ] {
        fadt = fadt.flag(flag);
    }
    fadt.creator_id = CREATOR;
    fadt.firmware_ctrl = facs.into();
    fadt.dsdt = dsdt.into();
    fadt.x_dsdt = u64::from(dsdt).into();
    fadt.sci_int = (layout::IRQ_SCI as u16).into();
    fadt.pm1a_evt_blk = u32::from(layout::PM1A_EVENT).into();
    fadt.pm1_evt_len = PM1_EVENT_LEN;
    fadt.x_pm1a_evt_blk = port(layout::PM1A_EVENT, PM1_EVENT_LEN, AccessSize::WordAccess);
    fadt.pm1a_cnt_blk = u32::from(layout::PM1A_CONTROL).into();
    fadt.pm1_cnt_len = PM1_CONTROL_LEN;
    fadt.x_pm1a_cnt_blk = port(layout::PM1A_CONTROL, PM1_CONTROL_LEN, AccessSize::WordAccess);
    fadt.pm_tmr_blk = u32::from(layout::PM_TIMER).into();
    fadt.pm_tmr_len = PM_TIMER_LEN;
    fadt.x_pm_tmr_blk = port(layout::PM_TIMER, PM_TIMER_LEN, AccessSize::DwordAccess);
    fadt.p_lvl2_lat = NO_C2.into();
    fadt.p_lvl3_lat = NO_C3.into();
    fadt.century = CENTURY;
    // Where nobody types, nobody need look for a keyboard: the controller is there for its reset line.
    let keyboard = if board.keyboard { KEYBOARD_CONTROLLER } else { 0 };
    fadt.iapc_boot_arch = (LEGACY_DEVICES | keyboard | VGA_NOT_PRESENT).into();
    fadt.reset_reg = port(layout::RESET, 1, AccessSize::ByteAccess);
    fadt.reset_value = RESET_VALUE;
    let mut bytes = Vec::with_capacity(acpi_tables::fadt::FADT::len());
    fadt.finalize().to_aml_bytes(&mut bytes);
    bytes
}

fn port(port: u16, bytes: u8, access: AccessSize) -> GAS {
    GAS::new(AddressSpace::SystemIo, bytes * 8, 0, access, port.into())
}

/// ACPI 6.5, 5.2.10. Nothing ever wakes by it: there is no sleep but power-off.
pub fn facs() -> Vec<u8> {
    let mut facs = acpi_tables::facs::FACS::new();
    facs.version = 2;
    let mut bytes = Vec::new();
    facs.to_aml_bytes(&mut bytes);
    bytes
}

/// PCI firmware 3.3, 4.1.2: one segment, all its buses.
pub fn mcfg() -> Vec<u8> {
    const RESERVED: usize = 8;
    let mut body = vec![0; RESERVED];
    body.extend_from_slice(&layout::ECAM.to_le_bytes());
    body.extend_from_slice(&0u16.to_le_bytes()); // segment
    body.extend_from_slice(&[0, (layout::ECAM_BUSES - 1) as u8]);
    body.extend_from_slice(&[0; 4]);
    table(*b"MCFG", 1, &body)
}
