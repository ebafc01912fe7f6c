//! System use fields (IEEE P1281, P1282): names, symbolic links and moved directories.

use super::super::super::disk::Part;
use super::super::super::fields::{slice, u8_at, u32_at};
use super::BLOCK;
use anyhow::{Context, Result, ensure};

/// Continuations of one record's fields.
const MORE_MAX: usize = 32;
const NAME_MAX: usize = 4096;

/// What a record's fields say.
#[derive(Default)]
pub struct Rock {
    pub name: Option<String>,
    /// The target of a symbolic link.
    pub link: Option<String>,
    /// The block of the directory that this stands for.
    pub child: Option<u32>,
    /// It is shown elsewhere.
    pub moved: bool,
    /// The last component of the link goes on.
    open: bool,
}

/// Bytes to skip before the fields of every record, when the root's first record has the mark of Rock Ridge's carrier
/// and fields that only Rock Ridge has.
pub fn begins(system: &[u8], part: &Part) -> Result<Option<usize>> {
    // SP: length 7, version 1, check bytes, skip
    let Ok(sp) = slice(system, 0, 7) else { return Ok(None) };
    if !sp.starts_with(b"SP\x07\x01\xbe\xef") {
        return Ok(None);
    }
    let mut known = false;
    fields(system, part, |kind, _| {
        known |= matches!(kind, b"RR" | b"PX" | b"NM");
        Ok(())
    })?;
    Ok(known.then_some(u8_at(sp, 6)?.into()))
}

impl Rock {
    pub fn read(system: &[u8], part: &Part) -> Result<Rock> {
        let mut rock = Rock::default();
        fields(system, part, |kind, data| rock.take(kind, data))?;
        Ok(rock)
    }

    fn take(&mut self, kind: &[u8], data: &[u8]) -> Result<()> {
        match kind {
            // flags: 2 current directory, 4 parent
            b"NM" if u8_at(data, 0)? & 6 == 0 => {
                let name = self.name.get_or_insert_default();
                name.push_str(&String::from_utf8_lossy(data.get(1..).unwrap_or_default()));
                ensure!(name.len() <= NAME_MAX, "a name of more than {NAME_MAX} bytes");
            }
            b"SL" => self.link(data.get(1..).unwrap_or_default())?,
            b"CL" => self.child = Some(u32_at(data, 0)?),
            b"RE" => self.moved = true,
            _ => {}
        }
        Ok(())
    }

    /// Components of a link: flags, length, text.
    fn link(&mut self, mut data: &[u8]) -> Result<()> {
        let link = self.link.get_or_insert_default();
        while !data.is_empty() {
            let (flags, len) = (u8_at(data, 0)?, usize::from(u8_at(data, 1)?));
            let text = String::from_utf8_lossy(slice(data, 2, len)?).into_owned();
            if !self.open && !link.is_empty() && !link.ends_with('/') {
                link.push('/');
            }
            match flags & 0xe {
                2 => link.push('.'),
                4 => link.push_str(".."),
                8 => link.push('/'),
                _ => link.push_str(&text),
            }
            ensure!(link.len() <= NAME_MAX, "a symbolic link of more than {NAME_MAX} bytes");
            self.open = flags & 1 != 0;
            data = data.get(2 + len..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Gives each field's name and data to `each`, those in continuations too.
fn fields(system: &[u8], part: &Part, mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let mut area = system.to_vec();
    for _ in 0..MORE_MAX {
        let (mut rest, mut next) = (area.as_slice(), None);
        while rest.len() >= 4 {
            let len = usize::from(u8_at(rest, 2)?);
            let Some(field) = (len >= 4).then(|| rest.get(..len)).flatten() else { break };
            let (kind, data) = (slice(field, 0, 2)?, field.get(4..).unwrap_or_default());
            match kind {
                // block, offset, length: each in both byte orders
                b"CE" => next = Some((u32_at(data, 0)?, u32_at(data, 8)?, u32_at(data, 16)?)),
                b"ST" => break,
                _ => each(kind, data)?,
            }
            rest = rest.get(len..).unwrap_or_default();
        }
        let Some((block, offset, len)) = next else { return Ok(()) };
        ensure!(u64::from(len) <= BLOCK, "a continuation of {len} bytes");
        let at = u64::from(block) * BLOCK + u64::from(offset);
        area = part.bytes(at, len as usize).context("a continuation of system use fields")?;
    }
    Ok(())
}
