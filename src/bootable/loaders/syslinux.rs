//! SYSLINUX, ISOLINUX and EXTLINUX: live ISOs, USB sticks, and the format that U-Boot took over.

use super::super::volume::{Place, Volumes};
use super::{ENTRIES_MAX, Entry, Menu, OPTIONS_MAX, TEXT_MAX, join};
use anyhow::{Context, Result, ensure};

const CONFIGS: [&str; 12] = [
    "/boot/extlinux/extlinux.conf",
    "/extlinux/extlinux.conf",
    "/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
    "/syslinux/syslinux.cfg",
    "/syslinux.cfg",
    "/boot/isolinux/isolinux.cfg",
    "/isolinux/isolinux.cfg",
    "/isolinux.cfg",
    "/boot/x86_64/loader/isolinux.cfg",
    "/arch/boot/syslinux/syslinux.cfg",
    "/boot/syslinux/extlinux.conf",
];
const FILES_MAX: usize = 64;
const DEPTH_MAX: usize = 16;

pub fn look(volumes: &Volumes, volume: usize) -> Result<Menu> {
    for path in CONFIGS {
        let from = Place { volume, path: path.to_string() };
        if !volumes.is_file(&from)? {
            continue;
        }
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir).to_string();
        let mut config = Config::new(volumes, &from, dir);
        config.file(&from, 0).with_context(|| path.to_string())?;
        let menu = config.finish()?;
        if !menu.entries.is_empty() {
            return Ok(menu);
        }
    }
    Ok(Menu::default())
}

#[derive(Default)]
struct Label {
    name: String,
    title: Option<String>,
    kernel: Option<String>,
    initrd: Vec<String>,
    append: Option<String>,
    default: bool,
}

struct Config<'a> {
    volumes: &'a Volumes<'a>,
    from: Place,
    /// Paths are relative to it.
    dir: String,
    files: usize,
    labels: Vec<Label>,
    /// APPEND before the first label is for those that have none.
    append: String,
    default: Option<String>,
    ontimeout: Option<String>,
}

impl<'a> Config<'a> {
    fn new(volumes: &'a Volumes<'a>, from: &Place, dir: String) -> Config<'a> {
        Config {
            volumes,
            from: from.clone(),
            dir,
            files: 0,
            labels: Vec::new(),
            append: String::new(),
            default: None,
            ontimeout: None,
        }
    }

    fn file(&mut self, place: &Place, depth: usize) -> Result<()> {
        self.files += 1;
        ensure!(depth <= DEPTH_MAX && self.files <= FILES_MAX, "includes more files than kiln reads");
        let Some(text) = self.volumes.text(place, TEXT_MAX)? else { return Ok(()) };
        for line in text.lines() {
            let (key, value) = word(line);
            match key.to_ascii_lowercase().as_str() {
                "include" => self.file(&self.place(word(value).0), depth + 1)?,
                "menu" => {
                    let (key, value) = word(value);
                    match key.to_ascii_lowercase().as_str() {
                        "include" => self.file(&self.place(word(value).0), depth + 1)?,
                        "default" => self.label(|label| label.default = true),
                        "label" => self.label(|label| label.title = Some(value.replace('^', ""))),
                        _ => {}
                    }
                }
                "label" => {
                    ensure!(self.labels.len() < ENTRIES_MAX, "more than {ENTRIES_MAX} labels");
                    self.labels.push(Label { name: value.to_string(), ..Label::default() });
                }
                "default" => self.default = Some(value.to_string()),
                "ontimeout" => self.ontimeout = Some(value.to_string()),
                "kernel" | "linux" => self.label(|label| label.kernel = Some(value.to_string())),
                "initrd" => self.label(|label| label.initrd.extend(value.split(',').map(String::from))),
                "append" => {
                    ensure!(value.len() <= OPTIONS_MAX, "APPEND: {} bytes", value.len());
                    match self.labels.last_mut() {
                        Some(label) => label.append = Some(value.to_string()),
                        None => self.append = value.to_string(),
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn label(&mut self, with: impl FnOnce(&mut Label)) {
        self.labels.last_mut().map_or((), with)
    }

    fn place(&self, path: &str) -> Place {
        let path = if path.starts_with('/') { path.to_string() } else { join(&self.dir, path) };
        Place { volume: self.from.volume, path }
    }

    fn finish(self) -> Result<Menu> {
        let (mut entries, mut default) = (Vec::new(), None);
        // `DEFAULT vesamenu.c32` is no label, and then the first is chosen, or what MENU DEFAULT or ONTIMEOUT say.
        let named = self.ontimeout.as_deref().or(self.default.as_deref()).map(|d| word(d).0.to_string());
        for label in &self.labels {
            let Some(kernel) = &label.kernel else { continue };
            let (path, more) = word(kernel);
            let module = [".c32", ".0", ".bin", ".bss", ".com", ".cbt"].iter().any(|e| path.ends_with(e));
            if module || path.contains("::") || label.name.is_empty() {
                continue;
            }
            let mut initrd = label.initrd.clone();
            let append = match label.append.as_deref() {
                Some("-") => "",
                Some(append) => append,
                None => self.append.as_str(),
            };
            let all = format!("{more} {append}");
            let mut options = Vec::new();
            for option in all.split_whitespace() {
                match option.strip_prefix("initrd=") {
                    Some(files) => initrd.extend(files.split(',').map(String::from)),
                    None => options.push(option),
                }
            }
            if label.default || (default.is_none() && named.as_deref() == Some(&label.name)) {
                default = Some(entries.len());
            }
            entries.push(Entry {
                title: label.title.as_ref().unwrap_or(&label.name).trim().to_string(),
                id: Some(label.name.clone()),
                kernel: self.place(path),
                initrd: initrd.iter().map(|i| self.place(i.trim())).collect(),
                options: options.join(" "),
                from: self.from.clone(),
            });
        }
        Ok(Menu { entries, default: default.unwrap_or(0), remarks: Vec::new() })
    }
}

/// The first word of a line, and what comes after it.
fn word(line: &str) -> (&str, &str) {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (word, rest.trim())
}
