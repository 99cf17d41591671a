//! `cargo xtask demo`: three tenants on a machine made of namespaces, real traffic, and a clock that runs fast.

mod scene;
mod screen;
mod verdict;

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, ensure};

pub(crate) use verdict::grouped;

use crate::shell::{cargo, programs, run};
use crate::{enclosure, tools};

/// The word by which the demonstration starts itself again, inside its enclosure.
const INSIDE: &str = "--inside";

pub(crate) fn task(words: &[String]) -> Result<()> {
    match words {
        [] => outside(),
        [word] if word == INSIDE => scene::play(),
        _ => anyhow::bail!("demo takes no words"),
    }
}

/// Prepares everything that needs the machine, and leaves it alone from then on.
fn outside() -> Result<()> {
    tools::ensure(tools::LABORATORY)?;
    enclosure::ensure_possible()?;
    println!("building pm");
    run(cargo(["build", "--quiet", "--package", "pm-cli", "--package", "pm-monitor", "--bins"]))?;
    let myself = std::env::current_exe().context("who am I")?;
    let mut command = enclosure::enclosed(myself, ["demo", INSIDE]);
    command.env("PM_BIN_DIR", programs("debug")?);
    if std::io::stdout().is_terminal() {
        // What pm prints reaches the terminal by way of the demonstration.
        command.env("CLICOLOR_FORCE", "1");
    }
    let status = command.status().context("cannot start the demonstration")?;
    ensure!(status.success(), "something is off; see above");
    Ok(())
}
