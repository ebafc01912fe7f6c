//! The configuration of boot loaders: what they would start, and what they would start by themselves.

mod bls;
mod grub;
mod legacy;
mod links;
mod syslinux;
mod version;

use super::volume::{Place, Volumes};
use anyhow::Result;

/// Bytes of a configuration file.
const TEXT_MAX: u64 = 1 << 20;
/// Entries of a menu.
pub const ENTRIES_MAX: usize = 1000;
/// Bytes of a kernel's arguments; Linux has room for 2047 on x86.
const OPTIONS_MAX: usize = 16 << 10;

/// A Linux kernel that a boot loader would start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub title: String,
    /// What the boot loader knows it by beside its title.
    pub id: Option<String>,
    pub kernel: Place,
    pub initrd: Vec<Place>,
    pub options: String,
    /// The file that says so.
    pub from: Place,
}

/// What the configuration of one boot loader has.
#[derive(Debug, Default)]
pub struct Menu {
    pub entries: Vec<Entry>,
    /// Which of them starts by itself.
    pub default: usize,
    pub remarks: Vec<String>,
}

type Look = fn(&Volumes, usize) -> Result<Menu>;

const LAST: &str = "kernels in the usual places";
/// In the order in which they count: a disk that was upgraded has the configuration of its old boot loader still.
const LOADERS: [(&str, Look); 5] = [
    ("GRUB", grub::look),
    ("boot loader entries", bls::look),
    ("SYSLINUX", syslinux::look),
    ("GRUB Legacy", legacy::look),
    (LAST, links::look),
];

/// All menus that have entries, the one that counts first.
pub fn look(volumes: &Volumes) -> Result<Menu> {
    let mut all = Menu::default();
    for (name, look) in LOADERS {
        if name == LAST && !all.entries.is_empty() {
            break;
        }
        for volume in 0..volumes.list.len() {
            let mut menu = match look(volumes, volume) {
                Ok(menu) => menu,
                Err(e) => {
                    let place = volumes.get(volume).map(|v| v.name()).unwrap_or_default();
                    all.remarks.push(format!("{place}: {name}: {e:#}"));
                    continue;
                }
            };
            all.remarks.extend(std::mem::take(&mut menu.remarks));
            add(&mut all, menu, volumes)?;
        }
    }
    Ok(all)
}

fn add(all: &mut Menu, menu: Menu, volumes: &Volumes) -> Result<()> {
    let first = all.entries.is_empty();
    for (n, entry) in menu.entries.into_iter().enumerate() {
        let same = |e: &Entry| e.kernel == entry.kernel && e.options == entry.options;
        if all.entries.len() >= ENTRIES_MAX || all.entries.iter().any(same) {
            continue;
        }
        if !volumes.is_file(&entry.kernel)? {
            all.remarks
                .push(format!("{}: entry `{}`: there is no {}", entry.from.path, entry.title, entry.kernel.path));
            continue;
        }
        if first && n == menu.default {
            all.default = all.entries.len();
        }
        all.entries.push(entry);
    }
    Ok(())
}

/// `dir` and a path below it.
fn join(dir: &str, path: &str) -> String {
    format!("{}/{}", dir.trim_end_matches('/'), path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
