//! Installations in folders, with a system that only takes notes.

mod initscript;
mod leaving;
mod takeover;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use jiff::{SignedDuration, Zoned};
use pm_core::desired::Host;
use pm_core::fake::FakeKernel;
use pm_monitor::{Machine, Paths};
use tempfile::TempDir;

use crate::SetupError;
use crate::crontab;
use crate::doctor::Facts;
use crate::install::{Listener, PROGRAMS, Request, Step, install, is_installed};
use crate::packages::{self, Installation};
use crate::schedule::{Runner, Wish};
use crate::site::Site;
use crate::system::{System, SystemError};

/// A system that has some programs, a crontab, and notes what it is told.
#[derive(Default)]
pub(crate) struct Notes {
    programs: RefCell<BTreeSet<String>>,
    processes: Vec<&'static str>,
    crontab: RefCell<Option<Vec<u8>>>,
    fails: BTreeMap<&'static str, &'static str>,
    commands: RefCell<Vec<String>>,
}

impl Notes {
    fn with(programs: &[&str]) -> Self {
        let programs = programs.iter().map(ToString::to_string).collect();
        Self { programs: RefCell::new(programs), ..Self::default() }
    }

    /// The commands since the last time.
    fn commands(&self) -> Vec<String> {
        std::mem::take(&mut *self.commands.borrow_mut())
    }

    fn fail(&self, command: &[&str]) -> Result<(), SystemError> {
        let line = command.join(" ");
        let why =
            self.fails.iter().find(|(start, _)| line.starts_with(**start)).map(|(_, why)| (*why).to_owned());
        why.map_or(Ok(()), |said| {
            Err(SystemError::Failed { command: line, status: ExitStatus::from_raw(256), said })
        })
    }
}

impl System for Notes {
    fn has(&self, program: &str) -> bool {
        self.programs.borrow().contains(program)
    }

    fn runs(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.processes.contains(name))
    }

    fn run(&self, command: &[&str], input: &[u8]) -> Result<Vec<u8>, SystemError> {
        self.fail(command)?;
        match command {
            ["crontab", "-l"] => {
                let none = SystemError::Failed {
                    command: "crontab -l".into(),
                    status: ExitStatus::from_raw(256),
                    said: "no crontab for admin".into(),
                };
                return self.crontab.borrow().clone().ok_or(none);
            }
            ["crontab", "-"] if !input.ends_with(b"\n") => {
                return Err(SystemError::Failed {
                    command: "crontab -".into(),
                    status: ExitStatus::from_raw(256),
                    said: "new crontab file is missing newline before EOF, can't install.".into(),
                });
            }
            ["crontab", "-"] => *self.crontab.borrow_mut() = Some(input.to_vec()),
            ["systemctl", "is-active", ..] => return Ok(Vec::new()),
            ["crontab", "-r"] => *self.crontab.borrow_mut() = None,
            _ => {}
        }
        self.commands.borrow_mut().push(command.join(" "));
        Ok(Vec::new())
    }

    fn show(&self, command: &[&str]) -> Result<(), SystemError> {
        self.commands.borrow_mut().push(format!("! {}", command.join(" ")));
        self.fail(command)?;
        // The last words of an installation are packages.
        let programs = [("nftables", "nft"), ("cron", "crontab")];
        let came = programs
            .iter()
            .filter(|(package, _)| command.contains(package))
            .map(|(_, name)| (*name).to_owned());
        self.programs.borrow_mut().extend(came);
        Ok(())
    }
}

/// Says yes or no, and remembers what was done.
struct Ear {
    agrees: bool,
    steps: Vec<String>,
    asked: Vec<String>,
}

impl Listener for Ear {
    fn tell(&mut self, step: Step) {
        let name = format!("{step:?}");
        self.steps.push(name.split(['(', ' ']).next().unwrap_or_default().to_owned());
    }

    fn agree(&mut self, installation: &Installation) -> bool {
        self.asked.push(installation.shown());
        self.agrees
    }
}

