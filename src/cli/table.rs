//! Columns of text that fit the terminal; colours only where someone sees them.

use crate::sys::term;
use std::io::IsTerminal;
use std::os::fd::AsFd;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Bold,
    Green,
    Yellow,
    Red,
}

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; `None`: lines are never broken.
    pub width: Option<usize>,
    pub colours: bool,
}

impl Style {
    /// For standard output. No colours and no broken lines into a file or a pipe; NO_COLOR (no-color.org) and
    /// TERM=dumb switch the colours off, COLUMNS overrides the width.
    pub fn stdout() -> Style {
        let terminal = std::io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        let width = if terminal { columns.or_else(terminal_width).filter(|w| *w > 0) } else { None };
        Style { width, colours: terminal && !dumb && !set("NO_COLOR") }
    }
}

/// A piece of text without line breaks.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    colour: Colour,
}

impl Cell {
    pub fn new(text: &str, colour: Colour) -> Cell {
        Cell { text: text.to_string(), colour }
    }

    /// In characters.
    pub fn width(&self) -> usize {
        length(&self.text)
    }
}

/// Columns narrower than this are not worth breaking lines for.
const NARROWEST: usize = 16;

/// One line for each row, two spaces between columns; the last column is broken at spaces to fit.
pub fn table(rows: &[Vec<Cell>], style: Style) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(&cell.text));
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut at = 0;
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let last = i + 1 == row.len();
            let room = style.width.map_or(usize::MAX, |w| w.saturating_sub(at).max(NARROWEST));
            let lines = if last { wrap(&cell.text, room) } else { vec![cell.text.clone()] };
            for (n, line) in lines.iter().enumerate() {
                if n > 0 {
                    out.push('\n');
                    out.push_str(&" ".repeat(at));
                }
                out.push_str(&paint(line, cell.colour, style.colours));
            }
            if !last {
                out.push_str(&" ".repeat(width - length(&cell.text) + 2));
            }
            at += width + 2;
        }
        out.push('\n');
    }
    out
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Lines of at most `room` characters; a longer word has a line of its own.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if length(line).saturating_add(length(word)) < room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

fn paint(text: &str, colour: Colour, colours: bool) -> String {
    let code = match colour {
        _ if !colours => return text.to_string(),
        Colour::Plain => return text.to_string(),
        Colour::Bold => 1,
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

fn terminal_width() -> Option<usize> {
    term::size(std::io::stdout().as_fd()).map(|(columns, _)| usize::from(columns))
}

#[cfg(test)]
mod tests;
