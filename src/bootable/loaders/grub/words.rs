//! The words of GRUB's script language (GRUB manual 2.06, "Writing full configuration files directly").

use anyhow::{Result, bail};

/// What a word is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// `plain`: it stood without quotes.
    Text { text: String, plain: bool },
    /// The value of a variable; between quotes it stays one word.
    Variable { name: String, quoted: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Word(Vec<Piece>),
    /// A line ended, or a semicolon.
    End,
    Open,
    Close,
}

/// A word without quotes and variables.
pub fn plain(word: &[Piece]) -> Option<&str> {
    match word {
        [Piece::Text { text, plain: true }] => Some(text),
        _ => None,
    }
}

/// The tokens, each with the number of its line.
pub fn split(text: &str) -> Result<Vec<(Token, usize)>> {
    let mut reader = Reader { rest: text, line: 1, word: None, out: Vec::new() };
    while reader.step()? {}
    reader.end_word();
    reader.out.push((Token::End, reader.line));
    Ok(reader.out)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    /// The word that is being read.
    word: Option<Vec<Piece>>,
    out: Vec<(Token, usize)>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            let token = match plain(&word) {
                Some("{") => Token::Open,
                Some("}") => Token::Close,
                _ => Token::Word(word),
            };
            self.out.push((token, self.line));
        }
    }

    fn end(&mut self, token: Token) {
        self.end_word();
        self.out.push((token, self.line));
    }

    fn step(&mut self) -> Result<bool> {
        let line = self.line;
        let Some(c) = self.next() else { return Ok(false) };
        match c {
            ' ' | '\t' | '\r' => self.end_word(),
            '\n' | ';' => self.end(Token::End),
            '#' if self.word.is_none() => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = self.rest.get(end..).unwrap_or_default();
            }
            '\\' => match self.next() {
                Some('\n') | None => {}
                Some(c) => self.text(c.encode_utf8(&mut [0; 4]), false),
            },
            '\'' => {
                let Some((text, rest)) = self.rest.split_once('\'') else { bail!("line {line}: a ' is not closed") };
                self.rest = rest;
                self.line += text.matches('\n').count();
                self.text(text, false);
            }
            '"' => {
                self.text("", false);
                while self.quoted(line)? {}
            }
            '$' => self.variable(false),
            '}' if self.word.is_none() => self.end(Token::Close),
            '{' if self.word.is_none() => self.end(Token::Open),
            c => self.text(c.encode_utf8(&mut [0; 4]), true),
        }
        Ok(true)
    }

    /// One step between double quotes; false at their end.
    fn quoted(&mut self, line: usize) -> Result<bool> {
        match self.next() {
            None => bail!("line {line}: a \" is not closed"),
            Some('"') => return Ok(false),
            Some('$') => self.variable(true),
            Some('\\') => match self.next() {
                Some('\n') | None => {}
                Some(c @ ('"' | '$' | '\\')) => self.text(c.encode_utf8(&mut [0; 4]), false),
                Some(c) => {
                    self.text("\\", false);
                    self.text(c.encode_utf8(&mut [0; 4]), false);
                }
            },
            Some(c) => self.text(c.encode_utf8(&mut [0; 4]), false),
        }
        Ok(true)
    }

    fn text(&mut self, more: &str, is_plain: bool) {
        let word = self.word.get_or_insert_default();
        match word.last_mut() {
            Some(Piece::Text { text, plain }) if *plain == is_plain => text.push_str(more),
            _ => word.push(Piece::Text { text: more.to_string(), plain: is_plain }),
        }
    }

    fn variable(&mut self, quoted: bool) {
        let braced = self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, rest) = match braced {
            Some((name, rest)) => (name, rest),
            None => {
                let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let first = self.rest.chars().next();
                let len = match first {
                    Some('?' | '@' | '*' | '#') => 1,
                    Some(c) if c.is_ascii_digit() => 1,
                    _ => self.rest.find(|c| !name(c)).unwrap_or(self.rest.len()),
                };
                self.rest.split_at(len)
            }
        };
        if name.is_empty() && braced.is_none() {
            return self.text("$", !quoted);
        }
        self.rest = rest;
        self.word.get_or_insert_default().push(Piece::Variable { name: name.to_string(), quoted });
    }
}
