use super::*;
use std::collections::BTreeMap;
use std::process::Command;

fn boards() -> Vec<Board> {
    let pci = Some(PciWindows {
        mmio32: (layout::PCI_MMIO, layout::PCI_MMIO_END - layout::PCI_MMIO),
        mmio64: (0x8_0000_0000, 0x8_0000_0000),
    });
    let mmio = |n: u64| MmioWindow {
        base: layout::VIRTIO_MMIO + n * layout::VIRTIO_MMIO_STEP,
        len: 0x200,
        gsi: layout::IRQ_VIRTIO_MMIO[n as usize % 7],
    };
    vec![
        Board { apic_ids: vec![0], serial_ports: 1, ..Board::default() },
        Board { apic_ids: (0..4).collect(), serial_ports: 1, pci, pvpanic: true, keyboard: true, ..Board::default() },
        Board { apic_ids: (0..255).collect(), serial_ports: 4, pci, pvpanic: true, ..Board::default() },
        Board {
            apic_ids: vec![0, 1, 4, 5, 254, 255, 300],
            serial_ports: 2,
            virtio_mmio: (0..32).map(mmio).collect(),
            pvpanic: true,
            ..Board::default()
        },
        Board { apic_ids: vec![0], pci: pci.map(|w| PciWindows { mmio64: (0, 0), ..w }), ..Board::default() },
    ]
}

fn memory() -> Memory {
    Memory::new(&[(0, 2 << 20)], None).unwrap()
}

fn bytes(memory: &Memory, at: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    assert_eq!(memory.slice(at, len).unwrap().copy_to(&mut out), len);
    out
}

