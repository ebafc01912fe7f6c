//! `kiln selftest`: its flags are [`SelftestArgs`]; what the result means as a status.

use super::Status;
use crate::selftest::{self, SelftestArgs};
use anyhow::Result;
use clap::{ArgMatches, Args, Command, FromArgMatches};

pub fn command() -> Command {
    let command = Command::new("selftest").about("Drive every device from inside a guest, and report TAP");
    SelftestArgs::augment_args(command)
}

pub fn run(matches: &ArgMatches) -> Result<Status> {
    let passed = selftest::run(&SelftestArgs::from_arg_matches(matches)?)?;
    Ok(if passed { Status::Success } else { Status::No })
}
