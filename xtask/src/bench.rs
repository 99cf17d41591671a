//! `cargo xtask bench`: what a packet pays for pm's table, and what a minute of the monitor and a page cost, side by side in one run.

mod flood;
mod layout;
mod minute;
mod packets;
mod pages;
mod report;

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::{cargo, programs, root, run};
use crate::{enclosure, tools};

/// How long everything is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Rounds in which every layout has its turn.
    rounds: usize,
    /// Quiet minutes of the monitor, and rounds of pages.
    minutes: usize,
}

const FULL: Effort = Effort { rounds: 101, minutes: 51 };
const QUICK: Effort = Effort { rounds: 15, minutes: 11 };

/// The words by which the benchmark starts itself again: inside its enclosure, and once more inside of a namespace.
const INSIDE: &str = "--inside";
const FLOOD: &str = "--flood";
const MINUTES: &str = "--minutes";
const PAGES: &str = "--pages";

pub(crate) fn task(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => outside(None),
        ["--quick"] => outside(Some("--quick")),
        [INSIDE] => inside(FULL, true),
        [INSIDE, "--quick"] => inside(QUICK, false),
        [FLOOD, first, ports] => flood::serve(first.parse()?, ports.parse()?),
        [MINUTES, folder, count] => minute::serve(folder.as_ref(), count.parse()?),
        [PAGES, folder, rounds] => pages::serve(folder.as_ref(), rounds.parse()?),
        _ => bail!("bench takes --quick or nothing"),
    }
}

fn outside(quick: Option<&str>) -> Result<()> {
    tools::ensure(tools::LABORATORY)?;
    enclosure::ensure_possible()?;
    println!("building with optimisation");
    run(cargo(
        "build --quiet --profile bench --package pm-cli --package pm-monitor --package xtask --bins"
            .split(' '),
    ))?;
    let programs = programs("release")?;
    let words = ["bench", INSIDE].into_iter().chain(quick);
    let mut command = enclosure::enclosed(programs.join("xtask"), words);
    command.env("PM_BIN_DIR", programs);
    let status = command.status().context("cannot start the benchmark")?;
    ensure!(status.success(), "the benchmark failed; see above");
    Ok(())
}

fn inside(effort: Effort, keep: bool) -> Result<()> {
    let busy = busy()?;
    if busy > QUIET {
        println!(
            "other programs keep {busy} % of the processors busy: the figures will be worse than they are"
        );
    }
    let packets = packets::measure(effort.rounds)?;
    let minutes = minute::measure(effort.minutes)?;
    let pages = pages::measure(effort.minutes)?;
    let text = report::text(busy, &packets, &minutes, &pages)?;
    println!("\n{text}");
    if keep {
        let file = root().join("docs/performance.md");
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        println!("written to docs/performance.md");
    }
    Ok(())
}

/// Percent of the processors that may be busy with something else.
const QUIET: u64 = 5;

/// How busy the processors are with other things, in percent.
fn busy() -> Result<u64> {
    let (all, idle) = processor_time()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (all, idle) = {
        let now = processor_time()?;
        (now.0 - all, now.1 - idle)
    };
    Ok(all.saturating_sub(idle) * 100 / all.max(1))
}

/// All processor time so far, and what of it was idle.
fn processor_time() -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<u64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    // user, nice, system, idle, iowait, ..
    Ok((times.iter().sum(), times.iter().skip(3).take(2).sum()))
}

/// The middle one.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
