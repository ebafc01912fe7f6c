//! The screen that is there from the first instruction: video memory that the guest draws in, and the registers with which
//! it sets a mode (Bochs's VBE interface, as QEMU's "bochs-display" has it).
//!
//! Nothing runs while nobody looks. While somebody does, a thread draws what KVM says was written; after a while without
//! a change it protects the memory and sleeps, and the guest's next store wakes it ([`watch`]).
//!
//! Lock order: `drawing`, then `registers`, then the slot's, the screen's and `watch`'s, each by itself.

mod dispi;
mod registers;
mod rows;
mod watch;

pub use registers::Registers;

use crate::bus::Mmio;
use crate::host::screen::{Brush, Rank, Rect, Screen, Size, Source};
use crate::kvm::VideoSlot;
use crate::mem::Video;
use crate::part::Part;
use crate::sys::Lock;
use anyhow::Result;
use dispi::Dispi;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use watch::Watch;

const PAGE: u64 = 4096;

/// The memory slot through which the guest sees video memory.
pub trait Slot: Send + Sync {
    /// Guest physical; `None`: the guest sees it nowhere.
    fn place(&self, at: Option<u64>) -> Result<()>;
    /// Which pages the guest has written since this was last asked, a bit each, the first in the lowest.
    fn take_dirty(&self) -> Result<Vec<u64>>;
}

impl Slot for VideoSlot {
    fn place(&self, at: Option<u64>) -> Result<()> {
        VideoSlot::place(self, at)
    }

    fn take_dirty(&self) -> Result<Vec<u64>> {
        VideoSlot::take_dirty(self)
    }
}

/// What a kernel is told that finds the screen set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framebuffer {
    /// Guest physical.
    pub base: u64,
    /// Bytes of video memory.
    pub len: u64,
    pub size: Size,
    /// Bytes from a row to the next; a pixel has 32 bits, blue in the lowest.
    pub pitch: u32,
}

/// The card. Dropped, its thread has ended.
pub struct Vga {
    card: Arc<Card>,
    /// The screen keeps none of it.
    _eye: Arc<dyn Source>,
}

/// What the thread and the buses keep.
struct Card {
    memory: Video,
    slot: Box<dyn Slot>,
    /// Guest physical, and 0: nowhere.
    base: AtomicU64,
    registers: Lock<Dispi>,
    /// The mode that is set at power-on.
    boot: Option<Size>,
    brush: OnceLock<Brush>,
    drawing: Lock<rows::Buffers>,
    /// Pages that were written on the guest's behalf, which KVM has not seen.
    written: Vec<AtomicU64>,
    /// All is to be drawn.
    all: AtomicBool,
    watch: Watch,
}

impl Vga {
    /// `boot`: the mode that a kernel finds set; without one nothing is shown until the guest sets a mode.
    pub fn new(memory: Video, slot: impl Slot + 'static, boot: Option<Size>, screen: &Arc<Screen>) -> Arc<Vga> {
        let pages = memory.len().div_ceil(PAGE);
        let written = (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let registers = Lock::new(Dispi::new(boot, memory.len()));
        let card = Arc::new(Card {
            memory,
            slot: Box::new(slot),
            base: AtomicU64::new(0),
            registers,
            boot,
            brush: OnceLock::new(),
            drawing: Lock::default(),
            written,
            all: AtomicBool::new(true),
            watch: Watch::default(),
        });
        let eye: Arc<dyn Source> = Arc::new(Eye(card.clone()));
        let _ = card.brush.set(screen.attach(Rank::Early, Arc::downgrade(&eye)));
        card.show();
        Arc::new(Vga { card, _eye: eye })
    }

    /// Bytes of video memory.
    pub fn len(&self) -> u64 {
        self.card.memory.len()
    }

    /// Puts the video memory at this guest physical address. Where other memory is, it is nowhere.
    pub fn place(&self, at: Option<u64>) {
        self.card.place(at);
    }

    /// The video memory as a device, for accesses that leave the guest.
    pub fn aperture(&self) -> Arc<dyn Mmio> {
        Arc::new(Aperture(self.card.clone()))
    }

    /// The page of registers; `edid` describes the screen to the guest.
    pub fn registers(&self, edid: Vec<u8>) -> Arc<dyn Mmio> {
        Arc::new(Registers::new(self.card.clone(), edid))
    }

    /// What a kernel finds at its start; `None`: no mode is set, or the guest cannot see the memory.
    pub fn framebuffer(&self) -> Option<Framebuffer> {
        let base = self.card.base.load(Ordering::Acquire);
        let mode = self.card.registers.lock().mode().filter(|mode| base != 0 && mode.is_plain())?;
        Some(Framebuffer { base, len: self.len(), size: mode.size, pitch: mode.pitch })
    }

    /// A vCPU was stopped by memory that the host does not give. True: that was for the thread's sleep, and the guest can
    /// go on. `seen` is the vCPU's own, 0 at first; `address` is guest physical, where that is known.
    pub fn woken(&self, address: Option<u64>, seen: &mut u64) -> bool {
        let base = self.card.base.load(Ordering::Acquire);
        let ours = address.is_none_or(|at| at.checked_sub(base).is_some_and(|at| at < self.len()));
        ours && self.card.watch.woken(&self.card.memory, seen)
    }
}

impl Drop for Vga {
    fn drop(&mut self) {
        self.card.watch.end();
    }
}

impl Part for Vga {
    fn name(&self) -> &str {
        "vga"
    }

