//! What kind of image a file holds, by its first bytes.

use std::str::FromStr;

/// The `format=` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Look; a format that is not known to be another is raw.
    Auto,
    /// The bytes as they are.
    Raw,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "auto" => Ok(Format::Auto),
            "raw" => Ok(Format::Raw),
            "qcow2" | "vmdk" | "vhdx" | "vpc" | "vdi" | "qed" => {
                Err(format!("kiln cannot open {text} yet; `qemu-img convert -O raw` makes a raw image of it"))
            }
            _ => Err("want auto or raw".to_string()),
        }
    }
}

/// How many of the first bytes [`not_raw`] wants to see.
pub const PROBE: usize = 512;

/// The name of the format that an image starting with `head` has, when that is surely not raw.
/// (LUKS is not listed: a guest may well have its whole disk encrypted.)
pub fn not_raw(head: &[u8]) -> Option<&'static str> {
    const MAGICS: &[(usize, &[u8], &str)] = &[
        (0, b"QFI\xfb", "qcow2"),
        (0, b"QED\0", "qed"),
        (0, b"KDMV", "vmdk"),
        (0, b"COWD", "vmdk"),
        (0, b"# Disk DescriptorFile", "vmdk"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"conectix", "vpc"),
        (0x40, b"\x7f\x10\xda\xbe", "vdi"),
        (0, b"WithoutFreeSpace", "parallels"),
        (0, b"WithouFreSpacExt", "parallels"),
    ];
    let is = |(at, magic, _): &&(usize, &[u8], &str)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    MAGICS.iter().find(is).map(|(_, _, name)| *name)
}

/// The tool that unpacks a file starting with `head`, when it is surely compressed.
pub fn compressed_with(head: &[u8]) -> Option<&'static str> {
    const MAGICS: &[(&[u8], &str)] =
        &[(b"\x1f\x8b\x08", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2")];
    MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}
