//! `pm install`: everything in its place, or the first thing that could not be put there.

use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Zoned;
use pm_core::wire::Snapshot;
use pm_kernel::file;
use pm_monitor::Machine;
use pm_monitor::lock::Lock;
use pm_monitor::machine::MachineError;
use pm_monitor::outcome::{MinuteOutcome, Outcome};
use pm_monitor::store::Store;

use crate::error::SetupError;
use crate::initscript::{self, Init};
use crate::packages::{self, Installation};
use crate::place::{self, Placed};
use crate::schedule::{self, Schedule, Wish};
use crate::site::Site;
use crate::takeover::{Script, TakenOver};

/// The two programs.
pub const PROGRAMS: [&str; 2] = ["pm", "pm-monitor"];

/// Something that was done, or has to be known.
#[derive(Debug)]
pub enum Step {
    /// These packages are being installed by this command.
    Installing(String),
    /// A program was put there.
    Program(PathBuf),
    /// The folder of the configuration was made, or closed to others.
    Folder(PathBuf),
    /// A configuration without ports was made.
    Configuration(PathBuf),
    /// The schedule is another one than before.
    Scheduled(Schedule),
    /// This script brings the rules back at boot and settles the accounts at shutdown.
    InitScript(PathBuf),
    /// The rules are in force.
    InForce(Outcome),
    /// No cron daemon runs; this starts it.
    NoCron(&'static str),
    /// Packages are missing, and a root that is not the machine's own gets none.
    Missing(Installation),
    /// The script's place was taken.
    TakenOver(TakenOver),
    /// Everything was as it should be.
    NothingToDo,
}

/// Whoever asked for it.
pub trait Listener {
    /// Something was done.
    fn tell(&mut self, step: Step);

