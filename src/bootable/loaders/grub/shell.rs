//! Runs statements. How much is run, and how much is kept, has bounds: a script may go on for ever.

use super::super::super::volume::{Place, Volumes};
use super::super::{ENTRIES_MAX, Entry, OPTIONS_MAX};
use super::env::Env;
use super::syntax::{Block, Statement, Word, parse};
use super::words::{Piece, plain};
use anyhow::{Context, Result, ensure};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Statements that are run for one configuration, entries included.
const STEPS_MAX: u32 = 50_000;
/// Functions and files in each other.
const CALLS_MAX: usize = 16;
const FUNCTIONS_MAX: usize = 200;

/// What a menu has.
#[derive(Clone)]
pub enum Item {
    Script {
        submenu: bool,
        title: String,
        id: Option<String>,
        words: Vec<String>,
        body: Block,
    },
    /// One that was not written as a script.
    Ready(Entry),
}

impl Item {
    pub fn title(&self) -> &str {
        match self {
            Item::Script { title, .. } => title,
            Item::Ready(entry) => &entry.title,
        }
    }

    pub fn id(&self) -> Option<&str> {
        match self {
            Item::Script { id, .. } => id.as_deref(),
            Item::Ready(entry) => entry.id.as_deref(),
        }
    }
}

/// What leaves statements early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    On,
    Break,
    Continue,
    Return,
    /// A menu in another file takes the place of this one.
    Left,
}

pub struct Shell<'a> {
    pub volumes: &'a Volumes<'a>,
    /// The file that is run.
    place: Place,
    pub env: Env,
    functions: BTreeMap<String, Block>,
    pub items: Vec<Item>,
    steps: Rc<Cell<u32>>,
    pub calls: usize,
    /// Of the last command: whether it succeeded.
    pub good: bool,
    pub flow: Flow,
    /// What was said to start so far.
    pub kernel: Option<(Place, String)>,
    pub initrd: Vec<Place>,
}

impl<'a> Shell<'a> {
    pub fn new(volumes: &'a Volumes<'a>, place: &Place) -> Shell<'a> {
        let root = volumes.get(place.volume).map(|v| v.grub_name()).unwrap_or_default();
        let dir = place.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        Shell {
            volumes,
            place: place.clone(),
            env: Env::new(&root, dir),
            functions: BTreeMap::new(),
            items: Vec::new(),
            steps: Rc::new(Cell::new(STEPS_MAX)),
            calls: 0,
            good: true,
            flow: Flow::On,
            kernel: None,
            initrd: Vec::new(),
        }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn get(&self, name: &str) -> &str {
        self.env.get(name)
    }

