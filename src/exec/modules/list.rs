//! A list of modules, one a line: modules.builtin, modules.order, modules.dep. It may be of a megabyte, of which a few
//! lines are wanted, so it is only cut into lines.

use std::ops::Range;

/// How modules may be packed, by the suffix.
pub const PACKED: [&str; 4] = ["", ".xz", ".zst", ".gz"];
/// Bytes; the kernel has room for less (MODULE_NAME_LEN).
const NAME_MAX: usize = 64;

pub struct List {
    text: String,
    lines: Vec<Line>,
}

/// Bytes of the text.
struct Line {
    path: Range<usize>,
    /// The name within the path.
    stem: Range<usize>,
    /// Behind the colon.
    rest: Range<usize>,
}

/// A line of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub path: &'a str,
    /// What modules.dep has behind the colon.
    pub rest: &'a str,
}

impl List {
    pub fn new(text: String) -> List {
        let mut lines = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let path = line.find(':').unwrap_or(line.trim_end().len());
            let Some(stem) = line.get(..path).and_then(stem) else { continue };
            lines.push(Line {
                path: start..start + path,
                stem: start + stem.start..start + stem.end,
                rest: (start + path + 1).min(at)..at,
            });
        }
        List { text, lines }
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The first line of the module `name`.
    pub fn find(&self, name: &str) -> Option<Entry<'_>> {
        let text = |range: &Range<usize>| self.text.get(range.clone());
        let line = self.lines.iter().find(|line| {
            line.stem.len() == name.len() && text(&line.stem).is_some_and(|stem| same(stem.as_bytes(), name.as_bytes()))
        })?;
        Some(Entry { path: text(&line.path)?, rest: text(&line.rest)? })
    }
}

fn same(stem: &[u8], name: &[u8]) -> bool {
    stem.iter().zip(name).all(|(a, b)| a == b || (*a == b'-' && *b == b'_'))
}

/// The name of the module in a file: `_` for `-`, as the kernel has it. None for what is no module's name.
pub fn name(path: &str) -> Option<String> {
    path.get(stem(path)?).map(|stem| stem.replace('-', "_"))
}

/// Where in a path the name of a module stands.
fn stem(path: &str) -> Option<Range<usize>> {
    let start = path.rfind('/').map_or(0, |at| at + 1);
    let file = path.get(start..)?;
    let stem = PACKED.iter().filter(|s| !s.is_empty()).find_map(|s| file.strip_suffix(s)).unwrap_or(file);
    // Linux 6.2 and later list what a build makes as objects.
    let stem = stem.strip_suffix(".ko").or_else(|| stem.strip_suffix(".o")).unwrap_or(stem);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-+".contains(&b);
    (!stem.is_empty() && stem.len() < NAME_MAX && stem.bytes().all(fits)).then(|| start..start + stem.len())
}

#[cfg(test)]
mod tests;
