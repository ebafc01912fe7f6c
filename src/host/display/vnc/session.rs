//! One client that looks: what it says is done, and what changes is sent when it has taken what came before.
//!
//! So nothing piles up for a client that reads slowly; it sees fewer steps in between. While nothing changes and nobody
//! does anything the thread sleeps without a timer.

use super::super::Room;
use super::clip::Cuts;
use super::encode::{Encoder, Kind, Wish};
use super::keys::Keys;
use super::line::Line;
use super::message::{self, Message};
use super::pixel::Format;
use super::pointer::Pointer;
use super::update::{USUAL_LEVEL, Update, effort, encoding};
use crate::host::screen::{Damage, News, Rect, Size, Viewer};
use crate::host::seat::{Hands, Watcher};
use crate::sys::EventFd;
use crate::sys::readiness::Watch;
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// Bytes that wait for a client before what it says waits too.
const PATIENT: usize = 256 << 10;
/// Bytes that are made before they are sent.
const PIECE: usize = 128 << 10;
/// Pixels that are made before they are sent, however few bytes they are: the client unpacks them while the next are made.
const PORTION: u64 = 1 << 17;
/// Updates that a client has been sent and has not said to have come (if it can say so).
const IN_FLIGHT: u32 = 2;
/// Times that is read, 64 KiB each, from one who has hung up.
const LAST_WORDS: usize = 16;

/// ClientFence and ServerFence (rfbproto).
const FENCE: u8 = 248;
const FENCE_REQUEST: u32 = 1 << 31;
const FENCE_BEFORE: u32 = 1;
/// What is understood: all comes in order here.
const FENCE_KNOWN: u32 = 0b111;
/// The payload of our own.
const OURS: &[u8] = b"k";
const END_OF_CONTINUOUS: u8 = 150;

/// What the size of a screen is called that shows nothing.
pub const NOTHING: Size = Size { width: 640, height: 480 };

pub struct Session<'a> {
    line: Line,
    room: &'a Room,
    stop: &'a EventFd,
    viewer: Viewer,
    #[expect(dead_code, reason = "held to be dropped")]
    lights: Watcher,
    hands: Hands,
    pointer: Pointer,
    keys: Keys,
    cuts: Cuts,
    encoder: Encoder,
    /// What the client listed in SetEncodings.
    can: BTreeSet<i32>,
    wish: Wish,
    /// Of the client's framebuffer.
    size: Size,
    /// What of it is out of date.
    dirty: Damage,
    /// What it asked to be told of once, and always.
    asked: Option<Rect>,
    always: Option<Rect>,
    update: Update,
    /// Bytes of a message that are not looked at.
    skip: usize,
    in_flight: u32,
}

