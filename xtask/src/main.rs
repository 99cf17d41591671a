//! `cargo xtask TASK`: the chores of this repository, one file each.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who runs it")]

mod bench;
mod demo;
mod dist;
mod enclosure;
mod fresh;
mod fuzz;
mod help;
mod kernel;
mod man;
mod purity;
mod shell;
mod soak;
mod test;
mod tidy;
mod tools;
mod vm;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) =
        words.split_first().map_or(("help", [].as_slice()), |(task, rest)| (task.as_str(), rest));
    let done = match task {
        "test" => test::run(rest),
        "demo" => demo::task(rest),
        "bench" => bench::task(rest),
        "dist" => dist::task(rest),
        "fresh" => fresh::task(rest),
        "fuzz" => fuzz::task(rest),
        "soak" => soak::task(rest),
        "vm" => vm::task(rest),
        "man" => man::task(rest),
        "help" | "--help" | "-h" => help::run(rest),
        unknown => Err(anyhow::anyhow!("there is no task `{unknown}`\n\n{}", help::TEXT)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask {task}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
