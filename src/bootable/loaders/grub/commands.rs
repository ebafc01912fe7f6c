//! GRUB's commands, as far as they matter to what is started. The others succeed and do nothing.

use super::super::super::volume::Place;
use super::super::{TEXT_MAX, bls};
use super::shell::{Flow, Item, Shell};
use super::test::test;
use anyhow::{Context, Result};

/// An environment block has 1024 bytes.
const ENVBLK_MAX: u64 = 64 << 10;
/// What fails here: there is no keyboard, no picture, no second try.
const FAILING: [&str; 9] = [
    "false",
    "keystatus",
    "background_image",
    "loopback",
    "cryptomount",
    "cutmem",
    "regexp",
    "sleep --interruptible",
    "authenticate",
];

pub fn run(shell: &mut Shell, name: &str, words: &[String]) -> Result<()> {
    shell.good = true;
    let first = words.first().map_or("", String::as_str);
    match name {
        "set" => {
            if let Some((name, value)) = first.split_once('=') {
                shell.env.set(name, value)?;
            }
        }
        "unset" => words.iter().for_each(|name| shell.env.unset(name)),
        "[" => {
            let end = words.iter().position(|w| w == "]").unwrap_or(words.len());
            shell.good = test(shell, words.get(..end).unwrap_or_default())?;
        }
        "test" => shell.good = test(shell, words)?,
        "linux" | "linux16" | "linuxefi" | "kernel" => {
            shell.kernel = place(shell, first).map(|place| (place, arguments(words)));
            shell.initrd.clear();
        }
        "initrd" | "initrd16" | "initrdefi" => {
            let files = words.iter().filter(|w| !w.starts_with("--"));
            shell.initrd = files.map(|w| place(shell, w).with_context(|| lost(w))).collect::<Result<_>>()?;
        }
        // What starts something else than Linux.
        "chainloader" | "multiboot" | "multiboot2" | "ntldr" | "freedos" | "xen_hypervisor" => shell.kernel = None,
        "search" | "search.fs_uuid" | "search.fs_label" | "search.file" => search(shell, name, words)?,
        "probe" => probe(shell, words)?,
        "load_env" => load_env(shell, words)?,
        "source" | "." => source(shell, first, false)?,
        "configfile" | "normal" | "extract_entries_configfile" => source(shell, first, true)?,
        "blscfg" => blscfg(shell, first)?,
        "return" => {
            shell.good = first.is_empty() || first == "0";
            shell.flow = Flow::Return;
        }
        "break" => shell.flow = Flow::Break,
        "continue" => shell.flow = Flow::Continue,
        "increment" | "decrement" => {
            let value: i64 = shell.get(first).parse().unwrap_or(0);
            let value = if name == "increment" { value.saturating_add(1) } else { value.saturating_sub(1) };
            shell.env.set(first, &value.to_string())?;
        }
        _ => shell.good = !FAILING.contains(&name),
    }
    Ok(())
}

fn lost(path: &str) -> String {
    format!("`{path}`: there is no such disk or partition here")
}

/// A kernel's arguments. One with a blank in it is put between quotes again.
fn arguments(words: &[String]) -> String {
    let quote = |word: &String| if word.contains(' ') { format!("\"{word}\"") } else { word.clone() };
    words.iter().skip(1).map(quote).collect::<Vec<_>>().join(" ")
}

/// The file behind `(hd0,gpt2)/boot/vmlinuz` or a path below `$root`. None: there is no such device here.
pub fn place(shell: &Shell, path: &str) -> Option<Place> {
    let (device, path) = match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((device, path)) => (device, path),
        None => (shell.get("root"), path),
    };
    let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
    Some(Place { volume: volume(shell, device)?, path })
}

/// `hd0,gpt2`, `hd0,msdos1`, `hd0,2`, `cd0`, `hd0`; also in parentheses.
fn volume(shell: &Shell, device: &str) -> Option<usize> {
    let device = device.trim_start_matches('(').trim_end_matches(')');
    let (disk, partition) = device.split_once(',').map_or((device, None), |(disk, p)| (disk, Some(p)));
    if !matches!(disk, "hd0" | "cd0" | "cd" | "fd0" | "usb0" | "ata0" | "ahci0") {
        return None;
    }
    let number = match partition.map(|p| p.trim_start_matches("gpt").trim_start_matches("msdos").parse::<u32>()) {
        Some(number) => Some(number.ok()?),
        None => None,
    };
    let found = shell.volumes.position(|v| v.partition.map(|(_, n)| n) == number);
    // Where a hybrid ISO's partitions are asked for, the ISO is meant.
    found.or_else(|| shell.volumes.position(|v| v.partition.is_none()))
}

