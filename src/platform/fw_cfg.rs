//! The firmware configuration device (QEMU: docs/specs/fw_cfg.rst): items that firmware reads by number, files among
//! them by name. Nothing can be written to it.
//!
//! ```text
//! port 0x510  selector  2 bytes, write
//!      0x511  data      1 byte, read: the next byte of the selected item, zero beyond its end
//!      0x514  DMA       address of a request, 8 bytes, the more significant half first; storing the other carries it out
//! ```
//! Everything but the selector is big-endian.

use crate::bus::Mmio;
use crate::mem::{Memory, Slice};
use crate::part::Part;
use crate::sys::Lock;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ports from the selector on.
pub const LEN: u64 = 12;
const DATA: u64 = 1;
const DMA: u64 = 4;

/// Numbers of items.
pub mod key {
    pub const SIGNATURE: u16 = 0;
    pub const ID: u16 = 1;
    pub const RAM_SIZE: u16 = 3;
    pub const CPUS: u16 = 5;
    pub const BOOT_MENU: u16 = 0xe;
    pub const MAX_CPUS: u16 = 0xf;
    pub const DIRECTORY: u16 = 0x19;
    pub const FIRST_FILE: u16 = 0x20;
}

/// There are the selector and data ports, and DMA.
const ID: u32 = 3;
/// What a read of the DMA address gives.
const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";
/// Bytes of a file's name, with its terminating zero.
const NAME_LEN: usize = 56;
/// A key without its write bit. With bit 15 it is one of a second set of items, special to an architecture; there are none.
const KEY_MASK: u16 = 0xbfff;
/// The last number there can be for a file.
const LAST_FILE: u16 = 0x3fff;

/// Bits of a request's control word; a key in the upper half.
const ERROR: u32 = 1;
const READ: u32 = 1 << 1;
const SKIP: u32 = 1 << 2;
const SELECT: u32 = 1 << 3;
const WRITE: u32 = 1 << 4;

/// Bytes of zeros beyond an item's end that are written at once.
const ZEROS: [u8; 4096] = [0; 4096];

/// What there will be to read.
#[derive(Default)]
pub struct Items {
    items: BTreeMap<u16, Arc<[u8]>>,
    files: Vec<(String, Arc<[u8]>)>,
}

impl Items {
    pub fn new() -> Items {
        let mut items = Items::default();
        items.item(key::SIGNATURE, b"QEMU");
        items.item(key::ID, &ID.to_le_bytes());
        items
    }

    pub fn item(&mut self, key: u16, data: &[u8]) {
        self.items.insert(key, data.into());
    }

    /// A name is given once.
    pub fn file(&mut self, name: &str, data: &[u8]) {
        self.files.push((name.to_string(), data.into()));
    }

    /// The directory, and a number for each file.
    fn finish(mut self) -> Result<BTreeMap<u16, Arc<[u8]>>> {
        self.files.sort_by(|a, b| a.0.cmp(&b.0));
        let mut directory = u32::try_from(self.files.len())?.to_be_bytes().to_vec();
        for (key, (name, data)) in (key::FIRST_FILE..=LAST_FILE).zip(&self.files) {
            ensure!(name.len() < NAME_LEN, "fw_cfg: the name {name} is too long");
            directory.extend_from_slice(&u32::try_from(data.len())?.to_be_bytes());
            directory.extend_from_slice(&key.to_be_bytes());
            directory.extend_from_slice(&[0; 2]);
            let mut field = [0; NAME_LEN];
            field.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
            directory.extend_from_slice(&field);
            self.items.insert(key, data.clone());
        }
        self.items.insert(key::DIRECTORY, directory.into());
        Ok(self.items)
    }
}

pub struct FwCfg {
    items: BTreeMap<u16, Arc<[u8]>>,
    memory: Memory,
    state: Lock<State>,
}

struct State {
    item: Arc<[u8]>,
    /// The next byte; may be beyond the end.
    at: u64,
    /// The more significant half of a request's address.
    high: u32,
}

/// A guest's request, once read.
struct Request {
    control: u32,
    len: u32,
    address: u64,
}

