//! `pm`: the command line of the per-port traffic manager.

mod arguments;
mod ask;
mod command;
mod completions;
mod explain;
mod forecast;
mod menu;
mod output;
mod page;
mod panel;
mod telegram;
mod text;
mod top;
mod update;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use pm_core::units::is_hidden;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    pm_monitor::precaution::take();
    let arguments = Arguments::try_parse().unwrap_or_else(|error| refuse(&error));
    match command::run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            pm_monitor::run::say(&pm_monitor::run::whole(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// What was typed is repeated, and may have come out of a script's variable.
fn refuse(error: &clap::Error) -> ! {
    if std::env::args_os().any(|word| word.to_string_lossy().chars().any(is_hidden)) {
        let _ = write!(std::io::stderr(), "{}", output::readable(&error.render().to_string()));
        std::process::exit(error.exit_code())
    }
    error.exit()
}