/// Sets a variable to the name of the volume that has a UUID, a label or a file.
fn search(shell: &mut Shell, command: &str, words: &[String]) -> Result<()> {
    let mut by = command.strip_prefix("search.").unwrap_or("");
    let (mut variable, mut wanted) = ("root", None);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--fs-uuid" | "-u" => by = "fs_uuid",
            "--label" | "--fs-label" | "-l" => by = "fs_label",
            "--file" | "-f" => by = "file",
            "--hint" | "-h" => drop(words.next()),
            _ if word.starts_with("--set=") => variable = word.get(6..).unwrap_or_default(),
            _ if word.starts_with('-') => {}
            _ if wanted.is_none() => wanted = Some(word),
            // `search.fs_uuid UUID root`
            _ if command != "search" && variable == "root" => variable = word,
            _ => {}
        }
    }
    let wanted = wanted.unwrap_or_default();
    let mut found = None;
    for (n, volume) in shell.volumes.list.iter().enumerate() {
        let Some(fs) = volume.files() else { continue };
        let is = match by {
            "fs_uuid" => fs.uuid().is_some_and(|u| u.eq_ignore_ascii_case(wanted)),
            "fs_label" => fs.label() == Some(wanted),
            _ => shell.volumes.kind(&Place { volume: n, path: wanted.to_string() })?.is_some(),
        };
        if is {
            found = Some(volume.grub_name());
            break;
        }
    }
    shell.good = found.is_some();
    found.map_or(Ok(()), |name| shell.env.set(variable, &name))
}

/// `probe --set=VARIABLE --fs-uuid DEVICE`
fn probe(shell: &mut Shell, words: &[String]) -> Result<()> {
    let variable = words.iter().find_map(|w| w.strip_prefix("--set="));
    let device = words.iter().find(|w| !w.starts_with('-'));
    let has = |long: &str, short: &str| words.iter().any(|w| w == long || w == short);
    let volume = device.and_then(|d| volume(shell, d)).and_then(|v| shell.volumes.get(v));
    let fs = volume.and_then(|v| v.files());
    let value = match fs {
        Some(fs) if has("--fs-uuid", "-u") => fs.uuid(),
        Some(fs) if has("--label", "-l") => fs.label(),
        Some(fs) if has("--fs", "-f") => Some(fs.kind()),
        _ if has("--part-uuid", "") => volume.map(|v| v.partuuid.as_str()),
        _ => None,
    };
    shell.good = value.is_some();
    if let (Some(variable), Some(value)) = (variable, value.map(String::from)) {
        shell.env.set(variable, &value)?;
    }
    Ok(())
}

/// Takes variables from an environment block, all or those named.
fn load_env(shell: &mut Shell, words: &[String]) -> Result<()> {
    let mut file = format!("{}/grubenv", shell.get("prefix"));
    let mut names: Vec<&str> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-f" | "--file" => file = words.next().cloned().unwrap_or_default(),
            w if w.starts_with("--file=") => file = w.get(7..).unwrap_or_default().to_string(),
            w if w.starts_with('-') => {}
            w => names.push(w),
        }
    }
    let text = match place(shell, &file) {
        Some(place) => shell.volumes.text(&place, ENVBLK_MAX)?,
        None => None,
    };
    shell.good = text.is_some();
    for line in text.unwrap_or_default().lines().filter(|l| !l.starts_with('#')) {
        if let Some((name, value)) = line.split_once('=')
            && (names.is_empty() || names.contains(&name))
        {
            // Within a value, a backslash stands before what would end it.
            shell.env.set(name, &value.replace("\\\\", "\\"))?;
        }
    }
    Ok(())
}

/// Runs another file. `instead`: its menu takes the place of this one.
fn source(shell: &mut Shell, path: &str, instead: bool) -> Result<()> {
    let text = match place(shell, path) {
        Some(place) => shell.volumes.text(&place, TEXT_MAX)?,
        None => None,
    };
    let Some(text) = text else {
        shell.good = false;
        return Ok(());
    };
    shell.enter()?;
    if instead {
        shell.items.clear();
    }
    shell.source(&text).with_context(|| path.to_string())?;
    shell.calls -= 1;
    if instead {
        shell.flow = Flow::Left;
    }
    Ok(())
}

/// Adds the boot loader entries of Fedora and its relatives: from `/loader/entries` of `$root`, or of its `/boot`.
fn blscfg(shell: &mut Shell, path: &str) -> Result<()> {
    let root = volume(shell, shell.get("boot")).or_else(|| volume(shell, shell.get("root")));
    let root = root.unwrap_or(shell.place().volume);
    let dirs = match place(shell, path).filter(|_| !path.is_empty()) {
        Some(place) => vec![place],
        None => {
            ["/loader/entries", "/boot/loader/entries"].map(|p| Place { volume: root, path: p.to_string() }).to_vec()
        }
    };
    for dir in dirs {
        let entries = bls::read(shell.volumes, &dir, |name| shell.get(name).to_string())?;
        if entries.is_empty() {
            continue;
        }
        for entry in bls::by_version(entries) {
            shell.add(Item::Ready(entry))?;
        }
        break;
    }
    Ok(())
}
