//! What a driver draws on: pictures on the host, each with pages of the guest that are copied into it. All of them together
//! have a bounded size, whatever the driver asks for.

use super::protocol::{Refused, entry};
use crate::host::screen::{Rect, Size};
use crate::mem::{Memory, Slice};
use crate::virtio::Chain;
use std::collections::BTreeMap;

/// Bytes that pictures and lists of pages may take.
const MOST: usize = 256 << 20;
/// Entries in one list of pages: more than the largest picture has, each page on its own.
const ENTRIES: u32 = 16384;
/// Bytes that a picture is counted as besides its pixels, so that their number is bounded as well.
const EACH: usize = 4096;
/// Bytes of a pixel in every format.
const PIXEL: usize = 4;

/// `virtio_gpu_formats`: where the colours are in a pixel's four bytes. All are 8 bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    red: u32,
    green: u32,
    blue: u32,
    /// `None`: it is opaque.
    alpha: Option<u32>,
}

impl Format {
    fn find(format: u32) -> Option<Format> {
        let (red, green, blue, alpha) = match format {
            1 => (2, 1, 0, Some(3)),
            2 => (2, 1, 0, None),
            3 => (1, 2, 3, Some(0)),
            4 => (1, 2, 3, None),
            67 => (0, 1, 2, Some(3)),
            68 => (3, 2, 1, None),
            121 => (3, 2, 1, Some(0)),
            134 => (0, 1, 2, None),
            _ => return None,
        };
        Some(Format { red, green, blue, alpha })
    }

    /// 0xAARRGGBB of a pixel as it lies in guest memory.
    fn decode(self, pixel: [u8; 4]) -> u32 {
        let raw = u32::from_le_bytes(pixel);
        let at = |byte: u32| raw >> (8 * byte) & 0xff;
        self.alpha.map_or(0xff, at) << 24 | at(self.red) << 16 | at(self.green) << 8 | at(self.blue)
    }

    /// Whether `decode` leaves the bytes as they are, but for the alpha.
    fn is_native(self) -> bool {
        (self.red, self.green, self.blue) == (2, 1, 0)
    }
}

pub struct Resource {
    format: Format,
    pub size: Size,
    /// 0xAARRGGBB, rows from the top.
    pixels: Vec<u32>,
    backing: Option<Backing>,
}

/// Pages of the guest, one behind the other.
struct Backing {
    parts: Vec<Slice>,
    /// Where each part begins.
    starts: Vec<u64>,
    len: u64,
}

impl Backing {
    /// Bytes that a list of so many entries is counted as.
    fn cost(entries: usize) -> usize {
        entries * (size_of::<Slice>() + size_of::<u64>())
    }

    /// Copies from byte `at` on; the caller has checked that there is enough.
    fn copy_to(&self, at: u64, mut out: &mut [u8]) {
        let first = self.starts.partition_point(|start| *start <= at).saturating_sub(1);
        let mut skip = self.starts.get(first).map_or(0, |start| at.saturating_sub(*start)) as usize;
        for part in self.parts.iter().skip(first) {
            if out.is_empty() {
                return;
            }
            let n = part.skip(skip).copy_to(out);
            out = out.get_mut(n..).unwrap_or_default();
            skip = 0;
        }
    }
}

impl Resource {
    fn cost(&self) -> usize {
        EACH + PIXEL * self.pixels.len() + self.backing.as_ref().map_or(0, |b| Backing::cost(b.parts.len()))
    }

    /// The pixels of row `y` from `x` on.
    pub fn row(&self, x: u32, y: u32, len: usize) -> Option<&[u32]> {
        let start = y as usize * self.size.width as usize + x as usize;
        self.pixels.get(start..start.checked_add(len)?)
    }

    /// Copies `rect` out of guest memory, whose first pixel is at byte `offset` of the backing; rows are as far apart as
    /// those of the whole picture are (5.7.6.8, TRANSFER_TO_HOST_2D).
    pub fn transfer(&mut self, rect: Rect, offset: u64) -> Result<(), Refused> {
        let Resource { format, size, pixels, backing } = self;
        let backing = backing.as_ref().ok_or(Refused::Unspecified)?;
        if !rect.fits(*size) {
            return Err(Refused::Parameter);
        }
        let (width, stride) = (rect.width as usize, u64::from(size.width) * PIXEL as u64);
        let rows = u64::from(rect.height).saturating_sub(1) * stride;
        let end = offset.checked_add(rows).and_then(|at| at.checked_add((width * PIXEL) as u64));
        if end.is_none_or(|end| end > backing.len) {
            return Err(Refused::Parameter);
        }
        let mut bytes = vec![0; width * PIXEL];
        let mut at = offset;
        for y in rect.y..rect.y + rect.height {
            backing.copy_to(at, &mut bytes);
            at = at.saturating_add(stride);
            let start = y as usize * size.width as usize + rect.x as usize;
            let row = pixels.get_mut(start..start + width).unwrap_or_default();
            decode(*format, &bytes, row);
        }
        Ok(())
    }
}

