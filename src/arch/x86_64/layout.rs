//! Every fixed address and interrupt number.
//!
//! ```text
//! guest physical memory
//!              0  real-mode vectors, BIOS data area
//!         0x7000  zero page (boot_params)         0x8000  PVH start info, multiboot info
//!         0x9000  boot page tables (to 0xf000)    0xf000  boot GDT, IDT
//!        0x20000  kernel command line
//!        0x9fc00  end of conventional RAM (the EBDA is here)
//!        0xa0000  VGA hole
//!        0xe0000  ACPI tables: RSDP first (where guests scan for it), at 0xe0040 the FACS (which is not reclaimable);
//!                 MP table and SMBIOS later
//!       0x100000  extended RAM: kernel, initrd at its top
//!     0xc0000000  end of low RAM at the latest; 32-bit BARs, or, where there is no PCI, video memory
//!     0xe0000000  PCI configuration space (ECAM), 1 MiB a bus
//!     0xf0000000  virtio-mmio windows
//!     0xfec00000  IOAPIC
//!     0xfee00000  local APICs, MSI window
//!     0xfffbc000  identity map page, TSS (Intel, used by KVM)
//!
//! with --firmware (SeaBIOS, OVMF), which makes its own tables and assigns BARs itself
//!        0xe0000  the end of a BIOS image, in RAM as all from 0xc0000 on
//!     0x80000000  or above low RAM: 32-bit BARs, to 0xfec00000; there is no ECAM
//!     0xfeffc000  identity map page, TSS
//!     0xff000000  flash memory at the latest: variables, then the firmware, which ends at 4 GiB
//!
//!    0x100000000  RAM above 4 GiB, then 64-bit BARs
//! ```

pub const ZERO_PAGE: u64 = 0x7000;
pub const START_INFO: u64 = 0x8000;
pub const PAGE_TABLES: u64 = 0x9000;
pub const GDT: u64 = 0xf000;
pub const CMDLINE: u64 = 0x2_0000;
/// Bytes, with the terminating zero; the most that any Linux takes (COMMAND_LINE_SIZE is 2048 on x86).
pub const CMDLINE_MAX: usize = 2048;
pub const EBDA: u64 = 0x9_fc00;
pub const ACPI: u64 = 0xe_0000;
pub const ACPI_END: u64 = 0x10_0000;
pub const HIGH_RAM: u64 = 0x10_0000;

pub const HOLE: u64 = 0xc000_0000;
pub const PCI_MMIO: u64 = 0xc000_0000;
pub const PCI_MMIO_END: u64 = 0xe000_0000;
/// Video memory on a machine without PCI.
pub const VIDEO: u64 = PCI_MMIO;
pub const ECAM: u64 = 0xe000_0000;
pub const ECAM_LEN: u64 = ECAM_BUSES << 20;
/// Buses there are. Linux looks for devices on every bus that it is told of, one exit to user space for each.
pub const ECAM_BUSES: u64 = 1;
pub const VIRTIO_MMIO: u64 = 0xf000_0000;
/// Bytes between two virtio-mmio windows.
pub const VIRTIO_MMIO_STEP: u64 = 0x1000;
pub const IOAPIC: u64 = 0xfec0_0000;
pub const LAPIC: u64 = 0xfee0_0000;
pub const IDENTITY_MAP: u64 = 0xfffb_c000;
pub const TSS: u64 = 0xfffb_d000;
pub const RAM_ABOVE: u64 = 0x1_0000_0000;

/// Under firmware: KVM's pages are below the flash memory, which ends at 4 GiB and may have 16 MiB.
pub const FIRMWARE_IDENTITY_MAP: u64 = 0xfeff_c000;
pub const FIRMWARE_TSS: u64 = 0xfeff_d000;
pub const FLASH: u64 = 0xff00_0000;
pub const FLASH_END: u64 = 0x1_0000_0000;
/// The end of a BIOS is also below 1 MiB, from here on at most.
pub const BIOS: u64 = 0xe_0000;
pub const BIOS_END: u64 = 0x10_0000;
/// Where firmware for a 440FX puts 32-bit BARs: above RAM, but not below this, to the IOAPIC.
pub const FIRMWARE_MMIO: u64 = 0x8000_0000;

