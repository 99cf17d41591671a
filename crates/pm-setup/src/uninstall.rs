//! `pm uninstall`: whatever is there of pm goes, whatever is somebody else's stays, and nothing stops it half way.

use std::path::PathBuf;

use jiff::Zoned;
use pm_monitor::Machine;

use crate::crontab;
use crate::error::SetupError;
use crate::initscript;
use crate::install::{PROGRAMS, is_foreign, program_path};
use crate::place;
use crate::schedule::{self, OURS};
use crate::site::Site;

/// Something that is gone, or was meant to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The units of systemd, or our lines of the crontab.
    Schedule,
    /// The table and the speed limits.
    Rules,
    /// A file or a folder.
    File(PathBuf),
    /// The configuration stays, with everything used.
    Kept(PathBuf),
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Farewell {
    /// What was done.
    pub removed: Vec<Removed>,
    /// What could not be done, each with its remedy.
    pub faults: Vec<SetupError>,
}

impl Farewell {
    fn note<T>(&mut self, result: Result<T, SetupError>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn remove(&mut self, path: PathBuf) {
        if self.note(place::remove(&path)) == Some(true) {
            self.removed.push(Removed::File(path));
        }
    }
}

/// Removes pm. With `keep_data`, the configuration with all accounts stays.
pub async fn uninstall(site: &Site<'_>, machine: &Machine, now: &Zoned, keep_data: bool) -> Farewell {
    let mut farewell = Farewell::default();
    // First whoever would bring the rules back.
    remove_schedule(site, &mut farewell);
    match machine.leave(now).await {
        Ok(left) => {
            if left.faults.is_empty() {
                farewell.removed.push(Removed::Rules);
            }
            farewell.faults.extend(left.faults.into_iter().map(SetupError::from));
            // Accounts that are thrown away need not be right.
            farewell.faults.extend(left.unsettled.filter(|_| keep_data).map(SetupError::from));
        }
        Err(fault) => farewell.faults.push(fault.into()),
    }
    // With those that an update keeps for going back.
    let kept = PROGRAMS.map(|name| format!("{name}.old"));
    for name in PROGRAMS.into_iter().chain(kept.iter().map(String::as_str)) {
        let path = program_path(site, name);
        if !is_foreign(&path) {
            farewell.remove(path);
        }
    }
    place::sweep(&site.paths.programs());
    let folder = site.paths.join("etc/port_monitor");
    if !keep_data {
        farewell.remove(folder);
    } else if folder.exists() {
        farewell.removed.push(Removed::Kept(folder));
    }
    let paths = &site.paths;
    for path in
        [paths.lock(), paths.cron_lock(), paths.tell_lock(), paths.firewall_record(), paths.shaper_record()]
    {
        // Of no interest to anybody, unless they cannot be removed.
        farewell.note(place::remove(&path));
    }
    farewell
}

fn remove_schedule(site: &Site<'_>, farewell: &mut Farewell) {
    let mut removed = false;
    let silent = Site { live: false, ..site.clone() };
    // The timer before what it starts.
    for (name, wants) in OURS.into_iter().rev() {
        if site.live && schedule::has_unit(site, name) {
            farewell.note(schedule::systemctl(site, &["stop", name]));
        }
        removed |= farewell.note(schedule::remove_unit(&silent, name, wants)).unwrap_or(false);
    }
    if removed && site.live {
        farewell.note(schedule::systemctl(site, &["daemon-reload"]));
    }
    let cleared = schedule::read_crontab(site)
        .and_then(|present| schedule::write_crontab(site, &present, &crontab::without(&present)));
    removed |= farewell.note(cleared).unwrap_or(false);
    if removed {
        farewell.removed.push(Removed::Schedule);
    }
    farewell.note(initscript::dismiss(site));
    if farewell.note(initscript::remove(site)) == Some(true) {
        farewell.removed.push(Removed::File(initscript::path(site)));
    }
}
