//! From words to statements.

use super::words::{Piece, Token, plain, split};
use anyhow::{Result, bail, ensure};
use std::rc::Rc;

pub type Word = Vec<Piece>;
pub type Block = Rc<Vec<Statement>>;

/// Statements in statements.
const DEPTH_MAX: usize = 32;

#[derive(Debug)]
pub enum Statement {
    Command(Vec<Word>),
    /// Conditions with what is done when one holds; at last, what is done otherwise.
    If(Vec<(Block, Block)>, Option<Block>),
    For(String, Vec<Word>, Block),
    /// `until` is the one that ends when its condition holds.
    While {
        until: bool,
        condition: Block,
        body: Block,
    },
    Function(String, Block),
    Entry {
        submenu: bool,
        words: Vec<Word>,
        body: Block,
    },
}

pub fn parse(text: &str) -> Result<Block> {
    let mut parser = Parser { tokens: split(text)?, at: 0, depth: 0 };
    let (block, end) = parser.block(&[])?;
    ensure!(end.is_none(), "line {}: `{}` without a beginning", parser.line(), end.unwrap_or_default());
    Ok(block)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn line(&self) -> usize {
        let at = self.at.min(self.tokens.len().saturating_sub(1));
        self.tokens.get(at).map_or(0, |(_, line)| *line)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek()?.clone();
        self.at += 1;
        Some(token)
    }

    /// Statements up to one of the words in `ends` (`}` among them), which is taken; `None` is the end of the file.
    fn block(&mut self, ends: &[&'static str]) -> Result<(Block, Option<&'static str>)> {
        self.depth += 1;
        ensure!(self.depth <= DEPTH_MAX, "line {}: nested more than {DEPTH_MAX} times", self.line());
        let mut found = Vec::new();
        let end = loop {
            match self.next() {
                None => break None,
                Some(Token::End) => {}
                Some(Token::Close) if ends.contains(&"}") => break Some("}"),
                Some(Token::Close) => bail!("line {}: a }} without a {{", self.line()),
                Some(Token::Open) => {
                    let (block, _) = self.expect(&["}"])?;
                    // A group is done as if its statements stood here.
                    found.push(Statement::If(vec![(Rc::new(Vec::new()), block)], None));
                }
                Some(Token::Word(word)) => {
                    if let Some(end) = plain(&word).and_then(|w| ends.iter().find(|e| **e == w)) {
                        break Some(*end);
                    }
                    found.push(self.statement(word)?);
                }
            }
        };
        self.depth -= 1;
        Ok((Rc::new(found), end))
    }

    fn expect(&mut self, ends: &[&'static str]) -> Result<(Block, &'static str)> {
        let line = self.line();
        let (block, end) = self.block(ends)?;
        match end {
            Some(end) => Ok((block, end)),
            None => bail!("line {line}: no `{}` follows", ends.join("` or `")),
        }
    }

    fn statement(&mut self, first: Word) -> Result<Statement> {
        match plain(&first) {
            Some("if") => self.branches(),
            Some("for") => {
                let words = self.words()?;
                let mut words = words.into_iter();
                let name = words.next().as_deref().and_then(plain).map(String::from);
                let is_in = words.next().as_deref().and_then(plain) == Some("in");
                let Some(name) = name.filter(|_| is_in) else { bail!("line {}: want `for NAME in`", self.line()) };
                self.expect(&["do"])?;
                Ok(Statement::For(name, words.collect(), self.expect(&["done"])?.0))
            }
            Some(word @ ("while" | "until")) => {
                let until = word == "until";
                let condition = self.expect(&["do"])?.0;
                Ok(Statement::While { until, condition, body: self.expect(&["done"])?.0 })
            }
            Some("function") => {
                let words = self.words()?;
                let name = words.first().map(Vec::as_slice).and_then(plain).unwrap_or_default().to_string();
                Ok(Statement::Function(name, self.braces()?))
            }
            Some(word @ ("menuentry" | "submenu")) => {
                let submenu = word == "submenu";
                let words = self.words()?;
                Ok(Statement::Entry { submenu, words, body: self.braces()? })
            }
            _ => {
                let mut words = vec![first];
                words.extend(self.words()?);
                Ok(Statement::Command(words))
            }
        }
    }

    fn branches(&mut self) -> Result<Statement> {
        let mut branches = Vec::new();
        loop {
            let (condition, _) = self.expect(&["then"])?;
            let (body, end) = self.expect(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            match end {
                "elif" => {}
                "else" => return Ok(Statement::If(branches, Some(self.expect(&["fi"])?.0))),
                _ => return Ok(Statement::If(branches, None)),
            }
        }
    }

    /// The rest of a command's words. What ends them stays, but for the end of a line.
    fn words(&mut self) -> Result<Vec<Word>> {
        let mut words = Vec::new();
        while let Some(Token::Word(_)) = self.peek() {
            if let Some(Token::Word(word)) = self.next() {
                words.push(word);
            }
        }
        if let Some(Token::End) = self.peek() {
            self.at += 1;
        }
        Ok(words)
    }

    fn braces(&mut self) -> Result<Block> {
        while let Some(Token::End) = self.peek() {
            self.at += 1;
        }
        ensure!(matches!(self.next(), Some(Token::Open)), "line {}: want a {{", self.line());
        Ok(self.expect(&["}"])?.0)
    }
}
