//! `kiln run IMAGE`: the kernel, its initial RAM disks and its arguments are found on the disk.

use crate::boot;
use crate::bootable::{self, Bootable, Entry, Limited};
use crate::cli::table::{Cell, Colour, Style, table};
use crate::config::{Found, Options};
use crate::host::image::{self, Format, How, Writes};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to do about an image that cannot be read.
const OTHERWISE: &str =
    "--firmware seabios (or ovmf) boots it as a PC would, and `kiln run KERNEL --disk` with a kernel of yours";

/// An entry that was chosen, with its files in memory.
pub struct Chosen {
    /// What messages call the kernel.
    pub kernel: PathBuf,
    pub found: Found,
    /// The kernel's arguments, as the entry has them.
    pub options: String,
    /// The image is an ISO: nothing can be written to what is on it.
    pub iso: bool,
}

/// Whether a file is a disk image and no kernel. What is neither is left to who opens kernels, and refuses it.
pub fn is(path: &Path) -> bool {
    let Ok(meta) = std::fs::metadata(path) else { return false };
    if meta.file_type().is_block_device() {
        return true;
    }
    if !meta.is_file() {
        return false;
    }
    match boot::Image::open(path) {
        Ok(kernel) if !kernel.is_raw_multiboot() => false,
        _ => head(path).is_ok_and(|head| bootable::is_disk(&head)),
    }
}

fn head(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = vec![0; bootable::HEAD];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// Looks into the disk that `options` of `--disk` describe.
fn with<T>(options: &Options, then: impl FnOnce(&Bootable) -> Result<T>) -> Result<T> {
    let path: PathBuf = options.get("path", None)?;
    let format: Format = options.get("format", Some("auto"))?;
    let how = How { format, readonly: true, direct: false, writes: Writes::Image };
    let image = image::open(&path, &how)?;
    let disk = Limited::new(&image);
    let bootable = bootable::look(&disk).with_context(|| path.display().to_string())?;
    for remark in bootable.volumes.remarks.iter().chain(&bootable.menu.remarks) {
        log::info!("{}: {remark}", path.display());
    }
    then(&bootable).with_context(|| path.display().to_string())
}

/// Prints what the disk has to start.
pub fn list(options: &Options, as_json: bool) -> Result<()> {
    let text = with(options, |disk| {
        some(disk)?;
        Ok(if as_json { format!("{:#}\n", json(disk)) } else { table(&rows(disk), Style::stdout()) })
    })?;
    std::io::stdout().write_all(text.as_bytes()).context("write to stdout")
}

fn rows(disk: &Bootable) -> Vec<Vec<Cell>> {
    let mut rows = vec![["", "entry", "kernel", "on"].map(|t| Cell::new(t, Colour::Bold)).to_vec()];
    for (n, entry) in disk.menu.entries.iter().enumerate() {
        let mark = if n == disk.menu.default { "*" } else { " " };
        let on = format!("{}, {}", disk.volume(&entry.kernel), disk.kind(&entry.kernel));
        let cells = [&format!("{mark}{}", n + 1), &entry.title, &entry.kernel.path, &on];
        rows.push(cells.map(|t| Cell::new(t, Colour::Plain)).to_vec());
    }
    rows
}

fn json(disk: &Bootable) -> serde_json::Value {
    let one = |(n, entry): (usize, &Entry)| {
        json!({
            "number": n + 1,
            "title": entry.title,
            "id": entry.id,
            "default": n == disk.menu.default,
            "kernel": entry.kernel.path,
            "initrd": entry.initrd.iter().map(|i| &i.path).collect::<Vec<_>>(),
            "options": entry.options,
            "volume": disk.volume(&entry.kernel),
            "file_system": disk.kind(&entry.kernel),
            "from": disk.name(&entry.from),
        })
    };
    disk.menu.entries.iter().enumerate().map(one).collect()
}

/// Finds the entry `wanted` (the one that would start by itself, when nothing is said) and reads its files.
/// `memory`: bytes that the guest has.
pub fn choose(options: &Options, wanted: Option<&str>, memory: u64) -> Result<Chosen> {
    let path: PathBuf = options.get("path", None)?;
    with(options, |disk| {
        some(disk)?;
        let entry = pick(disk, wanted)?;
        let name = |place| format!("{}: {}", path.display(), disk.name(place));
        let kernel = Arc::new(disk.kernel(&entry.kernel)?);
        let mut initrd = Vec::new();
        for place in &entry.initrd {
            initrd.push((name(place), Arc::new(disk.initrd(place, memory)?)));
        }
        eprintln!("kiln: {}: {} ({})", path.display(), entry.title, disk.name(&entry.kernel));
        let kernel_name = name(&entry.kernel).into();
        let iso = disk.kind(&entry.kernel) == bootable::ISO;
        Ok(Chosen { kernel: kernel_name, found: Found { kernel, initrd }, options: entry.options.clone(), iso })
    })
}

fn some(disk: &Bootable) -> Result<()> {
    ensure!(!disk.menu.entries.is_empty(), "no Linux kernel to boot was found: {}; {OTHERWISE}", disk.summary());
    Ok(())
}

/// By number, id, title, or a part of a title that only one has.
fn pick<'a>(disk: &'a Bootable, wanted: Option<&str>) -> Result<&'a Entry> {
    let entries = &disk.menu.entries;
    let Some(wanted) = wanted else { return entries.get(disk.menu.default).context("it has no default entry") };
    if let Ok(number) = wanted.parse::<usize>() {
        let found = number.checked_sub(1).and_then(|n| entries.get(n));
        return found.with_context(|| format!("--entry {wanted}: there are entries 1 to {}", entries.len()));
    }
    if let Some(exact) = entries.iter().find(|e| e.title == wanted || e.id.as_deref() == Some(wanted)) {
        return Ok(exact);
    }
    let lower = wanted.to_lowercase();
    let has = |e: &&Entry| e.title.to_lowercase().contains(&lower);
    match entries.iter().filter(has).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        [] => bail!("--entry {wanted}: there is no such entry; --list-entries shows those there are"),
        more => bail!("--entry {wanted}: {} entries have that in their title; --list-entries numbers them", more.len()),
    }
}

