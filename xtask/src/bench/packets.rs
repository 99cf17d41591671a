//! Packets: every layout in a namespace of its own, all of them in turn, many times.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context as _, Result};
use pm_tests::namespace::Namespace;

use super::layout::{FIRST, Layout};
use super::{FLOOD, median};

/// What a packet costs under one layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) layout: Layout,
    /// Nanoseconds for a packet, the whole way from the sender's call to the receiver's buffer.
    pub(super) nanos: u64,
    /// Thousandths of what a packet costs without any table, in the same round.
    pub(super) against_nothing: u64,
    /// Thousandths of what a packet costs with pm's table of one port, in the same round.
    pub(super) against_one: u64,
}

/// Measures all layouts, in interleaved rounds. The figures are medians of the rounds.
pub(super) fn measure(rounds: usize) -> Result<Vec<Cost>> {
    println!("setting up {} tables", Layout::ALL.len());
    let namespaces: Vec<Namespace> =
        Layout::ALL.iter().map(|layout| Namespace::new(&format!("{layout:?}"))).collect();
    let mut senders = Vec::new();
    for (layout, namespace) in Layout::ALL.iter().zip(&namespaces) {
        layout.stand_in(namespace)?;
        senders.push(Sender::new(namespace, *layout)?);
    }
    let mut table: Vec<Vec<u64>> = Vec::new();
    for round in 0..rounds {
        if round % 10 == 0 {
            println!("packets: round {} of {rounds}", round + 1);
        }
        // Each round begins with another layout, so that none always follows the same one.
        let mut row = vec![0; senders.len()];
        for turn in 0..senders.len() {
            let place = (turn + round) % senders.len();
            row[place] = senders[place].slice()?;
        }
        table.push(row);
    }
    let column = |place: usize| table.iter().map(|row| row[place]).collect::<Vec<_>>();
    let against = |place: usize, base: usize| {
        median(table.iter().map(|row| row[place] * 1000 / row[base].max(1)).collect())
    };
    let place_of = |layout: Layout| Layout::ALL.iter().position(|other| *other == layout).unwrap_or_default();
    let (nothing, one) = (place_of(Layout::Nothing), place_of(Layout::Maps(1)));
    let cost = |(place, layout): (usize, &Layout)| Cost {
        layout: *layout,
        nanos: median(column(place)),
        against_nothing: against(place, nothing),
        against_one: against(place, one),
    };
    Ok(Layout::ALL.iter().enumerate().map(cost).collect())
}

/// A sender in a namespace, which waits for its turn.
struct Sender {
    process: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Sender {
    fn new(namespace: &Namespace, layout: Layout) -> Result<Self> {
        let mut command = namespace.command(std::env::current_exe()?);
        command.args(["bench", FLOOD, &FIRST.to_string(), &layout.ports().to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = process.stdin.take().context("a sender without an ear")?;
        let answer = BufReader::new(process.stdout.take().context("a sender without a voice")?);
        Ok(Self { process, ask, answer })
    }

    /// One turn: nanoseconds for a packet.
    fn slice(&mut self) -> Result<u64> {
        self.ask.write_all(b"go\n")?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        line.trim().parse().context("a sender gave up")
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
