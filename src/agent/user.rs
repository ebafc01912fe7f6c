//! Who the command runs as, from the guest's /etc/passwd and /etc/group (passwd(5), group(5)). Read without the C
//! library: a static program cannot load its name services.

use crate::sys::process::Identity;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub identity: Identity,
    pub name: OsString,
    pub home: OsString,
    pub shell: OsString,
}

/// `wanted`: NAME, UID, NAME:GROUP or UID:GID. A number that passwd does not have is taken as user and as group.
pub fn find(wanted: &OsStr, passwd: &[u8], groups: &[u8]) -> Result<User, String> {
    let wanted = wanted.as_bytes();
    let (name, group) = match wanted.iter().position(|b| *b == b':') {
        Some(colon) => (wanted.get(..colon).unwrap_or_default(), wanted.get(colon + 1..)),
        None => (wanted, None),
    };
    let mut user = named(name, passwd, groups).ok_or_else(|| {
        format!("find user {}: not in /etc/passwd of the guest (a number works without)", name.escape_ascii())
    })?;
    if let Some(group) = group {
        let known = rows(groups).find(|row| row.first() == Some(&group)).and_then(|row| number(row.get(2)?));
        let known = known.or_else(|| number(group));
        user.identity.group =
            known.ok_or_else(|| format!("find group {}: not in /etc/group of the guest", group.escape_ascii()))?;
    }
    Ok(user)
}

fn named(name: &[u8], passwd: &[u8], groups: &[u8]) -> Option<User> {
    // A name of digits is a name first (POSIX, chown).
    let by_name = || rows(passwd).filter(|r| r.len() >= 4).find(|r| r.first() == Some(&name));
    let by_number = || {
        let wanted = number(name)?;
        rows(passwd).filter(|r| r.len() >= 4).find(|r| r.get(2).and_then(|id| number(id)) == Some(wanted))
    };
    let Some(row) = by_name().or_else(by_number) else {
        let id = number(name)?;
        let identity = Identity { user: id, group: id, others: Vec::new() };
        return Some(User { identity, name: own(name), home: own(b"/"), shell: own(b"/bin/sh") });
    };
    let text = |i: usize, default: &[u8]| own(row.get(i).copied().filter(|t| !t.is_empty()).unwrap_or(default));
    let (user, group) = (number(row.get(2)?)?, number(row.get(3)?)?);
    let identity = Identity { user, group, others: memberships(row.first()?, groups) };
    Some(User { identity, name: text(0, name), home: text(5, b"/"), shell: text(6, b"/bin/sh") })
}

/// NGROUPS_MAX of Linux.
const MAX_GROUPS: usize = 65536;

fn memberships(name: &[u8], groups: &[u8]) -> Vec<u32> {
    let member = |row: &Vec<&[u8]>| row.get(3).is_some_and(|list| list.split(|b| *b == b',').any(|m| m == name));
    rows(groups).filter(member).filter_map(|row| number(row.get(2)?)).take(MAX_GROUPS).collect()
}

/// Lines cut at their colons.
fn rows(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|b| *b == b'\n').map(|line| line.split(|b| *b == b':').collect())
}

/// No id: -1 (and in 16 bits) means "leave it".
fn number(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok()?.parse().ok().filter(|id| digits && *id != u32::MAX)
}

fn own(text: &[u8]) -> OsString {
    OsString::from_vec(text.to_vec())
}

#[cfg(test)]
mod tests;
