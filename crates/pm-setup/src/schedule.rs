//! Who runs the monitor: a timer or a service of systemd, or cron; and the minutes at boot and shutdown.

use std::io;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use pm_kernel::file;

use crate::crontab;
use crate::error::SetupError;
use crate::initscript::Init;
use crate::place::{self, Placed};
use crate::site::Site;
use crate::system::SystemError;
use crate::systemd;

/// Who runs the monitor, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// A timer of systemd.
    Timer(SignedDuration),
    /// A service of systemd that stays.
    Service(SignedDuration),
    /// Cron, once a minute.
    Cron,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Who is to run it; whoever does, or whoever can, when nothing was said.
    pub runner: Option<Runner>,
    /// How often.
    pub every: Option<SignedDuration>,
}

/// Who can run the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// A timer of systemd.
    Timer,
    /// A service of systemd that stays.
    Service,
    /// Cron.
    Cron,
}

const USUAL: SignedDuration = SignedDuration::from_mins(1);

/// Where units that an administrator writes belong.
const UNITS: &str = "etc/systemd/system";
/// Root's crontab where nobody is there to run `crontab`: as Debian's cron keeps it.
const SPOOL: &str = "var/spool/cron/crontabs/root";

/// Each of our units and the target that wants it.
pub(crate) const OURS: [(&str, &str); 3] = [
    (systemd::BOOT, "multi-user.target.wants"),
    (systemd::MONITOR, "multi-user.target.wants"),
    (systemd::TIMER, "timers.target.wants"),
];

impl Wish {
    /// The schedule that this asks for at that site. `fresh` is a site where what is there was somebody else's choice.
    pub fn at(self, site: &Site<'_>, fresh: bool) -> Result<Schedule, SetupError> {
        let present = Schedule::present(site)?.filter(|_| !fresh);
        let has_systemd = site.has_systemd();
        let chosen = match self.runner {
            Some(runner) => runner,
            None => match present {
                Some(Schedule::Service(_)) if has_systemd => Runner::Service,
                Some(Schedule::Cron) => Runner::Cron,
                _ if has_systemd => Runner::Timer,
                _ => Runner::Cron,
            },
        };
        let present_period = match present {
            Some(Schedule::Timer(every)) if chosen == Runner::Timer => Some(every),
            Some(Schedule::Service(every)) if chosen == Runner::Service => Some(every),
            _ => None,
        };
        let every = self.every.or(present_period).unwrap_or(USUAL);
        match chosen {
            Runner::Cron if every != USUAL => Err(SetupError::CronIsEveryMinute),
            Runner::Cron => Ok(Schedule::Cron),
            Runner::Timer | Runner::Service if !has_systemd => Err(SetupError::NoSystemd),
            Runner::Timer => Ok(Schedule::Timer(every)),
            Runner::Service => Ok(Schedule::Service(every)),
        }
    }
}

impl Schedule {
    /// The schedule that is there. A unit of systemd counts before a line of cron.
    pub fn present(site: &Site<'_>) -> Result<Option<Self>, SetupError> {
        let unit = |name: &str| String::from_utf8(file::read(&unit_path(site, name)).ok()?).ok();
        if let Some(timer) = unit(systemd::TIMER) {
            return Ok(Some(Self::Timer(systemd::period(&timer).unwrap_or(USUAL))));
        }
        if let Some(every) = unit(systemd::MONITOR).as_deref().and_then(systemd::period) {
            return Ok(Some(Self::Service(every)));
        }
        Ok(crontab::has_minute(&read_crontab(site)?).then_some(Self::Cron))
    }

    /// Makes this the schedule, and the only one, and starts it where it stands still. True when something was changed.
    /// A service is started anew when its program is another one than before.
    pub fn apply(self, site: &Site<'_>, new_programs: bool) -> Result<bool, SetupError> {
        let units = if site.has_systemd() { self.units() } else { Vec::new() };
        let mut changed = false;
        for (name, wants) in OURS {
            match units.iter().find(|(wanted, _)| *wanted == name) {
                Some((_, text)) => {
                    changed |= place::file(&unit_path(site, name), text.as_bytes(), 0o644)? != Placed::Same;
                    if text.contains("[Install]") {
                        changed |= place::link(
                            &link_path(site, name, wants),
                            &Path::new("/").join(UNITS).join(name),
                        )?;
                    } else {
                        changed |= place::remove(&link_path(site, name, wants))?;
                    }
                }
                None => changed |= remove_unit(site, name, wants)?,
            }
        }
        if site.live && !units.is_empty() {
            changed = changed || self.idle_unit(site).is_some();
            if changed {
                systemctl(site, &["daemon-reload"])?;
            }
            // The unit of the boot has to stand before a shutdown can stop it.
            let mut starts: Vec<&[&str]> = Vec::new();
            if changed {
                starts.push(&["start", systemd::BOOT]);
            }
            match self {
                Self::Timer(_) if changed => starts.push(&["restart", systemd::TIMER]),
                Self::Service(_) if changed || new_programs => starts.push(&["restart", systemd::MONITOR]),
                Self::Timer(_) | Self::Service(_) | Self::Cron => {}
            }
            for start in starts {
                systemctl(site, start)?;
            }
        }
        let present = read_crontab(site)?;
        let wanted = match self {
            Self::Cron => crontab::with(&present, units.is_empty() && Init::of(site).is_none()),
            Self::Timer(_) | Self::Service(_) => crontab::without(&present),
        };
        changed |= write_crontab(site, &present, &wanted)?;
        Ok(changed)
    }

