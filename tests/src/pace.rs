//! How fast the machine is that the tests run on: whether it can fill a line, and how long to wait for it.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Set where the processor is emulated. It then stops now and then for longer than a bucket lasts, so that a limit is a
/// ceiling and no floor.
pub const EMULATED: &str = "PM_EMULATED";

/// So much longer than usual may anything take where the processor is emulated, before it counts as stuck.
const SLOWER: u32 = 6;

/// Whether a speed is within these bounds. Where the processor is emulated, the lower one is nothing at all.
pub fn holds(speed: u128, bounds: RangeInclusive<u128>) -> bool {
    if is_emulated() { (1..=*bounds.end()).contains(&speed) } else { bounds.contains(&speed) }
}

/// How long to wait for what is there within `usual` on a processor of its own.
pub fn patience(usual: Duration) -> Duration {
    if is_emulated() { usual * SLOWER } else { usual }
}

fn is_emulated() -> bool {
    std::env::var_os(EMULATED).is_some()
}
