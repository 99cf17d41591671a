//! The one place that reads a clock: once a run, in `main`.

use jiff::{Timestamp, Zoned};

/// The variable that moves the clock of one run.
pub const VARIABLE: &str = "PM_NOW";

/// A moment that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// It is no moment.
    #[error(
        "PM_NOW is `{0}`, which is no moment: write it as 2026-02-28T00:00:00+08:00 or 2026-02-28T00:00:00+08:00[Asia/Shanghai]"
    )]
    Unreadable(String),
    /// It would move the clock of the real machine.
    #[error("PM_NOW moves the clock of a trial under --root only: give --root DIR too, or unset PM_NOW")]
    WithoutRoot,
}

/// Now: what `moved` says if it is given, else what the system's clock says, in the system's zone.
pub fn now(moved: Option<&str>, has_root: bool) -> Result<Zoned, ClockError> {
    match moved {
        None => Ok(Zoned::now()),
        Some(_) if !has_root => Err(ClockError::WithoutRoot),
        Some(text) => read(text).ok_or_else(|| ClockError::Unreadable(pm_core::units::shown(text))),
    }
}

fn read(text: &str) -> Option<Zoned> {
    if text.contains('[') {
        return text.parse().ok();
    }
    // Without a zone, local time is at the offset that was given.
    let moment: Timestamp = text.parse().ok()?;
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    Some(moment.to_zoned(pieces.to_numeric_offset()?.to_time_zone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_carries_its_offset_or_zone() {
        let offset = now(Some("2026-02-28T00:00:00+08:00"), true).unwrap();
        assert_eq!(offset.datetime().to_string(), "2026-02-28T00:00:00");
        assert_eq!(offset.timestamp().to_string(), "2026-02-27T16:00:00Z");
        let utc = now(Some("2026-02-28T00:00:00Z"), true).unwrap();
        assert_eq!(utc.timestamp().to_string(), "2026-02-28T00:00:00Z");
        assert_eq!(utc.datetime().to_string(), "2026-02-28T00:00:00");
        let named = now(Some("2026-02-28T00:00:00+00:00[UTC]"), true).unwrap();
        assert_eq!(named.timestamp(), utc.timestamp());
    }

    #[test]
    fn it_is_refused_without_a_root_and_when_it_is_no_moment() {
        assert!(matches!(now(Some("2026-02-28T00:00:00Z"), false), Err(ClockError::WithoutRoot)));
        for wrong in [
            "",
            "yesterday",
            "2026-02-30T00:00:00Z",
            "2026-02-28T00:00:00",
            "2026-02-28T00:00:00+08:00[Nowhere]",
        ] {
            assert!(matches!(now(Some(wrong), true), Err(ClockError::Unreadable(_))), "{wrong}");
        }
    }
}
