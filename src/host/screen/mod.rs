//! The one screen of a machine: its picture, the devices that draw it, and for each who looks at it what has changed
//! since they last looked. Nothing here runs by itself: who draws rings the bell of who looks.
//!
//! ```text
//!  vga    (rank Early)  --+                             +--> Viewer (a VNC client)
//!                         |--> Brush --> Screen: picture |
//!  virtio-gpu (Driver)  --+        and damage per viewer +--> Viewer (the window)
//! ```
//! Of the sources that show something the one of the highest rank is seen. Lock order: the screen's lock is innermost;
//! a source is never called with it held.

mod cursor;
mod damage;
pub mod edid;
mod geometry;

pub use cursor::Cursor;
pub use damage::Damage;
pub use geometry::{Rect, Size};

use crate::sys::{EventFd, Lock, eventfd, fd};
use anyhow::Result;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};

/// What draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The framebuffer that is there from the first instruction.
    Early,
    /// A device with a driver in the guest.
    Driver,
}

/// A device that draws; all calls come from threads of those who look, without locks.
pub trait Source: Send + Sync {
    /// Draw what has changed and is not drawn yet: somebody is about to look. For sources that are not told of changes.
    fn refresh(&self) {}
    /// Whether anybody looks at what this source shows.
    fn watched(&self, _yes: bool) {}
    /// The picture is this source's again, and has been overwritten: draw all of it.
    fn exposed(&self) {}
    /// Somebody would like a screen of this size.
    fn asked(&self, _size: Size) {}
}

/// A copy of what is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub size: Size,
    /// 0x00RRGGBB, rows from the top.
    pub pixels: Vec<u32>,
}

#[derive(Default)]
pub struct Screen {
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    /// No pixels: nothing is shown.
    size: Size,
    pixels: Vec<u32>,
    /// `None`: the guest shows none, or draws it into the picture itself.
    cursor: Option<Arc<Cursor>>,
    /// Where the guest has the top left corner of its picture.
    cursor_at: (i32, i32),
    sources: Vec<Slot>,
    viewers: Vec<Watch>,
    next_viewer: u64,
    /// One row, before it is compared.
    row: Vec<u32>,
}

struct Slot {
    rank: Rank,
    source: Weak<dyn Source>,
    /// What it shows; `None`: nothing.
    shows: Option<Size>,
}

struct Watch {
    id: u64,
    damage: Damage,
    resized: bool,
    cursor: bool,
    bell: Arc<EventFd>,
    rung: bool,
}

impl Watch {
    fn ring(&mut self) {
        if !std::mem::replace(&mut self.rung, true) {
            // Only a full counter can fail, and then the bell has been rung.
            let _ = self.bell.write(1);
        }
    }
}

impl State {
    /// The slot that is seen.
    fn seen(&self) -> Option<&Slot> {
        self.sources.iter().filter(|s| s.shows.is_some()).max_by_key(|s| s.rank)
    }

    fn picture(&self) -> Option<Picture> {
        (!self.size.is_empty()).then(|| Picture { size: self.size, pixels: self.pixels.clone() })
    }

    /// The picture is `size`, black, and all of it is new.
    fn clear(&mut self, size: Size) {
        self.size = size;
        // Fresh memory from the kernel is zero, and costs nothing until something is drawn.
        self.pixels = vec![0; size.pixels()];
        for viewer in &mut self.viewers {
            viewer.damage = Damage::new(size);
            viewer.damage.all();
            viewer.resized = true;
            viewer.ring();
        }
    }

    fn set_cursor(&mut self, cursor: Option<Arc<Cursor>>) {
        self.cursor = cursor;
        for viewer in &mut self.viewers {
            viewer.cursor = true;
            viewer.ring();
        }
    }
}

impl Screen {
    pub fn new() -> Arc<Screen> {
        Arc::default()
    }

    /// A source of this rank; nothing is shown yet. One for each rank.
    pub fn attach(self: &Arc<Self>, rank: Rank, source: Weak<dyn Source>) -> Brush {
        let mut state = self.state.lock();
        state.sources.retain(|s| s.rank != rank);
        state.sources.push(Slot { rank, source, shows: None });
        Brush { screen: self.clone(), rank }
    }

    /// Whether there is a source of this rank.
    pub fn has(&self, rank: Rank) -> bool {
        self.state.lock().sources.iter().any(|s| s.rank == rank && s.source.strong_count() > 0)
    }

