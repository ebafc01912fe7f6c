//! The command `test`, also written `[`.

use super::super::super::files::Kind;
use super::commands::place;
use super::shell::Shell;
use anyhow::Result;

/// Words after which `(`, `!` and the rest nest.
const DEPTH_MAX: usize = 32;

pub fn test(shell: &Shell, words: &[String]) -> Result<bool> {
    let mut test = Test { shell, words, at: 0, depth: 0 };
    test.any()
}

struct Test<'a> {
    shell: &'a Shell<'a>,
    words: &'a [String],
    at: usize,
    depth: usize,
}

impl<'a> Test<'a> {
    fn peek(&self, ahead: usize) -> Option<&'a str> {
        self.words.get(self.at.saturating_add(ahead)).map(String::as_str)
    }

    fn skip(&mut self, word: &str) -> bool {
        let is = self.peek(0) == Some(word);
        self.at += usize::from(is);
        is
    }

    fn any(&mut self) -> Result<bool> {
        let mut value = self.all()?;
        while self.skip("-o") {
            value |= self.all()?;
        }
        Ok(value)
    }

    fn all(&mut self) -> Result<bool> {
        let mut value = self.one()?;
        // Two tests without a word between must both hold.
        while self.skip("-a") || self.peek(0).is_some_and(|w| w != "-o" && w != ")") {
            value &= self.one()?;
        }
        Ok(value)
    }

    fn one(&mut self) -> Result<bool> {
        self.depth += 1;
        let value = match self.peek(0) {
            _ if self.depth > DEPTH_MAX => {
                self.at = self.words.len();
                false
            }
            None => false,
            Some("!") => {
                self.at += 1;
                !self.one()?
            }
            Some("(") => {
                self.at += 1;
                let value = self.any()?;
                self.skip(")");
                value
            }
            Some(first) => self.plain(first)?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn plain(&mut self, first: &str) -> Result<bool> {
        if let (Some(operator), Some(second)) = (self.peek(1), self.peek(2))
            && let Some(value) = compare(first, operator, second)
        {
            self.at += 3;
            return Ok(value);
        }
        let Some(second) = self.peek(1).filter(|_| first.len() == 2 && first.starts_with('-')) else {
            self.at += 1;
            return Ok(!first.is_empty());
        };
        self.at += 2;
        match first {
            "-z" => Ok(second.is_empty()),
            "-n" => Ok(!second.is_empty()),
            "-e" | "-f" | "-d" | "-s" => self.file(first, second),
            _ => Ok(false),
        }
    }

    fn file(&self, operator: &str, path: &str) -> Result<bool> {
        let Some(place) = place(self.shell, path) else { return Ok(false) };
        let volumes = self.shell.volumes;
        Ok(match (operator, volumes.kind(&place)?) {
            (_, None) => false,
            ("-e", _) => true,
            ("-d", kind) => kind == Some(Kind::Directory),
            ("-f", kind) => kind == Some(Kind::File),
            _ => volumes.content(&place, u64::MAX)?.is_some_and(|(_, content)| content.len() > 0),
        })
    }
}

fn compare(a: &str, operator: &str, b: &str) -> Option<bool> {
    let number = |text: &str| text.trim().parse::<i64>().unwrap_or(0);
    let (x, y) = (number(a), number(b));
    Some(match operator {
        "=" | "==" => a == b,
        "!=" => a != b,
        "<" => a < b,
        ">" => a > b,
        "<=" => a <= b,
        ">=" => a >= b,
        "-eq" => x == y,
        "-ne" => x != y,
        "-lt" => x < y,
        "-le" => x <= y,
        "-gt" => x > y,
        "-ge" => x >= y,
        _ => return None,
    })
}
