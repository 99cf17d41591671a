//! A monitor that runs every second for long: what it holds stays what it was, and its accounts stay what was sent.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::Machine;
use pm_tests::network::Pair;
use pm_tests::process::{Background, Signal};

use super::samples::Samples;
use super::street::{BUSY, PORTS, Street};
use crate::demo::grouped;

/// How often accounts, counters and senders are compared.
const COMPARED_EVERY: Duration = Duration::from_secs(30);

pub(super) fn tell(duration: Duration) -> Result<()> {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    let street = Street::new(&machine, &host, &client);
    let mut monitor = machine.monitor("--every 1s");
    let mut samples = Samples::default();
    let told = thread::scope(|scope| {
        scope.spawn(|| street.send());
        let told = watch(&street, &mut monitor, &mut samples, duration);
        street.close();
        told
    });
    let (comparisons, bytes) = told?;
    monitor.signal(Signal::TERM);
    let ended = monitor.wait(Duration::from_secs(20)).context("the monitor does not end")?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "the monitor complained: {ended}");
    samples.verdict()?;
    println!(
        "{} s: {} bytes through {BUSY} of {PORTS} ports; accounts and senders agreed to the byte {comparisons} times",
        duration.as_secs(),
        grouped(bytes),
    );
    Ok(())
}

/// How often everything agreed, and about how many bytes.
fn watch(
    street: &Street<'_>,
    monitor: &mut Background,
    samples: &mut Samples,
    duration: Duration,
) -> Result<(u32, u64)> {
    let begin = Instant::now();
    let (mut comparisons, mut bytes) = (0, 0);
    while begin.elapsed() < duration {
        let next = Instant::now() + COMPARED_EVERY;
        while Instant::now() < next {
            thread::sleep(Duration::from_secs(5));
            samples.take(monitor.id(), begin.elapsed());
        }
        ensure!(monitor.runs(), "the monitor ended: {}", monitor.seen());
        street.pause();
        let moment = street.settled()?;
        ensure!(moment.sent == moment.saved, "accounts drift: {moment:?}");
        street.resume();
        (comparisons, bytes) = (comparisons + 1, moment.sent.iter().sum());
    }
    Ok((comparisons, bytes))
}
