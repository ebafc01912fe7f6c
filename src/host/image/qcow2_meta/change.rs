//! From one set of roots to another, in steps with a flush after each, so that the image is whole whenever the power
//! goes:
//!
//! 1. New tables are written to free clusters (the caller does that).
//! 2. The copied flag goes from entries whose cluster will have several users: from here on it is never set wrongly.
//! 3. Refcounts rise to what the old and the new roots need.
//! 4. The header points to the new roots.
//! 5. Refcounts fall to what the new roots need, and the flag comes back where a cluster has one user.
//!
//! Cut off before 4 there is the old image, after it the new one, and what is counted too high is lost until
//! `kiln image check --repair`.

use super::header;
use super::refcounts::{self, Refcounts};
use super::tables::{L1, Roots, Tables, packed};
use super::walk;
use anyhow::{Context, Result, ensure};

impl Tables {
    /// Goes on with `new` roots, whose tables are written.
    pub fn change(&mut self, new: &Roots) -> Result<()> {
        let old = self.roots();
        let mut wanted = sound(self, new)?;
        let mut both = walk::walk(self, &old)?.counts;
        both.resize(both.len().max(wanted.len()), 0);
        both.iter_mut().zip(&wanted).for_each(|(a, b)| *a = (*a).max(*b));
        self.mark_copied(new.l1, &both, false)?;
        self.flush()?;
        if store(self, &both)? {
            wanted = sound(self, new)?;
        }
        self.flush()?;
        self.point_to(new)?;
        store(self, &wanted)?;
        self.flush()?;
        self.mark_copied(new.l1, &wanted, true)?;
        self.flush()
    }

    fn point_to(&mut self, new: &Roots) -> Result<()> {
        let head = &mut self.header;
        head.size = new.size;
        head.l1_offset = new.l1.at;
        head.l1_size = new.l1.entries;
        head.snapshots = u32::try_from(new.snapshots.len())?;
        head.snapshots_offset = new.table.0;
        self.write_header()?;
        self.flush()
    }

    /// The copied flag of all entries below `l1`: off where it is wrong, and on where it is missing if `set`.
    pub fn mark_copied(&self, l1: L1, counts: &[u32], set: bool) -> Result<u64> {
        let cluster = self.header.cluster();
        let alone = |at: u64| counts.get((at / cluster) as usize) == Some(&1);
        let mut changed = 0;
        let mut mark = |entry: &mut u64| {
            let at = *entry & header::OFFSET;
            let right = at != 0 && alone(at);
            let wrong = *entry & header::COMPRESSED == 0 && at != 0 && right != (*entry & header::COPIED != 0);
            if wrong && (set || !right) {
                *entry ^= header::COPIED;
                changed += 1;
            }
        };
        let mut table = self.l1(l1)?;
        let before = table.clone();
        table.iter_mut().for_each(&mut mark);
        if table != before {
            self.write(l1.at, &packed(&table))?;
        }
        let mut seen = std::collections::HashSet::new();
        let len = self.len()?;
        for entry in table {
            let at = entry & header::OFFSET;
            if at == 0 || !at.is_multiple_of(cluster) || at >= len || !seen.insert(at) {
                continue;
            }
            let before = self.numbers(at, (cluster / 8) as usize)?;
            let mut table = before.clone();
            table.chunks_mut(self.header.l2_entry() as usize / 8).filter_map(|e| e.first_mut()).for_each(&mut mark);
            if table != before {
                self.write(at, &packed(&table))?;
            }
        }
        Ok(changed)
    }

    /// The place of `clusters` that nobody uses, one after the other.
    pub fn free(&self, taken: &[u32], clusters: u64) -> Result<u64> {
        let mut stored = Refcounts::read(self)?;
        let mut start = 1;
        let mut at = 1;
        while ((at - start) as u64) < clusters {
            let used = taken.get(at).is_some_and(|count| *count != 0) || stored.get(at)? != Some(0);
            at += 1;
            if used {
                start = at;
            }
        }
        Ok(start as u64 * self.header.cluster())
    }

    pub fn clusters_of(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.header.cluster())
    }

    /// What each cluster is used for now; an error when the image has to be repaired before it can be changed.
    pub fn sound(&self) -> Result<Vec<u32>> {
        let name = self.name();
        let dirty = self.header.incompatible & (header::DIRTY | header::CORRUPT) != 0;
        ensure!(!dirty, "change {name}: it is marked dirty or corrupt; `kiln image check --repair {name}` mends it");
        let counts = sound(self, &self.roots())?;
        let mut stored = Refcounts::read(self)?;
        for (cluster, count) in counts.iter().enumerate() {
            let right = stored.get(cluster)?.is_some_and(|stored| stored >= u64::from(*count));
            ensure!(
                right,
                "change {name}: the refcount of cluster {cluster} is wrong; `kiln image check --repair {name}` mends it"
            );
        }
        Ok(counts)
    }
}

fn sound(tables: &Tables, roots: &Roots) -> Result<Vec<u32>> {
    let walk = walk::walk(tables, roots)?;
    let name = tables.name();
    let first = walk.found.0.first().map_or("", String::as_str);
    ensure!(walk.corruptions == 0, "change {name}: {first}; `kiln image check {name}` says all that is wrong");
    Ok(walk.counts)
}

/// Says whether the refcounts had to go to another place.
pub fn store(tables: &mut Tables, counts: &[u32]) -> Result<bool> {
    if Refcounts::read(tables)?.store(counts)? {
        return Ok(false);
    }
    let name = tables.name().to_string();
    refcounts::rebuild(tables, counts).with_context(|| format!("write new refcounts of {name}"))?;
    Ok(true)
}
