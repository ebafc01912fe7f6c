//! `kiln screenshot`: what a machine's screen shows, now or when it shows what is expected.

use super::Status;
use super::expected::{self, Expected};
use super::flags::{self, path, text};
use crate::control::{self, Client};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub fn command() -> Command {
    let flags = [
        machine(),
        path("FILE").required(true).help("The PNG to write; `-` is standard output"),
        expected::flag("Wait until the screen shows this picture"),
        text("timeout", "TIME", "Wait at most 30s, 5m, 1h; then write what the screen shows, with status 124")
            .requires("await-screen"),
        Arg::new("pointer")
            .long("pointer")
            .action(ArgAction::SetTrue)
            .conflicts_with("await-screen")
            .help("With the pointer in it, where the guest leaves drawing it to viewers"),
    ];
    Command::new("screenshot").about("Save what a machine's screen shows").args(flags)
}

pub fn machine() -> Arg {
    Arg::new("NAME").required(true).help("The machine: its name in `kiln ps`, or its process number")
}

pub fn find(m: &ArgMatches) -> Result<Client> {
    control::find(m.get_one::<String>("NAME").context("name a machine")?)
}

pub fn run(m: &ArgMatches) -> Result<Status> {
    let timeout = m.get_one::<String>("timeout").map(|text| flags::timeout(text)).transpose().context("--timeout")?;
    let expected = expected::read(m)?;
    let client = find(m)?;
    let to = m.get_one::<PathBuf>("FILE").context("name a file")?;
    let missed = match &expected {
        None => None,
        Some(expected) => match await_screen(&client, expected, timeout)? {
            Ok(png) => return write(to, &png).map(|()| Status::Success),
            Err(why) => Some((&expected.name, why)),
        },
    };
    let target = if m.get_flag("pointer") { "/v1/screen.png?pointer=on" } else { "/v1/screen.png" };
    let written = client.call("GET", target, &[]).and_then(|png| write(to, &png));
    let Some((name, why)) = missed else { return written.map(|()| Status::Success) };
    eprintln!("kiln: --timeout ran out before the screen of `{}` showed {name}: {why}", client.name());
    Ok(Status::TimedOut)
}

fn await_screen(client: &Client, expected: &Expected, timeout: Option<Duration>) -> Result<Result<Vec<u8>, String>> {
    let timeout = timeout.map_or(String::new(), |timeout| format!("&timeout={}", timeout.as_secs_f64()));
    client.wait(&format!("/v1/await-screen?tolerance={}{timeout}", expected.tolerance), &expected.file)
}

fn write(to: &Path, png: &[u8]) -> Result<()> {
    if to == Path::new("-") {
        return std::io::stdout().write_all(png).context("write to stdout");
    }
    std::fs::write(to, png).with_context(|| format!("write {}", to.display()))
}