/// A machine in a folder.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) system: Notes,
    live: bool,
    pub(crate) kernel: FakeKernel,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub(crate) fn new(system: Notes, systemd: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("download");
        fs::create_dir(&source).unwrap();
        for name in PROGRAMS {
            fs::write(source.join(name), format!("the program {name} of port_monitor")).unwrap();
        }
        if systemd {
            fs::create_dir_all(folder.path().join("run/systemd/system")).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, system, live: true, kernel: FakeKernel::default(), runtime }
    }

    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub(crate) fn site(&self) -> Site<'_> {
        Site { paths: Paths::under(self.folder.path()), live: self.live, system: &self.system }
    }

    pub(crate) fn machine(&self) -> Machine {
        let kernel = || Box::new(self.kernel.clone());
        Machine::new(Paths::under(self.folder.path()), kernel(), kernel(), Box::new(Host::default))
    }

    fn install_with(&self, wish: Wish, agrees: bool) -> (Result<(), SetupError>, Ear) {
        let mut ear = Ear { agrees, steps: Vec::new(), asked: Vec::new() };
        let request = Request { from: self.path("download"), wish, now: now() };
        let done = self.runtime.block_on(install(&self.site(), &self.machine(), &request, &mut ear));
        (done, ear)
    }

    pub(crate) fn install(&self, runner: Option<Runner>) -> Vec<String> {
        let (done, ear) = self.install_with(Wish { runner, every: None }, true);
        done.unwrap();
        ear.steps
    }
}

pub(crate) fn now() -> Zoned {
    "2026-03-10T12:00:00+00:00[UTC]".parse().unwrap()
}

pub(crate) const ALL: [&str; 2] = ["nft", "crontab"];

/// Every file below a folder with its bytes, its mode and when it was changed.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, (Vec<u8>, u32, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let about = fs::symlink_metadata(entry.path()).unwrap();
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                let (mode, time) = (about.permissions().mode() & 0o7777, about.modified().unwrap());
                files.insert(entry.path().display().to_string(), (bytes, mode, time));
            }
        }
    }
    files
}

#[test]
fn with_systemd_a_timer_runs_pm_and_a_unit_stands_for_boot_and_shutdown() {
    let bench = Bench::new(Notes::with(&ALL), true);
    assert!(!is_installed(&bench.site()));
    assert_eq!(
        bench.install(None),
        ["Program", "Program", "Folder", "Configuration", "Scheduled", "InForce"]
    );
    assert!(is_installed(&bench.site()));
    assert_eq!(
        bench.system.commands(),
        ["systemctl daemon-reload", "systemctl start pm-boot.service", "systemctl restart pm-monitor.timer"]
    );
    assert_eq!(bench.text("usr/local/bin/pm-monitor"), "the program pm-monitor of port_monitor");
    let mode = |path: &str| fs::metadata(bench.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("usr/local/bin/pm"), mode("etc/port_monitor")), (0o755, 0o700));
    assert_eq!(mode("etc/port_monitor/config.json"), 0o600);
    let link = |path: &str| fs::read_link(bench.path("etc/systemd/system").join(path)).unwrap();
    assert_eq!(
        link("timers.target.wants/pm-monitor.timer"),
        Path::new("/etc/systemd/system/pm-monitor.timer")
    );
    assert_eq!(
        link("multi-user.target.wants/pm-boot.service"),
        Path::new("/etc/systemd/system/pm-boot.service")
    );
    assert!(!bench.path("etc/systemd/system/multi-user.target.wants/pm-monitor.service").exists());
    assert_eq!(*bench.system.crontab.borrow(), None);
}

#[test]
fn a_second_time_changes_nothing_and_says_so() {
    for (systemd, runner) in
        [(true, Runner::Timer), (true, Runner::Service), (true, Runner::Cron), (false, Runner::Cron)]
    {
        let bench = Bench::new(Notes { processes: vec!["crond"], ..Notes::with(&ALL) }, systemd);
        bench.install(Some(runner));
        bench.system.commands();
        let before = (tree(bench.folder.path()), bench.system.crontab.borrow().clone());
        for again in [None, Some(runner)] {
            assert_eq!(bench.install(again), ["NothingToDo"], "{runner:?}");
            assert_eq!(bench.system.commands(), [] as [&str; 0]);
            assert_eq!((tree(bench.folder.path()), bench.system.crontab.borrow().clone()), before);
        }
    }
}

