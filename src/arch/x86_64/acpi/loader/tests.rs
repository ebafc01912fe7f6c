use super::*;
use crate::arch::acpi::PciWindows;
use std::collections::BTreeMap;

fn board() -> Board {
    let pci = Some(PciWindows { mmio32: (0xc000_0000, 0x3ec0_0000), mmio64: (1 << 32, 1 << 38) });
    Board { apic_ids: vec![0, 1], serial_ports: 1, pci, pvpanic: true, firmware: true, ..Board::default() }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn text(field: &[u8]) -> String {
    String::from_utf8(field[..NAME].to_vec()).unwrap().trim_end_matches('\0').to_string()
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Does what firmware does with the script; the files as they are then, and their addresses.
fn load(files: Files, addresses: [(&str, u64); 2]) -> BTreeMap<String, (u64, Vec<u8>)> {
    let contents: BTreeMap<_, _> = files.0.into_iter().collect();
    let mut loaded = BTreeMap::new();
    for command in contents[LOADER_FILE].chunks(COMMAND) {
        assert_eq!(command.len(), COMMAND);
        let file = text(&command[4..]);
        match word(command, 0) {
            1 => {
                let at = addresses.iter().find(|(name, _)| *name == file).unwrap().1;
                assert_eq!(at % u64::from(word(command, 60)), 0);
                loaded.insert(file.clone(), (at, contents[file.as_str()].clone()));
            }
            2 => {
                let source = loaded[&text(&command[60..])].clone();
                let (at, len) = (word(command, 116) as usize, usize::from(command[120]));
                let target = &mut loaded.get_mut(&file).unwrap().1[at..at + len];
                let mut bytes = [0; 8];
                bytes[..len].copy_from_slice(target);
                let offset = u64::from_le_bytes(bytes);
                assert!((offset as usize) < source.1.len());
                target.copy_from_slice(&(offset + source.0).to_le_bytes()[..len]);
            }
            3 => {
                let [at, start, len] = [60, 64, 68].map(|field| word(command, field) as usize);
                let bytes = &mut loaded.get_mut(&file).unwrap().1;
                assert_eq!(bytes[at], 0, "OVMF wants it so");
                bytes[at] = sum(&bytes[start..start + len]).wrapping_neg();
            }
            other => panic!("command {other}"),
        }
    }
    loaded
}

#[test]
fn firmware_gets_tables_that_hang_together_wherever_it_puts_them() {
    for base in [0x1ff_e000u64, 0xbffe_0000] {
        let files = load(files(&board()).unwrap(), [(TABLES_FILE, base), (RSDP_FILE, 0xf_5320)]);
        let (_, rsdp) = &files[RSDP_FILE];
        assert_eq!((rsdp.len(), sum(&rsdp[..20]), sum(rsdp)), (36, 0, 0));
        let tables = &files[TABLES_FILE].1;
        let table = |at: u64| {
            let at = (at - base) as usize;
            let bytes = &tables[at..at + word(tables, at + 4) as usize];
            (bytes[..4].to_vec(), bytes)
        };
        let (name, rsdt) = table(u64::from(word(rsdp, 16)));
        assert_eq!((name, sum(rsdt)), (b"RSDT".to_vec(), 0));
        let (name, xsdt) = table(u64::from(word(rsdp, 24)));
        assert_eq!((name, sum(xsdt)), (b"XSDT".to_vec(), 0));
        let entries: Vec<_> = rsdt[36..].chunks(4).map(|entry| u64::from(word(entry, 0))).collect();
        let wide: Vec<_> = xsdt[36..].chunks(8).map(|entry| u64::from(word(entry, 0))).collect();
        assert_eq!(entries, wide);
        let mut names = Vec::new();
        for at in entries {
            let (name, bytes) = table(at);
            assert_eq!(sum(bytes), 0);
            if name == b"FACP" {
                let (dsdt, bytes) = table(u64::from(word(bytes, 40)));
                assert_eq!((dsdt, sum(bytes)), (b"DSDT".to_vec(), 0));
            }
            names.push(name);
        }
        assert_eq!(names, [b"FACP", b"APIC"], "no MCFG: there is no ECAM");
        let facs = (u64::from(word(table(wide[0]).1, 36)) - base) as usize;
        assert_eq!((facs % 64, &tables[facs..facs + 4]), (0, &b"FACS"[..]));
    }
}