fn decode(format: Format, bytes: &[u8], row: &mut [u32]) {
    let (from, _) = bytes.as_chunks::<PIXEL>();
    // Nearly every driver uses this format, and all it takes is a copy.
    if format.is_native() {
        let opaque = if format.alpha.is_none() { 0xff << 24 } else { 0 };
        row.iter_mut().zip(from).for_each(|(to, pixel)| *to = u32::from_le_bytes(*pixel) | opaque);
    } else {
        row.iter_mut().zip(from).for_each(|(to, pixel)| *to = format.decode(*pixel));
    }
}

/// All of a driver's pictures.
#[derive(Default)]
pub struct Resources {
    all: BTreeMap<u32, Resource>,
    /// Bytes.
    cost: usize,
}

impl Resources {
    pub fn get(&self, id: u32) -> Result<&Resource, Refused> {
        self.all.get(&id).ok_or(Refused::ResourceId)
    }

    pub fn get_mut(&mut self, id: u32) -> Result<&mut Resource, Refused> {
        self.all.get_mut(&id).ok_or(Refused::ResourceId)
    }

    pub fn create(&mut self, id: u32, format: u32, width: u32, height: u32) -> Result<(), Refused> {
        if id == 0 || self.all.contains_key(&id) {
            return Err(Refused::ResourceId);
        }
        let format = Format::find(format).ok_or(Refused::Parameter)?;
        if width == 0 || height == 0 {
            return Err(Refused::Parameter);
        }
        let size = Size::checked(width, height).ok_or(Refused::OutOfMemory)?;
        self.pay(EACH + PIXEL * size.pixels())?;
        self.all.insert(id, Resource { format, size, pixels: vec![0; size.pixels()], backing: None });
        Ok(())
    }

    pub fn remove(&mut self, id: u32) -> Result<(), Refused> {
        let resource = self.all.remove(&id).ok_or(Refused::ResourceId)?;
        self.cost = self.cost.saturating_sub(resource.cost());
        Ok(())
    }

    /// Takes `entries` pieces of guest memory off the request, and makes them the picture's pages.
    pub fn attach(&mut self, id: u32, entries: u32, chain: &mut Chain, mem: &Memory) -> Result<(), Refused> {
        if self.get(id)?.backing.is_some() {
            return Err(Refused::Unspecified);
        }
        if entries > ENTRIES {
            return Err(Refused::Parameter);
        }
        let count = entries as usize;
        let mut backing = Backing { parts: Vec::new(), starts: Vec::new(), len: 0 };
        let mut table = vec![0; 16 * count];
        if chain.take_into(&mut table) < table.len() {
            return Err(Refused::Parameter);
        }
        for (addr, len) in table.as_chunks::<16>().0.iter().map(entry) {
            let part = mem.slice(addr, len as usize).map_err(|_| Refused::Parameter)?;
            backing.starts.push(backing.len);
            backing.parts.push(part);
            backing.len = backing.len.saturating_add(u64::from(len));
        }
        self.pay(Backing::cost(count))?;
        self.get_mut(id)?.backing = Some(backing);
        Ok(())
    }

    pub fn detach(&mut self, id: u32) -> Result<(), Refused> {
        let backing = self.get_mut(id)?.backing.take().ok_or(Refused::Unspecified)?;
        self.cost = self.cost.saturating_sub(Backing::cost(backing.parts.len()));
        Ok(())
    }

    fn pay(&mut self, bytes: usize) -> Result<(), Refused> {
        let cost = self.cost.checked_add(bytes).filter(|cost| *cost <= MOST).ok_or(Refused::OutOfMemory)?;
        self.cost = cost;
        Ok(())
    }

    /// What the driver's pictures take: for tests.
    #[cfg(test)]
    pub fn is_in_order(&self) -> bool {
        self.cost == self.all.values().map(Resource::cost).sum::<usize>() && self.cost <= MOST
    }
}
