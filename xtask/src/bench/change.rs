//! Minutes and commands in which one port of a thousand changes: what that adds to those in which none does.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use pm_tests::machine::binary;
use pm_tests::network::{OUTSIDE, Pair};
use serde_json::Value;

use super::inside::inside;
use super::layout::{FIRST, config_with};
use super::minute::Machine;
use super::row::{Figure, Row, Versus, permille, ratio};
use super::turns::timed;
use crate::shell::command;

const PORTS: u16 = 1_000;
/// The port that is punished now and then, and the one that is blocked.
const GREEDY: u16 = FIRST + 500;
const SPENT: u16 = FIRST + 501;
/// The one that an operator edits.
const EDITED: u16 = FIRST + 502;
/// Thousandths of a process of nft that does nothing, which a change may add.
const MOST: u64 = 1_500;
/// Every minute is a minute later than the last one.
const MINUTE: i64 = 60;
const BEGINNING: i64 = 1_770_000_000;

/// Measures so many rounds.
pub(super) fn measure(rounds: usize) -> Result<Vec<Row>> {
    println!("changes among {PORTS} ports");
    let mut config = config_with(PORTS, 100);
    let greedy = &mut config["ports"][GREEDY.to_string()]["dyn_limit"];
    // A megabyte within a minute is more than that.
    greedy["trigger_mbps"] = Value::from(0.1);
    greedy["trigger_time"] = Value::from(1);
    greedy["punish_time"] = Value::from(1);
    let spent = &mut config["ports"][SPENT.to_string()];
    spent["quota_gb"] = Value::from(0.0001);
    spent["dyn_limit"]["enable"] = Value::from(false);
    let machine = Machine::new(&config.to_string())?;
    let pair = Pair::new();
    inside(&pair.host, || Changes { machine, minutes: BEGINNING / MINUTE }.measure(rounds))
}

struct Changes {
    machine: Machine,
    /// What the clock shows.
    minutes: i64,
}

impl Changes {
    fn measure(mut self, rounds: usize) -> Result<Vec<Row>> {
        self.minute()?;
        self.minute()?;
        let mut table: Vec<[Duration; 9]> = Vec::new();
        for round in 0..rounds {
            let limit = if round % 2 == 0 { "50" } else { "70" };
            let quiet = self.minute()?;
            traffic(GREEDY)?;
            let penalty = self.minute()?;
            ensure!(self.shown(GREEDY, "punished")? == true, "nobody was punished");
            let recovery = self.minute()?;
            ensure!(self.shown(GREEDY, "punished")? == false, "nobody recovered");
            traffic(SPENT)?;
            let block = self.minute()?;
            ensure!(self.shown(SPENT, "blocked")? == true, "nobody was blocked");
            let remark = self.pm(&["set", &EDITED.to_string(), "--comment", limit])?;
            let edit = self.pm(&["set", &EDITED.to_string(), "--limit", limit, "--quota", limit])?;
            self.pm(&["reset", &SPENT.to_string(), "--yes"])?;
            self.minute()?;
            let quota = format!("add quota inet port_monitor quota_{EDITED} {{ over {} bytes }}", round + 1);
            let by_nft = timed(command("nft", [&quota]))?;
            for line in ["nft delete table inet port_monitor", &format!("tc qdisc del dev {OUTSIDE} root")] {
                let (program, words) = line.split_once(' ').unwrap_or((line, ""));
                timed(command(program, words.split(' ')))?;
            }
            let anew = self.minute()?;
            self.minute()?;
            let nothing = timed(command("nft", ["-f", "/dev/null"]))?;
            table.push([quiet, penalty, recovery, block, remark, edit, anew, nothing, by_nft]);
        }
        let median = |pick: &dyn Fn(&[Duration; 9]) -> Duration| {
            let mut all: Vec<Duration> = table.iter().map(pick).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        let anew = median(&|row| row[6].saturating_sub(row[0]));
        let (nothing, by_nft) = (median(&|row| row[7]), median(&|row| row[8]));
        let row = |what: &str, changed: usize, unchanged: usize| {
            let added = median(&|row| row[changed].saturating_sub(row[unchanged]));
            let against_nothing = permille(added, nothing);
            Row::new(format!("{what}, of 1,000"), Figure::Time(added))
                .rival(Versus::time("all anew", added, anew))
                .rival(Versus::time("nft that changes one quota", added, by_nft))
                .floor(Versus::time("nft that does nothing", added, nothing))
                .goal(format!("at most {} × the floor", ratio(MOST)), against_nothing <= MOST)
        };
        Ok(vec![
            row("added to a minute: one port is punished", 1, 0),
            row("added to a minute: one recovers", 2, 0),
            row("added to a minute: one is blocked", 3, 0),
            row("added to pm set by a new quota and limit: one is edited", 5, 4),
        ])
    }

    /// The next minute.
    fn minute(&mut self) -> Result<Duration> {
        self.minutes += 1;
        let mut monitor = self.machine.monitor();
        self.at_this_time(&mut monitor);
        timed(monitor)
    }

    fn pm(&self, words: &[&str]) -> Result<Duration> {
        timed(self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut pm = Command::new(binary("pm"));
        pm.args(["--lang", "en", "--root"]).arg(self.machine.root()).args(words);
        self.at_this_time(&mut pm);
        pm
    }

    fn at_this_time(&self, command: &mut Command) {
        let of_day = self.minutes.rem_euclid(24 * MINUTE);
        let (day, hour, minute) =
            (2 + (self.minutes - BEGINNING / MINUTE) / (24 * MINUTE), of_day / 60, of_day % 60);
        command.env("PM_NOW", format!("2026-02-{day:02}T{hour:02}:{minute:02}:00+00:00"));
    }

    fn shown(&self, port: u16, field: &str) -> Result<Value> {
        let output = self.command(&["show", &port.to_string(), "--json"]).output()?;
        let mut port: Value = serde_json::from_slice(&output.stdout)?;
        Ok(port[field].take())
    }
}

/// A megabyte from a port of this machine to itself.
fn traffic(port: u16) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    for _ in 0..1_000 {
        // Once the quota is spent, nothing leaves any more.
        let _ = socket.send(&[0; 1_000]);
    }
    Ok(())
}