fn number(table: &[u8], at: usize, len: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(&table[at..at + len]);
    u64::from_le_bytes(bytes)
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// A table with header, checked as a guest does.
fn load(memory: &Memory, at: u64) -> (String, Vec<u8>) {
    assert!((layout::ACPI..layout::ACPI_END).contains(&at), "{at:#x}");
    let len = number(&bytes(memory, at, 8), 4, 4) as usize;
    assert!(len >= 36 && at + len as u64 <= layout::ACPI_END);
    let table = bytes(memory, at, len);
    let name = String::from_utf8(table[..4].to_vec()).unwrap();
    assert_eq!(sum(&table), 0, "checksum of {name}");
    (name, table)
}

/// Finds all tables the way a guest does: from the RSDP that it scans for.
fn walk(memory: &Memory) -> BTreeMap<String, Vec<u8>> {
    let mut scan = (0xe_0000..0x10_0000).step_by(16);
    let rsdp = scan.find(|at| bytes(memory, *at, 8) == b"RSD PTR ").expect("no RSDP");
    let rsdp = bytes(memory, rsdp, 36);
    assert_eq!((sum(&rsdp[..20]), sum(&rsdp), rsdp[15], number(&rsdp, 20, 4)), (0, 0, 2, 36));
    let (name, rsdt) = load(memory, number(&rsdp, 16, 4));
    assert_eq!(name, "RSDT");
    let (name, xsdt) = load(memory, number(&rsdp, 24, 8));
    assert_eq!(name, "XSDT");
    let short: Vec<_> = rsdt[36..].chunks(4).map(|entry| number(entry, 0, 4)).collect();
    let long: Vec<_> = xsdt[36..].chunks(8).map(|entry| number(entry, 0, 8)).collect();
    assert_eq!(short, long);
    let mut tables: BTreeMap<_, _> = long.iter().map(|at| load(memory, *at)).collect();
    assert_eq!(tables.len(), long.len(), "no table twice");
    let fadt = &tables["FACP"];
    assert_eq!(number(fadt, 140, 8), number(fadt, 40, 4), "X_DSDT and DSDT");
    let (name, dsdt) = load(memory, number(fadt, 40, 4));
    assert_eq!(name, "DSDT");
    let facs = number(fadt, 36, 4);
    assert_eq!((facs % 64, bytes(memory, facs, 8)), (0, b"FACS\x40\0\0\0".to_vec()));
    tables.insert(name, dsdt);
    tables
}

fn tables(board: &Board) -> BTreeMap<String, Vec<u8>> {
    let memory = memory();
    write(&memory, board).unwrap();
    walk(&memory)
}

#[test]
fn a_guest_finds_every_table() {
    for board in boards() {
        let tables = tables(&board);
        let mut names: Vec<_> = tables.keys().map(String::as_str).collect();
        names.retain(|name| *name != "MCFG");
        assert_eq!(names, ["APIC", "DSDT", "FACP"]);
        assert_eq!(tables.contains_key("MCFG"), board.pci.is_some());
        if let Some(mcfg) = tables.get("MCFG") {
            assert_eq!((number(mcfg, 44, 8), mcfg[54], mcfg[55]), (layout::ECAM, 0, 0));
        }
    }
}

#[test]
fn writing_twice_leaves_the_same_tables() {
    let [big, small] = [2, 0].map(|n| boards()[n].clone());
    let memory = memory();
    write(&memory, &big).unwrap();
    memory.clear().unwrap();
    write(&memory, &small).unwrap();
    assert_eq!(walk(&memory), tables(&small));
}

#[test]
fn the_fadt_has_the_power_hardware_where_the_board_has_it() {
    let fadt = tables(&boards()[1]).remove("FACP").unwrap();
    assert_eq!((fadt.len(), fadt[8]), (276, 6));
    assert_eq!(number(&fadt, 46, 2), u64::from(layout::IRQ_SCI));
    assert_eq!(number(&fadt, 48, 4), 0, "always in ACPI mode: no SMI command port");
    for (at, extended, port, len) in
        [(56, 148, layout::PM1A_EVENT, 4u8), (64, 172, layout::PM1A_CONTROL, 2), (76, 208, layout::PM_TIMER, 4)]
    {
        assert_eq!(number(&fadt, at, 4), u64::from(port));
        assert_eq!((fadt[extended], fadt[extended + 1]), (1, len * 8), "I/O space, width");
        assert_eq!(number(&fadt, extended + 4, 8), u64::from(port));
    }
    assert_eq!((fadt[88], fadt[89], fadt[91]), (4, 2, 4), "lengths");
    assert_eq!((fadt[116], number(&fadt, 120, 8), fadt[128]), (1, u64::from(layout::RESET), 6));
    let flags = number(&fadt, 112, 4);
    assert_eq!(flags & (1 << 10), 1 << 10, "reset register");
    assert_eq!(flags & (1 << 8), 1 << 8, "32-bit timer");
    assert_eq!(flags & (1 << 4), 0, "fixed power button");
    assert_eq!(flags & (1 << 20), 0, "not hardware-reduced");
    assert_eq!(number(&fadt, 109, 2) & 2, 2, "a keyboard controller");
    let fadt = tables(&boards()[0]).remove("FACP").unwrap();
    assert_eq!(number(&fadt, 109, 2) & 2, 0, "nobody types");
}

/// (type, entry) of all.
fn entries(madt: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = &madt[44..];
    let mut entries = Vec::new();
    while let [kind, len, ..] = rest {
        entries.push((*kind, rest[..usize::from(*len)].to_vec()));
        rest = &rest[usize::from(*len)..];
    }
    assert!(rest.is_empty());
    entries
}

#[test]
fn the_madt_lists_every_processor_once() {
    for board in boards() {
        let madt = tables(&board).remove("APIC").unwrap();
        assert_eq!(number(&madt, 36, 4), layout::LAPIC);
        let entries = entries(&madt);
        let mut found = Vec::new();
        for (kind, entry) in &entries {
            match kind {
                0 => found.push((u32::from(entry[2]), u32::from(entry[3]), number(entry, 4, 4))),
                9 => found.push((number(entry, 12, 4) as u32, number(entry, 4, 4) as u32, number(entry, 8, 4))),
                _ => {}
            }
        }
        let asked: Vec<_> = (0..).zip(&board.apic_ids).map(|(uid, id)| (uid, *id, 1)).collect();
        assert_eq!(found, asked);
        let wide = entries.iter().filter(|(kind, _)| *kind == 9).count();
        assert_eq!(wide, board.apic_ids.iter().filter(|id| **id >= 255).count());
        let of = |kind: u8| entries.iter().filter(move |(k, _)| *k == kind).map(|(_, e)| e.clone());
        assert_eq!(of(1).map(|e| number(&e, 4, 4)).collect::<Vec<_>>(), [layout::IOAPIC]);
        assert_eq!(of(2).collect::<Vec<_>>(), [[2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0]], "SCI: level, active high");
        assert_eq!(of(4).collect::<Vec<_>>(), [[4, 6, 0xff, 0, 0, 1]]);
    }
}

#[test]
fn a_board_that_cannot_be_is_refused() {
    let board = Board { apic_ids: vec![0], ..Board::default() };
    let window = |base, len| vec![MmioWindow { base, len, gsi: 5 }];
    let pci = |mmio32, mmio64| Some(PciWindows { mmio32, mmio64 });
    for (bad, words) in [
        (Board { serial_ports: 5, ..board.clone() }, "serial port 4"),
        (Board { virtio_mmio: window(1 << 32, 512), ..board.clone() }, "0x100000000"),
        (Board { virtio_mmio: window(0, 1 << 32), ..board.clone() }, "0x100000000"),
        (Board { pci: pci((0xf000_0000, 1 << 30), (0, 0)), ..board.clone() }, "above 4 GiB"),
        (Board { pci: pci((0, 0), (1 << 40, u64::MAX)), ..board.clone() }, "PCI window"),
        (Board { apic_ids: (0..4000).collect(), ..board.clone() }, "room for 131072"),
    ] {
        let error = format!("{:#}", write(&memory(), &bad).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
    let small = Memory::new(&[(0, 0x8_0000)], None).unwrap();
    assert!(write(&small, &board).is_err());
}

/// What the ACPI tools say about a table, disassembled and compiled again.
fn disassemble(name: &str, table: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Command::new("iasl").args(arguments).current_dir(folder.path()).output();
    std::fs::write(folder.path().join("table.dat"), table).unwrap();
    let output = match run(&["-d", "table.dat"]) {
        Ok(output) => output,
        Err(e) => {
            eprintln!("skip: iasl: {e}");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let text =
        std::fs::read_to_string(folder.path().join("table.dsl")).unwrap_or_else(|e| panic!("{name}: {e}\n{said}"));
    for word in ["Error", "Warning", "Invalid", "Incorrect", "Unknown"] {
        assert!(!said.contains(word) && !text.contains(&format!("// {word}")), "{name}: {said}\n{text}");
    }
    if name == "DSDT" {
        let output = run(&["-f", "table.dsl"]).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("0 Errors, 0 Warnings, 0 Remarks"), "{said}");
    }
    Some(text)
}

#[test]
fn the_acpi_tools_agree() {
    for board in boards() {
        for (name, table) in tables(&board) {
            let Some(text) = disassemble(&name, &table) else { return };
            if name != "DSDT" {
                continue;
            }
            let count = |words: &str| text.matches(words).count();
            assert_eq!(count("\"ACPI0007\""), board.apic_ids.len());
            assert_eq!(count("PNP0501"), board.serial_ports);
            assert_eq!(count("\"LNRO0005\""), board.virtio_mmio.len());
            assert_eq!(count("\"QEMU0001\""), usize::from(board.pvpanic));
            assert_eq!(count("PNP0A08"), usize::from(board.pci.is_some()));
            assert_eq!(count("PNP0C02"), usize::from(board.pci.is_some()));
            assert_eq!(count("PNP0303"), usize::from(board.keyboard));
            assert_eq!(count("PNP0F13"), usize::from(board.keyboard));
            let text: Vec<_> = text.split_whitespace().collect();
            let text = text.join(" ");
            if let Some(windows) = board.pci {
                has_bridge(&text, &windows);
            }
            for window in &board.virtio_mmio {
                assert!(text.contains(&format!("0x{:08X}, // Address Base", window.base)));
            }
        }
    }
}

/// `text` is the disassembled DSDT with single spaces.
fn has_bridge(text: &str, windows: &PciWindows) {
    assert!(text.contains("0x0000, // Range Minimum 0x0000, // Range Maximum"), "buses");
    for (first, last) in [(0, 0xcf7), (0xd00, 0xffff)] {
        assert!(text.contains(&format!("0x{first:04X}, // Range Minimum 0x{last:04X}, // Range Maximum")), "ports");
    }
    let (base, len) = windows.mmio32;
    assert!(text.contains(&format!("0x{base:08X}, // Range Minimum 0x{:08X}, // Range Maximum", base + len - 1)));
    let (base, len) = windows.mmio64;
    assert_eq!(text.contains("QWordMemory"), len > 0);
    if len > 0 {
        assert!(text.contains(&format!("0x{base:016X}, // Range Minimum 0x{:016X}, // Range Maximum", base + len - 1)));
    }
    for (slot, pin) in (0..32u32).flat_map(|slot| (0..4).map(move |pin| (slot, pin))) {
        let address = if slot == 0 { "0xFFFF".to_string() } else { format!("0x{:08X}", slot << 16 | 0xffff) };
        let name = ["Zero", "One", "0x02", "0x03"][pin as usize];
        let irq = 16 + (slot + pin) % 4;
        assert!(text.contains(&format!("{{ {address}, {name}, Zero, 0x{irq:X} }}")), "slot {slot} pin {pin}");
    }
    assert!(text.contains("0xE0000000, // Address Base 0x00100000, // Address Length"), "ECAM is claimed");
}
