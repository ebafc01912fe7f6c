//! ISO 9660 (ECMA-119), with the names of Rock Ridge (IEEE P1282) or Joliet.

mod rock;

use super::super::disk::Part;
use super::super::fields::{slice, text, u8_at, u32_at};
use super::{Content, FileSystem, Kind, NAMES_MAX, Node, Run};
use anyhow::{Context, Result, bail, ensure};
use rock::Rock;

const BLOCK: u64 = 2048;
/// The first volume descriptor.
const DESCRIPTORS: u64 = 16;
const DESCRIPTORS_MAX: u64 = 32;
const DIRECTORY_MAX: u64 = 16 << 20;
/// File flags (9.1.6).
const DIRECTORY: u8 = 2;
const MORE: u8 = 0x80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Plain,
    /// UCS-2, big endian.
    Joliet,
    /// System use fields begin after so many bytes.
    Rock(usize),
}

pub struct Iso<'a> {
    part: Part<'a>,
    names: Names,
    root: Node,
    uuid: Option<String>,
    label: Option<String>,
}

pub fn is(head: &[u8]) -> bool {
    slice(head, (DESCRIPTORS * BLOCK) as usize, 6).is_ok_and(|d| d == b"\x01CD001")
}

pub fn open<'a>(part: Part<'a>, head: &[u8]) -> Result<Iso<'a>> {
    let primary = slice(head, (DESCRIPTORS * BLOCK) as usize, BLOCK as usize).context("primary volume descriptor")?;
    let size = u32_at(primary, 128)? & 0xffff;
    ensure!(u64::from(size) == BLOCK, "primary volume descriptor: blocks of {size} bytes");
    let label = text(slice(primary, 40, 32)?);
    let root = record(slice(primary, 156, 34)?)?.context("primary volume descriptor: no root directory")?.node;
    let mut iso = Iso { part, names: Names::Plain, root, uuid: created(primary), label };
    if let Some(skip) = iso.rock()? {
        iso.names = Names::Rock(skip);
    } else if let Some(root) = joliet(&part)? {
        (iso.names, iso.root) = (Names::Joliet, root);
    }
    Ok(iso)
}

/// GRUB and blkid take the time of the last change for a UUID.
fn created(primary: &[u8]) -> Option<String> {
    let digits = |at: usize| slice(primary, at, 16).ok().filter(|d| d.iter().all(u8::is_ascii_digit));
    let digits = digits(830).filter(|d| d.iter().any(|d| *d != b'0')).or_else(|| digits(813))?;
    let digits = std::str::from_utf8(digits).ok()?;
    let piece = |at: usize, len: usize| digits.get(at..at + len).unwrap_or_default();
    let pieces = [piece(0, 4), piece(4, 2), piece(6, 2), piece(8, 2), piece(10, 2), piece(12, 2), piece(14, 2)];
    Some(pieces.join("-"))
}

/// The root directory of a supplementary descriptor with one of Joliet's escape sequences.
fn joliet(part: &Part) -> Result<Option<Node>> {
    for at in DESCRIPTORS + 1..DESCRIPTORS + DESCRIPTORS_MAX {
        let Ok(descriptor) = part.bytes(at * BLOCK, BLOCK as usize) else { break };
        if slice(&descriptor, 1, 5)? != b"CD001" {
            break;
        }
        match u8_at(&descriptor, 0)? {
            2 if matches!(slice(&descriptor, 88, 3)?, b"%/@" | b"%/C" | b"%/E") => {
                return Ok(record(slice(&descriptor, 156, 34)?)?.map(|r| r.node));
            }
            255 => break,
            _ => {}
        }
    }
    Ok(None)
}

/// A directory record (9.1).
struct Record<'a> {
    node: Node,
    name: &'a [u8],
    system: &'a [u8],
    len: usize,
    more: bool,
}

/// None: the rest of the block is not used.
fn record(bytes: &[u8]) -> Result<Option<Record<'_>>> {
    let len = usize::from(u8_at(bytes, 0)?);
    if len == 0 {
        return Ok(None);
    }
    let bytes = slice(bytes, 0, len).context("directory record")?;
    let (flags, name_len) = (u8_at(bytes, 25)?, usize::from(u8_at(bytes, 32)?));
    let name = slice(bytes, 33, name_len).context("directory record: name")?;
    let system = bytes.get((33 + name_len).next_multiple_of(2)..).unwrap_or_default();
    let kind = if flags & DIRECTORY != 0 { Kind::Directory } else { Kind::File };
    // Extended attributes stand before the file.
    let id = u64::from(u32_at(bytes, 2)?) + u64::from(u8_at(bytes, 1)?);
    let node = Node { kind, id, len: u32_at(bytes, 10)?.into(), target: None };
    Ok(Some(Record { node, name, system, len, more: flags & MORE != 0 }))
}

