//! `cargo xtask bench`: one table of what pm costs, each row beside rivals and the floor, side by side in one run.

mod change;
mod flood;
mod inside;
mod latency;
mod layout;
mod minute;
mod packets;
mod pages;
mod processors;
mod rates;
mod report;
mod row;
mod sender;
mod start;
mod turns;
mod wire;

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::{capture, cargo, command, programs, root, run};
use crate::tools::Tool;
use crate::{enclosure, tools};
use processors::Idle;
use row::Row;

/// How long everything is measured, and how much of it.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Rounds in which every layout has its turn, and their sizes.
    packets: usize,
    layouts: &'static [u16],
    /// Quiet minutes, pages and changes.
    minutes: usize,
    sizes: &'static [u16],
    starts: usize,
    started: &'static [u16],
    /// Rounds for each limit, and the limits in Mbit/s.
    turns: usize,
    limits: &'static [u64],
    every_kind: bool,
}

const FULL: Effort = Effort {
    packets: 25,
    layouts: &[1, 10, 100, 1_000, 10_000],
    minutes: 31,
    sizes: &[10, 100, 1_000, 10_000],
    starts: 3,
    started: &[1_000, 10_000],
    turns: 3,
    limits: &[1, 10, 100, 1_000, 10_000],
    every_kind: true,
};
const QUICK: Effort = Effort {
    packets: 9,
    layouts: &[1, 1_000],
    minutes: 9,
    sizes: &[10, 1_000],
    starts: 3,
    started: &[1_000],
    turns: 1,
    limits: &[10, 1_000],
    every_kind: false,
};

/// The kinds of measurement, by the words that choose them.
const PARTS: [&str; 8] = ["packets", "minutes", "changes", "starts", "pages", "wire", "latency", "limits"];

/// What counts system calls.
const COUNTER: Tool = Tool { needed: "strace", package: "strace" };

/// The words by which the benchmark starts itself again: inside its enclosure, and once more inside of a namespace.
const INSIDE: &str = "--inside";
const FLOOD: &str = "--flood";
const SHORT: &str = "--quick";

pub(crate) fn task(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [FLOOD, way, first, ports] => flood::serve(way, first.parse()?, ports.parse()?, None),
        [FLOOD, way, first, ports, far] => flood::serve(way, first.parse()?, ports.parse()?, Some(far)),
        [INSIDE, ref rest @ ..] => inside(rest),
        ref rest => outside(rest),
    }
}

fn outside(words: &[&str]) -> Result<()> {
    if let Some(unknown) = words.iter().find(|word| **word != SHORT && !PARTS.contains(word)) {
        bail!("bench knows no `{unknown}`: {SHORT}, {}", PARTS.join(", "));
    }
    tools::ensure(tools::LABORATORY)?;
    tools::ensure(&[COUNTER])?;
    enclosure::ensure_possible()?;
    println!("building with optimisation");
    let host = host()?;
    // As those of a release are: without a loader and its relocations, which are half a millisecond of every start.
    let linked_statically = format!("target.{host}.rustflags=['-C', 'target-feature=+crt-static']");
    let packages = "--package pm-cli --package pm-monitor --package xtask --bins --examples".split(' ');
    let how = ["--profile", "bench", "--target", &host, "--config", &linked_statically];
    run(cargo(["build", "--quiet"].into_iter().chain(how).chain(packages)))?;
    let programs = programs(&format!("{host}/release"))?;
    let words = ["bench", INSIDE].iter().chain(words);
    let mut command = enclosure::enclosed(programs.join("xtask"), words);
    command.env("PM_BIN_DIR", programs);
    let status = command.status().context("cannot start the benchmark")?;
    ensure!(status.success(), "the benchmark failed; see above");
    Ok(())
}

/// What this machine is called among rustc's targets.
fn host() -> Result<String> {
    let told = capture(command("rustc", ["--version", "--verbose"]))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc --version --verbose` does not say for which host it is")
}

fn inside(words: &[&str]) -> Result<()> {
    let busy = busy()?;
    if busy > QUIET {
        println!(
            "other programs keep {busy} % of the processors busy: the figures will be worse than they are"
        );
    }
    let (short, parts): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| **word == SHORT);
    let effort = if short.is_empty() { FULL } else { QUICK };
    let rows = rows(effort, |part| parts.is_empty() || parts.contains(&part))?;
    let text = report::text(busy, &rows)?;
    println!("\n{text}");
    if words.is_empty() {
        let file = root().join("docs/performance.md");
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        println!("written to docs/performance.md");
    }
    Ok(())
}

fn rows(effort: Effort, wanted: impl Fn(&str) -> bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for part in PARTS.into_iter().filter(|part| wanted(part)) {
        rows.extend(match part {
            "packets" => packets::measure(effort.packets, effort.layouts)?,
            "minutes" => minute::measure(effort.minutes, effort.sizes)?,
            "changes" => change::measure(effort.minutes)?,
            "starts" => start::measure(effort.starts, effort.started)?,
            "pages" => pages::measure(effort.minutes)?,
            "wire" => vec![wire::measure(effort.packets)?],
            "latency" => vec![latency::measure(effort.turns)?],
            _ => rates::measure(effort.turns, effort.limits, effort.every_kind)?,
        });
    }
    Ok(rows)
}

/// Percent of the processors that may be busy with something else.
const QUIET: u128 = 5;

/// How busy the processors are with other things, in percent.
fn busy() -> Result<u128> {
    let began = Idle::read()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let now = Idle::read()?;
    Ok(now.busy_since(&began).as_micros() * 100 / now.all_since(&began).as_micros().max(1))
}

/// The middle one.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