    /// Whether these packages may be installed.
    fn agree(&mut self, installation: &Installation) -> bool;
}

/// What is installed, and how.
pub struct Request {
    /// The folder that holds both programs.
    pub from: PathBuf,
    /// The schedule.
    pub wish: Wish,
    /// The present moment.
    pub now: Zoned,
}

/// Installs pm.
pub async fn install(
    site: &Site<'_>,
    machine: &Machine,
    request: &Request,
    listener: &mut dyn Listener,
) -> Result<(), SetupError> {
    let programs = read_programs(&request.from)?;
    refuse_foreign(site)?;
    let store = Store::new(&site.paths);
    // A file that cannot be used is told before anything is changed.
    let has_configuration = store.load()?.is_some();
    let script = Script::find(site)?;
    let schedule = request.wish.at(site, script.is_some())?;
    let init = Init::of(site).filter(|_| schedule == Schedule::Cron);
    if init.is_some() && initscript::is_foreign(site) {
        return Err(SetupError::Foreign(initscript::path(site)));
    }
    let mut changed = fetch_packages(site, schedule == Schedule::Cron, listener)?;

    let takeover = script.map(|script| script.take_over(site, &request.now)).transpose()?;
    place::sweep(&site.paths.programs());
    let mut new_programs = false;
    for (name, bytes) in &programs {
        let path = program_path(site, name);
        if place::file(&path, bytes, 0o755)? != Placed::Same {
            new_programs = true;
            listener.tell(Step::Program(path));
        }
    }
    if let Some(takeover) = takeover {
        changed = true;
        listener.tell(Step::TakenOver(takeover.finish()?));
    }
    let folder = site.paths.join("etc/port_monitor");
    if place::private_folder(&folder)? {
        changed = true;
        listener.tell(Step::Folder(folder));
    }
    if has_configuration {
        let _lock = Lock::wait(&site.paths.lock())?;
        changed |= place::private(&site.paths.config(), 0o600)?;
    } else {
        let _lock = Lock::wait(&site.paths.lock())?;
        // Somebody may have made one meanwhile.
        if store.load()?.is_none() {
            store.save(&Snapshot::default())?;
        }
        changed = true;
        listener.tell(Step::Configuration(site.paths.config()));
    }
    // First, since the crontab's line for the boot goes where there is a script.
    changed |= if let Some(init) = init {
        let placed = init.apply(site)?;
        if placed {
            listener.tell(Step::InitScript(initscript::path(site)));
        }
        placed
    } else {
        initscript::dismiss(site)?;
        initscript::remove(site)?
    };
    if schedule.apply(site, new_programs)? {
        changed = true;
        listener.tell(Step::Scheduled(schedule));
    }
    changed |= new_programs;
    if changed {
        enforce(machine, &request.now, listener).await?;
    } else {
        listener.tell(Step::NothingToDo);
    }
    if site.live && schedule == Schedule::Cron && !schedule::cron_runs(site) {
        listener.tell(Step::NoCron(schedule::cron_start(site)));
    }
    Ok(())
}

/// Whether pm is installed at this site, as far as its own files tell.
pub fn is_installed(site: &Site<'_>) -> bool {
    PROGRAMS.iter().all(|name| program_path(site, name).is_file())
        && matches!(Schedule::present(site), Ok(Some(_)))
}

pub(crate) fn program_path(site: &Site<'_>, name: &str) -> PathBuf {
    site.paths.programs().join(name)
}

/// Whether a program is pm, of whatever version, or the script that came before it: all of them know the table's name.
pub(crate) fn is_ours(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"port_monitor";
    bytes.windows(NAME.len()).any(|window| window == NAME)
}

/// Whether somebody else's program, or a folder, has a name of ours. A link that leads nowhere is nobody's.
pub(crate) fn is_foreign(path: &Path) -> bool {
    match file::read(path) {
        Ok(bytes) => !is_ours(&bytes),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn refuse_foreign(site: &Site<'_>) -> Result<(), SetupError> {
    let foreign = PROGRAMS.map(|name| program_path(site, name)).into_iter().find(|path| is_foreign(path));
    foreign.map_or(Ok(()), |path| Err(SetupError::Foreign(path)))
}

fn read_programs(from: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, SetupError> {
    let own = fs::metadata("/proc/self/exe").map_or(0, |about| about.uid());
    let read = |name: &'static str| {
        let path = from.join(name);
        let opened = file::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let Ok((about, mut file)) = opened else { return Err(SetupError::Incomplete(path)) };
        if !is_as_ours(&about, own) {
            return Err(SetupError::Untrusted(path));
        }
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes).map(|_| (name, bytes));
        read.map_err(|source| SetupError::Read { path, source })
    };
    PROGRAMS.into_iter().map(read).collect()
}

/// Whether a program that root will run is in nobody's hands but root's, or of whom the program that runs now belongs to:
/// beside one that was unpacked in `/tmp`, anybody may have put the other.
fn is_as_ours(about: &Metadata, own: u32) -> bool {
    let user = about.uid();
    (file::is_trusted(user) || user == own) && about.permissions().mode() & 0o002 == 0
}

fn fetch_packages(site: &Site<'_>, cron: bool, listener: &mut dyn Listener) -> Result<bool, SetupError> {
    // Below another root, a crontab is a file.
    let missing = packages::missing(site.system, cron && site.live);
    if missing.is_empty() {
        return Ok(false);
    }
    let installation = packages::installation(site.system, &missing)?;
    if !site.live {
        listener.tell(Step::Missing(installation));
        return Ok(false);
    }
    if !listener.agree(&installation) {
        return Err(SetupError::PackagesRefused {
            packages: installation.packages.join(", "),
            command: installation.shown(),
        });
    }
    listener.tell(Step::Installing(installation.shown()));
    installation.run(site)?;
    Ok(true)
}

/// One minute but for telling, so that the rules stand when the installation ends.
async fn enforce(machine: &Machine, now: &Zoned, listener: &mut dyn Listener) -> Result<(), MachineError> {
    match machine.minute(now).await? {
        MinuteOutcome::Done(outcome) => listener.tell(Step::InForce(outcome)),
        // Somebody else's minute does the same.
        MinuteOutcome::Busy | MinuteOutcome::NothingConfigured => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn a_program_that_somebody_else_has_a_hand_in_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let modes = |mode: u32| {
            for name in PROGRAMS {
                fs::write(place(name), name).unwrap();
                fs::set_permissions(place(name), Permissions::from_mode(mode)).unwrap();
            }
        };
        modes(0o755);
        assert_eq!(read_programs(folder.path()).unwrap(), PROGRAMS.map(|name| (name, name.into())));
        modes(0o757);
        assert!(matches!(read_programs(folder.path()), Err(SetupError::Untrusted(_))));
        modes(0o755);
        if rustix::process::geteuid().is_root() && chown(place("pm-monitor"), Some(1000), None).is_ok() {
            let error = read_programs(folder.path()).unwrap_err().to_string();
            assert!(error.contains("pm-monitor") && error.contains("nothing was changed"), "{error}");
        }
        let about = fs::metadata(place("pm-monitor")).unwrap();
        assert!(is_as_ours(&about, about.uid()), "who could already change the program that runs");
    }
}
