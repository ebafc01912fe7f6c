//! FAT12, FAT16 and FAT32 (Microsoft: FAT32 File System Specification 1.03), read-only, with long names.

use super::super::disk::Part;
use super::super::fields::{slice, text, u8_at, u16_at, u32_at};
use super::{Content, FileSystem, Kind, NAMES_MAX, Node, Run};
use anyhow::{Context, Result, bail, ensure};

/// The id of a root directory that is not a chain of clusters.
const FIXED_ROOT: u64 = 0;
const DIRECTORY_MAX: u64 = 2 << 20;
const ENTRY: usize = 32;
/// Attributes.
const LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const LONG: u8 = 0x0f;
/// What is read of the table at a time.
const WINDOW: u64 = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

pub struct Fat<'a> {
    part: Part<'a>,
    width: Width,
    /// In bytes: the first table, the fixed root directory, the first cluster.
    table: u64,
    table_len: u64,
    root: u64,
    data: u64,
    /// Bytes of a cluster.
    cluster: u64,
    clusters: u64,
    /// The first cluster of the root directory.
    root_cluster: u64,
    uuid: String,
    label: Option<String>,
}

struct Entry {
    name: String,
    /// 8.3, as it is without a long name.
    short: String,
    node: Node,
}

pub fn is(head: &[u8]) -> bool {
    let jump = matches!(head, [0xeb, _, 0x90, ..] | [0xe9, ..]);
    let sector = u16_at(head, 11).is_ok_and(|s| matches!(s, 512 | 1024 | 2048 | 4096));
    let cluster = u8_at(head, 13).is_ok_and(u8::is_power_of_two);
    let tables = u8_at(head, 16).is_ok_and(|n| n == 1 || n == 2);
    let reserved = u16_at(head, 14).is_ok_and(|n| n > 0);
    jump && sector && cluster && tables && reserved && head.get(510..512) == Some(&[0x55, 0xaa])
}

pub fn open<'a>(part: Part<'a>, head: &[u8]) -> Result<Fat<'a>> {
    let word = |at: usize| u16_at(head, at).map(u64::from);
    let either = |short: u64, long: usize| match short {
        0 => u32_at(head, long).map(u64::from),
        short => Ok(short),
    };
    let (sector, per_cluster, reserved, tables) = (word(11)?, u64::from(u8_at(head, 13)?), word(14)?, u8_at(head, 16)?);
    let (root_entries, sectors, table) = (word(17)?, either(word(19)?, 32)?, either(word(22)?, 36)?);
    let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector);
    let root = reserved + u64::from(tables) * table;
    let data = root + root_sectors;
    let clusters =
        sectors.checked_sub(data).context("boot sector: the tables are larger than the whole")? / per_cluster;
    let width = match clusters {
        ..4085 => Width::Fat12,
        4085..65525 => Width::Fat16,
        _ => Width::Fat32,
    };
    let extended = if width == Width::Fat32 { 64 } else { 36 };
    let id = u32_at(head, extended + 3)?;
    Ok(Fat {
        part,
        width,
        table: reserved * sector,
        table_len: table * sector,
        root: root * sector,
        data: data * sector,
        cluster: per_cluster * sector,
        clusters,
        root_cluster: if width == Width::Fat32 { u32_at(head, 44)?.into() } else { FIXED_ROOT },
        uuid: format!("{:04X}-{:04X}", id >> 16, id & 0xffff),
        label: text(slice(head, extended + 7, 11)?).filter(|l| l != "NO NAME"),
    })
}

/// A piece of the table that was read.
#[derive(Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
}

