//! Limits: what leaves the machine while somebody sends as much as they can, with pm's class and with `tc`'s own TBF.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use pm_tests::machine::Machine;
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, OUTSIDE, Pair};
use pm_tests::traffic::{Iperf, iperf_server};

use super::median;
use super::processors::Idle;
use super::row::{Figure, Row, Versus, ratio};

/// The port that is limited.
pub(super) const PORT: u16 = 10_086;
/// Thousandths of the configured rate.
const CLOSE: std::ops::RangeInclusive<u64> = 980..=1_020;
/// Thousandths of the processor time that a packet takes with TBF. Below some thousand packets a second there is too
/// little of it to tell.
const MOST_WORK: u64 = 1_300;
const ENOUGH_PACKETS: u64 = 5_000;
/// What may wait for TBF's tokens, in milliseconds.
const LINE: u32 = 50;
/// How long a turn is looked at.
const TIME: Duration = Duration::from_secs(2);
/// Until the buckets are empty and TCP has found its speed.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// A flow or many, of one family and protocol.
#[derive(Debug, Clone, Copy)]
struct Traffic {
    family: Family,
    protocol: &'static str,
    flows: u32,
}

/// What a limit let through.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// Bits a second as the link carries them.
    rate: u64,
    packets: u64,
    /// Nanoseconds of the whole machine's processors for a packet.
    work: u64,
}

/// Measures each of the rates, in Mbit/s, in so many rounds: how many segments leave as one, and so what one of them costs,
/// is not the same every time. Where there is too little work to tell, one round tells the rate.
pub(super) fn measure(rounds: usize, mbps: &[u64], all: bool) -> Result<Vec<Row>> {
    let kinds = Family::BOTH.into_iter().flat_map(|family| {
        ["TCP", "UDP"]
            .into_iter()
            .flat_map(move |protocol| [1, 50].map(|flows| Traffic { family, protocol, flows }))
    });
    // The short run keeps the extremes.
    let kinds: Vec<Traffic> = kinds
        .filter(|kind| all || (kind.family == Family::V4) == (kind.protocol == "TCP"))
        .filter(|kind| all || kind.flows == 1)
        .collect();
    let mut rows = Vec::new();
    for kind in kinds {
        // What this machine can do at all.
        let most = held(kind, 40_000, &|host| tbf(host, 40_000, LINE))?.rate;
        for mbps in mbps {
            println!("limits: {mbps} Mbit/s, {kind:?}");
            let what = format!(
                "limit of {mbps} Mbit/s, {} {}, IPv{}",
                kind.flows,
                if kind.flows == 1 {
                    format!("{} flow", kind.protocol)
                } else {
                    format!("{} flows", kind.protocol)
                },
                if kind.family == Family::V4 { 4 } else { 6 }
            );
            rows.push(row(what, kind, *mbps, most, rounds)?);
        }
    }
    Ok(rows)
}

