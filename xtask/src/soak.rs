//! `cargo xtask soak [MINUTES]`: everybody at once, for long. A monitor that runs every second, menus that stand open,
//! operators who edit, traffic, and another program that makes and flushes tables of its own.

mod samples;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::process::Signal;
use pm_tests::traffic::udp_sink;
use pm_tests::witness::{BEFORE, Point, Witness};
use serde_json::{Value, json};

use crate::demo::grouped;
use crate::shell::{cargo, programs, run};
use crate::{enclosure, tools};
use samples::Samples;

/// The word by which the task starts itself again, inside its enclosure.
const INSIDE: &str = "--inside";

const USUAL_MINUTES: u64 = 10;
const PORTS: u16 = 200;
/// The ports that have traffic, one in ten.
const BUSY: u16 = 20;
const FIRST: u16 = 20_000;

pub(crate) fn task(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let minutes = |word: &str| word.parse::<u64>().context("soak takes a number of minutes");
    match words.as_slice() {
        [] => outside(USUAL_MINUTES),
        [INSIDE, word] => soak(Duration::from_mins(minutes(word)?)),
        [word] => outside(minutes(word)?.max(1)),
        _ => anyhow::bail!("soak takes a number of minutes"),
    }
}

fn outside(minutes: u64) -> Result<()> {
    tools::ensure(tools::LABORATORY)?;
    enclosure::ensure_possible()?;
    println!("building pm");
    run(cargo(["build", "--quiet", "--package", "pm-cli", "--package", "pm-monitor", "--bins"]))?;
    let myself = std::env::current_exe().context("who am I")?;
    let mut command = enclosure::enclosed(myself, ["soak", INSIDE, &minutes.to_string()]);
    command.env("PM_BIN_DIR", programs("debug")?);
    let status = command.status().context("cannot start the soak")?;
    ensure!(status.success(), "something is off; see above");
    Ok(())
}

fn busy_port(number: u16) -> u16 {
    FIRST + number * (PORTS / BUSY)
}

fn soak(duration: Duration) -> Result<()> {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    let ports: serde_json::Map<String, Value> = (FIRST..FIRST + PORTS)
        .map(|port| (port.to_string(), json!({ "quota_gb": 100, "quota_mode": "both", "reset_day": 1 })))
        .collect();
    machine.write_config(&json!({ "ports": ports }).to_string());
    machine.minute();

    let names: Vec<(String, String)> =
        (0..BUSY).map(busy_port).map(|port| (format!("p{port}"), format!("udp dport {port}"))).collect();
    let points: Vec<Point<'_>> = names
        .iter()
        .map(|(name, packets)| Point { name, hook: "input", priority: BEFORE, packets })
        .collect();
    let witness = Witness::new(&host, &points);
    let _sinks: Vec<_> = (0..BUSY).map(|number| udp_sink(&host, busy_port(number))).collect();
    // Somebody left the menu open, twice. It ends with its input.
    let pm = pm_tests::machine::binary("pm");
    let open =
        format!("sleep {} | {} --root {}", duration.as_secs() + 60, pm.display(), machine.root().display());
    let mut menus = [host.spawn(&["bash", "-c", &open]), host.spawn(&["bash", "-c", &open])];
    let mut monitor = machine.monitor("--every 1s");

    let (stop, edits, tables) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let goes_on = || !stop.load(Ordering::Relaxed);
    let mut samples = Samples::default();
    let faults: Vec<String> = thread::scope(|scope| {
        scope.spawn(|| send(&client, goes_on));
        scope.spawn(|| disturb(&host, goes_on, &tables));
        let editors: Vec<_> = (0..2)
            .map(|who| {
                scope.spawn({
                    let (machine, edits) = (&machine, &edits);
                    move || edit(machine, who, goes_on, edits)
                })
            })
            .collect();
        let begin = Instant::now();
        while begin.elapsed() < duration && monitor.runs() {
            thread::sleep(Duration::from_secs(5));
            samples.take(monitor.id(), begin.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        editors.into_iter().flat_map(|editor| editor.join().unwrap_or_default()).collect()
    });
    ensure!(faults.is_empty(), "edits failed or got lost:\n{}", faults.join("\n"));
    ensure!(monitor.runs(), "the monitor ended: {}", monitor.seen());
    ensure!(menus.iter_mut().all(pm_tests::process::Background::runs), "a menu ended");

    let mut compared = 0;
    for (which, (name, _)) in (0..BUSY).zip(&names) {
        let port = busy_port(which);
        let (seen, shown) =
            (witness.settled(name).bytes, number(&machine.show(&port.to_string()), "in_bytes"));
        ensure!(
            seen == shown,
            "port {port}: {} bytes arrived, and pm says {}",
            grouped(seen),
            grouped(shown)
        );
        compared += seen;
    }
    monitor.signal(Signal::TERM);
    let ended = monitor.wait(Duration::from_secs(20)).context("the monitor does not end")?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "the monitor complained: {ended}");
    samples.verdict()?;
    println!(
        "{} s: {} bytes through {BUSY} of {PORTS} ports, none lost and none counted twice; {} edits, none lost; {} transactions of another program",
        duration.as_secs(),
        grouped(compared),
        grouped(edits.into_inner()),
        grouped(tables.into_inner()),
    );
    Ok(())
}

/// Datagrams to every busy port, in turns.
fn send(client: &Namespace, goes_on: impl Fn() -> bool) {
    let (last, step) = (busy_port(BUSY - 1), PORTS / BUSY);
    let to = Family::V4.host();
    let round = format!(
        "for port in $(seq {FIRST} {step} {last}); do dd if=/dev/zero bs=1000 count=50 status=none > /dev/udp/{to}/$port; done"
    );
    while goes_on() {
        client.bash(&round);
    }
}

/// Another program with a table of its own.
fn disturb(host: &Namespace, goes_on: impl Fn() -> bool, transactions: &AtomicU64) {
    while goes_on() {
        host.nft("add table inet other; add chain inet other c { type filter hook input priority 10; }; add rule inet other c accept");
        host.nft("flush table inet other; delete table inet other");
        transactions.fetch_add(2, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(100));
    }
}

/// An operator who changes his half of the ports, one after the other, and finds every change where he left it. Returns
/// what went wrong.
fn edit(machine: &Machine<'_>, who: u16, goes_on: impl Fn() -> bool, edits: &AtomicU64) -> Vec<String> {
    let mut faults = Vec::new();
    let mine: Vec<u16> = (FIRST..FIRST + PORTS).filter(|port| port % 2 == who).collect();
    for round in 1.. {
        for port in &mine {
            if !goes_on() {
                return faults;
            }
            let (comment, limit) = (format!("round-{round}"), round % 3 * 100);
            let set = machine.try_pm(&format!("set {port} --comment {comment} --limit {limit}"));
            let shown = machine.show(&port.to_string());
            if set.code != Some(0) || shown["comment"] != comment.as_str() || shown["limit_mbps"] != limit {
                faults.push(format!("{set}\n{shown}"));
            }
            edits.fetch_add(1, Ordering::Relaxed);
        }
    }
    faults
}
