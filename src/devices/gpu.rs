//! Graphics (virtio 1.2, 5.7): the pictures that a driver makes, one of which it shows on the machine's screen.
//!
//! ```text
//! queue 0 control   pages of the guest --TRANSFER--> resource --FLUSH--> screen     (2D; no 3D, no blobs)
//!       1 cursor    a resource becomes the pointer's picture
//! ```
//! A request is carried out when it is answered, so a fence has passed by then. Somebody who wants the screen to have
//! another size is heard by the device's thread, which tells the driver; what the driver does then is its own affair.

mod protocol;
mod resource;

use super::{Built, Kind};
use crate::host::screen::{Brush, Cursor, Rank, Rect, Size, Source, edid};
use crate::mem::Memory;
use crate::spec;
use crate::sys::{EventFd, Lock, eventfd, fd};
use crate::virtio::{Chain, ConfigSpace, Device, Io};
use anyhow::{Context, Result, ensure};
use protocol::{Answer, Header, Refused, Request, done};
use resource::Resources;
use std::sync::Arc;

spec! {
    pub struct Spec {
        /// The screen's size at first, WIDTHxHEIGHT. The guest may choose another, and viewers may ask for one.
        size: Size = "1280x800",
    }
}

pub static KIND: Kind = Kind {
    name: "gpu",
    about: "A screen, with hardware that draws on it.",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, host| {
        let spec = Spec::parse(options)?;
        ensure!(!host.screen.has(Rank::Driver), "a machine has one screen; leave one of the two out");
        let ear = Arc::new(Ear { wish: Lock::new(None), bell: eventfd().context("create an eventfd")? });
        let source: Arc<dyn Source> = ear.clone();
        let brush = host.screen.attach(Rank::Driver, Arc::downgrade(&source));
        Ok(Built::Screen(Box::new(Gpu::new(brush, ear, spec.size)), spec.size))
    },
    sample: "",
};

/// VIRTIO_GPU_F_EDID (5.7.3).
const F_EDID: u32 = 1;
/// VIRTIO_GPU_EVENT_DISPLAY (5.7.4.1).
const EVENT_DISPLAY: u32 = 1;
/// Where the configuration space has `events_clear`.
const EVENTS_CLEAR: usize = 4;
const CONTROL: usize = 0;
/// The longest side of a pointer's picture. Drivers use 64.
const LARGEST_CURSOR: u32 = 256;

/// Hears what those want who look.
struct Ear {
    wish: Lock<Option<Size>>,
    bell: EventFd,
}

impl Source for Ear {
    fn exposed(&self) {
        self.ring();
    }

    fn asked(&self, size: Size) {
        *self.wish.lock() = Size::checked(size.width, size.height);
        self.ring();
    }
}

impl Ear {
    fn ring(&self) {
        // It only fails when it has been rung 2^64 times, and then it is rung.
        let _ = self.bell.write(1);
    }
}

struct Gpu {
    brush: Brush,
    ear: Arc<Ear>,
    /// What the screen's size should be.
    preferred: Size,
    resources: Resources,
    /// The resource that is shown, and which part of it.
    scanout: Option<(u32, Rect)>,
    /// `events_read`
    events: u32,
}

impl Gpu {
    fn new(brush: Brush, ear: Arc<Ear>, preferred: Size) -> Gpu {
        Gpu { brush, ear, preferred, resources: Resources::default(), scanout: None, events: 0 }
    }

    /// Carries a request out, and puts the answer, as far as there is room; says how long that is.
    fn serve(&mut self, cursor: bool, chain: &mut Chain, mem: &Memory) -> u32 {
        let Ok(header) = Header::take(chain) else { return 0 };
        let answer = match Request::take(&header, chain) {
            Ok(request) if request.is_of_cursor() == cursor => self.answer(request, chain, mem),
            Ok(_) => Err(Refused::Unspecified),
            Err(refused) => Err(refused),
        };
        let (kind, body) = answer.unwrap_or_else(|refused| (refused as u32, Vec::new()));
        let head = chain.put(&header.answer(kind));
        (head + chain.put(&body)) as u32
    }

    fn answer(&mut self, request: Request, chain: &mut Chain, mem: &Memory) -> Answer {
        match request {
            Request::DisplayInfo => return protocol::display_info(self.preferred),
            Request::Edid { scanout } => {
                only(scanout)?;
                return protocol::edid(&edid::edid(self.preferred));
            }
            Request::Create { id, format, width, height } => self.resources.create(id, format, width, height)?,
            Request::Unref { id } => {
                self.resources.remove(id)?;
                if self.scanout.is_some_and(|(shown, _)| shown == id) {
                    self.darken();
                }
            }
            Request::Attach { id, entries } => self.resources.attach(id, entries, chain, mem)?,
            Request::Detach { id } => self.resources.detach(id)?,
            Request::Transfer { rect, offset, id } => self.resources.get_mut(id)?.transfer(rect, offset)?,
            Request::SetScanout { rect, scanout, id } => self.set_scanout(rect, scanout, id)?,
            Request::Flush { rect, id } => self.flush(rect, id)?,
            Request::UpdateCursor { scanout, at, id, hot } => {
                self.set_cursor(scanout, id, hot)?;
                self.brush.cursor_at(at);
            }
            Request::MoveCursor { scanout, at } => {
                only(scanout)?;
                self.brush.cursor_at(at);
            }
        }
        done()
    }