/// The arguments with which Linux starts: the terminal is a console too, unless they name one of its kind. The last
/// console is the one that programs get.
pub fn arguments(options: &str, console: &str) -> String {
    let kind = console.trim_end_matches(|c: char| c.is_ascii_digit());
    match options.split_whitespace().any(|word| word.starts_with(kind)) {
        true => options.to_string(),
        false => format!("{options} {console}").trim().to_string(),
    }
}

/// The same with the screen as a console, unless they name it. It comes first: programs get the last console.
pub fn with_screen(options: &str, screen: &str) -> String {
    let virtual_terminal = |word: &str| {
        let place = word.strip_prefix("console=tty");
        place.is_some_and(|n| n.is_empty() || n.starts_with(|c: char| c.is_ascii_digit()))
    };
    match screen.is_empty() || options.split_whitespace().any(virtual_terminal) {
        true => options.to_string(),
        false => format!("{screen} {options}").trim().to_string(),
    }
}

/// Whether these arguments presuppose disks on IDE or SATA, as systems have them whose boot loader was set up before
/// file systems were known by UUIDs.
pub fn wants_ide(options: &str) -> bool {
    options.split_whitespace().any(|word| on_ide(word).is_some())
}

/// The argument before, and what comes after `/dev/hda` or `/dev/sda`.
fn on_ide(word: &str) -> Option<(&str, &str)> {
    let (key, device) = word.split_once('=')?;
    let rest = device.strip_prefix("/dev/hda").or_else(|| device.strip_prefix("/dev/sda"))?;
    let number = rest.chars().all(|c| c.is_ascii_digit());
    (matches!(key, "root" | "resume") && number).then_some((key, rest))
}

/// The same with the names that a virtio disk has.
pub fn on_virtio(options: &str) -> String {
    let word = |word: &str| match on_ide(word) {
        Some((key, rest)) => format!("{key}=/dev/vda{rest}"),
        None => word.to_string(),
    };
    options.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
