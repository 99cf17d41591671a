//! What both programs run: one minute, or minutes for ever.

use std::error::Error;
use std::io::{self, Write};
use std::iter;
use std::pin::Pin;
use std::time::Duration;

use jiff::Zoned;
use pm_netfilter::Vigil;
use pm_notify::Log;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::delivery;
use crate::machine::{Machine, MachineError};
use crate::outcome::{MinuteOutcome, Outcome, SHAPING_WAITS};

/// When messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// At the end of this minute.
    Now,
    /// In a later one; they stay in the queue.
    Later,
}

/// One whole minute. What there is to say goes to standard error, messages to standard output. False when something
/// that is configured is not in force.
pub async fn minute(
    machine: &Machine,
    now: &Zoned,
    quiet: bool,
    telling: Telling,
) -> Result<bool, MachineError> {
    let Some(outcome) = enforce(machine, now, quiet).await? else { return Ok(true) };
    // Enforcement is done; only now is anybody told.
    if outcome.messages_wait && telling == Telling::Now {
        tell(machine, now).await;
    }
    Ok(outcome.faults.is_empty())
}

/// A minute every `period`, and one whenever somebody took the rules away, until SIGTERM or SIGINT, which let the minute
/// that runs finish. `now` reads the clock. Telling goes on beside the minutes: none of them waits for somebody else's
/// server.
pub async fn service(
    machine: &Machine,
    period: Duration,
    quiet: bool,
    now: impl Fn() -> Zoned,
) -> io::Result<()> {
    /// Somebody who takes the rules away all the time keeps us no busier than this.
    const BREATH: Duration = Duration::from_millis(100);
    /// What was being told when the end came may still arrive; a system that shuts down does not wait long.
    const LAST_WORDS: Duration = Duration::from_secs(5);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut ticks = interval(period);
    // After a suspend, one minute covers the whole gap.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut telling: Option<Delivery<'_>> = None;
    // Where nothing can be heard, the next minute heals all the same.
    let mut vigil = Vigil::keep().ok();
    let mut breath = Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = ticks.tick() => {}
            () = loss(&mut vigil, breath) => {}
            () = finished(&mut telling) => {
                telling = None;
                continue;
            }
        }
        // A minute is never cut short: a signal waits in its stream until here.
        let now = now();
        match enforce(machine, &now, quiet).await {
            Ok(Some(outcome)) if outcome.messages_wait && telling.is_none() => {
                telling = Some(Box::pin(async move { tell(machine, &now).await }));
            }
            Ok(_) => {}
            Err(error) => say(&error.to_string()),
        }
        breath = Instant::now() + BREATH;
    }
    if telling.is_some() {
        // Cut short, it repeats one message at most.
        let _ = tokio::time::timeout(LAST_WORDS, finished(&mut telling)).await;
    }
    Ok(())
}

type Delivery<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

async fn finished(telling: &mut Option<Delivery<'_>>) {
    match telling {
        Some(telling) => telling.await,
        None => std::future::pending().await,
    }
}

/// Waits until somebody took the rules away, and at least until then.
async fn loss(vigil: &mut Option<Vigil>, earliest: Instant) {
    sleep_until(earliest).await;
    if let Some(ears) = vigil {
        match ears.loss().await {
            Ok(()) => return,
            Err(_) => *vigil = None,
        }
    }
    std::future::pending::<()>().await;
}

/// The minute but for telling. None when there was nothing to do for it.
async fn enforce(machine: &Machine, now: &Zoned, quiet: bool) -> Result<Option<Outcome>, MachineError> {
    let outcome = match machine.minute(now).await? {
        MinuteOutcome::Done(outcome) => outcome,
        MinuteOutcome::Busy => {
            say_unless(quiet, "another monitor is in the middle of a minute; this one is left to it");
            return Ok(None);
        }
        MinuteOutcome::NothingConfigured => {
            say_unless(quiet, "no port is configured yet: add one with pm add");
            return Ok(None);
        }
    };
    for note in &outcome.notes {
        say_unless(quiet, &note.to_string());
    }
    if outcome.shaping_waits {
        say_unless(quiet, SHAPING_WAITS);
    }
    for fault in &outcome.faults {
        say(&fault.to_string());
    }
    let log = Log::new(io::stdout());
    for message in &outcome.unheard {
        if let Err(refused) = delivery::print(&log, message).await {
            say(&refused);
        }
    }
    Ok(Some(outcome))
}

/// A message that was not delivered is in the queue, and no reason to call the minute failed.
async fn tell(machine: &Machine, now: &Zoned) {
    match machine.tell(now, &Log::new(io::stdout())).await {
        Ok(notes) => notes.iter().for_each(|note| say(note)),
        Err(error) => say(&error.to_string()),
    }
}

fn say_unless(quiet: bool, sentence: &str) {
    if !quiet {
        say(sentence);
    }
}

/// An error with its causes. A cause that the error has named already is not said again.
pub fn whole(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.map(ToString::to_string).fold(error.to_string(), |said, cause| {
        if said.contains(&cause) { said } else { format!("{said}: {cause}") }
    })
}

/// One line on standard error. Nobody is left to be told when that fails.
pub fn say(sentence: &str) {
    let _ = writeln!(io::stderr(), "pm: {}", pm_core::units::escaped(sentence));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write the file{}", if *.named { ": the disk is full" } else { "" })]
    struct Failed {
        named: bool,
        source: io::Error,
    }

    #[test]
    fn a_cause_is_said_once() {
        for named in [true, false] {
            let error = Failed { named, source: io::Error::other("the disk is full") };
            assert_eq!(whole(&error), "cannot write the file: the disk is full");
        }
    }
}