fn row(what: String, kind: Traffic, mbps: u64, most: u64, rounds: usize) -> Result<Row> {
    let configured = mbps * 1_000_000;
    if most < configured * 11 / 10 {
        let most = Versus::new("no limit in reach", Figure::Rate(most), most * 1000 / configured);
        return Ok(Row::new(format!("{what}: out of reach of this machine"), Figure::Rate(0)).floor(most));
    }
    let limits: [&dyn Fn(&Namespace) -> String; 2] =
        [&|host| ours(host, mbps), &|host| tbf(host, mbps, LINE)];
    let round = || -> Result<[Held; 2]> {
        let [ours, theirs] = limits.map(|limit| held(kind, mbps, limit));
        Ok([ours?, theirs?])
    };
    let mut turns = vec![round()?];
    let has_work = turns[0].iter().all(|held| held.packets >= ENOUGH_PACKETS * TIME.as_secs());
    while has_work && turns.len() < rounds {
        turns.push(round()?);
    }
    let middle = |of: &dyn Fn(&[Held; 2]) -> u64| median(turns.iter().map(of).collect());
    let rate = |who: usize| middle(&|round| round[who].rate);
    let permille = |rate: u64| rate * 1000 / configured;
    let row = Row::new(what, Figure::Rate(rate(0)))
        .rival(Versus::new("TBF", Figure::Rate(rate(1)), rate(0) * 1000 / rate(1).max(1)))
        .floor(Versus::new("configured", Figure::Rate(configured), permille(rate(0))));
    let close = turns.iter().all(|[ours, _]| CLOSE.contains(&permille(ours.rate)));
    if !has_work {
        return Ok(row.goal("within 2 %", close));
    }
    let work = |who: usize| Figure::Time(Duration::from_nanos(middle(&|round| round[who].work)));
    let against = middle(&|[ours, theirs]| ours.work * 1000 / theirs.work.max(1));
    Ok(row.goal(
        format!(
            "within 2 %; work for a packet at most {} × TBF's: {} against {}, {}",
            ratio(MOST_WORK),
            work(0),
            work(1),
            ratio(against)
        ),
        close && against <= MOST_WORK,
    ))
}

/// A limit of pm's, and what `tc` is asked about it.
pub(super) fn ours(host: &Namespace, mbps: u64) -> String {
    let machine = Machine::new(host);
    machine.pm(&format!("add {PORT} --quota unlimited --limit {mbps}"));
    format!("tc -s class show dev {OUTSIDE} classid 1:{PORT:x}")
}

/// The same with the queue that holds a whole interface, with the same 20 milliseconds as its bucket, and a line of so many.
pub(super) fn tbf(host: &Namespace, mbps: u64, line: u32) -> String {
    let burst = (mbps * 1_000_000 / 8 / 50).max(3_000);
    host.bash(&format!("tc qdisc add dev {OUTSIDE} root tbf rate {mbps}mbit burst {burst} latency {line}ms"));
    format!("tc -s qdisc show dev {OUTSIDE}")
}

fn held(
    Traffic { family, protocol, flows }: Traffic,
    mbps: u64,
    limit: &dyn Fn(&Namespace) -> String,
) -> Result<Held> {
    let Pair { host, client } = Pair::new();
    let statistics = limit(&host);
    let _server = iperf_server(&host, PORT);
    let mut words = format!("--reverse --parallel {flows} --time {}", (TIME + 2 * WARM_UP).as_secs() + 2);
    if protocol == "UDP" {
        // Somewhat more than fits, and datagrams that fill a frame of either family.
        let each = (mbps * 1_250_000 / u64::from(flows)).min(4_000_000_000);
        write!(words, " --udp --length 1400 --bitrate {each}")?;
    }
    let client = Iperf::start(&client, family.host(), PORT, &words);
    std::thread::sleep(WARM_UP);
    let (start, before) = (Instant::now(), sent(&host, &statistics)?);
    let idle = Idle::read()?;
    std::thread::sleep(TIME);
    let busy = Idle::read()?.busy_since(&idle);
    let (elapsed, after) = (start.elapsed(), sent(&host, &statistics)?);
    drop(client);
    let (bytes, packets) = (after.0 - before.0, after.1 - before.1);
    Ok(Held {
        rate: u64::try_from(u128::from(bytes) * 8_000_000 / elapsed.as_micros())?,
        packets,
        work: u64::try_from(busy.as_nanos())? / packets.max(1),
    })
}

/// Bytes and packets that left, as `tc` counts them: with the header of the link, and those of every segment.
fn sent(host: &Namespace, statistics: &str) -> Result<(u64, u64)> {
    let shown = host.bash(statistics);
    let line =
        shown.lines().find(|line| line.trim_start().starts_with("Sent ")).context("tc counts nothing")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, bytes, _, packets, ..] = words[..] else { bail!("tc prints otherwise: {line}") };
    Ok((bytes.parse()?, packets.parse()?))
}
