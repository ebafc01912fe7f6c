//! Whether all of a qcow2 image's metadata agree, and what can be done when they do not.

use super::change::store;
use super::header;
use super::refcounts::{Refcounts, rebuild};
use super::tables::{Roots, Tables};
use super::walk::{self, Found};
use anyhow::Result;

#[derive(Debug, Default)]
pub struct Report {
    /// Entries and refcounts that are wrong: data may be lost, or get lost. (As QEMU counts them.)
    pub corruptions: u64,
    /// Of these, copied flags: at worst a cluster is copied that need not be, if the refcounts are right.
    pub copied: u64,
    /// Clusters that nobody uses and that are not free.
    pub leaks: u64,
    /// Refcounts that cannot be read.
    pub unreadable: u64,
    /// Clusters that are used for two things.
    pub overlaps: u64,
    /// The header says so.
    pub dirty: bool,
    pub corrupt: bool,
    /// The first of all that, for people.
    pub found: Vec<String>,
    /// The refcounts have no place, or one that something else uses.
    rebuild: bool,
    counts: Vec<u32>,
}

impl Report {
    pub fn clean(&self) -> bool {
        self.sound() && self.leaks == 0 && !self.dirty && !self.corrupt
    }

    /// Nothing is wrong; clusters may be lost.
    pub fn sound(&self) -> bool {
        self.corruptions == 0 && self.unreadable == 0 && self.overlaps == 0
    }
}

/// Changes nothing.
pub fn check(tables: &Tables) -> Result<Report> {
    let roots = tables.roots();
    let mut walk = walk::walk(tables, &roots)?;
    let overlaps = walk.overlaps();
    let mut report = Report {
        corruptions: walk.corruptions,
        overlaps,
        dirty: tables.header.incompatible & header::DIRTY != 0,
        corrupt: tables.header.incompatible & header::CORRUPT != 0,
        rebuild: walk.broken_refcounts,
        counts: std::mem::take(&mut walk.counts),
        ..Report::default()
    };
    let mut found = std::mem::take(&mut walk.found);
    drop(walk);
    let mut stored = Refcounts::read(tables)?;
    compare(&mut stored, &mut report, &mut found)?;
    copied(tables, &roots, &mut stored, &mut report, &mut found)?;
    report.found = found.0;
    Ok(report)
}

fn compare(stored: &mut Refcounts, report: &mut Report, found: &mut Found) -> Result<()> {
    for (cluster, count) in report.counts.iter().enumerate() {
        let count = u64::from(*count);
        match stored.get(cluster)? {
            Some(stored) if stored == count => {}
            Some(stored) if stored > count => {
                report.leaks += 1;
                found.add(format_args!("cluster {cluster} is lost: refcount {stored}, users {count}"));
            }
            Some(stored) => {
                report.corruptions += 1;
                found.add(format_args!("cluster {cluster}: refcount {stored}, users {count}"));
            }
            None => {
                report.unreadable += 1;
                report.rebuild = true;
                found.add(format_args!("cluster {cluster}: its refcount cannot be read"));
            }
        }
    }
    Ok(())
}

/// The flag that a cluster has one user must agree with its refcount.
fn copied(
    tables: &Tables,
    roots: &Roots,
    stored: &mut Refcounts,
    report: &mut Report,
    found: &mut Found,
) -> Result<()> {
    let cluster = tables.header.cluster();
    let mut wrong = |entry: u64, what: &str| -> Result<()> {
        let at = entry & header::OFFSET;
        let Some(refcount) = stored.get((at / cluster) as usize)? else { return Ok(()) };
        if (refcount == 1) != (entry & header::COPIED != 0) {
            report.corruptions += 1;
            report.copied += 1;
            found.add(format_args!("{what} at {at:#x}: refcount {refcount}, and its copied flag says otherwise"));
        }
        Ok(())
    };
    for entry in tables.l1(roots.l1)? {
        let at = entry & header::OFFSET;
        if at == 0 {
            continue;
        }
        wrong(entry, "L2 table")?;
        if at >= tables.len()? {
            continue;
        }
        let table = tables.numbers(at, (cluster / 8) as usize)?;
        for entry in table.chunks(tables.header.l2_entry() as usize / 8).filter_map(|entry| entry.first()) {
            if entry & header::COMPRESSED == 0 && entry & header::OFFSET != 0 {
                wrong(*entry, "data")?;
            }
        }
    }
    Ok(())
}

/// Frees what is lost, counts anew, and takes the marks from the header when nothing is wrong any more. What guests
/// wrote is not touched, nor are entries that point nowhere. Gives what is left to say.
pub fn repair(tables: &mut Tables, report: &Report) -> Result<Report> {
    if report.clean() {
        return check(tables);
    }
    let roots = tables.roots();
    // The flag is never set wrongly in between.
    tables.mark_copied(roots.l1, &report.counts, false)?;
    tables.flush()?;
    if report.rebuild {
        rebuild(tables, &report.counts)?;
    } else {
        store(tables, &report.counts)?;
        tables.flush()?;
    }
    // A new place for refcounts frees the old one.
    let counts = walk::walk(tables, &roots)?.counts;
    store(tables, &counts)?;
    tables.flush()?;
    tables.mark_copied(roots.l1, &counts, true)?;
    tables.flush()?;
    let left = check(tables)?;
    if left.sound() && (left.dirty || left.corrupt) {
        tables.header.incompatible &= !(header::DIRTY | header::CORRUPT);
        tables.write_header()?;
        tables.flush()?;
        return check(tables);
    }
    Ok(left)
}
