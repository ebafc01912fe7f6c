use super::*;
use crate::bootable::sample::{UUID, have, on, partitioned, table};
use proptest::prelude::*;

fn look(disk: Vec<u8>) -> Result<Option<Table>> {
    on(disk, |disk| read(&disk.whole()))
}

fn places(table: &Table) -> Vec<(u32, u64, u64)> {
    table.partitions.iter().map(|p| (p.number, p.start, p.len)).collect()
}

fn gpt() -> Vec<u8> {
    let script = format!(
        "label: gpt\nlabel-id: {UUID}\nstart=2048, size=2048, type=U, uuid=01020304-0506-0708-090A-0B0C0D0E0F10\n3: start=4096, size=100\n"
    );
    table(vec![0; 4 << 20], &script)
}

#[test]
fn a_gpt_is_read_from_either_end() {
    if !have("sfdisk") {
        return;
    }
    let disk = gpt();
    let whole = look(disk.clone()).unwrap().unwrap();
    assert_eq!(whole.scheme, Scheme::Gpt);
    assert_eq!(places(&whole), [(1, 1 << 20, 1 << 20), (3, 2 << 20, 51200)]);
    assert_eq!(whole.partitions[0].uuid, "01020304-0506-0708-090a-0b0c0d0e0f10");
    assert!(whole.remarks.is_empty());
    for (at, what) in
        [(512, "no primary header"), (512 + 40, "checksum is wrong"), (1024 + 5, "entries: their checksum")]
    {
        let mut broken = disk.clone();
        broken[at] ^= 1;
        let found = look(broken.clone()).unwrap().unwrap();
        assert_eq!(found.partitions, whole.partitions);
        assert!(
            found.remarks[0].contains(what) && found.remarks[0].ends_with("the backup is used"),
            "{:?}",
            found.remarks
        );
        let last = broken.len() - 512;
        broken[last + 40] ^= 1;
        if at != 512 {
            let said = look(broken).unwrap_err().to_string();
            assert!(said.contains("primary") && said.contains("backup header: its checksum"), "{said}");
        }
    }
}

#[test]
fn an_mbr_has_logical_partitions() {
    if !have("sfdisk") {
        return;
    }
    let script = "label: dos\nlabel-id: 0x6b696c6e\nstart=2048, size=1024, type=83\nstart=4096, size=12288, type=5\n\
                  start=6144, size=512, type=83\nstart=10240, size=512, type=ef\n";
    let found = look(table(vec![0; 8 << 20], script)).unwrap().unwrap();
    // The second is what holds the others.
    let want = [(1, 2048, 1024), (5, 6144, 512), (6, 10240, 512)].map(|(n, at, len)| (n, at * 512, len * 512));
    assert_eq!((found.scheme, places(&found)), (Scheme::Mbr, want.to_vec()));
    assert_eq!(found.partitions[1].uuid, "6b696c6e-05");
}

#[test]
fn a_chain_that_turns_back_ends() {
    let mut disk = vec![0; 1 << 20];
    let mut entry = |at: usize, kind: u8, first: u32, len: u32| {
        disk[at + 4] = kind;
        disk[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        disk[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
    };
    entry(0x1be, 5, 10, 100);
    for (link, next) in [(10, 20), (30, 0)] {
        entry(link * 512 + 0x1be, 0x83, 1, 1);
        entry(link * 512 + 0x1ce, 5, next, 1);
    }
    for sector in [0, 10, 30] {
        disk[sector * 512 + 510..sector * 512 + 512].copy_from_slice(&[0x55, 0xaa]);
    }
    assert_eq!(places(&look(disk).unwrap().unwrap()), [(5, 11 * 512, 512), (6, 31 * 512, 512)]);
}

#[test]
fn no_table_is_no_error() {
    for disk in [vec![], vec![0; 100], vec![0; 5000], vec![0xff; 1 << 20]] {
        assert!(look(disk).unwrap().is_none());
    }
}

proptest! {
    #[test]
    fn damage_is_survived(label in prop::sample::select(vec!["gpt", "dos"]), damage in prop::collection::vec((0usize..3000, any::<u8>()), 1..20)) {
        thread_local!(static MADE: std::cell::RefCell<std::collections::HashMap<String, Vec<u8>>> = Default::default());
        if !have("sfdisk") {
            return Ok(());
        }
        let mut disk = MADE.with_borrow_mut(|made| made.entry(label.to_string()).or_insert_with(|| partitioned(label, &[&[1; 9000], &[2; 70_000]])).clone());
        for (at, byte) in damage {
            disk[if at % 2 == 0 { 0x1b8 + at % 900 } else { at }] = byte;
        }
        let size = disk.len() as u64;
        if let Ok(Some(table)) = look(disk) {
            prop_assert!(table.partitions.iter().all(|p| p.start + p.len <= size));
        }
    }
}
