//! Firmware images: a BIOS, or UEFI as EDK2 builds it. A file is known by its content; only the file with the variables
//! that belong to a UEFI in a file of its own is found by its name.

use crate::config::FirmwareImage;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is below 4 GiB, variables included.
const MOST: u64 = 16 << 20;
/// Images of a BIOS are multiples of this, those of UEFI of a page.
const BIOS_UNIT: usize = 64 << 10;
const PAGE: usize = 4096;
/// The first instruction is so far before the end.
const RESET_VECTOR: usize = 16;
/// How much of a BIOS is seen below 1 MiB, too.
const SHADOW: usize = 128 << 10;

const SEABIOS: [&str; 4] = [
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/seabios/bios.bin",
    "/usr/share/qemu/bios-256k.bin",
    "/usr/share/qemu/bios.bin",
];
/// The larger first: newer systems have room for their keys only there.
const OVMF: [&str; 4] = [
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
];

/// What SeaBIOS shows a screen with that has only video memory and DISPI registers.
const VIDEO_BIOS: [&str; 2] =
    ["/usr/share/seabios/vgabios-bochs-display.bin", "/usr/share/qemu/vgabios-bochs-display.bin"];

/// An image in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    pub path: PathBuf,
    /// Ends at 4 GiB.
    pub code: Vec<u8>,
    /// What the flash chip before the code has when it is new.
    pub variables: Option<Vec<u8>>,
    bios: bool,
}

impl Firmware {
    /// Errors name the file, or the package that is missing.
    pub fn open(image: &FirmwareImage) -> Result<Firmware> {
        let path = match image {
            FirmwareImage::Seabios => installed(&SEABIOS, "SeaBIOS", "seabios")?,
            FirmwareImage::Ovmf => installed(&OVMF, "OVMF", "ovmf")?,
            FirmwareImage::File(path) => path.clone(),
        };
        Firmware::read(&path).with_context(|| format!("firmware {}", path.display()))
    }

    fn read(path: &Path) -> Result<Firmware> {
        let code = read(path)?;
        let Some(volume) = volume(&code) else {
            ensure!(
                code.len().is_multiple_of(BIOS_UNIT),
                "has {} bytes, which are not a multiple of 64 KiB: it is no BIOS image",
                code.len()
            );
            check_reset_vector(&code)?;
            return Ok(Firmware { path: path.to_path_buf(), code, variables: None, bios: true });
        };
        ensure!(code.len().is_multiple_of(PAGE), "has {} bytes, which are not a multiple of 4 KiB", code.len());
        check_reset_vector(&code)?;
        let (code, variables) = match volume {
            // Both in one file.
            Volume::Variables(len) if len < code.len() => {
                let (variables, code) = code.split_at(len);
                (code.to_vec(), Some(variables.to_vec()))
            }
            _ => {
                let beside = variables_beside(path).filter(|beside| beside.exists());
                let variables = beside.map(|beside| {
                    let bytes = read(&beside).and_then(|bytes| check_variables(&bytes).map(|()| bytes));
                    bytes.with_context(|| format!("its variables in {}", beside.display()))
                });
                (code, variables.transpose()?)
            }
        };
        let all = code.len() + variables.as_ref().map_or(0, Vec::len);
        ensure!(all as u64 <= MOST, "{all} bytes with its variables are too many: there is room for 16 MiB");
        Ok(Firmware { path: path.to_path_buf(), code, variables, bios: false })
    }

    /// What a BIOS runs to show something on the screen of this PCI device; `None`: UEFI has a driver of its own. The error
    /// says what to install.
    pub fn video_bios(&self, vendor: u16, device: u16) -> Result<Option<Vec<u8>>> {
        if !self.bios {
            return Ok(None);
        }
        let path = installed(&VIDEO_BIOS, "SeaBIOS's video BIOS", "seabios")?;
        let rom = read(&path).and_then(|rom| for_device(rom, vendor, device));
        rom.with_context(|| path.display().to_string()).map(Some)
    }

