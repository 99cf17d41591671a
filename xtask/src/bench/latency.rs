//! A small flow and a bulk flow of one port: how long the answers of the one wait behind what the other sends.

use std::time::Duration;

use anyhow::{Result, ensure};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair, has_fq_codel};
use pm_tests::traffic::{flood_udp, round_trips, udp_echo, udp_sink};

use super::median;
use super::rates::{PORT, ours, tbf};
use super::row::{Figure, Row, Versus, ratio};

/// The limit of both together. The bulk flow is one of UDP: of TCP, the kernel lets a program send no more than a few packets
/// ahead.
const MBPS: u64 = 10;
/// What may wait, in milliseconds: as much as in pm's own line.
const LINE: u32 = 200;
/// Thousandths of the time in one line, where the kernel can tell flows apart.
const MOST: u64 = 250;
/// Until the bulk flow has filled whatever there is to fill.
const WARM_UP: Duration = Duration::from_secs(3);
const TRIPS: u32 = 20;

/// Measures so many rounds.
pub(super) fn measure(rounds: usize) -> Result<Row> {
    println!("a small flow beside a bulk flow");
    let mut turns = Vec::new();
    for _ in 0..rounds {
        let limit = |host: &Namespace| ours(host, MBPS);
        turns.push([trip(&limit, true)?, trip(&|host| tbf(host, MBPS, LINE), true)?, trip(&limit, false)?]);
    }
    let time = |who: usize| {
        Figure::Time(Duration::from_micros(median(turns.iter().map(|round| round[who]).collect())))
    };
    let against =
        |who: usize| median(turns.iter().map(|round| round[0] * 1000 / round[who].max(1)).collect());
    let what = format!("round trip of a small flow beside a bulk flow of its port, limit of {MBPS} Mbit/s");
    let apart = has_fq_codel(&Namespace::new("flows"));
    let row = Row::new(if apart { what } else { format!("{what}: this kernel has no fq_codel") }, time(0))
        .rival(Versus::new("TBF with a line as long", time(1), against(1)))
        .floor(Versus::new("without the bulk flow", time(2), against(2)));
    Ok(if apart { row.goal(format!("at most {} × TBF's", ratio(MOST)), against(1) <= MOST) } else { row })
}

/// Microseconds that a datagram and its answer are under way, the median.
fn trip(limit: &dyn Fn(&Namespace) -> String, with_bulk: bool) -> Result<u64> {
    let Pair { host, client } = Pair::new();
    limit(&host);
    let _echo = udp_echo(&host, PORT);
    let _sink = udp_sink(&client, PORT);
    let _bulk = with_bulk.then(|| {
        let bulk = flood_udp(&host, (Family::V6.host(), PORT), (Family::V6.client(), PORT));
        std::thread::sleep(WARM_UP);
        bulk
    });
    let trips = round_trips(&client, Family::V4.host(), PORT, TRIPS);
    ensure!(!trips.is_empty(), "no datagram was answered beside a bulk flow");
    Ok(median(trips.iter().map(|trip| u64::try_from(trip.as_micros())).collect::<Result<_, _>>()?))
}
