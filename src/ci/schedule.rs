//! Many boots at once: as many as processors and memory allow, each in a thread of its own, tried again where asked for.

use super::attempt::{Launcher, Places, Seen, attempt};
use super::judge::{Verdict, judge};
use super::matrix::Boot;
use super::progress::{Line, Progress};
use crate::sys::{EventFd, Poll};
use anyhow::{Context, Result, ensure};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// What kiln needs beside the guest's memory, in bytes.
const OVERHEAD: u64 = 32 << 20;

/// How the matrix is run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub launcher: Launcher,
    /// Absolute; logs are written below it.
    pub out: PathBuf,
    /// Boots at a time; without it, as many as have a processor for each vCPU.
    pub jobs: Option<usize>,
    pub processors: usize,
    /// Bytes that all running boots may have.
    pub memory: u64,
    /// In place of what the file says.
    pub retry: Option<u32>,
    /// Nothing is started after the first failure.
    pub fail_fast: bool,
}

/// One attempt and what became of it.
#[derive(Debug)]
pub struct Tried {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub seen: Option<Seen>,
    pub log: PathBuf,
}

/// One boot and what became of it.
#[derive(Debug)]
pub struct Done {
    /// Its place in the matrix.
    pub index: usize,
    pub verdict: Verdict,
    /// Why it is not fine, not run, or was flaky; empty for those that passed.
    pub reasons: Vec<String>,
    pub tried: Vec<Tried>,
}

impl Done {
    fn without_run(index: usize, verdict: Verdict, reason: &str) -> Done {
        Done { index, verdict, reasons: vec![reason.to_string()], tried: Vec::new() }
    }

    /// How long it took, with all attempts.
    pub fn time(&self) -> Duration {
        self.tried.iter().filter_map(|t| t.seen.as_ref()).map(|s| s.time).sum()
    }

    /// The attempt that tells most: the one that failed, else the last.
    pub fn telling(&self) -> Option<&Tried> {
        self.tried.iter().rfind(|t| !t.verdict.is_fine()).or(self.tried.last())
    }
}

impl Plan {
    /// Every boot can be run at all.
    pub fn check(&self, boots: &[Boot]) -> Result<()> {
        for boot in boots.iter().filter(|b| b.keys.skip.is_none()) {
            let (needs, have) = (cost(boot) >> 20, self.memory >> 20);
            ensure!(
                needs <= have,
                "{}: needs {needs} MiB, and there are {have} MiB (--memory says otherwise)",
                boot.name()
            );
        }
        Ok(())
    }