    fn reset(&self) -> Result<()> {
        *self.card.registers.lock() = Dispi::new(self.card.boot, self.card.memory.len());
        self.card.memory.clear()?;
        self.card.show();
        Ok(())
    }
}

impl Card {
    fn place(&self, at: Option<u64>) {
        let placed = self.slot.place(at).map(|()| at.unwrap_or(0)).unwrap_or_else(|e| {
            log::debug!("vga: {e:#}");
            0
        });
        self.base.store(placed, Ordering::Release);
        self.all.store(true, Ordering::Release);
        self.watch.wake(&self.memory);
    }

    /// The registers have changed: shows what they say.
    fn show(&self) {
        let Some(brush) = self.brush.get() else { return };
        let drawing = self.drawing.lock();
        let mode = self.registers.lock().mode();
        self.all.store(true, Ordering::Release);
        match mode {
            Some(mode) => brush.show(mode.size),
            None => brush.hide(),
        }
        drop(drawing);
        self.watch.wake(&self.memory);
    }

    /// Draws what was written since the last look. False: nothing was.
    fn look(&self) -> bool {
        let mut buffers = self.drawing.lock();
        let Some(mode) = self.registers.lock().mode() else { return false };
        let mut all = self.all.swap(false, Ordering::AcqRel);
        let mut dirty = self.slot.take_dirty().unwrap_or_else(|e| {
            log::error!("vga: {e:#}");
            all = true;
            Vec::new()
        });
        dirty.resize(self.written.len(), 0);
        for (dirty, written) in dirty.iter_mut().zip(&self.written) {
            *dirty |= written.swap(0, Ordering::AcqRel);
        }
        let changed = all || dirty.iter().any(|word| *word != 0);
        if let Some(brush) = self.brush.get().filter(|_| changed) {
            let parts = if all { rows::all(&mode) } else { rows::written(&mode, &dirty) };
            for rows in parts {
                let rect = Rect { x: 0, y: rows.start, width: mode.size.width, height: rows.end - rows.start };
                brush.draw(rect, |y, row| buffers.fill(&self.memory, &mode, y, row));
            }
        }
        changed
    }

    /// Stores for the guest.
    fn store(&self, at: u64, data: &[u8]) {
        self.memory.write(at, data);
        let last = at.saturating_add(data.len() as u64).saturating_sub(1);
        for page in at / PAGE..=last / PAGE {
            if let Some(word) = usize::try_from(page / 64).ok().and_then(|word| self.written.get(word)) {
                word.fetch_or(1 << (page % 64), Ordering::AcqRel);
            }
        }
        self.watch.wake(&self.memory);
    }
}

/// What the screen keeps of the card.
struct Eye(Arc<Card>);

impl Source for Eye {
    fn refresh(&self) {
        self.0.look();
    }

    fn watched(&self, yes: bool) {
        watch::watched(&self.0, yes);
    }

    fn exposed(&self) {
        self.0.all.store(true, Ordering::Release);
        self.0.watch.wake(&self.0.memory);
    }
}

struct Aperture(Arc<Card>);

impl Mmio for Aperture {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        self.0.memory.read(offset, data);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        self.0.store(offset, data);
    }
}

#[cfg(test)]
mod tests;
