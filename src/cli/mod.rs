//! The command line: subcommands, and what their results mean as exit statuses.

use std::process::ExitCode;

pub fn main() -> ExitCode {
    ExitCode::from(125)
}
