//! The screen that needs no driver: video memory beside the graphics device, and where each of them is.

use super::build::Building;
use crate::host::screen::{Size, edid::edid};
use crate::mem::Video;
use crate::platform::vga::Vga;
use crate::virtio::pci::Graphics;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;

/// Bytes of video memory, unless the first mode needs more. 2560x1600 fits, as in other virtual machines.
const USUAL: u64 = 16 << 20;

impl Building {
    /// Video memory, which the guest does not see yet. `set`: a mode of this size is set from the start.
    pub(super) fn vga(&mut self, size: Size, set: bool) -> Result<Arc<Vga>> {
        ensure!(self.vga.is_none(), "a machine has one screen; leave one of the two out");
        let needed = (size.pixels() as u64).saturating_mul(4).next_power_of_two();
        let memory = Video::new(needed.max(USUAL)).context("video memory")?;
        let slot = self.vm.video(&memory);
        let vga = Vga::new(memory, slot, set.then_some(size), &self.screen);
        self.parts.push(vga.clone());
        self.vga = Some(vga.clone());
        Ok(vga)
    }
}

/// The card as a part of the PCI function of a graphics device, whose screen prefers this size.
pub(super) fn graphics(vga: &Arc<Vga>, size: Size) -> Graphics {
    let card = vga.clone();
    Graphics {
        len: vga.len(),
        video: vga.aperture(),
        registers: vga.registers(edid(size)),
        moved: Box::new(move |at| card.place(at)),
    }
}
