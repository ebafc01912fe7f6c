//! The kinds of reports a kernel writes, and the set of them that fails a run (`--fail-on`).

use std::fmt;
use std::str::FromStr;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What a report is about. The order is that of the list users see: the gravest first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// As users type it.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// "Kernel panic - not syncing".
    Panic = "panic",
    /// An exception in kernel mode: bad address, general protection, "kernel BUG at", double fault.
    Oops = "oops",
    /// A processor that does not even take interrupts.
    HardLockup = "hard-lockup",
    /// A processor that does not schedule.
    SoftLockup = "soft-lockup",
    RcuStall = "rcu-stall",
    /// A task in uninterruptible sleep, or a work queue that makes no progress.
    HungTask = "hung-task",
    /// What lockdep, RCU's and the locks' own debugging find.
    Lockdep = "lockdep",
    /// Sleeping or scheduling where that is forbidden.
    Atomic = "atomic",
    Kasan = "kasan",
    Kmsan = "kmsan",
    Kcsan = "kcsan",
    Kfence = "kfence",
    Ubsan = "ubsan",
    /// A reference count that went below zero or was saturated.
    Refcount = "refcount",
    /// Page tables, page flags or counters of a process are wrong.
    BadPage = "bad-page",
    /// What SLUB's own debugging finds: red zones, poison.
    Slab = "slab",
    Kmemleak = "kmemleak",
    /// WARN() and its kin.
    Warning = "warning",
    /// The machine as a whole is out of memory; a control group's limit is not meant.
    Oom = "oom",
    /// "BUG:" with a text none of the others claims.
    Bug = "bug",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is none, with the list of those there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSuchKind(String);

impl fmt::Display for NoSuchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(64).collect();
        write!(f, "no kernel report is named {shown:?}; there are")?;
        for (i, kind) in Kind::ALL.iter().enumerate() {
            write!(f, "{}{kind}", if i == 0 { " " } else { ", " })?;
        }
        f.write_str("; and all, none")
    }
}

impl std::error::Error for NoSuchKind {}

impl FromStr for Kind {
    type Err = NoSuchKind;

    fn from_str(name: &str) -> Result<Kind, NoSuchKind> {
        Kind::ALL.iter().copied().find(|k| k.name() == name).ok_or_else(|| NoSuchKind(name.into()))
    }
}

/// The kinds that fail a run: `panic,oops`, `all`, `none`, `all,-warning`; by default panic and oops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailOn(u32);

impl FailOn {
    pub const ALL: FailOn = FailOn(u32::MAX >> (32 - Kind::ALL.len()));
    pub const NONE: FailOn = FailOn(0);

    pub fn contains(self, kind: Kind) -> bool {
        self.0 & bit(kind) != 0
    }
}

fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}

impl Default for FailOn {
    fn default() -> FailOn {
        FailOn(bit(Kind::Panic) | bit(Kind::Oops))
    }
}

impl FromIterator<Kind> for FailOn {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> FailOn {
        FailOn(kinds.into_iter().fold(0, |set, kind| set | bit(kind)))
    }
}

impl FromStr for FailOn {
    type Err = NoSuchKind;

    /// From left to right; a name with a `-` before it is taken out again.
    fn from_str(text: &str) -> Result<FailOn, NoSuchKind> {
        let mut set = FailOn::NONE;
        for word in text.split(',').map(str::trim) {
            match (word, word.strip_prefix('-')) {
                ("all", _) => set = FailOn::ALL,
                ("none", _) => set = FailOn::NONE,
                (_, Some(out)) => set.0 &= !bit(out.parse()?),
                (name, None) => set.0 |= bit(name.parse()?),
            }
        }
        Ok(set)
    }
}

impl fmt::Display for FailOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FailOn::ALL => return f.write_str("all"),
            FailOn::NONE => return f.write_str("none"),
            _ => {}
        }
        let names = Kind::ALL.iter().filter(|k| self.contains(**k));
        for (i, kind) in names.enumerate() {
            write!(f, "{}{kind}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
