//! The parts of a disk, and the files on them.

use super::disk::{Limited, Part};
use super::files::{self, Content, FileSystem, Held, Kind};
use super::table::{self, Scheme};
use anyhow::{Context, Result};

/// Partitions that are looked into.
const VOLUMES_MAX: usize = 64;

/// A partition, or the whole disk.
pub struct Volume<'a> {
    /// None: the whole disk.
    pub partition: Option<(Scheme, u32)>,
    /// What `root=PARTUUID=` calls it.
    pub partuuid: String,
    pub part: Part<'a>,
    pub held: Held<'a>,
}

/// All there are on a disk.
pub struct Volumes<'a> {
    pub list: Vec<Volume<'a>>,
    pub scheme: Option<Scheme>,
    /// What is odd about the disk and does no harm.
    pub remarks: Vec<String>,
}

/// A file on one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Index into the list of volumes.
    pub volume: usize,
    pub path: String,
}

impl<'a> Volumes<'a> {
    pub fn open(disk: &'a Limited<'a>) -> Result<Volumes<'a>> {
        let whole = disk.whole();
        let table = table::read(&whole)?;
        let held = files::open(whole)?;
        let (scheme, mut remarks) = (table.as_ref().map(|t| t.scheme), Vec::new());
        let mut list = Vec::new();
        // An ISO may have a partition table too, for being put onto a USB stick; what is in it is in the ISO.
        let iso = matches!(&held, Held::Files(fs) if fs.kind() == files::ISO);
        match table.filter(|_| !iso) {
            None => list.push(Volume { partition: None, partuuid: String::new(), part: whole, held }),
            Some(table) => {
                remarks = table.remarks;
                for p in table.partitions.into_iter().take(VOLUMES_MAX) {
                    let part = whole.part(p.start, p.len).context("a partition beyond the disk")?;
                    let held = files::open(part).unwrap_or_else(Held::Broken);
                    let partition = Some((table.scheme, p.number));
                    list.push(Volume { partition, partuuid: p.uuid, part, held });
                }
            }
        }
        Ok(Volumes { list, scheme, remarks })
    }

    pub fn get(&self, volume: usize) -> Option<&Volume<'a>> {
        self.list.get(volume)
    }

    /// The first one for which this holds.
    pub fn position(&self, is: impl Fn(&Volume) -> bool) -> Option<usize> {
        self.list.iter().position(is)
    }

    pub fn content(&self, place: &Place, most: u64) -> Result<Option<(Part<'a>, Content)>> {
        let Some(volume) = self.get(place.volume) else { return Ok(None) };
        let Some(fs) = volume.files() else { return Ok(None) };
        let node = files::walk(fs, &volume.part, &place.path)?;
        let Some(node) = node.filter(|n| n.kind == Kind::File) else { return Ok(None) };
        Ok(Some((volume.part, fs.content(&node, most).with_context(|| place.path.clone())?)))
    }

    pub fn is_file(&self, place: &Place) -> Result<bool> {
        Ok(self.kind(place)? == Some(Kind::File))
    }

    pub fn kind(&self, place: &Place) -> Result<Option<Kind>> {
        let Some(volume) = self.get(place.volume) else { return Ok(None) };
        let Some(fs) = volume.files() else { return Ok(None) };
        Ok(files::walk(fs, &volume.part, &place.path)?.map(|n| n.kind))
    }

    /// A text file of up to `most` bytes; none when there is no such file.
    pub fn text(&self, place: &Place, most: u64) -> Result<Option<String>> {
        let Some((part, content)) = self.content(place, most)? else { return Ok(None) };
        let bytes = content.bytes(&part).with_context(|| place.path.clone())?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names in a directory, sorted; none of them when there is no such directory.
    pub fn names(&self, place: &Place) -> Result<Vec<String>> {
        let Some(volume) = self.get(place.volume) else { return Ok(Vec::new()) };
        let Some(fs) = volume.files() else { return Ok(Vec::new()) };
        let node = files::walk(fs, &volume.part, &place.path)?;
        let Some(node) = node.filter(|n| n.kind == Kind::Directory) else { return Ok(Vec::new()) };
        let mut names = fs.names(&node).with_context(|| place.path.clone())?;
        names.retain(|n| n != "." && n != "..");
        names.sort();
        Ok(names)
    }
}

impl Volume<'_> {
    pub fn files(&self) -> Option<&dyn FileSystem> {
        match &self.held {
            Held::Files(fs) => Some(fs.as_ref()),
            _ => None,
        }
    }

    /// `partition 2`.
    pub fn name(&self) -> String {
        match self.partition {
            Some((_, number)) => format!("partition {number}"),
            None => "the whole disk".to_string(),
        }
    }

    /// As GRUB says it.
    pub fn grub_name(&self) -> String {
        match self.partition {
            Some((scheme, number)) => format!("hd0,{}{number}", scheme.grub()),
            None => "hd0".to_string(),
        }
    }

    /// What is on it, for people.
    pub fn holds(&self) -> String {
        match &self.held {
            Held::Files(fs) => fs.kind().to_string(),
            Held::Foreign(name) => format!("{name}, which kiln does not read"),
            Held::Broken(e) => format!("damaged ({e:#})"),
            Held::Nothing => "nothing known".to_string(),
        }
    }
}