    /// Runs `boots`, and gives `done` each result as it comes. Results are in the order of the matrix.
    /// When `bell` rings, what runs is ended and the rest is not run.
    pub fn run(
        &self,
        boots: &[Boot],
        bell: &EventFd,
        progress: &Progress,
        done: &mut dyn FnMut(&Done) -> Result<()>,
    ) -> Result<Vec<Done>> {
        let rung = Poll::new().context("make an epoll")?;
        rung.add_event(bell, 0).context("watch for signals")?;
        std::thread::scope(|scope| {
            let (to, from) = mpsc::channel();
            let mut floor = Floor { plan: self, boots, running: Vec::new() };
            let mut waiting: Vec<usize> = (0..boots.len()).collect();
            let mut all = Vec::new();
            let mut stop: Option<&str> = None;
            let mut broken = None;
            loop {
                if is_readable(&rung)? {
                    stop = Some("interrupted");
                }
                while stop.is_none()
                    && let Some(at) = waiting.iter().position(|i| floor.has_room_for(*i))
                {
                    let index = waiting.remove(at);
                    let Some(boot) = boots.get(index) else { continue };
                    floor.running.push(index);
                    let to = to.clone();
                    let work = move || {
                        let done = catch_unwind(AssertUnwindSafe(|| self.one(index, boot, bell, progress)));
                        let broken = |_| Done::without_run(index, Verdict::Error, "kiln ci itself panicked");
                        drop(to.send(done.unwrap_or_else(broken)));
                    };
                    let thread = std::thread::Builder::new().name(boot.test.chars().take(15).collect());
                    thread.spawn_scoped(scope, work).context("start a thread")?;
                }
                let result = if floor.running.is_empty() {
                    let Some(reason) = stop else { break };
                    if waiting.is_empty() {
                        break;
                    }
                    Done::without_run(waiting.remove(0), Verdict::NotRun, reason)
                } else {
                    match from.recv_timeout(progress.interval()) {
                        Ok(result) => result,
                        Err(RecvTimeoutError::Timeout) => {
                            progress.tick();
                            continue;
                        }
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                };
                floor.running.retain(|i| *i != result.index);
                if self.fail_fast && !result.verdict.is_fine() {
                    stop = stop.or(Some("--fail-fast: another boot failed"));
                }
                if let Err(e) = done(&result) {
                    stop = Some("the reports cannot be written");
                    broken.get_or_insert(e);
                }
                all.push(result);
            }
            all.sort_by_key(|d: &Done| d.index);
            broken.map_or(Ok(all), Err)
        })
    }

    /// All attempts of one boot.
    fn one(&self, index: usize, boot: &Boot, bell: &EventFd, progress: &Progress) -> Done {
        if let Some(why) = &boot.keys.skip {
            return Done::without_run(index, Verdict::Skipped, why);
        }
        let attempts = self.retry.unwrap_or(boot.retry()).saturating_add(1);
        let mut tried: Vec<Tried> = Vec::new();
        for number in 1..=attempts {
            let line = progress.start(&boot.name(), number, boot.timeout());
            let this = self.attempt(boot, number, bell, &line);
            let go_on = matches!(this.verdict, Verdict::Failed | Verdict::Error);
            tried.push(this);
            if !go_on {
                break;
            }
        }
        let Some(last) = tried.last() else { return Done::without_run(index, Verdict::NotRun, "no attempt") };
        let failed = tried.iter().find(|t| t.verdict != Verdict::Passed);
        let (verdict, reasons) = match (last.verdict, failed) {
            (Verdict::Passed, Some(first)) => (Verdict::Flaky, first.reasons.clone()),
            (verdict, _) => (verdict, last.reasons.clone()),
        };
        Done { index, verdict, reasons, tried }
    }

    fn attempt(&self, boot: &Boot, number: u32, bell: &EventFd, line: &Line) -> Tried {
        let places = self.places(boot, number);
        let log = places.log.clone();
        match attempt(&self.launcher, boot, &places, bell, &|text| line.show(text)) {
            Ok(seen) => {
                let (verdict, reasons) = judge(boot, &seen);
                Tried { verdict, reasons, seen: Some(seen), log }
            }
            Err(e) => Tried { verdict: Verdict::Error, reasons: vec![format!("{e:#}")], seen: None, log },
        }
    }

    /// The first attempt's log has no number.
    fn places(&self, boot: &Boot, number: u32) -> Places {
        let dir = self.out.join(&boot.kernel).join(&boot.machine);
        let base = if number == 1 { boot.test.clone() } else { format!("{}.{number}", boot.test) };
        Places { log: dir.join(format!("{base}.log")), result: dir.join(format!("{base}.result")) }
    }

    /// Makes the folders, and removes what an earlier run left of these boots.
    pub fn make_folders(&self, boots: &[Boot]) -> Result<()> {
        for boot in boots {
            let first = self.places(boot, 1).log;
            let dir = first.parent().context("a log without a folder")?;
            std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
            for number in 1..u32::MAX {
                match std::fs::remove_file(self.places(boot, number).log) {
                    Ok(()) => {}
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => break,
                    Err(e) => return Err(e).context(format!("remove the old logs in {}", dir.display())),
                }
            }
        }
        Ok(())
    }
}

/// What runs now.
struct Floor<'a> {
    plan: &'a Plan,
    boots: &'a [Boot],
    running: Vec<usize>,
}

impl Floor<'_> {
    fn has_room_for(&self, index: usize) -> bool {
        let Some(boot) = self.boots.get(index) else { return false };
        if boot.keys.skip.is_some() || self.running.is_empty() {
            return true;
        }
        let running = || self.running.iter().filter_map(|i| self.boots.get(*i));
        let memory = running().map(cost).fold(cost(boot), u64::saturating_add);
        let room = match self.plan.jobs {
            Some(jobs) => self.running.len() < jobs,
            None => {
                let cpus = running().map(|b| b.cpus() as usize).fold(boot.cpus() as usize, usize::saturating_add);
                cpus <= self.plan.processors
            }
        };
        room && memory <= self.plan.memory
    }
}

fn cost(boot: &Boot) -> u64 {
    boot.memory().saturating_add(OVERHEAD)
}

fn is_readable(poll: &Poll) -> Result<bool> {
    let mut ready = Vec::new();
    poll.wait(&mut ready, Some(Duration::ZERO)).context("watch for signals")?;
    Ok(!ready.is_empty())
}

#[cfg(test)]
mod tests;
