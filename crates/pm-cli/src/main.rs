//! `pm`: the command line of the per-port traffic manager.

mod arguments;
mod ask;
mod command;
mod completions;
mod explain;
mod forecast;
mod menu;
mod page;
mod panel;
mod telegram;
mod text;
mod top;
mod update;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match command::run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            pm_monitor::run::say(&pm_monitor::run::whole(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
