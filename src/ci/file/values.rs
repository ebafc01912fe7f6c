//! The types that values in the file have.

use crate::config::Options;
use crate::config::values::Size;
use crate::klog::{FailOn, Kind};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A value that was understood, and the text it was, which is what `kiln exec` is given.
#[derive(Debug, Clone)]
pub struct Checked<T> {
    pub text: String,
    pub value: T,
}

impl<T: FromStr> FromStr for Checked<T>
where
    T::Err: fmt::Display,
{
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Checked<T>, T::Err> {
        Ok(Checked { text: text.to_string(), value: text.parse()? })
    }
}

impl<'de, T: FromStr> Deserialize<'de> for Checked<T>
where
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Checked<T>, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: FromStr> Visitor<'_> for Text<T>
        where
            T::Err: fmt::Display,
        {
            type Value = Checked<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Checked<T>, E> {
                text.parse().map_err(|e| E::custom(format!("`{text}`: {e}")))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Checked<T>, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(Text(PhantomData))
    }
}

/// vCPUs, as `--cpus` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vcpus(pub u32);

impl FromStr for Vcpus {
    type Err = String;
    fn from_str(text: &str) -> Result<Vcpus, String> {
        let options = Options::parse(text, Some("cores")).map_err(|e| e.to_string())?;
        let part = |name| options.get::<u32>(name, Some("1")).map_err(|e| e.to_string());
        let product = part("sockets")?.checked_mul(part("cores")?).zip(Some(part("threads")?));
        let n = product.and_then(|(a, b)| a.checked_mul(b)).filter(|n| *n > 0);
        n.map(Vcpus).ok_or_else(|| "want a number of vCPUs such as 2".to_string())
    }
}

/// Bytes of memory, as `--memory` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(pub u64);

impl FromStr for Memory {
    type Err = String;
    fn from_str(text: &str) -> Result<Memory, String> {
        let options = Options::parse(text, Some("size")).map_err(|e| e.to_string())?;
        let size: String = options.get("size", None).map_err(|e| e.to_string())?;
        size.parse::<Size>().map(|s| Memory(s.0))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    Pci,
    Mmio,
}

impl Bus {
    pub fn name(self) -> &'static str {
        match self {
            Bus::Pci => "pci",
            Bus::Mmio => "mmio",
        }
    }
}

/// Where a test tells its results in KTAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ktap {
    /// In the kernel log: KUnit.
    Log,
    /// On the standard output of the command: kselftest.
    Output,
}

/// How a boot ended, as `--result` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    Exited,
    Signalled,
    NotFound,
    NotRunnable,
    Timeout,
    Panic,
    Fault,
    Lost,
    Failed,
    Shutdown,
    Reset,
    Quit,
    DebugExit,
}

impl Ends {
    /// The word in the file and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Ends::Exited => "exited",
            Ends::Signalled => "signalled",
            Ends::NotFound => "not-found",
            Ends::NotRunnable => "not-runnable",
            Ends::Timeout => "timeout",
            Ends::Panic => "panic",
            Ends::Fault => "fault",
            Ends::Lost => "lost",
            Ends::Failed => "failed",
            Ends::Shutdown => "shutdown",
            Ends::Reset => "reset",
            Ends::Quit => "quit",
            Ends::DebugExit => "debug-exit",
        }
    }
}

/// Kinds of reports that fail a boot, as `--fail-on` takes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailSet(pub FailOn);

/// Kinds of reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds(pub Vec<Kind>);

impl<'de> Deserialize<'de> for FailSet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<FailSet, D::Error> {
        let words = Strings::deserialize(from)?.0.join(",");
        let set = if words.is_empty() { Ok(FailOn::NONE) } else { words.parse() };
        set.map(FailSet).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Kinds, D::Error> {
        let kinds: Result<_, _> = Strings::deserialize(from)?.0.iter().map(|word| word.parse()).collect();
        kinds.map(Kinds).map_err(de::Error::custom)
    }
}

/// One string, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings(pub Vec<String>);

/// What runs in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A line for /bin/sh.
    Line(String),
    Words(Vec<String>),
}

/// Takes a string or a list; says which it was.
struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Result<String, Vec<String>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Ok(text.to_string()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Err(all))
    }
}

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Strings, D::Error> {
        Ok(Strings(from.deserialize_any(OneOrMany)?.map_or_else(|many| many, |one| vec![one])))
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Command, D::Error> {
        match from.deserialize_any(OneOrMany)? {
            Ok(line) if line.trim().is_empty() => Err(de::Error::custom("is empty")),
            Err(words) if words.first().is_none_or(String::is_empty) => Err(de::Error::custom("is empty")),
            Ok(line) => Ok(Command::Line(line)),
            Err(words) => Ok(Command::Words(words)),
        }
    }
}
