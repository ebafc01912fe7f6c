//! The command's streams: one that is fed from the host, and two that are tapped for it, each with its window.

use super::super::channel::Channel;
use super::super::protocol::{Stream, ToHost, WINDOW, data_kind};
use crate::sys::readiness::Watch;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Data goes to the host when so much room is free, and in frames of at most eight times as much.
pub const PIECE: usize = 4096;
const LONGEST: usize = 8 * PIECE;

/// Ctrl-D, the character that ends input from a terminal (termios(3), VEOF).
const END_OF_FILE: u8 = 4;

/// Standard input.
pub struct Feed {
    file: Option<File>,
    /// Came from the host, and the command has not read it: at most [`WINDOW`] bytes.
    waiting: VecDeque<u8>,
    /// Bytes that the host may send.
    window: u32,
    /// Bytes that the command took since the last credit.
    taken: u32,
    ended: bool,
    terminal: bool,
    /// The command closed it, and the host is to know.
    news: bool,
}

impl Feed {
    pub fn new(file: File, terminal: bool) -> Feed {
        let waiting = VecDeque::with_capacity(WINDOW as usize + 1);
        Feed { file: Some(file), waiting, window: WINDOW, taken: 0, ended: false, terminal, news: false }
    }

    /// For room if something waits. A pipe that nobody reads says so at any time; a terminal may be opened again.
    pub fn watch(&self) -> Watch<'_> {
        match &self.file {
            Some(file) if !self.waiting.is_empty() => Watch::new(file.as_fd(), false, true),
            Some(file) if !self.terminal => Watch::new(file.as_fd(), false, false),
            _ => Watch::NONE,
        }
    }

    pub fn take(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.window = self.window.checked_sub(len).ok_or("more input than its window allows")?;
        if self.ended {
            return Err("input after its end");
        }
        if self.file.is_some() {
            self.waiting.extend(data);
        }
        Ok(())
    }

    pub fn end(&mut self) -> Result<(), &'static str> {
        if !std::mem::replace(&mut self.ended, true) && self.terminal && self.file.is_some() {
            self.waiting.push_back(END_OF_FILE);
        }
        Ok(())
    }

    /// Writes what the command takes without waiting.
    pub fn pump(&mut self) {
        while let Some(file) = &self.file {
            let (data, _) = self.waiting.as_slices();
            if data.is_empty() {
                break;
            }
            match (&*file).write(data) {
                Ok(n) => {
                    self.waiting.drain(..n);
                    self.taken = self.taken.saturating_add(n as u32);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(),
            }
        }
        match &self.file {
            Some(_) if self.ended && !self.terminal => self.file = None,
            Some(file) if !self.terminal && crate::sys::fd::hung_up(file.as_fd()) => self.close(),
            _ => {}
        }
    }

    fn close(&mut self) {
        self.drop_it();
        self.news = true;
    }

    pub fn drop_it(&mut self) {
        self.file = None;
        self.waiting.clear();
    }

    /// Bytes the host may send more; 0 until there are at least `step`.
    pub fn credit(&mut self, step: u32) -> u32 {
        if self.taken < step {
            return 0;
        }
        let credit = std::mem::take(&mut self.taken);
        self.window = self.window.saturating_add(credit);
        credit
    }

    /// True once.
    pub fn closed_by_command(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }
}

/// Standard output or error.
pub struct Tap {
    file: Option<File>,
    /// Bytes that the host takes.
    window: u32,
    pub sent: u64,
}

impl Tap {
    pub fn new(file: Option<File>) -> Tap {
        Tap { file, window: WINDOW, sent: 0 }
    }

    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    pub fn is_ended(&self) -> bool {
        self.file.is_none()
    }

    pub fn may_send(&self) -> bool {
        self.file.is_some() && self.window > 0
    }

    pub fn watch(&self, has_room: bool) -> Watch<'_> {
        match &self.file {
            Some(file) if has_room && self.window > 0 => Watch::new(file.as_fd(), true, false),
            _ => Watch::NONE,
        }
    }

    pub fn give(&mut self, bytes: u32) -> Result<(), &'static str> {
        self.window = self.window.checked_add(bytes).filter(|w| *w <= WINDOW).ok_or("credit for what it never got")?;
        Ok(())
    }

    /// Sends what there is to read. `to_the_end`: nothing to read is the end.
    pub fn pump(&mut self, stream: Stream, channel: &mut Channel, to_the_end: bool) {
        let Some(file) = &self.file else { return };
        if channel.outgoing.room() < PIECE || self.window == 0 {
            return;
        }
        let limit = LONGEST.min(self.window as usize);
        match channel.outgoing.put_from(data_kind(stream), limit, file) {
            Ok(0) => self.end(stream, channel),
            Ok(n) => {
                self.window = self.window.saturating_sub(n as u32);
                self.sent += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && !to_the_end => {}
            // A terminal that nobody has open any more: EIO.
            Err(_) => self.end(stream, channel),
        }
    }

    pub fn end(&mut self, stream: Stream, channel: &mut Channel) {
        if self.file.take().is_some() {
            channel.say(&ToHost::End(stream));
        }
    }
}
