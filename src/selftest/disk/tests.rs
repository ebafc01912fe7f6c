use super::*;

/// What the guest makes of the disk.
fn written() -> File {
    let disk = new().expect("memory for a disk");
    for part in finished() {
        let mut bytes = vec![0; part.len as usize];
        agreed::fill(part.pattern, part.at, &mut bytes);
        disk.write_all_at(&bytes, part.at).expect("write");
    }
    disk
}

#[test]
fn parts_cover_the_disk_but_for_what_was_discarded() {
    let mut parts = finished();
    parts.push(agreed::DISCARDED);
    parts.sort_by_key(|part| part.at);
    let end = parts.iter().fold(0, |end, part| {
        assert_eq!(part.at, end);
        end + part.len
    });
    assert_eq!(end, agreed::DISK);
}

#[test]
fn one_wrong_bit_anywhere_is_found() {
    let disk = written();
    assert_eq!(check(&disk), Ok(()));
    for (n, part) in finished().iter().enumerate() {
        let at = part.at + [0, part.len / 2 + 3, part.len - 1][n % 3];
        corrupt(&disk, at).expect("corrupt");
        assert_eq!(check(&disk), Err(format!("byte {at:#x} of the disk is wrong")));
        corrupt(&disk, at).expect("restore");
    }
    corrupt(&disk, agreed::DISCARDED.at + 5).expect("corrupt");
    assert_eq!(check(&disk), Ok(()));
}

#[test]
fn a_disk_that_the_guest_never_wrote_is_wrong() {
    let disk = new().expect("memory for a disk");
    assert_eq!(check(&disk), Err(format!("byte {:#x} of the disk is wrong", agreed::LARGE.at)));
    disk.set_len(agreed::DISK / 2).expect("truncate");
    assert!(check(&disk).is_err());
}

#[test]
fn patterns_differ_from_each_other_and_from_place_to_place() {
    let fill = |pattern, at| {
        let mut bytes = [0; 4096];
        agreed::fill(pattern, at, &mut bytes);
        bytes
    };
    assert_ne!(fill(1, 0), fill(2, 0));
    assert_ne!(fill(1, 0), fill(1, 4096));
    assert_eq!(fill(0, 8), [0; 4096]);
    assert_eq!(fill(3, 512)[..3584], fill(3, 0)[512..]);
    assert_eq!(agreed::difference(1, 512, fill(1, 512).get(..513).expect("shorter")), None);
}
