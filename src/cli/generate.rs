//! `kiln completions SHELL` and `kiln man`: generated from the same tables as the flags.

use super::{Status, whole};
use anyhow::{Context, Result};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use std::io::{self, Write};

pub fn completions_command() -> Command {
    Command::new("completions")
        .about("Print a completion script for a shell")
        .arg(Arg::new("shell").required(true).value_parser(value_parser!(Shell)))
}

pub fn completions(matches: &ArgMatches) -> Result<Status> {
    let shell = *matches.get_one::<Shell>("shell").context("name a shell")?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole(), "kiln", &mut script);
    print(&script)
}

pub fn man_command() -> Command {
    Command::new("man")
        .about("Print a manual page (roff): of kiln, or of one of its subcommands")
        .arg(Arg::new("subcommand").help("The subcommand to describe"))
}

pub fn man(matches: &ArgMatches) -> Result<Status> {
    let whole = whole();
    let command = match matches.get_one::<String>("subcommand") {
        None => whole,
        Some(name) => {
            let found = whole.get_subcommands().find(|c| c.get_name() == name);
            let found = found.with_context(|| format!("there is no subcommand `{name}`"))?;
            found.clone().display_name(format!("kiln-{name}")).bin_name(format!("kiln {name}"))
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).context("write the manual page")?;
    print(&page)
}

fn print(text: &[u8]) -> Result<Status> {
    io::stdout().write_all(text).context("write to stdout")?;
    Ok(Status::Success)
}
