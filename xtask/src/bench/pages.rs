//! Pages: how long somebody waits for `pm list` and for the first page of the menu, and what memory they take.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::binary;
use pm_tests::namespace::Namespace;

use super::inside::inside;
use super::layout::config;
use super::minute::{Machine, peak_of};
use super::row::{Figure, Row, Versus};
use super::turns::{Turns, timed};
use crate::demo::grouped;
use crate::shell::command;

/// Where an operator has a thousand customers.
const PORTS: u16 = 1_000;
/// The end of the first page: the prompt behind it.
const PROMPT: &str = "Your choice: ";
/// What somebody may wait for a page.
const LONGEST: Duration = Duration::from_millis(15);
/// What it may take of memory, in KiB.
const LARGEST: u64 = 16 << 10;

/// Measures so many rounds.
pub(super) fn measure(rounds: usize) -> Result<Vec<Row>> {
    println!("pages: {PORTS} ports");
    let machine = Machine::new(&config(PORTS).to_string())?;
    inside(&Namespace::new("pages"), || {
        machine.minute()?;
        Pages { machine: &machine }.measure(rounds)
    })
}

struct Pages<'a> {
    machine: &'a Machine,
}

impl Pages<'_> {
    fn measure(&self, rounds: usize) -> Result<Vec<Row>> {
        let turns = Turns::of(
            rounds,
            &mut [
                &mut || self.list(),
                &mut || Ok(self.menu()?.0),
                &mut || timed(command("true", [""; 0])),
                &mut || timed(command("nft", ["-j", "list", "counters", "table", "inet", "port_monitor"])),
            ],
        )?;
        let mut rows = Vec::new();
        for (who, name, peak) in
            [(0, "pm list", self.list_peak()?), (1, "the menu's first page", self.menu()?.1)]
        {
            let (time, ports) = (turns.time(who), grouped(PORTS.into()));
            let row = Row::new(format!("{name}, {ports} ports"), Figure::Time(time))
                .rival(Versus::new(
                    "nft -j list counters",
                    Figure::Time(turns.time(3)),
                    turns.permille(who, 3),
                ))
                .floor(Versus::new("true", Figure::Time(turns.time(2)), turns.permille(who, 2)))
                .goal(format!("under {}", Figure::Time(LONGEST)), time < LONGEST);
            rows.push(row);
            rows.push(
                Row::new(format!("its peak memory, {ports} ports"), Figure::Memory(peak))
                    .goal(format!("under {}", Figure::Memory(LARGEST)), peak < LARGEST),
            );
        }
        Ok(rows)
    }

    fn pm(&self) -> Command {
        let mut command = Command::new(binary("pm"));
        command.args(["--lang", "en", "--root"]).arg(self.machine.root());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// From the start to the end of the process.
    fn list(&self) -> Result<Duration> {
        let start = Instant::now();
        let output = self.pm().arg("list").output()?;
        let elapsed = start.elapsed();
        let lines = String::from_utf8_lossy(&output.stdout).lines().count();
        ensure!(output.status.success() && lines > usize::from(PORTS), "pm list failed");
        Ok(elapsed)
    }

    /// The page is larger than the pipe, so after its first byte the program waits with all of it in memory.
    fn list_peak(&self) -> Result<u64> {
        let mut list = self.pm().arg("list").spawn()?;
        let mut output = list.stdout.take().context("no output")?;
        output.read_exact(&mut [0])?;
        let peak = peak(&list)?;
        output.read_to_end(&mut Vec::new())?;
        ensure!(list.wait()?.success(), "pm list failed");
        Ok(peak)
    }

    /// From the start to the prompt behind the first page, and the memory that it took by then.
    fn menu(&self) -> Result<(Duration, u64)> {
        let start = Instant::now();
        let mut menu = self.pm().spawn()?;
        let mut output = menu.stdout.take().context("no output")?;
        let (mut page, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        while !page.ends_with(PROMPT.as_bytes()) {
            let length = output.read(&mut piece)?;
            ensure!(length > 0, "the menu ended before its first prompt");
            page.extend_from_slice(&piece[..length]);
        }
        let elapsed = start.elapsed();
        let peak = peak(&menu)?;
        // The end of its input ends it.
        drop(menu.stdin.take());
        ensure!(menu.wait()?.success(), "the menu failed");
        Ok((elapsed, peak))
    }
}

fn peak(process: &Child) -> Result<u64> {
    peak_of(process.id())
}