#[test]
fn one_schedule_follows_another_and_only_one_is_left() {
    let bench = Bench::new(Notes { processes: vec!["cron"], ..Notes::with(&ALL) }, true);
    *bench.system.crontab.borrow_mut() = Some(b"0 1 * * * /a\r\n".to_vec());
    bench.install(Some(Runner::Cron));
    let table = bench.system.crontab.borrow().clone().unwrap();
    assert!(crontab::has_minute(&table) && !String::from_utf8(table).unwrap().contains("@reboot"));
    assert!(bench.path("etc/systemd/system/pm-boot.service").exists());
    bench.system.commands();
    assert_eq!(bench.install(Some(Runner::Service)), ["Scheduled", "InForce"]);
    assert_eq!(
        bench.system.commands(),
        [
            "systemctl daemon-reload",
            "systemctl start pm-boot.service",
            "systemctl restart pm-monitor.service",
            "crontab -"
        ]
    );
    assert_eq!(bench.system.crontab.borrow().as_deref(), Some(&b"0 1 * * * /a\r\n"[..]));
    bench.install(Some(Runner::Timer));
    assert!(!bench.path("etc/systemd/system/multi-user.target.wants/pm-monitor.service").exists());
    bench.system.commands();
    bench.install(Some(Runner::Cron));
    assert_eq!(bench.system.commands()[0], "systemctl stop pm-monitor.service");
    assert_eq!(bench.system.commands(), [] as [&str; 0]);
    assert!(!bench.path("etc/systemd/system/pm-monitor.timer").exists());
}

#[test]
fn a_timer_or_a_service_that_stands_still_is_found_and_started() {
    for (runner, unit) in
        [(Runner::Timer, "pm-monitor.timer"), (Runner::Service, "pm-monitor.service"), (Runner::Cron, "")]
    {
        for idle in [unit, "pm-boot.service"].into_iter().filter(|name| !name.is_empty()) {
            let mut bench = Bench::new(Notes { processes: vec!["cron"], ..Notes::with(&ALL) }, true);
            bench.install(Some(runner));
            bench.system.commands();
            let question: &str = format!("systemctl is-active --quiet {idle}").leak();
            bench.system.fails = BTreeMap::from([(question, "")]);
            let facts = bench.runtime.block_on(Facts::gather(&bench.site(), &bench.machine(), &now()));
            assert_eq!(facts.idle_unit, Some(idle), "{runner:?}");
            assert_eq!(bench.install(None), ["Scheduled", "InForce"]);
            let commands = bench.system.commands();
            let starts = ["systemctl start ", "systemctl restart "].map(|start| format!("{start}{idle}"));
            assert!(commands.iter().any(|command| starts.contains(command)), "{commands:?}");
        }
    }
}

#[test]
fn a_new_program_starts_the_service_anew() {
    let bench = Bench::new(Notes::with(&ALL), true);
    bench.install(Some(Runner::Service));
    bench.system.commands();
    fs::write(bench.path("download/pm-monitor"), "a newer program of port_monitor").unwrap();
    assert_eq!(bench.install(None), ["Program", "InForce"]);
    assert_eq!(bench.system.commands(), ["systemctl restart pm-monitor.service"]);
}

#[test]
fn without_systemd_cron_runs_pm_and_a_cron_that_does_not_run_is_told() {
    let bench = Bench::new(Notes::with(&ALL), false);
    assert_eq!(bench.install(None).last().unwrap(), "NoCron");
    let table = bench.system.crontab.borrow().clone().unwrap();
    assert_eq!(String::from_utf8(table).unwrap(), format!("{}\n{}\n", crontab::MINUTE, crontab::BOOT));
    for runner in [Runner::Timer, Runner::Service] {
        let (refused, _) = bench.install_with(Wish { runner: Some(runner), every: None }, true);
        assert!(matches!(refused, Err(SetupError::NoSystemd)));
    }
    let every = Some(SignedDuration::from_secs(5));
    let (refused, _) = bench.install_with(Wish { runner: None, every }, true);
    assert!(matches!(refused, Err(SetupError::CronIsEveryMinute)));
}

#[test]
fn a_crontab_that_cannot_be_read_is_never_replaced() {
    let fails = BTreeMap::from([("crontab -l", "you are not allowed to use this program")]);
    let bench = Bench::new(Notes { fails, ..Notes::with(&ALL) }, false);
    let (refused, ear) = bench.install_with(Wish::default(), true);
    assert!(matches!(refused, Err(SetupError::ReadCrontab(_))) && ear.steps.is_empty());
    assert!(!bench.path("usr").exists());
}

