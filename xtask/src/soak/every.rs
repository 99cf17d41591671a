//! A machine that meters every port there is, each with an account of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::{Machine, number};
use pm_tests::network::{Family, Pair};
use pm_tests::process::{Background, Finished};
use pm_tests::traffic::{send_udp, udp_sink};
use serde_json::{Value, json};

use crate::demo::grouped;

/// IPv4 bytes of ten datagrams.
const TEN: u64 = 10 * (1000 + 28);
/// The first, one of those in the middle, the one whose class id is reserved, and the last.
const BUSY: [u16; 4] = [1, 443, 65_534, 65_535];

/// Every step once, each within `patience`.
pub(super) fn tell(patience: Duration) -> Result<()> {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    let ports: serde_json::Map<String, Value> = (1..=u16::MAX)
        .map(|port| (port.to_string(), json!({ "quota_gb": 1, "quota_mode": "both", "reset_day": 1 })))
        .collect();
    machine.write_config(&json!({ "ports": ports }).to_string());

    step(&machine, patience, "the first minute makes all", "pm-monitor", &[])?;
    for port in BUSY {
        let _sink = udp_sink(&host, port);
        send_udp(&client, Family::V4.host(), port, 1000, 10);
    }
    step(&machine, patience, "a minute", "pm-monitor", &[])?;
    step(&machine, patience, "an edit", "pm", &["set", "443", "--comment", "one", "--limit", "100"])?;
    let listed = step(&machine, patience, "a list", "pm", &["list", "--json"])?;
    host.nft("flush ruleset");
    step(&machine, patience, "a minute that heals all", "pm-monitor", &[])?;

    let listed: Value = serde_json::from_str(&listed.stdout).context("the list is no JSON")?;
    let ports = listed["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(ports.len() == usize::from(u16::MAX), "{} ports are listed", ports.len());
    for (number_of, port) in (1..=u16::MAX).zip(ports) {
        let expected = if BUSY.contains(&number_of) { TEN } else { 0 };
        ensure!(number(port, "used_bytes") == expected, "port {number_of} is listed as {port}");
    }
    Ok(())
}

/// Runs one of our programs, which has to succeed in silence, and prints how long it took and what it held.
fn step(
    machine: &Machine<'_>,
    patience: Duration,
    what: &str,
    program: &str,
    words: &[&str],
) -> Result<Finished> {
    let begin = Instant::now();
    let mut running = Background::spawn(machine.command(program, None, words));
    let mut most = 0;
    let ended = loop {
        most = most.max(super::samples::resident_kb(running.id()).unwrap_or_default());
        if let Some(ended) = running.wait(Duration::from_millis(50)) {
            break ended;
        }
        ensure!(begin.elapsed() < patience, "{what} takes longer than {} s", patience.as_secs());
    };
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{what}: {}", ended.stderr);
    println!("{what}: {:.1} s, {} kB", begin.elapsed().as_secs_f64(), grouped(most));
    Ok(ended)
}
