//! What is known by its first bytes and not read here.

/// How many of the first bytes are looked at; btrfs has its magic the furthest behind.
pub const HEAD: u64 = 0x1_1000;

const MAGICS: &[(usize, &[u8], &str)] = &[
    (0, b"XFSB", "xfs"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
    (0x218, b"LVM2 001", "an LVM physical volume"),
    (0x18, b"LVM2 001", "an LVM physical volume"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "a member of a RAID (md)"),
    (0, b"\xfc\x4e\x2b\xa9", "a member of a RAID (md)"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (3, b"-FVE-FS-", "an encrypted volume (BitLocker)"),
    (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x400, b"\xe2\xe1\xf5\xe0", "erofs"),
    (0, b"hsqs", "squashfs"),
    (0x1_0034, b"ReIsEr", "reiserfs"),
    (0x1_0000, b"ReIsEr4", "reiser4"),
    (0x2034, b"ReIsEr", "reiserfs"),
    (0x8000, b"JFS1", "JFS"),
    (0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca", "bcachefs"),
    (0x400, b"H+", "HFS+"),
    (0x400, b"BD", "HFS"),
    (0x55c, b"\x19\x01\x54\x19", "UFS2 (BSD)"),
    (0x1055c, b"\x19\x01\x54\x19", "UFS2 (BSD)"),
    (0x20, b"NXSB", "APFS"),
    (0xff6, b"SWAPSPACE2", "swap space"),
    (0xff6, b"SWAP-SPACE", "swap space"),
];

/// zfs: the name-value list of the first label begins here, and has a pool's version among the first things.
const ZFS: std::ops::Range<usize> = 0x4000..0x4100;

pub fn name(head: &[u8]) -> Option<&'static str> {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((.., name)) = MAGICS.iter().find(|(at, magic, _)| has(*at, magic)) {
        return Some(name);
    }
    let zfs = head.get(ZFS).is_some_and(|list| list.windows(7).any(|w| w == b"version"));
    zfs.then_some("zfs")
}