#[test]
fn missing_packages_are_shown_and_asked_for_first() {
    let bench = Bench::new(Notes::with(&["apt-get"]), false);
    let shown = "apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nftables cron";
    let (refused, ear) = bench.install_with(Wish::default(), false);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(shown) && refused.contains("nftables, cron"), "{refused}");
    assert_eq!((ear.asked, ear.steps), (vec![shown.to_owned()], Vec::new()));
    assert!(!bench.path("usr").exists() && bench.system.commands().is_empty());
    let (done, ear) = bench.install_with(Wish::default(), true);
    done.unwrap();
    assert_eq!(ear.steps[..2], ["Installing", "Program"]);
    assert_eq!(bench.system.commands()[..2], ["! apt-get update", &format!("! {}", &shown[18..])]);

    let fails = BTreeMap::from([("dnf", "")]);
    let bench = Bench::new(Notes { fails, ..Notes::with(&["dnf", "yum", "crontab"]) }, true);
    let (failed, _) = bench.install_with(Wish::default(), true);
    let failed = failed.unwrap_err().to_string();
    assert!(failed.contains("nftables") && failed.contains("`dnf install -y nftables`"), "{failed}");
    assert!(!bench.path("usr").exists());
}

#[test]
fn each_package_manager_is_asked_in_its_own_words() {
    let commands: Vec<String> = ["apt-get", "dnf", "yum", "apk", "pacman", "zypper"]
        .into_iter()
        .map(|manager| {
            let system = Notes::with(&[manager]);
            packages::installation(&system, &packages::missing(&system, true)).unwrap().shown()
        })
        .collect();
    insta::assert_snapshot!("package_managers", commands.join("\n"));
    let none = Notes::default();
    let error = packages::installation(&none, &packages::missing(&none, false)).unwrap_err().to_string();
    assert!(error.contains("nft") && error.contains("nftables"), "{error}");
}

#[test]
fn half_a_download_or_a_broken_configuration_changes_nothing() {
    let bench = Bench::new(Notes::with(&ALL), true);
    fs::remove_file(bench.path("download/pm-monitor")).unwrap();
    let (refused, _) = bench.install_with(Wish::default(), true);
    assert!(refused.unwrap_err().to_string().contains("download/pm-monitor"));
    assert!(!bench.path("usr").exists());

    let bench = Bench::new(Notes::with(&ALL), true);
    fs::create_dir_all(bench.path("etc/port_monitor")).unwrap();
    fs::write(bench.path("etc/port_monitor/config.json"), "{").unwrap();
    let (refused, _) = bench.install_with(Wish::default(), true);
    assert!(matches!(refused, Err(SetupError::Store(_))));
    assert!(!bench.path("usr").exists() && bench.text("etc/port_monitor/config.json") == "{");
}

#[test]
fn below_another_root_the_system_is_told_nothing() {
    for systemd in [true, false] {
        let mut bench = Bench::new(Notes::with(&["apt-get"]), systemd);
        bench.live = false;
        assert_eq!(bench.install(None)[0], "Missing");
        assert_eq!(bench.system.commands(), [] as [&str; 0]);
        assert_eq!(*bench.system.crontab.borrow(), None);
        assert_eq!(bench.text("var/spool/cron/crontabs/root").contains(crontab::MINUTE), !systemd);
        assert_eq!(bench.path("etc/systemd/system/pm-monitor.timer").exists(), systemd);
    }
}

#[test]
fn somebody_elses_program_of_our_name_is_not_replaced() {
    let bench = Bench::new(Notes::with(&ALL), true);
    fs::create_dir_all(bench.path("usr/local/bin")).unwrap();
    fs::write(bench.path("usr/local/bin/pm"), "a process manager").unwrap();
    let (refused, _) = bench.install_with(Wish::default(), true);
    assert!(matches!(refused, Err(SetupError::Foreign(_))));
    assert_eq!(bench.text("usr/local/bin/pm"), "a process manager");
    assert!(!bench.path("usr/local/bin/pm-monitor").exists() && !bench.path("etc").exists());
}
