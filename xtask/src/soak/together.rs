//! Everybody at once: a monitor that runs every second, two menus that stand open, waves of twenty edits, traffic, another
//! program that makes and flushes tables of its own, and somebody who flushes all rules now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::{Machine, binary};
use pm_tests::namespace::Namespace;
use pm_tests::network::Pair;
use pm_tests::process::{Background, Signal, until};
use serde_json::Value;

use super::street::{BUSY, FIRST, Moment, PORTS, Street};
use crate::demo::grouped;

/// Edits that begin at the same moment.
const WAVE: u16 = 20;
/// Nobody waits longer than this for a lock, the kernel or a program.
const PATIENCE: Duration = Duration::from_mins(1);
/// What every drawing of the menu ends with.
const LAST_ITEM: &str = " 0. ";
/// How long traffic goes on between two looks.
const WHILE: Duration = Duration::from_secs(3);

pub(super) fn tell(duration: Duration) -> Result<()> {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    let street = Street::new(&machine, &host, &client);
    // Somebody left the menu open, twice, on a terminal, where it draws itself anew all the time.
    let menu = format!("{} --root {}", binary("pm").display(), machine.root().display());
    let open = format!("sleep {} | script -qfc '{menu}' /dev/null", duration.as_secs() + 120);
    let mut menus = [host.spawn(&["bash", "-c", &open]), host.spawn(&["bash", "-c", &open])];
    let mut monitor = machine.monitor("--every 1s");

    let (edits, tables) = (AtomicU64::new(0), AtomicU64::new(0));
    let (flushes, faults) = thread::scope(|scope| {
        scope.spawn(|| street.send());
        scope.spawn(|| disturb(&host, &street, &tables));
        let editors = scope.spawn(|| edit(&machine, &street, &edits));
        let flushes = flush(&host, &street, &mut monitor, duration);
        street.close();
        (flushes, editors.join().unwrap_or_else(|_| vec!["those who edit panicked".to_owned()]))
    });
    ensure!(faults.is_empty(), "edits failed or got lost:\n{}", faults.join("\n"));
    let flushes = flushes?;
    for menu in &mut menus {
        let drawn = menu.seen().matches(LAST_ITEM).count();
        ensure!(menu.runs() && drawn > 10, "a menu ended, or stands still: it was drawn {drawn} times");
    }
    monitor.signal(Signal::TERM);
    let ended = monitor.wait(Duration::from_secs(20)).context("the monitor does not end")?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "the monitor complained: {ended}");
    flushes.report(duration);
    println!(
        "{} edits in waves of {WAVE}, none lost; {} transactions of another program",
        grouped(edits.into_inner()),
        grouped(tables.into_inner()),
    );
    Ok(())
}

/// What became of the flushes.
#[derive(Default)]
struct Flushes {
    /// While nothing was sent, and in the middle of traffic.
    quiet: usize,
    rough: usize,
    sent: u64,
    /// What was sent between the last saved minute and the healing of a rough flush, and what of it is in no account.
    exposed: u64,
    lost: u64,
    healed_after: Vec<Duration>,
}

impl Flushes {
    fn report(&self, duration: Duration) {
        let mut times: Vec<u128> = self.healed_after.iter().map(Duration::as_millis).collect();
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        println!(
            "{} s: {} bytes through {BUSY} of {PORTS} ports; {} flushes while nothing was sent cost no byte; {} in the middle of traffic cost {} bytes, of {} sent between the last minute and the healing; none was counted twice; the rules were back after {} ms (median), {} ms (at most)",
            duration.as_secs(),
            grouped(self.sent),
            self.quiet,
            self.rough,
            grouped(self.lost),
            grouped(self.exposed),
            at(times.len() / 2),
            at(times.len().saturating_sub(1)),
        );
    }
}