    /// What is seen below 1 MiB: the end of a BIOS.
    pub fn shadow(&self) -> &[u8] {
        let from = if self.bios { self.code.len().saturating_sub(SHADOW) } else { self.code.len() };
        self.code.get(from..).unwrap_or_default()
    }
}

fn installed(paths: &[&str], name: &str, package: &str) -> Result<PathBuf> {
    let found = paths.iter().map(PathBuf::from).find(|path| path.exists());
    found.with_context(|| format!("{name} is not installed here (`apt install {package}`)"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).context("open")?;
    let metadata = file.metadata().context("look at it")?;
    ensure!(metadata.is_file(), "is no regular file");
    ensure!(metadata.len() <= MOST, "has {} bytes, and firmware has at most 16 MiB", metadata.len());
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).context("read")?;
    ensure!(!bytes.is_empty(), "is empty");
    Ok(bytes)
}

/// A ROM says which device it is for, and does nothing for another (PCI Firmware 3.0, 5.1.2).
fn for_device(mut rom: Vec<u8>, vendor: u16, device: u16) -> Result<Vec<u8>> {
    /// Where SeaBIOS's ROMs have the byte that makes the sum of all zero.
    const CHECKSUM: usize = 6;
    let pointer = rom.get(0x18..0x1a).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
    let data = pointer.map(usize::from).and_then(|at| rom.get_mut(at..at + 8));
    let data = data.filter(|data| data.starts_with(b"PCIR")).context("is no ROM of a PCI device")?;
    let [vendor, device] = [vendor.to_le_bytes(), device.to_le_bytes()];
    data.iter_mut().skip(4).zip(vendor.iter().chain(&device)).for_each(|(to, from)| *to = *from);
    let sum = rom.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    rom.get_mut(CHECKSUM).into_iter().for_each(|byte| *byte = byte.wrapping_sub(sum));
    Ok(rom)
}

fn check_reset_vector(code: &[u8]) -> Result<()> {
    let first = code.len().checked_sub(RESET_VECTOR).and_then(|at| code.get(at..)).unwrap_or_default();
    let there = first.iter().any(|byte| *byte != 0) && first.iter().any(|byte| *byte != 0xff);
    ensure!(there, "is no firmware image: there is no instruction where a processor starts, 16 bytes before its end");
    Ok(())
}

/// What the firmware volume at the beginning of an image is (UEFI Platform Initialization 1.8, 3, 3.2.1).
#[derive(Debug, PartialEq, Eq)]
enum Volume {
    Code,
    /// Variables, so many bytes with all that belongs to them.
    Variables(usize),
}

/// EFI_SYSTEM_NV_DATA_FV_GUID.
const NV_DATA: [u8; 16] =
    [0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c, 0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50];

fn volume(bytes: &[u8]) -> Option<Volume> {
    (bytes.get(40..44)? == b"_FVH").then_some(())?;
    if bytes.get(16..32)? != NV_DATA {
        return Some(Volume::Code);
    }
    let len = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?);
    let len = usize::try_from(len).ok().filter(|len| *len > 0 && len.is_multiple_of(PAGE))?;
    Some(Volume::Variables(len))
}

/// Is this what a flash chip with variables has in it?
pub fn check_variables(bytes: &[u8]) -> Result<()> {
    match volume(bytes) {
        Some(Volume::Variables(len)) if len <= bytes.len() => Ok(()),
        Some(Volume::Variables(len)) => bail!("is truncated: of {len} bytes there are {}", bytes.len()),
        _ => bail!("holds no UEFI variables"),
    }
}

/// OVMF_VARS_4M.fd for OVMF_CODE_4M.fd.
fn variables_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    // A firmware that checks signatures starts with keys or without: the empty store is the one of the plain name.
    let name = name.contains("CODE").then(|| name.replacen("CODE", "VARS", 1).replace(".secboot", ""))?;
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests;
