//! Minutes as `pm-monitor --every` runs them, all in one process: for each line of standard input one that makes it know
//! the files, and one whose nanoseconds are printed. `cargo xtask bench` has it run beside the floor.

use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use pm_monitor::outcome::MinuteOutcome;
use pm_monitor::{Machine, Paths, clock};

fn main() -> Result<()> {
    let root = std::env::args().nth(1).context("usage: minutes ROOT")?;
    let machine = Machine::real(Paths::under(&root));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let minute = || -> Result<u128> {
        let start = Instant::now();
        let outcome = runtime.block_on(machine.minute(&clock::system()))?;
        ensure!(matches!(outcome, MinuteOutcome::Done(_)), "there was no minute: {outcome:?}");
        Ok(start.elapsed().as_nanos())
    };
    for line in io::stdin().lock().lines() {
        let _ = (line?, minute()?);
        writeln!(io::stdout(), "{}", minute()?)?;
    }
    Ok(())
}
