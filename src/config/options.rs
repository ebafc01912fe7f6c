//! `key=value,...` as the user gave it, and the [`spec!`](crate::spec) macro that gives it types, defaults and help.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Pairs in no order. A comma in a value is written twice.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Options {
    pairs: BTreeMap<String, String>,
    text: String,
}

/// As it was typed.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One documented option, as `--help`, the manual page and the docs show it.
#[derive(Debug)]
pub struct OptionDoc {
    pub name: &'static str,
    pub help: &'static str,
    /// `None`: it must be given.
    pub default: Option<&'static str>,
}

impl OptionDoc {
    /// Its line in a list of options.
    pub fn line(&self) -> String {
        let default = self.default.filter(|d| !d.is_empty()).map_or(String::new(), |d| format!(" [default: {d}]"));
        format!("{}: {}{default}", self.name, self.help)
    }
}

impl Options {
    /// `positional` is the key of a first part that is a bare value (`--disk a.img,readonly`).
    /// Any other bare word is a switch that is on.
    pub fn parse(text: &str, positional: Option<&str>) -> Result<Options> {
        let mut pairs = BTreeMap::new();
        for (i, part) in split(text).iter().enumerate() {
            let (key, value) = match (part.split_once('='), positional) {
                (Some((key, value)), p) if p.is_none() || i > 0 || is_word(key) => (key, value),
                (_, Some(first)) if i == 0 => (first, part.as_str()),
                _ => (part.as_str(), "on"),
            };
            if pairs.insert(key.to_string(), value.to_string()).is_some() {
                bail!("`{key}` is given twice");
            }
        }
        Ok(Options { pairs, text: text.to_string() })
    }

    pub fn get<T: FromStr>(&self, name: &str, default: Option<&str>) -> Result<T>
    where
        T::Err: std::fmt::Display,
    {
        let given = self.pairs.get(name).map(String::as_str);
        let text = given.or(default).with_context(|| format!("`{name}=` is missing"))?;
        text.parse().map_err(|e| anyhow::anyhow!("`{name}={text}`: {e}"))
    }

    /// Gives `key` a value where it has none; says whether that was so.
    pub fn add(&mut self, key: &str, value: &str) -> bool {
        let free = !self.pairs.contains_key(key);
        if free {
            self.pairs.insert(key.to_string(), value.to_string());
            self.text = format!("{},{key}={}", self.text, value.replace(',', ",,"));
        }
        free
    }

    /// Errors on a key that is not in `known`, and says which there are.
    pub fn only(&self, known: &[OptionDoc]) -> Result<()> {
        let unknown = self.pairs.keys().find(|k| !known.iter().any(|o| o.name == k.as_str()));
        let Some(unknown) = unknown else { return Ok(()) };
        let names: Vec<_> = known.iter().map(|o| o.name).collect();
        bail!("unknown option `{unknown}`; there are: {}", names.join(", "))
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Splits at single commas; `,,` stands for one.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == ',' && chars.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.retain(|p| !p.is_empty());
    parts
}

/// Declares a device's options once: the struct, its parser and its documentation.
/// The first field is the one a bare first value is for. An optional one defaults to `""` and has type `Option<T>`
/// through [`values::Maybe`](crate::config::values::Maybe).
#[macro_export]
macro_rules! spec {
    ($(#[$m:meta])* $vis:vis struct $name:ident { $( #[doc = $help:literal] $field:ident $(as $key:literal)? : $ty:ty $(= $default:literal)? ),* $(,)? }) => {
        $(#[$m])*
        #[derive(Debug, Clone)]
        $vis struct $name { $( $vis $field: $ty ),* }
        impl $name {
            pub const OPTIONS: &'static [$crate::config::OptionDoc] = &[ $( $crate::config::OptionDoc {
                name: $crate::spec!(@name $field $($key)?), help: $help.trim_ascii(), default: $crate::spec!(@default $($default)?) } ),* ];
            pub fn parse(options: &$crate::config::Options) -> anyhow::Result<Self> {
                options.only(Self::OPTIONS)?;
                Ok(Self { $( $field: options.get($crate::spec!(@name $field $($key)?), $crate::spec!(@default $($default)?))? ),* })
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $key:literal) => { $key };
    (@default) => { None };
    (@default $d:literal) => { Some($d) };
}

#[cfg(test)]
mod tests;
