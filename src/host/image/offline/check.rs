//! Whether an image is whole.

use super::super::qcow2_meta::check;
pub use super::super::qcow2_meta::check::Report;
use super::super::qcow2_meta::tables::Tables;
use super::super::{Format, Image, Kind, readonly};
use super::alone;
use anyhow::Result;
use std::path::Path;

pub struct Verdict {
    pub kind: Kind,
    /// Of a qcow2 image.
    pub report: Option<check::Report>,
    /// What was wrong before the repair.
    pub repaired: Option<check::Report>,
    /// Of others: the first table entry that points nowhere.
    pub wrong: Option<String>,
}

impl Verdict {
    pub fn clean(&self) -> bool {
        self.wrong.is_none() && self.report.as_ref().is_none_or(check::Report::clean)
    }
}

/// `repair` changes metadata only, and only of qcow2 images.
pub fn check(path: &Path, format: Format, repair: bool) -> Result<Verdict> {
    let (file, kind) = alone(path, format, repair)?;
    let mut verdict = Verdict { kind, report: None, repaired: None, wrong: None };
    let tables_of = |image: Box<dyn Image>| follow(image.as_ref()).err().map(|e| e.to_string());
    match kind {
        // Its size is all there is.
        Kind::Raw => {}
        Kind::Vmdk => verdict.wrong = tables_of(readonly::vmdk::open(file, path)?),
        Kind::Vdi => verdict.wrong = tables_of(readonly::vdi::open(file, path)?),
        Kind::Vpc => verdict.wrong = tables_of(readonly::vhd::open(file, path)?),
        Kind::Qcow2 => {
            let mut tables = Tables::open(file, path)?;
            let found = check::check(&tables)?;
            if repair && !found.clean() {
                verdict.report = Some(check::repair(&mut tables, &found)?);
                verdict.repaired = Some(found);
            } else {
                verdict.report = Some(found);
            }
        }
    }
    Ok(verdict)
}

/// Looks at every entry of the tables.
fn follow(image: &dyn Image) -> std::io::Result<()> {
    let mut at = 0;
    while let Some(data) = image.next_data(at)? {
        at = data.end;
    }
    Ok(())
}