    /// Somebody begins to look; all of the picture is news.
    pub fn watch(self: &Arc<Self>) -> Result<Viewer> {
        let bell = Arc::new(eventfd()?);
        // The first thing they see is what is there now, not what was there when somebody last looked.
        self.refresh();
        let mut state = self.state.lock();
        let id = state.next_viewer;
        state.next_viewer += 1;
        let mut damage = Damage::new(state.size);
        damage.all();
        let mut watch = Watch { id, damage, resized: true, cursor: true, bell: bell.clone(), rung: false };
        watch.ring();
        state.viewers.push(watch);
        let first = state.viewers.len() == 1;
        let seen = state.seen().map(|s| s.source.clone());
        drop(state);
        if first {
            seen.and_then(|s| s.upgrade()).inspect(|s| s.watched(true));
        }
        Ok(Viewer { screen: self.clone(), id, bell })
    }

    /// What is seen now; `None`: nothing.
    pub fn picture(&self) -> Option<Picture> {
        self.refresh();
        let state = self.state.lock();
        state.picture()
    }

    /// The same, with the pointer where the guest has it.
    pub fn picture_with_pointer(&self) -> Option<Picture> {
        self.refresh();
        let (picture, cursor, at) = {
            let state = self.state.lock();
            (state.picture(), state.cursor.clone(), state.cursor_at)
        };
        let mut picture = picture?;
        cursor.inspect(|cursor| cursor.draw(&mut picture, at));
        Some(picture)
    }

    pub fn size(&self) -> Size {
        self.state.lock().size
    }

    /// Somebody would like this size; whether the guest follows is its own affair.
    pub fn ask(&self, size: Size) {
        // The driver of the highest rank need not show anything yet.
        let sources: Vec<_> = self.state.lock().sources.iter().map(|s| s.source.clone()).collect();
        sources.iter().filter_map(Weak::upgrade).for_each(|s| s.asked(size));
    }

    fn refresh(&self) {
        let seen = self.state.lock().seen().map(|s| s.source.clone());
        seen.and_then(|s| s.upgrade()).inspect(|s| s.refresh());
    }

    /// Changes what the source of this rank shows, and tells the sources what that means for them.
    fn show(&self, rank: Rank, size: Option<Size>) {
        let mut state = self.state.lock();
        let before = state.seen().map(|s| s.rank);
        let Some(slot) = state.sources.iter_mut().find(|s| s.rank == rank) else { return };
        if slot.shows == size {
            return;
        }
        slot.shows = size;
        let now = state.seen().map(|s| (s.rank, s.shows.unwrap_or_default()));
        if now.map(|(rank, _)| rank) != before || before == Some(rank) {
            state.clear(now.map_or(Size::default(), |(_, size)| size));
            state.set_cursor(None);
        }
        let looked = !state.viewers.is_empty();
        let source = |rank: Option<Rank>| {
            let slot = state.sources.iter().find(|s| Some(s.rank) == rank);
            slot.and_then(|s| s.source.upgrade()).filter(|_| before != now.map(|(rank, _)| rank))
        };
        let (old, new) = (source(before), source(now.map(|(rank, _)| rank)));
        drop(state);
        // Whoever began to show something draws it by itself.
        let exposed = now.is_some_and(|(seen, _)| seen != rank);
        old.filter(|_| looked).inspect(|s| s.watched(false));
        if let Some(new) = new {
            if exposed {
                new.exposed();
            }
            if looked {
                new.watched(true);
            }
        }
    }
}

/// What a source draws with.
pub struct Brush {
    screen: Arc<Screen>,
    rank: Rank,
}

impl Brush {
    /// The source shows a picture of this size, black until it is drawn. The same size again changes nothing.
    pub fn show(&self, size: Size) {
        self.screen.show(self.rank, Some(size));
    }

    pub fn hide(&self) {
        self.screen.show(self.rank, None);
    }

    /// Draws `rect`, as far as it lies in the picture: `fill` puts row `y` of the picture, from the rectangle's left edge
    /// on, into the slice (0x00RRGGBB; the highest byte is ignored). Only what really differs is news to anyone.
    /// Nothing happens while this source is not seen. `fill` runs with the screen locked and must not wait.
    pub fn draw(&self, rect: Rect, mut fill: impl FnMut(u32, &mut [u32])) {
        let mut state = self.screen.state.lock();
        if state.seen().is_none_or(|s| s.rank != self.rank) {
            return;
        }
        let State { size, pixels, viewers, row, .. } = &mut *state;
        let Some(rect) = rect.within(*size) else { return };
        row.resize(rect.width as usize, 0);
        let mut changed = false;
        for y in rect.y..rect.y + rect.height {
            fill(y, row);
            row.iter_mut().for_each(|pixel| *pixel &= 0xff_ffff);
            let start = y as usize * size.width as usize + rect.x as usize;
            let Some(old) = pixels.get_mut(start..start + row.len()) else { return };
            if old == row {
                continue;
            }
            changed = true;
            note(viewers, (rect.x, y), old, row);
            old.copy_from_slice(row);
        }
        if changed {
            viewers.iter_mut().for_each(Watch::ring);
        }
    }

