//! A port without a limit, while another one has one: what the queue of classes costs those that are not in it.

use std::time::Duration;

use anyhow::Result;
use pm_tests::machine::Machine;
use pm_tests::network::{OUTSIDE, Pair};
use serde_json::Value;

use super::flood::Way;
use super::layout::{FIRST, config};
use super::row::{Figure, Row, Versus};
use super::sender::Sender;
use super::turns::Turns;

/// As many ports as there are flows, so that each flow has its own.
const PORTS: u16 = 64;
/// Thousandths of the packets a second without a queue.
const LEAST: u64 = 950;

/// Measures so many rounds.
pub(super) fn measure(rounds: usize) -> Result<Row> {
    println!("a port without a limit");
    let [with, without, plain] = [Pair::new(), Pair::new(), Pair::new()];
    for (pair, limit) in [(&with, 100), (&without, 0), (&plain, 0)] {
        let mut config = config(PORTS + 1);
        config["ports"][(FIRST + PORTS).to_string()]["limit_mbps"] = Value::from(limit);
        let machine = Machine::new(&pair.host);
        machine.write_config(&config.to_string());
        machine.minute();
    }
    // What any queue at all costs on an interface that has none.
    plain.host.bash(&format!("tc qdisc add dev {OUTSIDE} root pfifo"));
    let sender = |pair: &Pair| Sender::new(&pair.host, Way::Wire, FIRST, PORTS, Some(&pair.client));
    let mut senders = [sender(&with)?, sender(&without)?, sender(&plain)?];
    let [with, without, plain] = senders.each_mut();
    let slice = |sender: &mut Sender| Ok(Duration::from_nanos(sender.slice()?));
    let turns = Turns::of(rounds, &mut [&mut || slice(with), &mut || slice(without), &mut || slice(plain)])?;
    let rate = |who| {
        Figure::PacketsPerSecond(
            1_000_000_000 / u64::try_from(turns.time(who).as_nanos().max(1)).unwrap_or(u64::MAX),
        )
    };
    // More packets a second is better: the ratio of the times, upside down.
    let kept = turns.permille(1, 0);
    Ok(Row::new("packets a second of a port without a limit, beside one with", rate(0))
        .rival(Versus::new("pfifo, the plainest queue", rate(2), turns.permille(2, 0)))
        .floor(Versus::new("no queue", rate(1), kept))
        .goal("at least 0.95 × the floor", kept >= LEAST))
}
