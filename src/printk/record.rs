//! The printk ring buffer (kernel/printk/printk_ringbuffer.h), by the offsets that VMCOREINFO gives.

use super::tables::Tables;
use anyhow::{Context, Result};

/// The upper two bits of a descriptor's state say what state it is in; the others are its id.
pub const ID: u64 = u64::MAX >> 2;
const STATE_SHIFT: u32 = 62;
const COMMITTED: u64 = 1;
const FINALIZED: u64 = 2;
/// A place with this bit set is no place: the record has no text, or it is lost.
const NO_TEXT: u64 = 1;
/// A block of text begins with the id of its descriptor.
const BLOCK_HEADER: u64 = 8;

/// What follows `NAME=` at the beginning of a line.
pub fn value<'a>(vmcoreinfo: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(vmcoreinfo).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// Offsets in bytes.
pub struct Layout {
    /// Address of the pointer to the ring buffer.
    prb: u64,
    desc_ring: u64,
    text_data_ring: u64,
    count_bits: u64,
    descs: u64,
    infos: u64,
    head_id: u64,
    tail_id: u64,
    desc_size: u64,
    state_var: u64,
    text_blk_lpos: u64,
    begin: u64,
    next: u64,
    info_size: u64,
    seq: u64,
    ts_nsec: u64,
    text_len: u64,
    size_bits: u64,
    data: u64,
}

/// What the structures say of the ring buffer. Addresses are virtual.
pub struct Ring {
    pub count_bits: u32,
    pub size_bits: u32,
    pub head_id: u64,
    pub tail_id: u64,
    descs: u64,
    infos: u64,
    data: u64,
}

/// One record.
pub struct Entry {
    pub seq: u64,
    /// Since the kernel's start.
    ts_nsec: u64,
    text: Vec<u8>,
}

impl Layout {
    pub fn parse(vmcoreinfo: &[u8]) -> Result<Layout> {
        let prb = value(vmcoreinfo, "SYMBOL(prb)").and_then(|v| u64::from_str_radix(v, 16).ok());
        let prb = prb.context("VMCOREINFO does not name the log's ring buffer: older than Linux 5.10?")?;
        let number = |name: String| {
            let number = value(vmcoreinfo, &name).and_then(|v| v.parse::<u64>().ok());
            // No structure of the kernel is as large; sums of these cannot overflow.
            number.filter(|n| *n < 4096).with_context(|| format!("VMCOREINFO has no usable {name}"))
        };
        let offset = |name: &str| number(format!("OFFSET({name})"));
        let size = |name: &str| number(format!("SIZE({name})"));
        Ok(Layout {
            prb,
            desc_ring: offset("printk_ringbuffer.desc_ring")?,
            text_data_ring: offset("printk_ringbuffer.text_data_ring")?,
            count_bits: offset("prb_desc_ring.count_bits")?,
            descs: offset("prb_desc_ring.descs")?,
            infos: offset("prb_desc_ring.infos")?,
            head_id: offset("prb_desc_ring.head_id")?,
            tail_id: offset("prb_desc_ring.tail_id")?,
            desc_size: size("prb_desc")?,
            state_var: offset("prb_desc.state_var")?,
            text_blk_lpos: offset("prb_desc.text_blk_lpos")?,
            begin: offset("prb_data_blk_lpos.begin")?,
            next: offset("prb_data_blk_lpos.next")?,
            info_size: size("printk_info")?,
            seq: offset("printk_info.seq")?,
            ts_nsec: offset("printk_info.ts_nsec")?,
            text_len: offset("printk_info.text_len")?,
            size_bits: offset("prb_data_ring.size_bits")?,
            data: offset("prb_data_ring.data")?,
        })
    }

    pub fn ring(&self, tables: &Tables) -> Result<Ring> {
        let prb = tables.u64(self.prb).context("the ring buffer's pointer")?;
        let descs = prb.wrapping_add(self.desc_ring);
        let text = prb.wrapping_add(self.text_data_ring);
        let u32_at = |at: u64| tables.read(at).map(u32::from_le_bytes);
        let u64_at = |at: u64| tables.u64(at);
        Ok(Ring {
            count_bits: u32_at(descs.wrapping_add(self.count_bits))?,
            size_bits: u32_at(text.wrapping_add(self.size_bits))?,
            head_id: u64_at(descs.wrapping_add(self.head_id))? & ID,
            tail_id: u64_at(descs.wrapping_add(self.tail_id))? & ID,
            descs: u64_at(descs.wrapping_add(self.descs))?,
            infos: u64_at(descs.wrapping_add(self.infos))?,
            data: u64_at(text.wrapping_add(self.data))?,
        })
    }

    /// The record with `id` among `count`; none when it is being written, was dropped, or has lost its text to others.
    pub fn entry(&self, tables: &Tables, ring: &Ring, id: u64, count: u64, size: u64) -> Result<Option<Entry>> {
        let index = id & (count - 1);
        let desc = ring.descs.wrapping_add(index * self.desc_size);
        let state = tables.u64(desc.wrapping_add(self.state_var))?;
        if state & ID != id || !matches!(state >> STATE_SHIFT, COMMITTED | FINALIZED) {
            return Ok(None);
        }
        let blk = desc.wrapping_add(self.text_blk_lpos);
        let (begin, next) = (tables.u64(blk.wrapping_add(self.begin))?, tables.u64(blk.wrapping_add(self.next))?);
        let info = ring.infos.wrapping_add(index * self.info_size);
        let (seq, ts_nsec) = (tables.u64(info.wrapping_add(self.seq))?, tables.u64(info.wrapping_add(self.ts_nsec))?);
        let len = u64::from(u16::from_le_bytes(tables.read(info.wrapping_add(self.text_len))?));
        let text = match (begin | next) & NO_TEXT {
            0 => place(begin, next, size, len).map(|(at, len)| {
                let mut text = vec![0; len as usize];
                tables.copy(ring.data.wrapping_add(at), &mut text).map(|()| text)
            }),
            _ => None,
        };
        Ok(Some(Entry { seq, ts_nsec, text: text.transpose()?.unwrap_or_default() }))
    }
}

/// Offset and length of the text whose block lies at `begin..next`. Both count on for ever; a block that would wrap around
/// has its text at the ring's start.
fn place(begin: u64, next: u64, size: u64, len: u64) -> Option<(u64, u64)> {
    let (from, to) = (begin & (size - 1), next & (size - 1));
    let same_turn = begin / size == next.wrapping_sub(1) / size;
    let (start, end) = match same_turn {
        true => (from, from.checked_add(next.checked_sub(begin)?)?),
        false => (0, to),
    };
    let room = end.checked_sub(start)?.checked_sub(BLOCK_HEADER)?;
    (end <= size).then_some((start + BLOCK_HEADER, len.min(room)))
}

impl Entry {
    /// As dmesg does: each line with its time.
    pub fn print(&self, out: &mut Vec<u8>) {
        let micros = self.ts_nsec / 1000;
        let time = format!("[{:5}.{:06}] ", micros / 1_000_000, micros % 1_000_000);
        for line in self.text.split(|b| *b == b'\n') {
            out.extend(time.as_bytes());
            out.extend(line);
            out.push(b'\n');
        }
    }
}