    /// The pointer's picture, `None`: there is none. Viewers draw it where their own pointer is.
    pub fn cursor(&self, cursor: Option<Cursor>) {
        let mut state = self.screen.state.lock();
        if state.seen().is_some_and(|s| s.rank == self.rank) {
            state.set_cursor(cursor.map(Arc::new));
        }
    }

    /// Where the guest has the top left corner of the pointer's picture, in pixels; it may lie outside. That is no news
    /// to viewers.
    pub fn cursor_at(&self, at: (i32, i32)) {
        let mut state = self.screen.state.lock();
        if state.seen().is_some_and(|s| s.rank == self.rank) {
            state.cursor_at = at;
        }
    }
}

/// Of the row's stretch from `x` on, what differs is news to all who look.
fn note(viewers: &mut [Watch], (x, y): (u32, u32), old: &[u32], new: &[u32]) {
    if viewers.is_empty() {
        return;
    }
    for cell in damage::cells(x, new.len() as u32) {
        if old.get(cell.clone()) != new.get(cell.clone()) {
            viewers.iter_mut().for_each(|v| v.damage.cell(x + cell.start as u32, y));
        }
    }
}

/// What is new to a viewer.
#[derive(Debug, Default)]
pub struct News {
    /// Of the picture now.
    pub size: Size,
    /// The picture has another size than when this viewer last looked, or may have been another in between.
    pub resized: bool,
    /// The pointer's picture, if that is new. `Some(None)`: there is none any more.
    pub cursor: Option<Option<Arc<Cursor>>>,
    /// What changed, without overlaps, from top to bottom.
    pub damage: Vec<Rect>,
}

/// Somebody who looks. Dropped, they look no more.
pub struct Viewer {
    screen: Arc<Screen>,
    id: u64,
    bell: Arc<EventFd>,
}

impl Viewer {
    /// Readable when there is news. [`Viewer::news`] makes it silent.
    pub fn bell(&self) -> BorrowedFd<'_> {
        fd::of(&self.bell)
    }

    /// Rings the bell from elsewhere, for news that is not the screen's.
    pub fn ringer(&self) -> impl Fn() + Send + Sync + 'static {
        let (screen, id) = (self.screen.clone(), self.id);
        move || screen.state.lock().viewers.iter_mut().filter(|v| v.id == id).for_each(Watch::ring)
    }

    /// What is new since this was last asked.
    pub fn news(&mut self) -> News {
        let mut state = self.screen.state.lock();
        let State { size, cursor, viewers, .. } = &mut *state;
        let Some(me) = viewers.iter_mut().find(|v| v.id == self.id) else { return News::default() };
        if std::mem::replace(&mut me.rung, false) {
            let _ = self.bell.read();
        }
        News {
            size: *size,
            resized: std::mem::replace(&mut me.resized, false),
            cursor: std::mem::replace(&mut me.cursor, false).then(|| cursor.clone()),
            damage: me.damage.take(),
        }
    }

    /// Copies the pixels of `rect` (0x00RRGGBB) to the end of `out`. False, and nothing: the picture is smaller by now.
    pub fn copy(&self, rect: Rect, out: &mut Vec<u32>) -> bool {
        let state = self.screen.state.lock();
        if rect.within(state.size) != Some(rect) {
            return false;
        }
        for y in rect.y..rect.y + rect.height {
            let start = y as usize * state.size.width as usize + rect.x as usize;
            out.extend_from_slice(state.pixels.get(start..start + rect.width as usize).unwrap_or_default());
        }
        true
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut state = self.screen.state.lock();
        state.viewers.retain(|v| v.id != self.id);
        let last = state.viewers.is_empty();
        let seen = state.seen().map(|s| s.source.clone());
        drop(state);
        if last {
            seen.and_then(|s| s.upgrade()).inspect(|s| s.watched(false));
        }
    }
}

#[cfg(test)]
mod tests;