impl Fat<'_> {
    /// What the table has for `cluster`; none at the end of a chain.
    fn next(&self, cluster: u64, window: &mut Window) -> Result<Option<u64>> {
        let (at, size) = match self.width {
            Width::Fat12 => (cluster + cluster / 2, 2),
            Width::Fat16 => (cluster * 2, 2),
            Width::Fat32 => (cluster * 4, 4),
        };
        ensure!(at + size <= self.table_len, "the table has no cluster {cluster}");
        if at < window.at || at + size > window.at + window.bytes.len() as u64 {
            let len = WINDOW.min(self.table_len - at);
            *window = Window { at, bytes: self.part.bytes(self.table + at, len as usize)? };
        }
        let from = (at - window.at) as usize;
        let (value, end) = match self.width {
            Width::Fat12 => {
                let pair = u16_at(&window.bytes, from)?;
                (u64::from(if cluster.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }), 0xff7)
            }
            Width::Fat16 => (u16_at(&window.bytes, from)?.into(), 0xfff7),
            Width::Fat32 => (u64::from(u32_at(&window.bytes, from)? & 0x0fff_ffff), 0x0fff_fff7),
        };
        Ok((value < end).then_some(value))
    }

    /// The runs of a chain, `len` bytes of it, or up to its end when that is not known.
    fn chain(&self, first: u64, len: Option<u64>, most: u64) -> Result<Vec<Run>> {
        let (mut runs, mut window) = (Vec::new(), Window::default());
        let (mut left, mut cluster) = (len.unwrap_or(most), Some(first));
        while left > 0 {
            let Some(here) = cluster else {
                ensure!(len.is_none(), "ends after fewer bytes than its directory entry says");
                break;
            };
            ensure!(here >= 2 && here < self.clusters + 2, "cluster {here} of {}", self.clusters);
            let run = self.cluster.min(left);
            Content::push(&mut runs, Run { at: Some(self.data + (here - 2) * self.cluster), len: run });
            left -= run;
            cluster = self.next(here, &mut window)?;
        }
        ensure!(len.is_some() || left > 0, "is a directory of more than {most} bytes");
        Ok(runs)
    }

    fn entries(&self, dir: &Node) -> Result<Vec<Entry>> {
        let bytes = if dir.id == FIXED_ROOT {
            self.part.bytes(self.root, self.data.saturating_sub(self.root) as usize)?
        } else {
            Content::Runs(self.chain(dir.id, None, DIRECTORY_MAX)?).bytes(&self.part)?
        };
        let (mut found, mut long) = (Vec::new(), Long::default());
        for entry in bytes.chunks_exact(ENTRY) {
            match u8_at(entry, 0)? {
                0 => break,
                0xe5 => long = Long::default(),
                _ if u8_at(entry, 11)? & 0x3f == LONG => long.add(entry)?,
                _ if u8_at(entry, 11)? & LABEL != 0 => long = Long::default(),
                _ => found.push(self.entry(entry, std::mem::take(&mut long))?),
            }
            ensure!(found.len() <= NAMES_MAX, "directory: has more than {NAMES_MAX} entries");
        }
        Ok(found)
    }

    fn entry(&self, entry: &[u8], long: Long) -> Result<Entry> {
        let short = short(entry)?;
        let directory = u8_at(entry, 11)? & DIRECTORY != 0;
        let high = if self.width == Width::Fat32 { u16_at(entry, 20)? } else { 0 };
        let mut id = u64::from(high) << 16 | u64::from(u16_at(entry, 26)?);
        // `..` of a directory in the root says so.
        if directory && id == 0 {
            id = self.root_cluster;
        }
        let kind = if directory { Kind::Directory } else { Kind::File };
        let node = Node { kind, id, len: u32_at(entry, 28)?.into(), target: None };
        Ok(Entry { name: long.name(entry).unwrap_or_else(|| short.clone()), short, node })
    }
}

/// A long name as far as its pieces were seen, the last piece first.
#[derive(Default)]
struct Long {
    /// Pieces still to come.
    left: u8,
    checksum: u8,
    units: Vec<u16>,
}

impl Long {
    fn add(&mut self, entry: &[u8]) -> Result<()> {
        let (order, checksum) = (u8_at(entry, 0)?, u8_at(entry, 13)?);
        if order & 0x40 != 0 {
            *self = Long { left: order & 0x3f, checksum, units: Vec::new() };
        } else if order != self.left || checksum != self.checksum {
            *self = Long::default();
            return Ok(());
        }
        self.left = self.left.saturating_sub(1);
        let mut units = Vec::with_capacity(13);
        for at in [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30] {
            units.push(u16_at(entry, at)?);
        }
        units.append(&mut self.units);
        self.units = units;
        Ok(())
    }

    /// The name, when it is complete and of this entry.
    fn name(&self, entry: &[u8]) -> Option<String> {
        let sum = entry.get(..11)?.iter().fold(0u8, |sum, b| sum.rotate_right(1).wrapping_add(*b));
        if self.units.is_empty() || self.left != 0 || sum != self.checksum {
            return None;
        }
        let units = self.units.split(|u| *u == 0).next().unwrap_or_default();
        Some(String::from_utf16_lossy(units))
    }
}

fn short(entry: &[u8]) -> Result<String> {
    let (name, extension, lower) = (slice(entry, 0, 8)?, slice(entry, 8, 3)?, u8_at(entry, 12)?);
    let word = |bytes: &[u8], lower: bool| {
        let word = String::from_utf8_lossy(bytes).trim_end().to_string();
        if lower { word.to_ascii_lowercase() } else { word }
    };
    // Windows NT and Linux keep in bits 3 and 4 whether a short name is written small.
    let (name, extension) = (word(name, lower & 8 != 0), word(extension, lower & 16 != 0));
    Ok(if extension.is_empty() { name } else { format!("{name}.{extension}") })
}

impl FileSystem for Fat<'_> {
    fn kind(&self) -> &'static str {
        match self.width {
            Width::Fat12 => "FAT12",
            Width::Fat16 => "FAT16",
            Width::Fat32 => "FAT32",
        }
    }

    fn uuid(&self) -> Option<&str> {
        Some(&self.uuid)
    }

    fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    fn root(&self) -> Result<Node> {
        Ok(Node { kind: Kind::Directory, id: self.root_cluster, len: 0, target: None })
    }

    fn names(&self, dir: &Node) -> Result<Vec<String>> {
        Ok(self.entries(dir)?.into_iter().map(|e| e.name).collect())
    }

    fn find(&self, dir: &Node, name: &str) -> Result<Option<Node>> {
        let same = |e: &Entry| e.name.to_lowercase() == name.to_lowercase() || e.short.eq_ignore_ascii_case(name);
        Ok(self.entries(dir)?.into_iter().find(same).map(|e| e.node))
    }

    fn content(&self, node: &Node, most: u64) -> Result<Content> {
        if node.kind != Kind::File {
            bail!("is no file");
        }
        ensure!(node.len <= most, "has {} bytes, more than {most}", node.len);
        if node.len == 0 {
            return Ok(Content::Bytes(Vec::new()));
        }
        Ok(Content::Runs(self.chain(node.id, Some(node.len), most)?))
    }
}
