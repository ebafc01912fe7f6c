//! GRUB 0.9x, which installations before about 2010 have: menu.lst, or grub.conf. (hd0,0) is the first partition.

use super::super::volume::{Place, Volumes};
use super::{ENTRIES_MAX, Entry, Menu, OPTIONS_MAX, TEXT_MAX};
use anyhow::{Context, Result, ensure};

const CONFIGS: [&str; 6] = [
    "/boot/grub/menu.lst",
    "/boot/grub/grub.conf",
    "/grub/menu.lst",
    "/grub/grub.conf",
    "/menu.lst",
    "/boot/boot/grub/menu.lst",
];
/// Where `savedefault` writes a number, as text.
const SAVED: &str = "default";

pub fn look(volumes: &Volumes, volume: usize) -> Result<Menu> {
    for path in CONFIGS {
        let from = Place { volume, path: path.to_string() };
        if let Some(text) = volumes.text(&from, TEXT_MAX)? {
            let menu = parse(volumes, &from, &text).with_context(|| path.to_string())?;
            if !menu.entries.is_empty() {
                return Ok(menu);
            }
        }
    }
    Ok(Menu::default())
}

#[derive(Default)]
struct Title {
    title: String,
    root: Option<usize>,
    kernel: Option<(Place, String)>,
    initrd: Option<Place>,
}

fn parse(volumes: &Volumes, from: &Place, text: &str) -> Result<Menu> {
    let mut titles: Vec<Title> = Vec::new();
    let (mut default, mut root) = (String::new(), Some(from.volume));
    for line in text.lines() {
        let line = line.trim();
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (key, value) = line.split_at(end);
        let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim_end();
        let title = titles.last_mut();
        match (key, title) {
            ("default", None) => default = value.to_string(),
            ("root" | "rootnoverify", None) => root = device(volumes, value),
            ("title", _) => {
                ensure!(titles.len() < ENTRIES_MAX, "more than {ENTRIES_MAX} entries");
                titles.push(Title { title: value.to_string(), root, ..Title::default() });
            }
            ("root" | "rootnoverify", Some(title)) => title.root = device(volumes, value),
            ("uuid", Some(title)) => {
                let is = |uuid: Option<&str>| uuid.is_some_and(|u| u.eq_ignore_ascii_case(value));
                title.root = volumes.position(|v| v.files().is_some_and(|fs| is(fs.uuid())));
            }
            ("kernel", Some(title)) => {
                ensure!(value.len() <= OPTIONS_MAX, "kernel: {} bytes", value.len());
                let mut words = value.split_whitespace().filter(|w| !w.starts_with("--")).peekable();
                let path = words.next().unwrap_or_default();
                let options: Vec<&str> = words.collect();
                title.kernel = place(volumes, title.root, path).map(|place| (place, options.join(" ")));
            }
            ("initrd", Some(title)) => title.initrd = place(volumes, title.root, value),
            // Xen, which has Linux as a module.
            ("module" | "chainloader", Some(title)) => title.kernel = None,
            _ => {}
        }
    }
    let number = match default.as_str() {
        "saved" => saved(volumes, from)?,
        number => number.parse().unwrap_or(0),
    };
    let mut menu = Menu::default();
    for (n, title) in titles.into_iter().enumerate() {
        let Some((kernel, options)) = title.kernel else { continue };
        if n == number {
            menu.default = menu.entries.len();
        }
        let initrd = title.initrd.into_iter().collect();
        menu.entries.push(Entry { title: title.title, id: None, kernel, initrd, options, from: from.clone() });
    }
    Ok(menu)
}

fn saved(volumes: &Volumes, from: &Place) -> Result<usize> {
    let dir = from.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let place = Place { volume: from.volume, path: super::join(dir, SAVED) };
    let text = volumes.text(&place, TEXT_MAX)?.unwrap_or_default();
    Ok(text.lines().next().unwrap_or_default().trim_matches('\0').trim().parse().unwrap_or(0))
}

/// The volume that `(hd0,1)` is.
fn device(volumes: &Volumes, text: &str) -> Option<usize> {
    let inside = text.strip_prefix('(')?.split_once(')')?.0;
    let (disk, partition) = inside.split_once(',').map_or((inside, None), |(d, p)| (d, Some(p)));
    if disk != "hd0" {
        return None;
    }
    let number = match partition {
        Some(partition) => Some(partition.trim().parse::<u32>().ok()?.checked_add(1)?),
        None => None,
    };
    volumes.position(|v| v.partition.map(|(_, n)| n) == number)
}

fn place(volumes: &Volumes, root: Option<usize>, path: &str) -> Option<Place> {
    match path.starts_with('(') {
        true => {
            let path_only = path.split_once(')')?.1;
            Some(Place { volume: device(volumes, path)?, path: path_only.to_string() })
        }
        false => Some(Place { volume: root?, path: path.to_string() }),
    }
}
