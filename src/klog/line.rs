//! From the bytes of a console to lines of text, and from a line to the kernel's message (printk's prefixes taken off).

use std::borrow::Cow;
use std::time::Duration;

/// Longer lines are cut; the kernel's own have at most 1 KiB of text (PRINTKRB_RECORD_MAX).
pub const LINE_MAX: usize = 4096;

/// Who wrote a message, where CONFIG_PRINTK_CALLER is on: a task, or a processor outside of any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    Task(u32),
    Cpu(u32),
}

/// A line of the log, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// `<4>`: facility and level as syslog has them.
    pub level: Option<u8>,
    /// The kernel's clock, from `[    1.234567]`.
    pub at: Option<Duration>,
    pub caller: Option<Caller>,
    /// The rest, its indentation kept.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// A line without any prefix is all text.
    pub fn parse(line: &'a str) -> Line<'a> {
        let (level, rest) = level(line).map_or((None, line), |(n, rest)| (Some(n), rest));
        let (at, rest) = stamp(rest).map_or((None, rest), |(at, rest)| (Some(at), rest));
        let (caller, rest) = caller(rest).map_or((None, rest), |(who, rest)| (Some(who), rest));
        // vsprintf puts one blank after the brackets (kernel/printk/printk.c, info_print_prefix).
        let text = if at.is_some() || caller.is_some() { rest.strip_prefix(' ').unwrap_or(rest) } else { rest };
        Line { level, at, caller, text }
    }

    /// The kernel put something before it, so it is no program's output.
    pub fn has_prefix(&self) -> bool {
        self.at.is_some() || self.caller.is_some()
    }
}

/// The text of a line of the kernel's log without printk's prefixes.
pub fn message(line: &str) -> &str {
    Line::parse(line).text
}

fn level(line: &str) -> Option<(u8, &str)> {
    let (digits, rest) = line.strip_prefix('<')?.split_once('>')?;
    (digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    Some((digits.parse().ok()?, rest))
}

/// `[%5lu.%06lu]` (kernel/printk/printk.c, print_time).
fn stamp(line: &str) -> Option<(Duration, &str)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (seconds, micros) = inside.trim_start_matches(' ').split_once('.')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    (inside.len() >= 12 && micros.len() == 6 && digits(seconds) && digits(micros)).then_some(())?;
    let at = Duration::new(seconds.parse().ok()?, micros.parse::<u32>().ok()?.checked_mul(1000)?);
    Some((at, rest))
}

/// `[%*s]` of `T123` or `C0` (print_caller).
fn caller(line: &str) -> Option<(Caller, &str)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let id = inside.trim_start_matches(' ');
    let digits = id.get(1..).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    let number = digits.parse().ok()?;
    match id.as_bytes().first()? {
        b'T' => Some((Caller::Task(number), rest)),
        b'C' => Some((Caller::Cpu(number), rest)),
        _ => None,
    }
}

/// Makes lines of a console's bytes, however they are cut. Line ends (`\n`, `\r\n`, `\r`), colours and control
/// characters are gone; a kernel message behind a program's unfinished line is a line of its own.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    /// A carriage return was the last byte: a line end, once, whether or not a line feed follows.
    returned: bool,
}

impl Lines {
    /// Calls `each` with every line that the bytes complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    self.returned = false;
                    self.end(&mut each);
                }
                b'\r' => self.returned = true,
                _ => {
                    if std::mem::take(&mut self.returned) {
                        self.end(&mut each);
                    }
                    if self.line.len() < LINE_MAX {
                        self.line.push(byte);
                    }
                }
            }
        }
    }

    /// Calls `each` with the last line, if it has no end.
    pub fn finish(mut self, mut each: impl FnMut(&str)) {
        if !self.line.is_empty() {
            self.end(&mut each);
        }
    }

    fn end(&mut self, each: &mut impl FnMut(&str)) {
        let text = plain(&self.line);
        match inner_prefix(&text) {
            Some((program, kernel)) => {
                each(program);
                each(kernel);
            }
            None => each(&text),
        }
        self.line.clear();
    }
}

/// A prompt or progress bar, and the kernel's message behind it.
fn inner_prefix(line: &str) -> Option<(&str, &str)> {
    if Line::parse(line).has_prefix() {
        return None;
    }
    let found = line.match_indices('[').find(|(at, _)| *at > 0 && stamp(&line[*at..]).is_some());
    found.map(|(at, _)| line.split_at(at))
}

/// Without control sequences (ECMA-48, 5.4: CSI, parameters, final byte) and control characters but the tabulator.
fn plain(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.iter().any(|b| *b < 0x20 || *b == 0x7f) {
        return String::from_utf8_lossy(bytes);
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            0x1b if rest.peek() == Some(&b'[') => {
                rest.next();
                rest.by_ref().find(|b| !(0x20..=0x3f).contains(b));
            }
            // ESC and one more, as in ESC 7; `ESC ( B` has an intermediate byte.
            0x1b => drop(rest.by_ref().find(|b| !(0x20..=0x2f).contains(b))),
            b'\t' => kept.push(byte),
            0..0x20 | 0x7f => {}
            _ => kept.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&kept).into_owned())
}

#[cfg(test)]
mod tests;