    /// A unit that should be active and is not: somebody stopped it, or an installation that was cut short never
    /// started it.
    pub(crate) fn idle_unit(self, site: &Site<'_>) -> Option<&'static str> {
        if !site.live || !site.has_systemd() {
            return None;
        }
        let runner = match self {
            Self::Timer(_) => Some(systemd::TIMER),
            Self::Service(_) => Some(systemd::MONITOR),
            Self::Cron => None,
        };
        let mut names = [systemd::BOOT].into_iter().chain(runner);
        names.find(|name| systemctl(site, &["is-active", "--quiet", name]).is_err())
    }

    fn units(self) -> Vec<(&'static str, String)> {
        let mut units = vec![(systemd::BOOT, systemd::boot())];
        match self {
            Self::Timer(every) => {
                units
                    .extend([(systemd::MONITOR, systemd::minute()), (systemd::TIMER, systemd::timer(every))]);
            }
            Self::Service(every) => units.push((systemd::MONITOR, systemd::service(every))),
            Self::Cron => {}
        }
        units
    }
}

/// Whether a cron daemon runs, under any of the names that distributions give it.
pub fn cron_runs(site: &Site<'_>) -> bool {
    site.system.runs(&["cron", "crond", "cronie", "fcron", "dcron", "busybox-crond"])
}

/// How the cron daemon is started here.
pub fn cron_start(site: &Site<'_>) -> &'static str {
    let service = |name: &str| {
        site.paths.join("lib/systemd/system").join(name).exists()
            || site.paths.join("usr/lib/systemd/system").join(name).exists()
    };
    match (site.has_systemd(), site.system.has("rc-update")) {
        (true, _) if service("cron.service") => "systemctl enable --now cron",
        (true, _) if service("cronie.service") => "systemctl enable --now cronie",
        (true, _) => "systemctl enable --now crond",
        (false, true) => "rc-update add crond && rc-service crond start",
        (false, false) => "service cron start",
    }
}

/// Root's crontab, byte by byte; empty when there is none.
pub fn read_crontab(site: &Site<'_>) -> Result<Vec<u8>, SetupError> {
    if !site.live {
        let path = site.paths.join(SPOOL);
        return match file::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|source| SetupError::Read { path, source }),
        };
    }
    if !site.system.has("crontab") {
        return Ok(Vec::new());
    }
    match site.system.run(&["crontab", "-l"], b"") {
        Err(SystemError::Failed { said, .. })
            if said.contains("no crontab") || said.contains("No such file") =>
        {
            Ok(Vec::new())
        }
        read => read.map_err(SetupError::ReadCrontab),
    }
}

/// Replaces root's crontab if that changes it. One that becomes empty is removed.
pub fn write_crontab(site: &Site<'_>, present: &[u8], wanted: &[u8]) -> Result<bool, SetupError> {
    if present == wanted {
        return Ok(false);
    }
    if !site.live {
        let path = site.paths.join(SPOOL);
        if wanted.is_empty() {
            return place::remove(&path);
        }
        return Ok(place::file(&path, wanted, 0o600)? != Placed::Same);
    }
    let command: &[&str] = if wanted.is_empty() { &["crontab", "-r"] } else { &["crontab", "-"] };
    let mut wanted = wanted.to_owned();
    if wanted.last().is_some_and(|&byte| byte != b'\n') {
        // `crontab` takes no table whose last line has no end, and cron runs none.
        wanted.push(b'\n');
    }
    let written = site.system.run(command, &wanted);
    written.map_err(|source| SetupError::WriteCrontab { line: crontab::MINUTE, source })?;
    Ok(true)
}

/// Whether a unit of ours is there.
pub(crate) fn has_unit(site: &Site<'_>, name: &str) -> bool {
    unit_path(site, name).exists()
}

/// Stops and removes a unit of ours. True when there was something.
pub(crate) fn remove_unit(site: &Site<'_>, name: &str, wants: &str) -> Result<bool, SetupError> {
    let path = unit_path(site, name);
    if site.live && has_unit(site, name) {
        systemctl(site, &["stop", name])?;
    }
    let link = place::remove(&link_path(site, name, wants))?;
    Ok(place::remove(&path)? || link)
}

pub(crate) fn systemctl(site: &Site<'_>, words: &[&str]) -> Result<(), SetupError> {
    let command: Vec<&str> = ["systemctl"].into_iter().chain(words.iter().copied()).collect();
    site.system.run(&command, b"").map(drop).map_err(SetupError::Systemd)
}

fn unit_path(site: &Site<'_>, name: &str) -> PathBuf {
    site.paths.join(UNITS).join(name)
}

fn link_path(site: &Site<'_>, name: &str, wants: &str) -> PathBuf {
    site.paths.join(UNITS).join(wants).join(name)
}
