//! Boot loader entries, one file each (UAPI Group specification 1), and systemd-boot's loader.conf.

use super::super::volume::{Place, Volumes};
use super::version;
use super::{ENTRIES_MAX, Entry, Menu, OPTIONS_MAX, TEXT_MAX, join};
use anyhow::{Result, ensure};

const PLACES: [&str; 2] = ["/loader", "/boot/loader"];
const FILE_MAX: u64 = 64 << 10;

/// An entry with what it is sorted by.
pub struct Read {
    entry: Entry,
    sort_key: Option<String>,
    machine: String,
    version: String,
    /// Without the counter of attempts.
    file: String,
}

pub fn look(volumes: &Volumes, volume: usize) -> Result<Menu> {
    for dir in PLACES {
        let place = |path: &str| Place { volume, path: join(dir, path) };
        let entries = read(volumes, &place("entries"), |_| String::new())?;
        if entries.is_empty() {
            continue;
        }
        let conf = volumes.text(&place("loader.conf"), TEXT_MAX)?.unwrap_or_default();
        let wanted = conf.lines().filter_map(field).filter(|(key, _)| *key == "default").map(|(_, v)| v).next_back();
        let entries = by_key(entries);
        let is = |e: &Entry| wanted.is_some_and(|w| matches(e.id.as_deref().unwrap_or_default(), w));
        let default = entries.iter().position(is).unwrap_or(0);
        return Ok(Menu { entries, default, remarks: Vec::new() });
    }
    Ok(Menu::default())
}

/// The entries in a directory, in no order. `variable` is what GRUB has for a name.
pub fn read(volumes: &Volumes, dir: &Place, variable: impl Fn(&str) -> String) -> Result<Vec<Read>> {
    let mut found = Vec::new();
    for name in volumes.names(dir)? {
        let Some(file) = name.strip_suffix(".conf") else { continue };
        let from = Place { volume: dir.volume, path: join(&dir.path, &name) };
        if let Some(text) = volumes.text(&from, FILE_MAX)?
            && let Some(read) = parse(volumes, file, from, &text, &variable)?
        {
            found.push(read);
        }
        ensure!(found.len() <= ENTRIES_MAX, "{}: more than {ENTRIES_MAX} entries", dir.path);
    }
    Ok(found)
}

fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (key, value) = line.split_once(char::is_whitespace)?;
    (!key.starts_with('#')).then_some((key, value.trim()))
}

/// None: it starts no Linux for this kind of machine.
fn parse(
    volumes: &Volumes,
    file: &str,
    from: Place,
    text: &str,
    variable: &impl Fn(&str) -> String,
) -> Result<Option<Read>> {
    let (mut title, mut kernel, mut initrd, mut options) = (None, None, Vec::new(), Vec::new());
    let (mut sort_key, mut machine, mut version) = (None, String::new(), String::new());
    for (key, value) in text.lines().filter_map(field) {
        match key {
            "title" => title = Some(value.to_string()),
            "version" => version = value.to_string(),
            "machine-id" => machine = value.to_string(),
            "sort-key" => sort_key = Some(value.to_string()),
            "linux" => kernel = Some(value.to_string()),
            // GRUB has several in a line, some of them variables that are empty as a rule.
            "initrd" => initrd.extend(value.split_whitespace().filter(|v| !v.starts_with('$')).map(String::from)),
            "options" => options.push(expand(value, variable)),
            "architecture" if !matches!(value.to_ascii_lowercase().as_str(), "x64" | "ia32") => return Ok(None),
            _ => {}
        }
    }
    let Some(kernel) = kernel else { return Ok(None) };
    let options = options.join(" ");
    ensure!(options.len() <= OPTIONS_MAX, "{}: options of {} bytes", from.path, options.len());
    let find = |path: String| -> Result<Place> {
        let place = Place { volume: from.volume, path: join("", &path) };
        // Where /boot is not a file system of its own, some have paths below it and some not.
        let below = Place { volume: from.volume, path: join("/boot", &path) };
        Ok(if !volumes.is_file(&place)? && volumes.is_file(&below)? { below } else { place })
    };
    let kernel = find(kernel)?;
    let initrd = initrd.into_iter().map(find).collect::<Result<_>>()?;
    // `name+3-1`: three attempts are left, one failed.
    let id = file.rsplit_once('+').filter(|(_, n)| n.chars().all(|c| c.is_ascii_digit() || c == '-'));
    let id = id.map_or(file, |(name, _)| name).to_string();
    let title = match title {
        Some(title) => title,
        None => id.clone(),
    };
    let entry = Entry { title, id: Some(id.clone()), kernel, initrd, options, from };
    Ok(Some(Read { entry, sort_key, machine, version, file: id }))
}

/// With variables of GRUB in it, such as `$kernelopts`.
fn expand(text: &str, variable: &impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|a| a.split_once('}'));
        let (name, later) = braced.unwrap_or_else(|| {
            after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()))
        });
        out.push_str(variable(name).trim());
        rest = later;
        if out.len() > OPTIONS_MAX {
            break;
        }
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As GRUB sorts: by the name of the file, the newest first.
pub fn by_version(mut found: Vec<Read>) -> Vec<Entry> {
    found.sort_by(|a, b| version::compare(&b.file, &a.file));
    found.into_iter().map(|r| r.entry).collect()
}

/// As the specification has it.
fn by_key(mut found: Vec<Read>) -> Vec<Entry> {
    found.sort_by(|a, b| {
        let keyed = match (&a.sort_key, &b.sort_key) {
            (Some(x), Some(y)) => x.cmp(y).then_with(|| a.machine.cmp(&b.machine)),
            (x, y) => y.is_some().cmp(&x.is_some()),
        };
        let newer = || version::compare(&b.version, &a.version);
        keyed
            .then_with(|| if a.sort_key.is_some() { newer() } else { std::cmp::Ordering::Equal })
            .then_with(|| version::compare(&b.file, &a.file))
    });
    found.into_iter().map(|r| r.entry).collect()
}

/// Whether loader.conf's pattern, with `*` and `?`, fits an entry.
fn matches(id: &str, pattern: &str) -> bool {
    let pattern = pattern.strip_suffix(".conf").unwrap_or(pattern);
    let (id, pattern): (Vec<char>, Vec<char>) = (id.chars().collect(), pattern.chars().collect());
    // Ends of the name that the pattern so far fits.
    let mut fits = vec![false; id.len() + 1];
    fits.iter_mut().take(1).for_each(|f| *f = true);
    for p in pattern {
        let mut next = vec![false; fits.len()];
        let mut any = false;
        for (i, now) in fits.iter().enumerate() {
            any |= *now;
            if p == '*' {
                next.iter_mut().skip(i).take(1).for_each(|f| *f = any);
            } else if *now && id.get(i).is_some_and(|c| p == '?' || p == *c) {
                next.iter_mut().skip(i + 1).take(1).for_each(|f| *f = true);
            }
        }
        fits = next;
    }
    fits.last() == Some(&true)
}
