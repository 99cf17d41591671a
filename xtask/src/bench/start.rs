//! From nothing to everything in force: the first minute after a boot.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::network::{OUTSIDE, Pair};

use super::inside::inside;
use super::layout::config_with;
use super::minute::Machine;
use super::row::{Figure, Row, Versus, ratio};
use super::turns::{Turns, timed};
use crate::demo::grouped;
use crate::shell::{capture, command};

/// Thousandths of the floor that a start may take.
const MOST: u64 = 1_300;
/// The leaf that only splits what is larger than a frame: what `tc` prints of it is rounded to nothing.
const SPLITTER: &str = " rate 100tbit burst 2000b limit 131072b";

/// Measures starts with so many ports, each with a quota and a limit.
pub(super) fn measure(rounds: usize, sizes: &[u16]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for ports in sizes {
        println!("starts: {ports} ports");
        let machine = Machine::new(&config_with(*ports, 100).to_string())?;
        let pair = Pair::new();
        rows.push(inside(&pair.host, || of(&machine, *ports, rounds))?);
    }
    Ok(rows)
}

fn of(machine: &Machine, ports: u16, rounds: usize) -> Result<Row> {
    machine.minute()?;
    // What stands now, as others would have to type it.
    let rules = capture(command("nft", ["--stateless", "list", "table", "inet", "port_monitor"]))?;
    let classes = batch()?;
    let turns = Turns::of(
        rounds,
        &mut [
            &mut || {
                nothing()?;
                machine.minute()
            },
            &mut || {
                nothing()?;
                let start = Instant::now();
                fed("nft", &["-f", "-"], &rules)?;
                fed("tc", &["-batch", "-"], &classes)?;
                Ok(start.elapsed())
            },
        ],
    )?;
    let against_floor = turns.permille(0, 1);
    Ok(Row::new(
        format!("cold start, {} ports with quota and limit", grouped(ports.into())),
        Figure::Time(turns.time(0)),
    )
    .floor(Versus::new("nft -f, tc -batch of the same", Figure::Time(turns.time(1)), against_floor))
    .goal(format!("at most {} × the floor", ratio(MOST)), against_floor <= MOST))
}

/// As after a boot.
fn nothing() -> Result<Duration> {
    timed(command("nft", ["flush", "ruleset"]))?;
    timed(command("tc", ["qdisc", "del", "dev", OUTSIDE, "root"]))
}

fn fed(program: &str, words: &[&str], text: &str) -> Result<()> {
    let mut command = command(program, words);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    process.stdin.take().context("no input")?.write_all(text.as_bytes())?;
    ensure!(process.wait()?.success(), "{program} refused what it had printed");
    Ok(())
}

/// The classes and their leaves, as lines for `tc -batch`.
fn batch() -> Result<String> {
    let mut lines = vec![format!("qdisc add dev {OUTSIDE} root handle 1: htb default 0")];
    let shown = capture(command("tc", ["-details", "class", "show", "dev", OUTSIDE]))?;
    for class in shown.lines().filter(|line| line.starts_with("class htb 1:")) {
        let id = class.split_whitespace().nth(2).context("a class without a name")?;
        let parameters = ["rate", "ceil", "burst", "cburst", "quantum"]
            .into_iter()
            .filter_map(|name| Some(format!("{name} {}", value(class, name)?)));
        let parameters: Vec<String> = parameters.collect();
        lines.push(format!("class add dev {OUTSIDE} parent 1: classid {id} htb {}", parameters.join(" ")));
    }
    let shown = capture(command("tc", ["-details", "qdisc", "show", "dev", OUTSIDE]))?;
    for leaf in shown.lines().filter(|line| !line.contains(" root ")) {
        let kind = leaf.split_whitespace().nth(1).context("a leaf without a kind")?;
        let parent = value(leaf, "parent").context("a leaf without a parent")?;
        let shape = if kind == "tbf" { SPLITTER } else { "" };
        lines.push(format!("qdisc add dev {OUTSIDE} parent {parent} {kind}{shape}"));
    }
    Ok(lines.join("\n") + "\n")
}

/// What stands behind a word; of `2500b/1`, what is in front of the cell's size.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.split_whitespace().skip_while(|word| *word != name).nth(1)?;
    value.split('/').next()
}