impl Iso<'_> {
    /// Whether there are Rock Ridge names: the root's own record says how many bytes of system use to skip.
    fn rock(&self) -> Result<Option<usize>> {
        let block = self.part.bytes(self.root.id.saturating_mul(BLOCK), BLOCK as usize)?;
        let Some(dot) = record(&block)? else { return Ok(None) };
        rock::begins(dot.system, &self.part)
    }

    /// The records of a directory, with their names.
    fn entries(&self, dir: &Node) -> Result<Vec<(String, Node)>> {
        ensure!(dir.len <= DIRECTORY_MAX, "directory: has {} bytes, more than {DIRECTORY_MAX}", dir.len);
        let bytes = self.part.bytes(dir.id.saturating_mul(BLOCK), usize::try_from(dir.len)?)?;
        let mut found = Vec::new();
        for block in bytes.chunks(BLOCK as usize) {
            let mut rest = block;
            while !rest.is_empty()
                && let Some(record) = record(rest)?
            {
                rest = rest.get(record.len..).unwrap_or_default();
                // The directory itself, and the one above.
                if !matches!(record.name, [0] | [1]) {
                    found.extend(self.entry(record)?);
                }
                ensure!(found.len() <= NAMES_MAX, "directory: has more than {NAMES_MAX} entries");
            }
        }
        Ok(found)
    }

    fn entry(&self, record: Record) -> Result<Option<(String, Node)>> {
        let mut node = record.node;
        if record.more {
            // Of 4 GiB and more: nothing that is to be booted.
            node.kind = Kind::Other;
        }
        let plain = || plain(record.name);
        let name = match self.names {
            Names::Plain => plain(),
            Names::Joliet => joliet_name(record.name),
            Names::Rock(skip) => {
                let rock = Rock::read(record.system.get(skip..).unwrap_or_default(), &self.part)?;
                if rock.moved {
                    return Ok(None);
                }
                if let Some(at) = rock.child {
                    node = self.child(at)?;
                }
                if rock.link.is_some() {
                    (node.kind, node.target) = (Kind::Link, rock.link);
                }
                rock.name.unwrap_or_else(plain)
            }
        };
        Ok(Some((name, node)))
    }

    /// A directory that was too deep for ISO 9660 and is elsewhere; its own record has its length.
    fn child(&self, at: u32) -> Result<Node> {
        let block = self.part.bytes(u64::from(at) * BLOCK, BLOCK as usize)?;
        Ok(record(&block)?.context("a moved directory has no record")?.node)
    }
}

/// `VMLINUZ.;1` is vmlinuz.
fn plain(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let name = name.split(';').next().unwrap_or_default();
    name.strip_suffix('.').unwrap_or(name).to_string()
}

fn joliet_name(name: &[u8]) -> String {
    let units: Vec<u16> = name.chunks_exact(2).filter_map(|p| Some(u16::from_be_bytes(p.try_into().ok()?))).collect();
    let name = String::from_utf16_lossy(&units);
    name.split(";1").next().unwrap_or_default().to_string()
}

impl FileSystem for Iso<'_> {
    fn kind(&self) -> &'static str {
        super::ISO
    }

    fn uuid(&self) -> Option<&str> {
        self.uuid.as_deref()
    }

    fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    fn root(&self) -> Result<Node> {
        Ok(self.root.clone())
    }

    fn names(&self, dir: &Node) -> Result<Vec<String>> {
        Ok(self.entries(dir)?.into_iter().map(|(name, _)| name).collect())
    }

    fn find(&self, dir: &Node, name: &str) -> Result<Option<Node>> {
        // Only Rock Ridge has names that differ in case.
        let same = |n: &str| match self.names {
            Names::Rock(_) => n == name,
            _ => n.eq_ignore_ascii_case(name),
        };
        Ok(self.entries(dir)?.into_iter().find(|(n, _)| same(n)).map(|(_, node)| node))
    }

    fn content(&self, node: &Node, most: u64) -> Result<Content> {
        if node.kind != Kind::File {
            bail!("is no file of less than 4 GiB");
        }
        ensure!(node.len <= most, "has {} bytes, more than {most}", node.len);
        Ok(Content::Runs(vec![Run { at: Some(node.id.saturating_mul(BLOCK)), len: node.len }]))
    }
}
