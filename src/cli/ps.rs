//! `kiln ps`: the machines that run.

use super::Status;
use super::table::{Cell, Colour, Style, table};
use crate::control::{self, State, Vm};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::io::Write;

pub fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    Command::new("ps").about("List your machines that run").arg(json)
}

pub fn run(m: &ArgMatches) -> Result<Status> {
    let all = control::running()?;
    let text =
        if m.get_flag("json") { serde_json::to_string_pretty(&all)? + "\n" } else { shown(&all, Style::stdout()) };
    std::io::stdout().write_all(text.as_bytes()).context("write to stdout")?;
    Ok(Status::Success)
}

const HEADS: [&str; 9] = ["NAME", "PID", "STATE", "UP", "CPUS", "MEMORY", "SCREEN", "DISPLAYS", "BOOTS"];
const DISPLAYS: usize = 7;

fn shown(all: &[Vm], style: Style) -> String {
    let mut rows = rows(all);
    let whole = table(&rows, Style { width: None, colours: false });
    let fits = |room| whole.lines().all(|line| line.chars().count() <= room);
    if !style.width.is_none_or(fits) {
        rows.iter_mut().for_each(|row| drop(row.remove(DISPLAYS)));
    }
    table(&rows, style)
}

fn rows(all: &[Vm]) -> Vec<Vec<Cell>> {
    let heads = HEADS.iter().map(|head| Cell::new(head, Colour::Bold)).collect();
    let rows = all.iter().map(|vm| {
        let (state, colour) = match vm.state {
            State::Running => ("running", Colour::Plain),
            State::Stopped => ("stopped", Colour::Yellow),
        };
        let plain = |text: &str| Cell::new(text, Colour::Plain);
        vec![
            plain(&vm.name),
            plain(&vm.pid.to_string()),
            Cell::new(state, colour),
            plain(&period(vm.uptime)),
            plain(&vm.cpus.to_string()),
            plain(&size(vm.memory)),
            plain(&vm.screen.map_or("-".to_string(), |s| format!("{}x{}", s.width, s.height))),
            plain(&if vm.displays.is_empty() { "-".to_string() } else { vm.displays.join(" ") }),
            plain(&vm.boots),
        ]
    });
    std::iter::once(heads).chain(rows).collect()
}

/// The largest unit alone: what people want to know at a glance.
fn period(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// As `--memory` takes it.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{}G", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}M", bytes >> 20),
        _ => format!("{}K", bytes >> 10),
    }
}
