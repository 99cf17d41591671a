//! The one place that reads a clock: once a run or a minute, for `main`.

use std::{env, fs};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Where the system keeps its zone: a link to the zone's file, whose name is the end of the path.
const LOCAL_ZONE: &str = "/etc/localtime";

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
        None => Ok(system()),
        Some(_) if !has_root => Err(ClockError::WithoutRoot),
        Some(text) => read(text).ok_or_else(|| ClockError::Unreadable(pm_core::units::shown(text))),
    }
}

/// What the system's clock says, in the zone that the system has at this moment. [`Zoned::now`] may know it by the zone
/// of some minutes ago.
pub fn system() -> Zoned {
    Timestamp::now().to_zoned(zone())
}

/// The system's zone. Its file is read as it stands: to find a zone by its name, jiff walks the whole database of zones,
/// which costs a minute of a hundred ports more than its ports do. Where the file does not say which zone it is, and where
/// `TZ` asks for another, the walk is worth it.
fn zone() -> TimeZone {
    if env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    read_zone(LOCAL_ZONE).unwrap_or_else(TimeZone::system)
}

fn read_zone(link: &str) -> Option<TimeZone> {
    let target = fs::read_link(link).ok()?;
    let (_, name) = target.to_str()?.rsplit_once("zoneinfo/")?;
    TimeZone::tzif(name, &fs::read(link).ok()?).ok()
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
    fn the_zone_is_the_one_that_the_link_leads_to() {
        // Version 1, no transitions, one kind of local time: 28,800 s east of Greenwich, called CST.
        let counts = [0, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat();
        let file = [b"TZif".as_slice(), &[0; 16], &counts, &28_800_i32.to_be_bytes(), b"\0\0CST\0"].concat();
        let folder = tempfile::tempdir().unwrap();
        let zones = folder.path().join("zoneinfo/Asia");
        fs::create_dir_all(&zones).unwrap();
        fs::write(zones.join("Shanghai"), file).unwrap();
        fs::write(zones.join("Torn"), "TZif").unwrap();
        let linked = |to: &str| {
            let link = folder.path().join(to.replace('/', "_"));
            std::os::unix::fs::symlink(to, &link).unwrap();
            read_zone(link.to_str().unwrap())
        };
        let shanghai = linked("zoneinfo/Asia/Shanghai").unwrap();
        assert_eq!(shanghai.iana_name(), Some("Asia/Shanghai"));
        let noon: Timestamp = "2026-02-28T12:00:00Z".parse().unwrap();
        assert_eq!(noon.to_zoned(shanghai).to_string(), "2026-02-28T20:00:00+08:00[Asia/Shanghai]");
        assert_eq!(linked("zoneinfo/Asia/Nowhere"), None);
        assert_eq!(linked("zoneinfo/Asia/Torn"), None);
        assert_eq!(linked("/etc/hostname"), None);
        assert_eq!(read_zone("/etc/hostname"), None);
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
