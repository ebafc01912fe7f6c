//! The command line: subcommands, and what their results mean as exit statuses (docs/exit-status.md).

mod ci;
mod doctor;
mod exec;
mod expected;
mod flags;
mod generate;
mod hands;
mod image;
mod link;
mod ps;
mod result;
mod run;
mod screenshot;
mod selftest;
mod status;
mod table;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{ArgMatches, Command};
use std::io::Write;
use std::process::ExitCode;

pub use status::Status;

/// One subcommand: its flags, and what it does with them.
struct Verb {
    name: &'static str,
    command: fn() -> Command,
    run: fn(&ArgMatches) -> Result<Status>,
}

const VERBS: &[Verb] = &[
    Verb { name: "run", command: run::command, run: run::run },
    Verb { name: "exec", command: exec::command, run: exec::run },
    Verb { name: "ci", command: ci::command, run: ci::run },
    Verb { name: "ps", command: ps::command, run: ps::run },
    Verb { name: "link", command: link::command, run: link::run },
    Verb { name: "screenshot", command: screenshot::command, run: screenshot::run },
    Verb { name: "type", command: hands::type_command, run: hands::type_text },
    Verb { name: "keys", command: hands::keys_command, run: hands::keys },
    Verb { name: "click", command: hands::click_command, run: hands::click },
    Verb { name: "image", command: image::command, run: image::run },
    Verb { name: "doctor", command: doctor::command, run: doctor::run },
    Verb { name: "selftest", command: selftest::command, run: selftest::run },
    Verb { name: "completions", command: generate::completions_command, run: generate::completions },
    Verb { name: "man", command: generate::man_command, run: generate::man },
];

pub fn main() -> ExitCode {
    crate::sys::share_heap();
    log_to_stderr();
    // Only the subcommand that runs is described in full: it saves time at every start.
    let name = std::env::args().nth(1).unwrap_or_default();
    let wanted = VERBS.iter().find(|v| v.name == name);
    let command = wanted.map_or_else(whole, |v| top().subcommand((v.command)()));
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(e) => return usage(&e),
    };
    let verb = matches.subcommand().and_then(|(name, m)| VERBS.iter().find(|v| v.name == name).map(|v| (v, m)));
    let Some((verb, matches)) = verb else { return Status::Failed.into() };
    match (verb.run)(matches) {
        Ok(status) => status.into(),
        Err(e) => {
            eprintln!("kiln: {e:#}");
            Status::Failed.into()
        }
    }
}

/// KILN_LOG chooses what is logged (env_logger's syntax). Lines stay lines when the terminal is raw.
fn log_to_stderr() {
    let level = env_logger::Env::new().filter_or("KILN_LOG", "warn");
    let target = env_logger::Target::Pipe(Box::new(crate::sys::term::Stderr));
    env_logger::Builder::from_env(level)
        .format(|line, record| match record.level() {
            log::Level::Warn => writeln!(line, "kiln: warning: {}", record.args()),
            log::Level::Error => writeln!(line, "kiln: {}", record.args()),
            _ => writeln!(line, "kiln: {}: {}", record.target(), record.args()),
        })
        .target(target)
        .init();
}

fn top() -> Command {
    Command::new("kiln")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A virtual machine monitor on Linux KVM")
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// The command with all its subcommands: for help, completions and the manual page.
fn whole() -> Command {
    VERBS.iter().fold(top(), |c, v| c.subcommand((v.command)()))
}

/// Help asked for goes to stdout with status 0; a wrong command line is one of kiln's failures, told in one line.
fn usage(e: &clap::Error) -> ExitCode {
    if !e.use_stderr() || e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = e.print();
        return if e.use_stderr() { Status::Failed } else { Status::Success }.into();
    }
    let text = e.render().to_string();
    let lines = text.lines().take_while(|l| !l.is_empty()).map(str::trim);
    let line = lines.collect::<Vec<_>>().join(" ");
    eprintln!("kiln: {} (try --help)", line.trim_start_matches("error: "));
    Status::Failed.into()
}
