//! The day on which a quota runs out, if its cycle goes on as it went so far.

use jiff::{Timestamp, Zoned};
use pm_core::account::Account;
use pm_core::port::PortRange;
use pm_core::view::PortView;
use pm_core::wire::Snapshot;

/// What can be foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forecast {
    /// It runs out then.
    RunsOut(Timestamp),
    /// The next reset comes first.
    LastsUntilReset,
    /// It lasts for more than a year, and no reset comes.
    LastsAYear,
}

/// A shorter cycle says nothing about the days to come.
const SHORTEST_CYCLE: i64 = 3_600;
const YEAR: i128 = 366 * 24 * 3_600;

/// When the cycle of a port's account began: with the first of its members.
pub(crate) fn cycle_began(snapshot: &Snapshot, port: PortRange) -> Option<Timestamp> {
    let accounts = Account::all(&snapshot.config);
    let account = accounts.iter().find(|account| account.ports().any(|member| member == port))?;
    account.ports().filter_map(|member| snapshot.state.ports.get(&member)?.last_reset).min()
}

/// None when there is nothing to go by: no quota, no usage, no time that passed, or a quota that is used up.
pub(crate) fn of(view: &PortView, began: Option<Timestamp>, now: &Zoned) -> Option<Forecast> {
    let quota = view.quota_bytes.filter(|_| !view.blocked)?;
    let now = now.timestamp().as_second();
    let passed = now - began?.as_second();
    let used = view.used_bytes;
    if passed < SHORTEST_CYCLE || used.0 == 0 {
        return None;
    }
    let remaining = quota.saturating_sub(used);
    let left = i128::from(passed) * i128::from(remaining.0) / i128::from(used.0);
    match view.next_reset_ts {
        Some(reset) if i128::from(now) + left >= i128::from(reset) => Some(Forecast::LastsUntilReset),
        _ if left >= YEAR => Some(Forecast::LastsAYear),
        _ => {
            let runs_out = now.checked_add(i64::try_from(left).ok()?)?;
            Timestamp::from_second(runs_out).ok().map(Forecast::RunsOut)
        }
    }
}
