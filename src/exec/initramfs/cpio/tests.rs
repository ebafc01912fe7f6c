use super::*;
use crate::exec::modules::made::{filter, gather};
use proptest::prelude::*;

/// Name, mode, inode, device and contents of every entry, as Linux would read them.
type Entry = (String, u32, u32, (u32, u32), Vec<u8>);

pub fn entries(archive: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        assert_eq!(at % 4, 0);
        assert_eq!(&archive[at..at + 6], b"070701");
        let field = |n: usize| {
            let text = &archive[at + 6 + 8 * n..at + 14 + 8 * n];
            u32::from_str_radix(std::str::from_utf8(text).unwrap(), 16).unwrap()
        };
        let (inode, mode, size, name_size) = (field(0), field(1), field(6) as usize, field(11) as usize);
        let name = &archive[at + 110..at + 110 + name_size];
        assert_eq!(name.last(), Some(&0));
        let name = String::from_utf8(name[..name_size - 1].to_vec()).unwrap();
        let start = (at + 110 + name_size).next_multiple_of(4);
        if name == TRAILER {
            assert_eq!(start, archive.len());
            return found;
        }
        found.push((name, mode, inode, (field(9), field(10)), archive[start..start + size].to_vec()));
        at = (start + size).next_multiple_of(4);
    }
}

fn bytes(data: &[u8]) -> Part {
    Part::Bytes(Arc::new(data.to_vec()))
}

fn sample() -> Vec<u8> {
    let mut cpio = Cpio::default();
    cpio.directory("dev");
    cpio.character_device("dev/console", 0o600, (5, 1));
    cpio.file("init", 0o755, vec![bytes(b"abc"), bytes(b""), bytes(b"defg")]).unwrap();
    cpio.file("empty", 0o644, Vec::new()).unwrap();
    gather(cpio.finish().parts())
}

#[test]
fn the_archive_reads_as_it_was_written() {
    let none = (0, 0);
    assert_eq!(
        entries(&sample()),
        [
            ("dev".to_string(), 0o040755, 1, none, vec![]),
            ("dev/console".to_string(), 0o020600, 2, (5, 1), vec![]),
            ("init".to_string(), 0o100755, 3, none, b"abcdefg".to_vec()),
            ("empty".to_string(), 0o100644, 4, none, vec![]),
        ]
    );
}

#[test]
fn cpio_itself_lists_it() {
    let list = filter("cpio", &["-t"], &sample()).or_else(|| filter("busybox", &["cpio", "-t"], &sample()));
    match list {
        Some(list) => assert_eq!(String::from_utf8(list).unwrap(), "dev\ndev/console\ninit\nempty\n"),
        None => println!("SKIPPED: there is no cpio here"),
    }
}

#[test]
fn contents_are_not_copied_and_headers_lie_together() {
    let mut cpio = Cpio::default();
    cpio.directory("a");
    cpio.directory("b");
    let large = Arc::new(vec![1; 1 << 20]);
    cpio.file("c", 0o644, vec![Part::Bytes(large.clone())]).unwrap();
    let archive = cpio.finish();
    assert_eq!((archive.parts().len(), Arc::strong_count(&large)), (3, 2));
}

proptest! {
    #[test]
    fn files_of_any_name_and_length_come_back(files in prop::collection::vec(("[a-z/]{1,40}", 0usize..20), 0..8)) {
        let mut cpio = Cpio::default();
        for (name, len) in &files {
            cpio.file(name, 0o644, vec![bytes(&vec![7; *len])]).unwrap();
        }
        let found = entries(&gather(cpio.finish().parts()));
        let found: Vec<_> = found.into_iter().map(|(name, .., data)| (name, data.len())).collect();
        prop_assert_eq!(found, files);
    }
}
