//! The last resort, for images without a boot loader: kernels where distributions put them.

use super::super::volume::{Place, Volume, Volumes};
use super::version;
use super::{Entry, Menu, join};
use anyhow::Result;

const DIRS: [&str; 2] = ["/", "/boot"];
const KERNELS: [&str; 3] = ["vmlinuz", "bzImage", "vmlinux"];
const INITRDS: [&str; 4] = ["initrd.img", "initrd", "initramfs.img", "initramfs"];
/// What a root file system has, one of them.
const ROOT: [&str; 4] = ["/sbin/init", "/usr/lib/systemd/systemd", "/etc/fstab", "/etc/os-release"];

pub fn look(volumes: &Volumes, volume: usize) -> Result<Menu> {
    let mut menu = Menu::default();
    for dir in DIRS {
        let names = volumes.names(&Place { volume, path: dir.to_string() })?;
        for (kernel, release) in kernels(&names) {
            let path = |name: &str| Place { volume, path: join(dir, name) };
            let place = path(&kernel);
            // A link into another file system leads nowhere here.
            if !volumes.is_file(&place)? {
                continue;
            }
            let mut initrd = Vec::new();
            for name in initrds(&release) {
                let place = path(&name);
                if names.contains(&name) && volumes.is_file(&place)? {
                    initrd.push(place);
                    break;
                }
            }
            let options = root(volumes, volume, !initrd.is_empty())?;
            let options = options.map_or(String::new(), |root| format!("root={root} ro"));
            let title = format!("Linux, {}", place.path);
            menu.entries.push(Entry { title, id: None, kernel: place.clone(), initrd, options, from: place });
        }
    }
    Ok(menu)
}

/// Names of kernels and what stands behind them in a name with a release: those without one first, then the newest.
fn kernels(names: &[String]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for name in names {
        for kernel in KERNELS {
            match name.strip_prefix(kernel) {
                Some("") => found.push((name.clone(), String::new())),
                Some(rest) if rest.starts_with('-') && !rest.ends_with(".old") => {
                    found.push((name.clone(), rest.to_string()));
                }
                _ => {}
            }
        }
    }
    found.sort_by(|(_, a), (_, b)| (!a.is_empty()).cmp(&!b.is_empty()).then_with(|| version::compare(b, a)));
    found
}

/// What the initrd of a kernel is called: initrd.img-RELEASE, initramfs-RELEASE.img.
fn initrds(release: &str) -> Vec<String> {
    let mut names: Vec<String> = INITRDS.iter().map(|name| format!("{name}{release}")).collect();
    names.extend(["initramfs", "initrd"].map(|name| format!("{name}{release}.img")));
    names
}

/// What to say for `root=`: the file system beside the kernel, or another that has what a root has. Without an initrd
/// Linux knows no UUIDs of file systems.
fn root(volumes: &Volumes, beside: usize, initrd: bool) -> Result<Option<String>> {
    let order = std::iter::once(beside).chain(0..volumes.list.len());
    for n in order {
        for path in ROOT {
            if volumes.kind(&Place { volume: n, path: path.to_string() })?.is_some() {
                return Ok(volumes.get(n).and_then(|v| name(v, initrd)));
            }
        }
    }
    Ok(None)
}

fn name(volume: &Volume, initrd: bool) -> Option<String> {
    match volume.partition {
        _ if initrd => volume.files()?.uuid().map(|uuid| format!("UUID={uuid}")),
        Some(_) => Some(format!("PARTUUID={}", volume.partuuid)),
        None => Some("/dev/vda".to_string()),
    }
}