impl<'a> Session<'a> {
    /// A client that has been greeted and told of this size.
    pub fn new(line: Line, room: &'a Room, viewer: Viewer, size: Size, stop: &'a EventFd) -> Result<Session<'a>> {
        let cuts = Cuts::new(room.seat.clipboard())?;
        let lights = room.seat.lights().watch(viewer.ringer());
        let mut dirty = Damage::new(size);
        dirty.all();
        Ok(Session {
            line,
            room,
            stop,
            viewer,
            lights,
            hands: Hands::new(&room.seat),
            pointer: Pointer::default(),
            keys: Keys::new(&room.seat),
            cuts,
            encoder: Encoder::new(),
            can: BTreeSet::new(),
            wish: Wish::default(),
            size,
            dirty,
            asked: None,
            always: None,
            update: Update::default(),
            skip: 0,
            in_flight: 0,
        })
    }

    /// Until the client leaves, errs, or the guest has ended.
    pub fn live(&mut self) -> Result<()> {
        let mut more = true;
        loop {
            if more && self.line.backlog() < PATIENT {
                more = self.hear()?;
            }
            self.draw();
            if let Err(e) = self.line.push() {
                // It has hung up. What it had said before counts.
                for _ in 0..LAST_WORDS {
                    if !self.hear()? {
                        break;
                    }
                }
                return Err(e).context("write");
            }
            if self.line.backlog() == 0 && (more || self.update.going()) {
                if self.stopped()? {
                    return Ok(());
                }
                continue;
            }
            let patient = self.line.backlog() < PATIENT;
            let bell = self.may_draw().then(|| Watch::new(self.viewer.bell(), true, false));
            // What somebody else copied waits for a client that does not listen, too.
            let cut = patient.then(|| Watch::new(self.cuts.bell(), true, false));
            let woken = self.line.wait(self.stop, patient, [bell, cut], None)?;
            if woken.stop {
                return Ok(());
            }
            more |= woken.input;
            if woken.cut {
                self.cuts.tell(self.line.out());
            }
        }
    }

    /// Reads what the client said, and does it. False: that was all for now.
    fn hear(&mut self) -> Result<bool> {
        let received = self.line.receive();
        self.listen()?;
        received.context("read")
    }

    fn stopped(&self) -> Result<bool> {
        Ok(self.line.wait(self.stop, true, [None, None], Some(std::time::Duration::ZERO))?.stop)
    }

    /// Does what the client said.
    fn listen(&mut self) -> Result<()> {
        loop {
            let skipped = self.skip.min(self.line.unread().len());
            self.line.took(skipped);
            self.skip -= skipped;
            let wide = self.can.contains(&encoding::MOUSE_BUTTONS);
            let Some((message, length)) = message::parse(self.line.unread(), wide)? else { return Ok(()) };
            self.line.took(length);
            self.answer(message)?;
        }
    }

    fn answer(&mut self, message: Message) -> Result<()> {
        match message {
            Message::PixelFormat(format) => self.encoder.set_format(Format::parse(&format)?),
            Message::Encodings(list) => self.encodings(&list),
            Message::Update { incremental, area } => self.asked(incremental, area),
            Message::Key { down, keysym } => {
                let events = self.keys.symbol(down, keysym);
                self.hands.send(&events);
            }
            Message::ExtendedKey { down, keysym, scancode } => {
                let events = self.keys.place(down, keysym, scancode);
                self.hands.send(&events);
            }
            Message::Pointer { buttons, x, y } => {
                let events = self.pointer.events(buttons, x, y, self.size);
                self.hands.send(&events);
            }
            Message::CutText(text) => self.cuts.put_plain(&text),
            Message::ExtendedCut(message) => self.cuts.hear(&message, self.line.out()),
            Message::Skip(bytes) => self.skip = bytes,
            Message::Continuous { on, area } => {
                self.always = on.then_some(area);
                if !on {
                    self.line.out().push(END_OF_CONTINUOUS);
                }
            }
            Message::Fence { flags, payload } => self.fence(flags, &payload),
            Message::Resize { width, height } => self.resize(width, height)?,
        }
        Ok(())
    }

    /// What it can do, and how it likes the picture best.
    fn encodings(&mut self, list: &[i32]) {
        let had = std::mem::take(&mut self.can);
        self.can = list.iter().copied().filter(|e| encoding::ALL.contains(e)).collect();
        let level = list.iter().find_map(|e| u32::try_from(e - encoding::LEVEL_0).ok().filter(|level| *level <= 9));
        self.wish = Wish {
            kind: list.iter().find_map(|e| Kind::of(*e)).unwrap_or_default(),
            level: level.unwrap_or(USUAL_LEVEL),
            many: self.can.contains(&encoding::LAST_RECT),
            hasty: false,
        };
        let new = |e| self.can.contains(&e) && !had.contains(&e);
        if new(encoding::FENCE) {
            send_fence(self.line.out(), FENCE_REQUEST, &[]);
        }
        if new(encoding::CONTINUOUS) {
            self.line.out().push(END_OF_CONTINUOUS);
        }
        if new(encoding::CLIPBOARD) {
            self.cuts.extend(self.line.out());
        }
        self.update.introduce(encoding::SILENT.iter().copied().filter(|e| new(*e)));
        if new(encoding::CURSOR) || new(encoding::CURSOR_ALPHA) {
            self.update.cursor = true;
        }
        if new(encoding::LEDS) || new(encoding::LEDS_WIDE) {
            self.update.lights.forget();
        }
    }

    fn asked(&mut self, incremental: bool, area: Rect) {
        if !incremental {
            if let Some(area) = area.within(self.size) {
                self.dirty.add(area);
            }
            self.update.layout |= self.can.contains(&encoding::EXTENDED_SIZE);
        }
        self.asked = Some(area);
    }

    fn fence(&mut self, flags: u32, payload: &[u8]) {
        if flags & FENCE_REQUEST != 0 {
            send_fence(self.line.out(), flags & FENCE_KNOWN, payload);
        } else if payload == OURS {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
    }

    /// The guest decides, and later ("Request forwarded", 4); 3: no such layout.
    fn resize(&mut self, width: u16, height: u16) -> Result<()> {
        let size = Size::checked(width.into(), height.into());
        self.update.reply(if size.is_some() { 4 } else { 3 })?;
        if let Some(size) = size {
            self.room.screen.ask(size);
        }
        Ok(())
    }

    /// Whether news could be sent now.
    fn may_draw(&self) -> bool {
        let wanted = self.asked.is_some() || self.always.is_some();
        wanted && !self.update.going() && self.line.backlog() == 0 && self.in_flight < IN_FLIGHT
    }

    /// Makes the next piece of an update, or begins one.
    fn draw(&mut self) {
        if self.may_draw() {
            self.news();
        }
        let mut pixels = 0;
        while self.update.going() && self.line.backlog() < PIECE && pixels < PORTION {
            pixels += self.update.next_pixels();
            let ended = self.update.step(&self.viewer, &mut self.encoder, self.line.out());
            if ended && self.can.contains(&encoding::FENCE) {
                self.in_flight += 1;
                send_fence(self.line.out(), FENCE_REQUEST | FENCE_BEFORE, OURS);
            }
        }
    }

    fn news(&mut self) {
        let News { size, resized, cursor, damage } = self.viewer.news();
        if let Some(cursor) = cursor {
            self.update.shape = cursor;
            self.update.cursor = true;
        }
        self.update.lights.set(self.room.seat.leds());
        if resized && !size.is_empty() && size != self.size && self.resizable() {
            self.size = size;
            self.dirty = Damage::new(size);
            self.update.layout = self.can.contains(&encoding::EXTENDED_SIZE);
            self.update.resized = true;
        }
        if resized {
            self.dirty.all();
        }
        damage.iter().filter_map(|rect| rect.within(self.size)).for_each(|rect| self.dirty.add(rect));
        self.update.put_sizes(&self.can, self.size, self.line.out());
        let Some(area) = self.always.or(self.asked) else { return };
        let (now, later) = split(&self.dirty.take(), area);
        // What lies outside of the picture is black; a client that knows no other size than its first sees that.
        let (mut now, outside) = split(&now, size.whole());
        now.extend(outside);
        later.into_iter().for_each(|rect| self.dirty.add(rect));
        if !now.is_empty() || self.update.cursor_due(&self.can) || self.update.lights.due(&self.can) {
            let pixels: u64 = now.iter().map(|r| u64::from(r.width) * u64::from(r.height)).sum();
            let wish = effort(self.wish, pixels, self.line.near());
            self.update.begin(&now, wish, &self.can, self.encoder.format(), self.line.out());
            self.asked = None;
        }
    }

    fn resizable(&self) -> bool {
        self.can.contains(&encoding::EXTENDED_SIZE) || self.can.contains(&encoding::SIZE)
    }
}

fn send_fence(out: &mut Vec<u8>, flags: u32, payload: &[u8]) {
    out.extend_from_slice(&[FENCE, 0, 0, 0]);
    out.extend_from_slice(&flags.to_be_bytes());
    out.push(payload.len() as u8);
    out.extend_from_slice(payload);
}

/// The parts of `rects` inside and outside of `area`.
fn split(rects: &[Rect], area: Rect) -> (Vec<Rect>, Vec<Rect>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for rect in rects {
        rect.split(area, &mut inside, &mut outside);
    }
    (inside, outside)
}
