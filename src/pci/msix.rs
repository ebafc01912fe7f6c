//! MSI-X (PCI 3.0, 6.8.2): the capability, the table of messages and the array of pending bits.
//! A message costs nothing until the guest first unmasks its row.

use crate::irq::{Message, Messages};
use crate::sys::Lock;
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::sync::Arc;

pub const ID: u8 = 0x11;
/// Bytes of a row: address, upper address, data, vector control.
pub const ROW: u64 = 16;
/// Message Control.
const ENABLE: u16 = 1 << 15;
const FUNCTION_MASK: u16 = 1 << 14;
/// Vector Control; set after a reset (6.8.2.9).
const MASK: u8 = 1;

/// The lock is a leaf: nothing else is locked while it is held, but for what a [`Message`] does.
pub struct Msix {
    messages: Arc<dyn Messages>,
    inner: Lock<Inner>,
}

struct Inner {
    enabled: bool,
    masked: bool,
    rows: Vec<Row>,
}

struct Row {
    bytes: [u8; ROW as usize],
    pending: bool,
    message: Option<Arc<dyn Message>>,
}

impl Msix {
    /// `vectors` is 1 to 2048.
    pub fn new(vectors: u16, messages: Arc<dyn Messages>) -> Result<Msix> {
        ensure!((1..=2048).contains(&vectors), "MSI-X cannot have {vectors} vectors");
        let rows = (0..vectors).map(|_| Row::new()).collect();
        Ok(Msix { messages, inner: Lock::new(Inner { enabled: false, masked: false, rows }) })
    }

    /// Body and write mask of the capability, when table and array are in `bar` at these offsets (multiples of 8).
    pub fn capability(&self, bar: u16, table: u32, pending: u32) -> ([u8; 10], [u8; 2]) {
        let last = self.inner.lock().rows.len().saturating_sub(1) as u16;
        let mut body = [0; 10];
        let words = [table | u32::from(bar), pending | u32::from(bar)].map(u32::to_le_bytes).concat();
        let bytes = last.to_le_bytes().into_iter().chain(words);
        body.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        (body, (ENABLE | FUNCTION_MASK).to_le_bytes())
    }

    pub fn vectors(&self) -> u16 {
        self.inner.lock().rows.len() as u16
    }

    /// The guest wrote Message Control.
    pub fn set_control(&self, control: u16) {
        let mut inner = self.inner.lock();
        (inner.enabled, inner.masked) = (control & ENABLE != 0, control & FUNCTION_MASK != 0);
        inner.settle(&*self.messages, 0..usize::MAX);
    }

    pub fn enabled(&self) -> bool {
        self.inner.lock().enabled
    }

    /// Sends the message of `vector`, or notes that it is pending. A vector that is not there sends nothing.
    /// False while MSI-X is disabled: then the function has to use INTx.
    pub fn raise(&self, vector: u16) -> bool {
        let mut inner = self.inner.lock();
        let (enabled, masked) = (inner.enabled, inner.masked);
        if let Some(row) = inner.rows.get_mut(usize::from(vector)).filter(|_| enabled) {
            match &row.message {
                Some(message) if !masked && !row.masked() => message.raise(),
                _ => row.pending = true,
            }
        }
        enabled
    }

    pub fn read_table(&self, offset: u64, data: &mut [u8]) {
        let inner = self.inner.lock();
        for (at, byte) in (offset..).zip(data) {
            *byte = inner
                .rows
                .get((at / ROW) as usize)
                .and_then(|row| row.bytes.get((at % ROW) as usize))
                .map_or(0, |b| *b);
        }
    }

    pub fn write_table(&self, offset: u64, data: &[u8]) {
        let mut inner = self.inner.lock();
        for (at, byte) in (offset..).zip(data) {
            let row = inner.rows.get_mut((at / ROW) as usize);
            if let Some(to) = row.and_then(|row| row.bytes.get_mut((at % ROW) as usize)) {
                *to = byte & writable(at % ROW);
            }
        }
        let end = offset.saturating_add(data.len() as u64).div_ceil(ROW);
        inner.settle(&*self.messages, (offset / ROW) as usize..end as usize);
    }

    /// The guest cannot write these (6.8.2.10).
    pub fn read_pending(&self, offset: u64, data: &mut [u8]) {
        let inner = self.inner.lock();
        for (at, byte) in (offset..).zip(data) {
            let first = usize::try_from(at).unwrap_or(usize::MAX).saturating_mul(8);
            let rows = inner.rows.iter().skip(first).take(8).enumerate();
            *byte = rows.fold(0, |bits, (i, row)| bits | u8::from(row.pending) << i);
        }
    }

    /// As after power-on: everything masked, no message in use.
    pub fn reset(&self) {
        let mut inner = self.inner.lock();
        (inner.enabled, inner.masked) = (false, false);
        inner.rows.iter_mut().for_each(|row| *row = Row::new());
    }
}

impl Inner {
    /// After a change: rows that can send now get their message, and send what is pending.
    fn settle(&mut self, messages: &dyn Messages, rows: Range<usize>) {
        if !self.enabled || self.masked {
            return;
        }
        let count = rows.end.saturating_sub(rows.start);
        for row in self.rows.iter_mut().skip(rows.start).take(count).filter(|row| !row.masked()) {
            if let Err(e) = row.program(messages) {
                log::warn!("{e:#}");
                row.message = None;
            }
            if let Some(message) = row.message.as_ref().filter(|_| row.pending) {
                message.raise();
                row.pending = false;
            }
        }
    }
}

impl Row {
    fn new() -> Row {
        let mut bytes = [0; ROW as usize];
        bytes[12] = MASK;
        Row { bytes, pending: false, message: None }
    }

    fn masked(&self) -> bool {
        self.bytes[12] & MASK != 0
    }

    /// Nothing is sent to address 0, which is what a row has that was never written.
    fn program(&mut self, messages: &dyn Messages) -> Result<()> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.bytes;
        let (address, data) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]));
        if address == 0 {
            self.message = None;
            return Ok(());
        }
        let message = match &self.message {
            Some(message) => message,
            None => self.message.insert(messages.allocate().context("allocate an interrupt message")?),
        };
        message.program(address, data).with_context(|| format!("program interrupt message {address:#x}, {data:#x}"))
    }
}

/// The bits of byte `at` of a row that the guest may set: not the lowest of the address, nor the reserved ones.
fn writable(at: u64) -> u8 {
    match at {
        0 => !3,
        12 => MASK,
        13.. => 0,
        _ => 0xff,
    }
}

#[cfg(test)]
mod tests;
