//! Every kind of virtio device, in one table. Adding one: a file, a word here, a row in docs/devices.md.

use crate::config::{OptionDoc, Options};
use crate::event::Notify;
use crate::virtio::Device;
use anyhow::{Context, Result};

macro_rules! devices {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        pub static KINDS: &[&Kind] = &[$(&$module::KIND),*];
    };
}
devices![console, disk, fs, net, rng];

/// What the machine lends a device while it is built.
pub struct Host {
    pub notify: Notify,
}

/// One kind of device: its flag, its documentation, and how to build it.
pub struct Kind {
    /// Flag, file, thread and table name, all one word.
    pub name: &'static str,
    pub about: &'static str,
    pub options: &'static [OptionDoc],
    /// The flag may stand alone: every option has a default that makes sense.
    pub bare: bool,
    pub build: fn(&Options, &Host) -> Result<Box<dyn Device>>,
    /// Options with which it can be built anywhere, for the conformance tests.
    /// `{tmp}` stands for the path of an empty 1 MiB file.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the conformance tests"))]
    pub sample: &'static str,
}

impl Kind {
    /// The key of a bare first value.
    pub fn positional(&self) -> Option<&'static str> {
        self.options.first().map(|o| o.name)
    }
}

pub fn find(name: &str) -> Result<&'static Kind> {
    KINDS.iter().copied().find(|k| k.name == name).with_context(|| format!("no device is called `{name}`"))
}

#[cfg(test)]
mod ring;
#[cfg(test)]
mod tests;