    fn hide(&mut self) {
        self.scanout = None;
        self.brush.hide();
    }

    /// A screen that the driver switches off is black: the picture of before the driver does not come back.
    fn darken(&mut self) {
        if let Some((_, shown)) = self.scanout.take() {
            let size = Size { width: shown.width, height: shown.height };
            self.brush.draw(size.whole(), |_, row| row.fill(0));
        }
    }

    fn set_scanout(&mut self, rect: Rect, scanout: u32, id: u32) -> Result<(), Refused> {
        only(scanout)?;
        if id == 0 {
            self.darken();
            return Ok(());
        }
        if !rect.fits(self.resources.get(id)?.size) {
            return Err(Refused::Parameter);
        }
        self.scanout = Some((id, rect));
        self.brush.show(Size { width: rect.width, height: rect.height });
        self.draw(rect);
        Ok(())
    }

    fn flush(&mut self, rect: Rect, id: u32) -> Result<(), Refused> {
        if !rect.fits(self.resources.get(id)?.size) {
            return Err(Refused::Parameter);
        }
        if self.scanout.is_some_and(|(shown, _)| shown == id) {
            self.draw(rect);
        }
        Ok(())
    }

    /// Draws what of `rect` of the resource on the screen can be seen.
    fn draw(&self, rect: Rect) {
        let Some((id, shown)) = self.scanout else { return };
        let (Ok(resource), Some(part)) = (self.resources.get(id), rect.common(shown)) else { return };
        let place = Rect { x: part.x - shown.x, y: part.y - shown.y, ..part };
        self.brush.draw(place, |y, row| {
            if let Some(from) = resource.row(part.x, shown.y + y, row.len()) {
                row.copy_from_slice(from);
            }
        });
    }

    fn set_cursor(&mut self, scanout: u32, id: u32, hot: (u32, u32)) -> Result<(), Refused> {
        only(scanout)?;
        if id == 0 {
            self.brush.cursor(None);
            return Ok(());
        }
        let resource = self.resources.get(id)?;
        let size = resource.size;
        if size.width > LARGEST_CURSOR || size.height > LARGEST_CURSOR {
            return Err(Refused::Parameter);
        }
        let pixels = resource.row(0, 0, size.pixels()).unwrap_or_default().iter().map(|pixel| plain(*pixel)).collect();
        let hot = (hot.0.min(size.width - 1), hot.1.min(size.height - 1));
        self.brush.cursor(Some(Cursor { size, hot, pixels }));
        Ok(())
    }
}

/// There is one scanout.
fn only(scanout: u32) -> Result<(), Refused> {
    if scanout == 0 { Ok(()) } else { Err(Refused::ScanoutId) }
}

/// A pixel whose colours are not multiplied by its alpha. Those of a pointer are, where they come from.
fn plain(pixel: u32) -> u32 {
    let alpha = pixel >> 24;
    let colour = |shift: u32| match alpha {
        0 => 0,
        _ => (((pixel >> shift & 0xff) * 255 + alpha / 2) / alpha).min(255) << shift,
    };
    alpha << 24 | colour(16) | colour(8) | colour(0)
}

impl Device for Gpu {
    fn id(&self) -> u32 {
        16
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![256, 16]
    }

    fn features(&self) -> u64 {
        1 << F_EDID
    }

    /// `events_read`, `events_clear`, `num_scanouts`, `num_capsets`
    fn config(&self) -> Vec<u8> {
        [0u32, 0, 1, 0].iter().flat_map(|field| field.to_le_bytes()).collect()
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        // Whoever had a wish before there was a driver need not have it told.
        if let Some(size) = self.ear.wish.lock().take() {
            self.preferred = size;
        }
        io.watch(fd::of(&self.ear.bell), 0)
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        let Io { queues, mem, .. } = io;
        let Some(requests) = queues.get_mut(queue) else { return Ok(()) };
        requests.serve(|chain| Ok(self.serve(queue != CONTROL, chain, mem)))
    }

    fn fd_ready(&mut self, _token: u32, io: &mut Io) -> Result<()> {
        let _ = self.ear.bell.read();
        if let Some((_, shown)) = self.scanout {
            self.draw(shown);
        }
        let wish = self.ear.wish.lock().take();
        if let Some(size) = wish.filter(|size| *size != self.preferred) {
            self.preferred = size;
            self.events |= EVENT_DISPLAY;
            io.config.update(0, &self.events.to_le_bytes());
        }
        Ok(())
    }

    fn config_written(&mut self, at: usize, data: &[u8], config: &ConfigSpace, _io: Option<&mut Io>) {
        let mut clear = [0; 4];
        for (byte, place) in data.iter().zip(at..) {
            if let Some(to) = place.checked_sub(EVENTS_CLEAR).and_then(|at| clear.get_mut(at)) {
                *to = *byte;
            }
        }
        self.events &= !u32::from_le_bytes(clear);
        config.store(0, &self.events.to_le_bytes());
    }

    /// The screen keeps the size that somebody asked for.
    fn reset(&mut self) {
        self.hide();
        self.resources = Resources::default();
        self.events = 0;
    }
}

#[cfg(test)]
mod tests;
