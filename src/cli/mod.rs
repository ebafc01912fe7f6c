//! The command line: subcommands, and what their results mean as exit statuses.

mod doctor;
mod table;

use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Success,
    No,
    Failed,
}

pub fn main() -> ExitCode {
    let matches = clap::Command::new("kiln").subcommand(doctor::command()).get_matches();
    let result = matches.subcommand().map_or(Ok(Status::Failed), |(_, m)| doctor::run(m));
    match result {
        Ok(Status::Success) => ExitCode::SUCCESS,
        Ok(Status::No) => ExitCode::from(1),
        Ok(Status::Failed) => ExitCode::from(125),
        Err(e) => {
            eprintln!("kiln: {e:#}");
            ExitCode::from(125)
        }
    }
}