/// Somebody flushes all rules, by turns while nothing is sent and everything is saved, and in the middle of traffic.
fn flush(
    host: &Namespace,
    street: &Street<'_>,
    monitor: &mut Background,
    duration: Duration,
) -> Result<Flushes> {
    let (begin, mut flushes) = (Instant::now(), Flushes::default());
    street.pause();
    let mut last = street.settled()?;
    while begin.elapsed() < duration {
        ensure!(monitor.runs(), "the monitor ended: {}", monitor.seen());
        flushes.healed_after.push(lose_all_rules(host));
        let now = street.settled()?;
        ensure!(now.saved == last.saved, "a flush while nothing was sent: {last:?}, then {now:?}");
        flushes.quiet += 1;

        last = now;
        street.resume();
        thread::sleep(WHILE);
        street.pause();
        let now = street.settled()?;
        ensure!(gained(&last, &now) == sent(&last, &now), "without a flush: {last:?}, then {now:?}");

        last = now;
        street.resume();
        thread::sleep(WHILE);
        let saved = street.saved()?;
        flushes.healed_after.push(lose_all_rules(host));
        let healed = street.sent()?;
        thread::sleep(WHILE);
        street.pause();
        let now = street.settled()?;
        let certain: Vec<u64> = (0..last.sent.len())
            .map(|port| saved[port] - last.saved[port] + now.sent[port] - healed[port])
            .collect();
        let (gained, sent) = (gained(&last, &now), sent(&last, &now));
        for ((certain, gained), sent) in certain.iter().zip(&gained).zip(&sent) {
            ensure!(
                (certain..=sent).contains(&gained),
                "{gained} bytes counted of {sent} sent, {certain} of which the flush did not touch: {last:?}, then {now:?}"
            );
            flushes.exposed += sent - certain;
            flushes.lost += sent - gained;
        }
        flushes.rough += 1;
        flushes.sent = now.sent.iter().sum();
        last = now;
    }
    street.resume();
    Ok(flushes)
}

fn gained(before: &Moment, after: &Moment) -> Vec<u64> {
    after.saved.iter().zip(&before.saved).map(|(after, before)| after - before).collect()
}

fn sent(before: &Moment, after: &Moment) -> Vec<u64> {
    after.sent.iter().zip(&before.sent).map(|(after, before)| after - before).collect()
}

/// Flushes everything and returns after how long the rules were seen again.
fn lose_all_rules(host: &Namespace) -> Duration {
    host.nft("flush ruleset");
    let lost = Instant::now();
    until("the rules stand again", PATIENCE, || (!host.table("port_monitor").is_empty()).then_some(()));
    lost.elapsed()
}

/// Another program with a table of its own, which somebody may flush under its hands.
fn disturb(host: &Namespace, street: &Street<'_>, transactions: &AtomicU64) {
    while street.is_open() {
        host.nft("add table inet other; add chain inet other c { type filter hook input priority 10; }; add rule inet other c accept");
        host.nft("add table inet other; flush table inet other; delete table inet other");
        transactions.fetch_add(2, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(100));
    }
}

/// Operators who change twenty ports at once, two of them always the same port, and find every change where they left it.
/// Returns what went wrong.
fn edit(machine: &Machine<'_>, street: &Street<'_>, edits: &AtomicU64) -> Vec<String> {
    let mut faults = Vec::new();
    for wave in 1_u16.. {
        if !street.is_open() {
            break;
        }
        let first = FIRST + wave * WAVE / 2 % PORTS;
        let (comment, limit) = (format!("wave-{wave}"), u64::from(wave % 3) * 100);
        let words = |who: u16| {
            let what =
                if who < WAVE / 2 { format!("--comment {comment}") } else { format!("--limit {limit}") };
            format!("set {} {what}", first + who % (WAVE / 2))
        };
        let spawn = |who: u16| {
            let words = words(who);
            Background::spawn(machine.command("pm", None, &words.split(' ').collect::<Vec<_>>()))
        };
        let running: Vec<Background> = (0..WAVE).map(spawn).collect();
        for (who, mut edit) in (0..WAVE).zip(running) {
            match edit.wait(PATIENCE) {
                Some(ended) if ended.code == Some(0) && ended.stderr.is_empty() => {}
                Some(ended) => faults.push(ended.to_string()),
                None => faults.push(format!("`pm {}` does not end: {}", words(who), edit.seen())),
            }
        }
        let shown = machine.list();
        let ports = shown["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        let kept = |port: &Value| port["comment"] == comment.as_str() && port["limit_mbps"] == limit;
        let found = ports.iter().filter(|port| kept(port)).count();
        if found < usize::from(WAVE / 2) {
            faults.push(format!("wave {wave} at port {first}: {found} ports are as they were set: {shown}"));
        }
        edits.fetch_add(u64::from(WAVE), Ordering::Relaxed);
    }
    faults
}
