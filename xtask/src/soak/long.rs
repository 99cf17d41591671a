//! A monitor that runs every second for long: what it holds stays what it was, and its accounts stay what was sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::Machine;
use pm_tests::network::Pair;
use pm_tests::process::Signal;

use super::samples::Samples;
use super::street::{BUSY, PORTS, Street, send};
use crate::demo::grouped;

pub(super) fn tell(duration: Duration) -> Result<()> {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    let street = Street::new(&machine, &host, &client);
    let mut monitor = machine.monitor("--every 1s");
    let stop = AtomicBool::new(false);
    let mut samples = Samples::default();
    thread::scope(|scope| {
        scope.spawn(|| send(&client, || !stop.load(Ordering::Relaxed)));
        let begin = Instant::now();
        while begin.elapsed() < duration && monitor.runs() {
            thread::sleep(Duration::from_secs(5));
            samples.take(monitor.id(), begin.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    ensure!(monitor.runs(), "the monitor ended: {}", monitor.seen());
    let compared = street.compare()?;
    monitor.signal(Signal::TERM);
    let ended = monitor.wait(Duration::from_secs(20)).context("the monitor does not end")?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "the monitor complained: {ended}");
    samples.verdict()?;
    println!(
        "{} s: {} bytes through {BUSY} of {PORTS} ports, none lost and none counted twice",
        duration.as_secs(),
        grouped(compared),
    );
    Ok(())
}
