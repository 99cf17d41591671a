//! How fast the machine is that the tests run on: whether it can fill a line.

use std::ops::RangeInclusive;

/// Set where the processor is emulated. It then stops now and then for longer than a bucket lasts, so that a limit is a
/// ceiling and no floor.
pub const EMULATED: &str = "PM_EMULATED";

/// Whether a speed is within these bounds. Where the processor is emulated, the lower one is nothing at all.
pub fn holds(speed: u128, bounds: RangeInclusive<u128>) -> bool {
    let emulated = std::env::var_os(EMULATED).is_some();
    if emulated { (1..=*bounds.end()).contains(&speed) } else { bounds.contains(&speed) }
}