/// Interrupt numbers (global system interrupts; below 16 also ISA lines). Each is the IOAPIC's pin of that number,
/// 0 (the PIT) too: KVM connects them so from the start, and another connection costs milliseconds.
pub const IRQ_KEYBOARD: u32 = 1;
pub const IRQ_RTC: u32 = 8;
pub const IRQ_MOUSE: u32 = 12;
/// COM1 and COM3, COM2 and COM4.
pub const IRQ_COM: [u32; 2] = [4, 3];
/// System control interrupt (ACPI): level, active high.
pub const IRQ_SCI: u32 = 9;
/// PCI INTA..INTD: level, active high.
pub const IRQ_INTX: [u32; 4] = [16, 17, 18, 19];
/// virtio-mmio windows take these in turn: edge, active high. 5, 10, 11 and 20..23 are free on this board.
pub const IRQ_VIRTIO_MMIO: [u32; 7] = [5, 10, 11, 20, 21, 22, 23];

/// I/O ports.
pub const COM: [u16; 4] = [0x3f8, 0x2f8, 0x3e8, 0x2e8];
pub const CMOS: u16 = 0x70;
pub const I8042_DATA: u16 = 0x60;
pub const I8042_COMMAND: u16 = 0x64;
pub const PVPANIC: u16 = 0x505;
pub const RESET: u16 = 0xcf9;
pub const PCI_CONFIG: u16 = 0xcf8;
/// Where I/O BARs are put at first. Firmware for a 440FX puts them here, too.
pub const PCI_IO: u64 = 0xc000;
pub const PCI_IO_END: u64 = 0x1_0000;
/// ACPI PM1a event block (4 bytes), control block (2), PM timer (4).
pub const PM1A_EVENT: u16 = 0x600;
pub const PM1A_CONTROL: u16 = 0x604;
pub const PM_TIMER: u16 = 0x608;
/// Firmware's: configuration (QEMU's), log, fast A20 and reset.
pub const FW_CFG: u16 = 0x510;
pub const DEBUG_CONSOLE: u16 = 0x402;
pub const PORT_92: u16 = 0x92;
/// Sleep type (PM1 control, bits 12:10) that powers off.
pub const S5_SLP_TYP: u8 = 5;

/// Guest RAM of `size` bytes as ranges of (base, length): below the PCI hole, then above 4 GiB.
pub fn ram(size: u64) -> Vec<(u64, u64)> {
    let low = size.min(HOLE);
    let mut ranges = vec![(0, low)];
    if size > low {
        ranges.push((RAM_ABOVE, size - low));
    }
    ranges
}

/// Where 64-bit BARs go, as (base, length): 16 GiB at the first multiple of that above RAM.
/// Nowhere (length 0) when a processor of `bits` address bits does not reach that far.
pub fn mmio64(ram: u64, bits: u32) -> (u64, u64) {
    const STEP: u64 = 1 << 34;
    let base = ram_end(ram).next_multiple_of(STEP);
    let reached = base + STEP <= 1u64.checked_shl(bits).unwrap_or(u64::MAX);
    (base, if reached { STEP } else { 0 })
}

/// Where firmware may put BARs, as (base, length): 32-bit ones, then 64-bit ones, both above RAM of `ram` bytes.
pub fn firmware_windows(ram: u64, bits: u32) -> ((u64, u64), (u64, u64)) {
    const GIB: u64 = 1 << 30;
    let low = ram.clamp(FIRMWARE_MMIO, HOLE);
    let high = ram_end(ram).max(RAM_ABOVE).next_multiple_of(GIB);
    let end = 1u64.checked_shl(bits).unwrap_or(u64::MAX);
    ((low, IOAPIC - low), (high, end.saturating_sub(high)))
}

/// The first address above guest RAM of `size` bytes.
pub fn ram_end(size: u64) -> u64 {
    ram(size).last().map_or(0, |(base, len)| base + len)
}
