//! Every kind of device that the user can add, in one table. Adding one: a file, a word here, a row in docs/devices.md.

use crate::config::{OptionDoc, Options};
use crate::event::Notify;
use crate::host::screen::{Screen, Size};
use crate::host::seat::Seat;
use crate::host::sound::Hub;
use crate::irq::Line;
use crate::mem::Memory;
use crate::part::Part;
use crate::pci::Function;
use crate::platform::ide::Drive;
use crate::virtio::Device;
use anyhow::{Context, Result};
use std::sync::Arc;

macro_rules! devices {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        pub static KINDS: &[&Kind] = &[$(&$module::KIND),*];
    };
}
devices![clipboard, console, disk, fs, gpu, input, net, rng, sound];

/// What the machine lends a device while it is built.
pub struct Host {
    pub notify: Notify,
    /// The machine's only one.
    pub screen: Arc<Screen>,
    pub seat: Arc<Seat>,
    /// Where displays hear what is played.
    pub sound: Arc<Hub>,
}

impl Host {
    pub fn new(notify: Notify) -> Host {
        Host { notify, screen: Screen::new(), seat: Seat::new(), sound: Arc::default() }
    }
}

/// What a row makes of its options.
pub enum Built {
    /// A device for the transport that the machine has.
    Virtio(Box<dyn Device>),
    /// A virtio device that draws on the screen. What draws there before it has a driver stands beside it, with a mode of this
    /// size set.
    Screen(Box<dyn Device>, Size),
    /// A PCI card that is no virtio device.
    Card(MakeCard),
    /// A drive for the board's IDE controller.
    Drive(Drive),
}

/// Makes a card when the place for it is known.
pub type MakeCard = Box<dyn FnOnce(&Place) -> Result<Arc<dyn Card>> + Send>;

/// Where a card will be.
pub struct Place<'a> {
    pub id: &'a str,
    pub memory: &'a Memory,
    /// Its end of INTA.
    pub intx: Arc<dyn Line>,
}

/// A PCI card that is a part of the machine.
pub trait Card: Function + Part {}

impl<T: Function + Part> Card for T {}

impl Built {
    pub fn virtio(device: impl Device + 'static) -> Built {
        Built::Virtio(Box::new(device))
    }
}

/// For the tests of virtio devices.
#[cfg(test)]
impl Built {
    pub fn into_virtio(self) -> Box<dyn Device> {
        match self {
            Built::Virtio(device) | Built::Screen(device, _) => device,
            _ => panic!("it is no virtio device"),
        }
    }
}

/// One kind of device: its flag, its documentation, and how to build it.
pub struct Kind {
    /// Flag, file, thread and table name, all one word.
    pub name: &'static str,
    pub about: &'static str,
    pub options: &'static [OptionDoc],
    /// The flag may stand alone: every option has a default that makes sense.
    pub bare: bool,
    pub build: fn(&Options, &Host) -> Result<Built>,
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
