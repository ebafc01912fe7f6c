//! GRUB 2: its configuration is a program, so it is run, as far as commands are about what is to be started.

mod commands;
mod env;
mod shell;
mod syntax;
mod test;
mod words;

use super::super::volume::{Place, Volumes};
use super::{Entry, Menu, TEXT_MAX};
use anyhow::{Context, Result};
use shell::{Item, Shell};

const CONFIGS: [&str; 8] = [
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/grub/grub.cfg",
    "/grub2/grub.cfg",
    "/boot/grub/loopback.cfg",
    "/EFI/BOOT/grub.cfg",
    "/boot/efi/EFI/BOOT/grub.cfg",
    "/grub.cfg",
];
/// Menus in menus.
const SUBMENUS_MAX: usize = 4;

pub fn look(volumes: &Volumes, volume: usize) -> Result<Menu> {
    for path in configs(volumes, volume)? {
        let place = Place { volume, path };
        if let Some(text) = volumes.text(&place, TEXT_MAX)? {
            let menu = run(volumes, &place, &text).with_context(|| place.path.clone())?;
            if !menu.entries.is_empty() {
                return Ok(menu);
            }
        }
    }
    Ok(Menu::default())
}

/// The usual places, and those of an EFI system partition, where each system has a directory.
fn configs(volumes: &Volumes, volume: usize) -> Result<Vec<String>> {
    let mut paths: Vec<String> = CONFIGS.map(String::from).to_vec();
    for name in volumes.names(&Place { volume, path: "/EFI".to_string() })?.iter().take(20) {
        paths.push(format!("/EFI/{name}/grub.cfg"));
    }
    Ok(paths)
}

/// An item of the menu, or of a menu in it, that starts Linux: with what finds it on each level.
struct Found {
    levels: Vec<Level>,
    entry: Entry,
}

#[derive(Clone)]
struct Level {
    index: usize,
    title: String,
    id: Option<String>,
}

fn run(volumes: &Volumes, place: &Place, text: &str) -> Result<Menu> {
    let mut shell = Shell::new(volumes, place);
    shell.source(text)?;
    let (mut found, mut remarks) = (Vec::new(), Vec::new());
    collect(&shell, &[], &mut found, &mut remarks)?;
    let wanted = shell.get("default").to_string();
    let default = found.iter().position(|f| is_meant(&f.levels, &wanted));
    if default.is_none() && !found.is_empty() && !wanted.is_empty() {
        remarks.push(format!(
            "{}: its default entry `{wanted}` starts no Linux; the first that does is taken",
            place.path
        ));
    }
    let entries = found.into_iter().map(|f| f.entry).collect();
    Ok(Menu { entries, default: default.unwrap_or(0), remarks })
}

/// Runs what is behind each item.
fn collect(shell: &Shell, above: &[Level], found: &mut Vec<Found>, remarks: &mut Vec<String>) -> Result<()> {
    for (index, item) in shell.items.iter().enumerate() {
        let mut levels = above.to_vec();
        levels.push(Level { index, title: item.title().to_string(), id: item.id().map(String::from) });
        match item {
            Item::Ready(entry) => found.push(Found { levels, entry: entry.clone() }),
            Item::Script { submenu, words, body, .. } => {
                let mut inner = shell.inside(words);
                if let Err(e) = inner.run(body) {
                    remarks.push(format!("{}: entry `{}`: {e:#}", shell.place().path, item.title()));
                } else if *submenu {
                    if levels.len() < SUBMENUS_MAX {
                        collect(&inner, &levels, found, remarks)?;
                    }
                } else if let Some(entry) = inner.entry(item) {
                    found.push(Found { levels, entry });
                }
            }
        }
    }
    Ok(())
}

/// Whether `default` means this item: a number, a title or an id, and the same after `>` on the next level. One that
/// stops at a menu means what that menu begins with.
fn is_meant(levels: &[Level], default: &str) -> bool {
    let default = if default.is_empty() { "0" } else { default };
    // A title may have a > itself.
    if levels.last().is_some_and(|l| l.title == default || l.id.as_deref() == Some(default)) {
        return true;
    }
    let mut wanted = default.split('>').map(str::trim);
    levels.iter().all(|level| match wanted.next() {
        None => level.index == 0,
        Some(word) => word.parse() == Ok(level.index) || level.title == word || level.id.as_deref() == Some(word),
    })
}

#[cfg(test)]
mod tests;
