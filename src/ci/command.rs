//! From a boot to the command line of the child that does it.

use super::file::{Command, Keys};
use super::matrix::Boot;
use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::Path;

/// What only a boot that really happens has.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// The kernel log goes to this descriptor (`kiln exec`).
    pub klog: RawFd,
    /// Where the child tells how it ended.
    pub result: &'a Path,
}

struct Flags(Vec<OsString>);

impl Flags {
    fn flag(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().into());
    }
}

/// The arguments of kiln. Without `ends`: as a person would type them.
pub fn arguments(boot: &Boot, ends: Option<Ends<'_>>) -> Vec<OsString> {
    let mut flags = Flags(vec![if boot.has_command() { "exec" } else { "run" }.into()]);
    machine(boot, &mut flags);
    if let Some(ends) = ends {
        flags.flag("--result", ends.result);
        if boot.has_command() {
            flags.flag("--klog", format!("fd={}", ends.klog));
        }
    }
    match &boot.what.command {
        Some(command) => exec(boot, command, &mut flags),
        None => run(boot, &mut flags),
    }
    flags.0
}

fn machine(boot: &Boot, flags: &mut Flags) {
    let keys = &boot.keys;
    flags.flag("--cpus", keys.cpus.as_ref().map_or("1", |c| &c.text));
    flags.flag("--memory", keys.memory.as_ref().map_or("1G", |m| &m.text));
    flags.flag("--timeout", keys.timeout.as_ref().map_or("5m", |t| &t.text));
    if let Some(bus) = keys.transport {
        flags.flag("--transport", bus.name());
    }
    if let Some(append) = &keys.append {
        flags.flag("--append", append);
    }
    keys.initrd.0.iter().for_each(|i| flags.flag("--initrd", i));
}

fn exec(boot: &Boot, command: &Command, flags: &mut Flags) {
    let Keys { env, rw, ro, cwd, user, args, .. } = &boot.keys;
    if let Some(image) = &boot.image {
        flags.flag("--kernel", image);
    }
    if let Some(modules) = &boot.modules {
        flags.flag("--modules", modules);
    }
    flags.flag("--fail-on", boot.fail_on().to_string());
    rw.0.iter().for_each(|d| flags.flag("--rw", d));
    ro.0.iter().for_each(|d| flags.flag("--ro", d));
    env.iter().for_each(|(k, v)| flags.flag("--env", format!("{k}={v}")));
    if let Some(cwd) = cwd {
        flags.flag("--cwd", cwd);
    }
    if let Some(user) = user {
        flags.flag("--user", user);
    }
    flags.0.extend(args.0.iter().map(OsString::from));
    flags.0.push("--".into());
    match command {
        Command::Line(line) => flags.0.extend(["sh", "-c", line].map(OsString::from)),
        Command::Words(words) => flags.0.extend(words.iter().map(OsString::from)),
    }
}

/// A guest that resets itself has ended: it would do so for ever.
fn run(boot: &Boot, flags: &mut Flags) {
    flags.flag("--reboot", "exit");
    flags.0.extend(boot.keys.args.0.iter().map(OsString::from));
    if let Some(image) = &boot.image {
        flags.0.push("--".into());
        flags.0.push(image.into());
    }
}

/// One line that a shell would take as it is meant.
pub fn quoted(arguments: &[OsString]) -> String {
    let quote = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