impl FwCfg {
    pub fn new(items: Items, memory: &Memory) -> Result<Arc<FwCfg>> {
        let items = items.finish()?;
        let state = Lock::new(power_on(&items));
        Ok(Arc::new(FwCfg { items, memory: memory.clone(), state }))
    }

    fn select(&self, state: &mut State, key: u16) {
        state.item = self.items.get(&(key & KEY_MASK)).cloned().unwrap_or_default();
        state.at = 0;
    }

    /// The request at guest physical `at` is read once, carried out, and answered in its control word.
    fn dma(&self, state: &mut State, at: u64) {
        let done = self.memory.read::<16>(at).context("read the request").and_then(|bytes| {
            let request = Request::parse(bytes);
            self.carry_out(state, &request)
        });
        let answer = match done {
            Ok(()) => 0,
            Err(e) => {
                log::debug!("fw_cfg: DMA request at {at:#x}: {e:#}");
                ERROR
            }
        };
        // Where nothing can be read, nothing can be answered.
        let _ = self.memory.write(at, &answer.to_be_bytes());
    }

    fn carry_out(&self, state: &mut State, request: &Request) -> Result<()> {
        let control = request.control;
        if control & SELECT != 0 {
            self.select(state, (control >> 16) as u16);
        }
        if control & READ != 0 {
            let target = self.memory.slice(request.address, request.len as usize)?;
            state.read(&target);
        } else if control & WRITE != 0 {
            anyhow::bail!("nothing here can be written");
        } else if control & SKIP != 0 {
            state.skip(u64::from(request.len));
        }
        Ok(())
    }
}

impl Request {
    fn parse(bytes: [u8; 16]) -> Request {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Request {
            control: u32::from_be_bytes([a, b, c, d]),
            len: u32::from_be_bytes([e, f, g, h]),
            address: u64::from_be_bytes([i, j, k, l, m, n, o, p]),
        }
    }
}

impl State {
    fn rest(&self) -> &[u8] {
        usize::try_from(self.at).ok().and_then(|at| self.item.get(at..)).unwrap_or_default()
    }

    fn skip(&mut self, n: u64) {
        self.at = self.at.saturating_add(n);
    }

    /// Fills all of `target`: beyond the item's end there are zeros.
    fn read(&mut self, target: &Slice) {
        let mut rest = target.skip(target.copy_from(self.rest()));
        while !rest.is_empty() {
            rest = rest.skip(rest.copy_from(&ZEROS));
        }
        self.skip(target.len() as u64);
    }

    fn next(&mut self) -> u8 {
        let byte = self.rest().first().copied().unwrap_or(0);
        self.skip(1);
        byte
    }
}

fn power_on(items: &BTreeMap<u16, Arc<[u8]>>) -> State {
    State { item: items.get(&key::SIGNATURE).cloned().unwrap_or_default(), at: 0, high: 0 }
}

impl Mmio for FwCfg {
    fn read(&self, offset: u64, data: &mut [u8]) {
        match offset {
            DATA if data.len() == 1 => {
                let mut state = self.state.lock();
                data.iter_mut().for_each(|byte| *byte = state.next());
            }
            DMA..LEN => {
                let from = DMA_SIGNATURE.iter().skip((offset - DMA) as usize).chain(std::iter::repeat(&0xff));
                data.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            _ => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let mut state = self.state.lock();
        if let (0, Ok(key)) = (offset, <[u8; 2]>::try_from(data)) {
            self.select(&mut state, u16::from_le_bytes(key));
        } else if let (DMA.., Ok(half)) = (offset, <[u8; 4]>::try_from(data)) {
            let half = u32::from_be_bytes(half);
            if offset == DMA {
                state.high = half;
            } else if offset == DMA + 4 {
                let at = u64::from(std::mem::take(&mut state.high)) << 32 | u64::from(half);
                self.dma(&mut state, at);
            }
        } else if let (DMA, Ok(address)) = (offset, <[u8; 8]>::try_from(data)) {
            self.dma(&mut state, u64::from_be_bytes(address));
        }
    }
}

impl Part for FwCfg {
    fn name(&self) -> &str {
        "fw_cfg"
    }

    fn reset(&self) -> Result<()> {
        *self.state.lock() = power_on(&self.items);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