    /// What runs when an item with these words is chosen.
    pub fn inside(&self, words: &[String]) -> Shell<'a> {
        let mut env = self.env.clone();
        env.arguments(words);
        Shell {
            volumes: self.volumes,
            place: self.place.clone(),
            env,
            functions: self.functions.clone(),
            items: Vec::new(),
            steps: self.steps.clone(),
            calls: self.calls,
            good: true,
            flow: Flow::On,
            kernel: None,
            initrd: Vec::new(),
        }
    }

    /// The entry that was put together by running `item`; none when it starts no Linux.
    pub fn entry(self, item: &Item) -> Option<Entry> {
        let (kernel, options) = self.kernel?;
        let (title, id) = (item.title().to_string(), item.id().map(String::from));
        Some(Entry { title, id, kernel, initrd: self.initrd, options, from: self.place })
    }

    pub fn source(&mut self, text: &str) -> Result<()> {
        let block = parse(text)?;
        self.run(&block)
    }

    pub fn enter(&mut self) -> Result<()> {
        self.calls += 1;
        ensure!(self.calls <= CALLS_MAX, "files and functions that call each other more than {CALLS_MAX} times");
        Ok(())
    }

    pub fn run(&mut self, block: &Block) -> Result<()> {
        for statement in block.iter() {
            if self.flow != Flow::On {
                break;
            }
            let steps = self.steps.get().checked_sub(1);
            self.steps.set(steps.with_context(|| format!("gave up after {STEPS_MAX} statements"))?);
            self.statement(statement)?;
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::Command(words) => self.command(words),
            Statement::If(branches, otherwise) => {
                for (condition, body) in branches {
                    self.good = true;
                    self.run(condition)?;
                    if self.good {
                        return self.run(body);
                    }
                }
                self.good = true;
                otherwise.as_ref().map_or(Ok(()), |body| self.run(body))
            }
            Statement::For(name, words, body) => {
                for word in self.expand_all(words)? {
                    self.env.set(name, &word)?;
                    self.run(body)?;
                    if self.leaves_loop() {
                        break;
                    }
                }
                Ok(())
            }
            Statement::While { until, condition, body } => {
                loop {
                    self.good = true;
                    self.run(condition)?;
                    if self.good == *until || self.flow != Flow::On {
                        break;
                    }
                    self.run(body)?;
                    // A loop around nothing has to come to its end as well.
                    self.steps.set(self.steps.get().saturating_sub(1));
                    ensure!(self.steps.get() > 0, "gave up after {STEPS_MAX} statements");
                    if self.leaves_loop() {
                        break;
                    }
                }
                self.good = true;
                Ok(())
            }
            Statement::Function(name, body) => {
                ensure!(self.functions.len() < FUNCTIONS_MAX, "more than {FUNCTIONS_MAX} functions");
                self.functions.insert(name.clone(), body.clone());
                Ok(())
            }
            Statement::Entry { submenu, words, body } => {
                let words = self.expand_all(words)?;
                let (title, id, words) = names(words);
                self.add(Item::Script { submenu: *submenu, title, id, words, body: body.clone() })
            }
        }
    }

    /// Whether a loop ends here.
    fn leaves_loop(&mut self) -> bool {
        match self.flow {
            Flow::On => false,
            Flow::Continue => {
                self.flow = Flow::On;
                false
            }
            Flow::Break => {
                self.flow = Flow::On;
                true
            }
            Flow::Return | Flow::Left => true,
        }
    }

    pub fn add(&mut self, item: Item) -> Result<()> {
        ensure!(self.items.len() < ENTRIES_MAX, "more than {ENTRIES_MAX} entries");
        self.items.push(item);
        Ok(())
    }

    fn command(&mut self, words: &[Word]) -> Result<()> {
        let assignment = words.first().and_then(|w| match w.first() {
            Some(Piece::Text { text, plain: true }) => text.split_once('='),
            _ => None,
        });
        let named = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let expanded = self.expand_all(words)?;
        if assignment.is_some_and(|(name, _)| named(name)) && words.len() == 1 {
            let text = expanded.join(" ");
            if let Some((name, value)) = text.split_once('=') {
                self.env.set(name, value)?;
            }
            self.good = true;
            return Ok(());
        }
        let Some((name, arguments)) = expanded.split_first() else {
            self.good = true;
            return Ok(());
        };
        let Some(body) = self.functions.get(name).cloned() else { return super::commands::run(self, name, arguments) };
        self.enter()?;
        let before = self.env.arguments(arguments);
        self.run(&body)?;
        self.env.restore(before);
        self.calls -= 1;
        if self.flow == Flow::Return {
            self.flow = Flow::On;
        }
        Ok(())
    }

    /// The words with the values of variables in them: one that stood without quotes may become several words, or none.
    fn expand_all(&self, words: &[Word]) -> Result<Vec<String>> {
        let (mut out, mut bytes) = (Vec::new(), 0usize);
        for word in words {
            let mut current: Option<String> = plain(word).map(|_| String::new());
            for piece in word {
                match piece {
                    Piece::Text { text, .. } => current.get_or_insert_default().push_str(text),
                    Piece::Variable { name, quoted: true } => current.get_or_insert_default().push_str(self.get(name)),
                    Piece::Variable { name, quoted: false } => {
                        let value = self.get(name);
                        let mut words = value.split_ascii_whitespace();
                        if let Some(first) = words.next() {
                            current.get_or_insert_default().push_str(first);
                        }
                        for word in words {
                            out.extend(current.replace(word.to_string()));
                        }
                    }
                }
                bytes = bytes.saturating_add(current.as_ref().map_or(0, String::len));
                ensure!(bytes <= 64 * OPTIONS_MAX, "a command of more than {} bytes", 64 * OPTIONS_MAX);
            }
            out.extend(current);
        }
        let bytes: usize = out.iter().map(String::len).sum();
        ensure!(bytes <= OPTIONS_MAX, "a command of more than {OPTIONS_MAX} bytes");
        Ok(out)
    }
}

/// The title, the id, and the words that the script gets, of `menuentry`'s words.
fn names(words: Vec<String>) -> (String, Option<String>, Vec<String>) {
    let (mut title, mut id, mut rest) = (None, None, Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--id" => id = words.next(),
            "--class" | "--users" | "--hotkey" | "--source" => drop(words.next()),
            "--unrestricted" => {}
            w if w.starts_with("--id=") => id = w.split_once('=').map(|(_, id)| id.to_string()),
            w if w.starts_with("--") => {}
            _ => {
                // The title is the first of the words that the script gets.
                title = title.or(Some(word.clone()));
                rest.push(word);
            }
        }
    }
    (title.unwrap_or_default(), id, rest)
}
