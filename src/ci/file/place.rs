//! Where things stand in the file: from a key to its line, and from an error's place to the key.

use anyhow::{Error, Result, anyhow};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Every key of the file with its place.
#[derive(Debug)]
pub struct Places {
    file: String,
    /// Offsets of the line breaks.
    breaks: Vec<usize>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    path: Vec<String>,
    name: Range<usize>,
    value: Range<usize>,
}

impl Places {
    /// Errors where `text` is not TOML.
    pub fn of(file: &str, text: &str) -> Result<Places> {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        let mut places = Places { file: file.to_string(), breaks, keys: Vec::new() };
        match DeTable::parse(text) {
            Ok(table) => places.table(&mut Vec::new(), table.get_ref()),
            Err(e) => {
                let near = e.span().and_then(|s| text.get(s)).filter(|t| !t.trim().is_empty() && t.len() <= 40);
                let near = near.map(|t| format!("`{}`: ", t.escape_debug())).unwrap_or_default();
                let line = e.span().map_or(0, |s| places.line(s.start));
                return Err(anyhow!("{file}:{line}: {near}{}", reword(e.message())));
            }
        }
        Ok(places)
    }

    fn table(&mut self, path: &mut Vec<String>, table: &DeTable<'_>) {
        for (name, value) in table {
            path.push(name.get_ref().to_string());
            self.keys.push(Key { path: path.clone(), name: name.span(), value: value.span() });
            self.value(path, value.get_ref());
            path.pop();
        }
    }

    fn value(&mut self, path: &mut Vec<String>, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.table(path, table),
            DeValue::Array(items) => items.iter().for_each(|item| self.value(path, item.get_ref())),
            _ => {}
        }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.breaks.iter().take_while(|at| **at < offset).count()
    }

    /// An error about the key at `path`, or about the file as a whole. Of a list of tables the first with the key is meant.
    pub fn wrong(&self, path: &[&str], what: &str) -> Error {
        let file = &self.file;
        match self.keys.iter().find(|k| k.path == path) {
            Some(key) => anyhow!("{file}:{}: {}: {what}", self.line(key.name.start), path.join(".")),
            None if path.is_empty() => anyhow!("{file}: {what}"),
            None => anyhow!("{file}: {}: {what}", path.join(".")),
        }
    }

    /// The parser's error in one line, with the key it is about.
    pub fn explain(&self, error: &toml::de::Error) -> Error {
        let what = reword(error.message());
        let Some(span) = error.span() else { return anyhow!("{}: {what}", self.file) };
        let line = self.line(span.start);
        let around = |r: &Range<usize>| (r.start <= span.start && span.start < r.end).then_some(r.len());
        let nearest = self.keys.iter().filter_map(|k| {
            let size = around(&k.name).into_iter().chain(around(&k.value)).min()?;
            Some((size, std::cmp::Reverse(k.path.len()), k))
        });
        match nearest.min_by_key(|(size, depth, _)| (*size, *depth)) {
            Some((_, _, key)) => anyhow!("{}:{line}: {}: {what}", self.file, key.path.join(".")),
            None => anyhow!("{}:{line}: {what}", self.file),
        }
    }

    /// The tables below `parent` as they stand in the file.
    pub fn in_order<T>(&self, parent: &str, tables: BTreeMap<String, T>) -> Vec<(String, T)> {
        let mut tables: Vec<_> = tables.into_iter().collect();
        let at = |name: &str| self.keys.iter().find(|k| k.path == [parent, name]).map(|k| k.name.start);
        tables.sort_by_key(|(name, _)| at(name));
        tables
    }
}

/// serde's words for an unknown key, as the rest of kiln says it; others are kept, on one line.
fn reword(message: &str) -> String {
    let message = message.replace(char::is_control, " ");
    let list = |rest: &str| rest.replace("` or `", ", ").replace('`', "");
    match message.strip_prefix("unknown field ").and_then(|m| m.split_once(", expected ")) {
        Some((_, known)) => {
            let known = known.strip_prefix("one of ").unwrap_or(known);
            format!("unknown key; there are: {}", list(known))
        }
        None => match message.strip_prefix("unknown variant ").and_then(|m| m.split_once(", expected ")) {
            Some((given, known)) => {
                let known = known.strip_prefix("one of ").unwrap_or(known);
                format!("{given}: there are: {}", list(known))
            }
            None => message,
        },
    }
}
