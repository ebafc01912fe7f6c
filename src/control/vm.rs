//! What a machine says about itself, as it goes over the socket and as `kiln ps --json` prints it.

use crate::config::{Config, FirmwareImage};
use crate::host::screen;
use crate::machine::Front;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The answer to GET /v1/vm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// What `kiln run --name` gave it, else its process number.
    pub name: String,
    pub pid: u32,
    pub state: State,
    /// Seconds since it was started.
    pub uptime: u64,
    /// What it was started with: a kernel, an entry of a disk image, or firmware.
    pub boots: String,
    /// Bytes.
    pub memory: u64,
    pub cpus: u32,
    /// Of what its screen shows; null: nothing.
    pub screen: Option<Size>,
    /// Where each `--display` listens; the kind of one that listens nowhere.
    pub displays: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    /// A debugger has stopped it, or a disk waits for room on the host.
    Stopped,
}

/// In pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// What does not change while a machine runs.
pub struct About {
    pub name: String,
    pub started: Instant,
    boots: String,
    memory: u64,
    cpus: u32,
    displays: Vec<String>,
}

impl About {
    pub fn new(name: &str, config: &Config, front: &Front) -> About {
        let firmware = config.firmware.as_ref().map(|firmware| match &firmware.image {
            FirmwareImage::Seabios => "seabios".to_string(),
            FirmwareImage::Ovmf => "ovmf".to_string(),
            FirmwareImage::File(path) => path.display().to_string(),
        });
        let entrances = config.displays.iter().zip(&*front.entrances);
        let displays = entrances.map(|(display, at)| at.address.clone().unwrap_or_else(|| display.kind.to_string()));
        About {
            name: name.to_string(),
            started: Instant::now(),
            boots: firmware.unwrap_or_else(|| config.payload.kernel.display().to_string()),
            memory: config.memory.size,
            cpus: config.topology.cpus().unwrap_or(1),
            displays: displays.collect(),
        }
    }

    #[cfg(test)]
    pub fn example(name: &str) -> About {
        let (name, started, displays) = (name.to_string(), Instant::now(), vec!["none".to_string()]);
        About { name, started, boots: "vmlinuz".to_string(), memory: 1 << 29, cpus: 1, displays }
    }

    pub fn now(&self, front: &Front) -> Vm {
        let screen::Size { width, height } = front.screen.size();
        Vm {
            name: self.name.clone(),
            pid: std::process::id(),
            state: if (front.runs)() { State::Running } else { State::Stopped },
            uptime: self.started.elapsed().as_secs(),
            boots: self.boots.clone(),
            memory: self.memory,
            cpus: self.cpus,
            screen: (width > 0).then_some(Size { width, height }),
            displays: self.displays.clone(),
        }
    }
}
