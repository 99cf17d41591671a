//! Everybody at once: a monitor that runs every second, menus that stand open, operators who edit, traffic, and another
//! program that makes and flushes tables of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::Machine;
use pm_tests::namespace::Namespace;
use pm_tests::network::Pair;
use pm_tests::process::Signal;

use super::street::{BUSY, FIRST, PORTS, Street, send};
use crate::demo::grouped;

pub(super) fn tell(duration: Duration) -> Result<()> {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    let street = Street::new(&machine, &host, &client);
    // Somebody left the menu open, twice. It ends with its input.
    let pm = pm_tests::machine::binary("pm");
    let open =
        format!("sleep {} | {} --root {}", duration.as_secs() + 60, pm.display(), machine.root().display());
    let mut menus = [host.spawn(&["bash", "-c", &open]), host.spawn(&["bash", "-c", &open])];
    let mut monitor = machine.monitor("--every 1s");

    let (stop, edits, tables) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let goes_on = || !stop.load(Ordering::Relaxed);
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
            thread::sleep(Duration::from_secs(1));
        }
        stop.store(true, Ordering::Relaxed);
        editors.into_iter().flat_map(|editor| editor.join().unwrap_or_default()).collect()
    });
    ensure!(faults.is_empty(), "edits failed or got lost:\n{}", faults.join("\n"));
    ensure!(monitor.runs(), "the monitor ended: {}", monitor.seen());
    ensure!(menus.iter_mut().all(pm_tests::process::Background::runs), "a menu ended");
    let compared = street.compare()?;
    monitor.signal(Signal::TERM);
    let ended = monitor.wait(Duration::from_secs(20)).context("the monitor does not end")?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "the monitor complained: {ended}");
    println!(
        "{} s: {} bytes through {BUSY} of {PORTS} ports, none lost and none counted twice; {} edits, none lost; {} transactions of another program",
        duration.as_secs(),
        grouped(compared),
        grouped(edits.into_inner()),
        grouped(tables.into_inner()),
    );
    Ok(())
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
