//! The initramfs of `kiln exec`: kiln itself as /init, and the modules it loads. It follows the user's own archives, and
//! what comes later replaces what is there.

mod cpio;

use super::modules::Plan;
use crate::boot::bytes::{u16_at, u32_at, u64_at};
use crate::config::{Archive, Part};
use anyhow::{Context, Result, ensure};
use cpio::Cpio;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What runs here is what will run there.
const SELF: &str = "/proc/self/exe";
const DIRECTORIES: [&str; 8] = ["dev", "proc", "sys", "run", "tmp", "mnt", "root", "modules"];
const PT_INTERP: u32 = 3;
/// sizeof(Elf64_Ehdr), sizeof(Elf64_Phdr).
const EHDR: usize = 64;
const PHDR: usize = 56;

/// Builds it: /init, /modules/NAME.ko, and /modules/order, which names these files in the order of loading, one a line.
/// Nothing large is copied: kiln and unpacked modules are read when the archive is put into guest memory.
pub fn build(plan: &Plan) -> Result<Archive> {
    let file = File::open(SELF).with_context(|| format!("open {SELF}"))?;
    let len = file.metadata().with_context(|| format!("open {SELF}"))?.len();
    let dynamic = is_dynamic(&file).with_context(|| format!("read {SELF}"))?;
    ensure!(
        !dynamic,
        "this kiln needs shared libraries, so it cannot be the guest's init; build it statically, as `make build` does"
    );
    pack(vec![Part::File { file: Arc::new(file), range: 0..len }], plan)
}

fn pack(init: Vec<Part>, plan: &Plan) -> Result<Archive> {
    let mut cpio = Cpio::default();
    for name in DIRECTORIES {
        cpio.directory(name);
    }
    // The kernel gives it to init before there is a devtmpfs.
    cpio.character_device("dev/console", 0o600, (5, 1));
    // Where there is no console, a program opens this in the place of its standard streams.
    cpio.character_device("dev/null", 0o666, (1, 3));
    cpio.file("init", 0o755, init)?;
    let mut order = String::new();
    for module in &plan.modules {
        let name = format!("{}.ko", module.name);
        cpio.file(&format!("modules/{name}"), 0o644, module.parts.clone())
            .with_context(|| format!("module {}", module.path.display()))?;
        order += &name;
        order.push('\n');
    }
    cpio.file("modules/order", 0o644, vec![Part::Bytes(Arc::new(order.into_bytes()))])?;
    Ok(cpio.finish())
}

/// Whether a program asks for an interpreter, which loads its libraries (System V ABI, chapter 5, "Program Interpreter").
fn is_dynamic(file: &File) -> Result<bool> {
    let mut header = [0; EHDR];
    file.read_exact_at(&mut header, 0)?;
    let (at, size, count) = (u64_at(&header, 0x20), u16_at(&header, 0x36), u16_at(&header, 0x38));
    ensure!(size.map(usize::from) == Some(PHDR), "its program headers are no 64-bit ones");
    let mut table = vec![0; PHDR * usize::from(count.unwrap_or(0))];
    file.read_exact_at(&mut table, at.unwrap_or(0)).context("its program headers are cut off")?;
    Ok(table.chunks_exact(PHDR).any(|header| u32_at(header, 0) == Some(PT_INTERP)))
}

#[cfg(test)]
mod tests;
