//! `cargo xtask soak crash`: a minute, every edit and every way to other programs, killed after each system call that
//! changes something, and failing at each of them; then the next minute. No byte may be lost or counted twice, no message
//! lost, nothing left half.

mod injury;
mod programs;
mod scenario;
mod site;
mod step;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::demo::grouped;
use injury::Injury;
use scenario::Scenario;
use site::Site;
use trial::Ends;

/// How many runs at once, each in namespaces of its own.
const AT_ONCE: usize = 2;
/// So many failures say enough.
const SHOWN: usize = 10;

/// Every scenario, or those that are called so, for as long as that takes. Longer than this is a failure.
pub(super) fn tell(patience: Duration, names: &[&str]) -> Result<()> {
    let is_chosen =
        |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| scenario.name.contains(name));
    let chosen: Vec<&Scenario> = scenario::ALL.iter().filter(is_chosen).collect();
    ensure!(!chosen.is_empty(), "no scenario is called so");
    let begin = Instant::now();
    let sites: Vec<Site> = (0..AT_ONCE).map(|_| Site::new()).collect();
    println!("{:<40}{:>7}{:>7}{:>7}{:>16}", "", "steps", "kills", "faults", "bytes");
    let mut all = Count::default();
    let mut failures = Vec::new();
    for scenario in chosen {
        ensure!(begin.elapsed() < patience, "not everything was tried within {} s", patience.as_secs());
        let (count, failed) =
            interrupt(&sites, scenario).with_context(|| format!("{}, not disturbed", scenario.name))?;
        println!("{:<40}{count}", scenario.name);
        for failure in failed.iter().take(SHOWN) {
            println!("  {failure}");
        }
        all.add(&count);
        failures.extend(failed);
    }
    println!("{:<40}{all}\n{} s", "in all", begin.elapsed().as_secs());
    ensure!(failures.is_empty(), "{} of the runs went wrong", failures.len());
    println!(
        "no byte and no message was lost, and the next minute found nothing that it could not put right"
    );
    Ok(())
}

/// What was done.
#[derive(Clone, Copy, Default)]
struct Count {
    steps: usize,
    kills: usize,
    faults: usize,
    bytes: u64,
}

impl Count {
    const fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.kills += other.kills;
        self.faults += other.faults;
        self.bytes += other.bytes;
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>7}{:>7}{:>7}{:>16}", self.steps, self.kills, self.faults, grouped(self.bytes))
    }
}

/// All injuries of a scenario. Returns what was done, and what went wrong.
fn interrupt(sites: &[Site], scenario: &Scenario) -> Result<(Count, Vec<String>)> {
    let first = sites.first().context("there is no site")?;
    let undone = trial::run(first, scenario, &Injury::NotRun)?;
    let done = trial::run(first, scenario, &Injury::Watched)?;
    let finished = done.finished.as_ref().context("it did not run")?;
    ensure!(finished.code == Some(0), "{finished}");
    let injuries = injuries(&done.watcher, scenario)?;
    let ends = Ends { done: (done.end, done.told), undone: (undone.end, undone.told) };

    let (next, compared) = (AtomicUsize::new(0), Mutex::new(Count::default()));
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for site in sites {
            scope.spawn(|| {
                while let Some(injury) = injuries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match attempt(site, scenario, injury, &ends) {
                        Ok(bytes) => {
                            let kills = !matches!(injury, Injury::Fault(..));
                            let one = Count { steps: 0, kills: kills.into(), faults: (!kills).into(), bytes };
                            compared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(&one);
                        }
                        Err(error) => failures
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .push(format!("{injury}: {error:#}")),
                    }
                }
            });
        }
    });
    let mut count = compared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    count.steps =
        injuries.iter().filter(|injury| matches!(injury, Injury::Kill(_) | Injury::KillTool(..))).count();
    Ok((count, failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)))
}

/// Every step, killed and failing.
fn injuries(watcher: &injury::Watcher, scenario: &Scenario) -> Result<Vec<Injury>> {
    let (ours, theirs) = watcher.steps()?;
    ensure!(ours.len() > 5, "strace saw only {} steps", ours.len());
    let mut injuries = Vec::new();
    let fails_anyway = |step: &step::Step| scenario.always.split(':').next() == Some(&step.call);
    for step in ours.into_iter().filter(|step| !fails_anyway(step)) {
        injuries.push(Injury::Kill(step.clone()));
        let errors: &[&str] = if step.takes_room() {
            &["EIO", "ENOSPC"]
        } else if step.is_of_a_file() {
            &["EIO"]
        } else if step.is_of_a_socket() {
            &["ENOBUFS"]
        } else if step.is_a_start() {
            &["EAGAIN"]
        } else {
            &[]
        };
        injuries.extend(errors.iter().map(|error| Injury::Fault(step.clone(), error)));
    }
    for (tool, run, step) in theirs {
        injuries.push(Injury::KillTool(tool, run, step.clone()));
        injuries.push(Injury::KillBoth(tool, run, step));
    }
    Ok(injuries)
}

/// One run. What the laboratory itself cannot do is a panic, and is told with the run.
fn attempt(site: &Site, scenario: &Scenario, injury: &Injury, ends: &Ends) -> Result<u64> {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let trial = trial::run(site, scenario, injury)?;
        let code = trial.finished.as_ref().and_then(|finished| finished.code);
        // A run may do with a step less, as when nobody has to be waited for.
        if trial.watcher.has_struck(injury, code) {
            trial::judge(&trial, scenario, ends, injury)?;
        }
        Ok(trial.compared)
    }));
    tried.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        Err(anyhow!(said.unwrap_or_else(|| "the laboratory failed".to_owned())))
    })
}
