//! What can be seen of a machine without changing it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use pm_core::config::ForwardPolicy;
use pm_core::port::PortRange;
use pm_kernel::floor::version;
use pm_monitor::machine::{Machine, MachineError, View};
use pm_monitor::standing::{Limits, Standing};
use pm_monitor::{Paths, host};

use crate::error::SetupError;
use crate::initscript::Init;
use crate::install::{PROGRAMS, program_path};
use crate::place;
use crate::schedule::{self, Schedule};
use crate::site::Site;

/// Everything that the checks look at.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether this process may change the network's rules.
    pub may_change: bool,
    /// The program `nft`.
    pub nft: Tool,
    /// The kernel's release, such as `6.1.0-18-amd64`.
    pub kernel: String,
    /// Kernel modules that pm uses and that this kernel is known not to have.
    pub lacking: Vec<&'static str>,
    /// The kind of container that this is.
    pub container: Option<String>,
    /// Which of the two programs are not where they belong.
    pub missing_programs: Vec<PathBuf>,
    /// config.json.
    pub configuration: Configuration,
    /// The table.
    pub rules: State,
    /// The speed limits.
    pub limits: State,
    /// The interface that is configured or, without one, that of the default route.
    pub interface: Interface,
    /// Who runs the monitor; what could not be read, as a sentence.
    pub schedule: Result<Option<Schedule>, String>,
    /// A unit of systemd that should be active and is not.
    pub idle_unit: Option<&'static str>,
    /// Whether cron runs.
    pub cron_runs: bool,
    /// Whether the script for boot and shutdown stands; none where the machine has no use for one.
    pub init_script: Option<bool>,
    /// How cron is started.
    pub cron_start: &'static str,
    /// When the monitor last ran.
    pub last_run: Option<Timestamp>,
    /// The present moment.
    pub now: Zoned,
    /// Locks that are held for longer than a minute takes, with who holds them.
    pub holders: Vec<(PathBuf, String)>,
    /// What is free where config.json is, in bytes.
    pub free: Option<u64>,
    /// Messages that wait.
    pub waiting: usize,
    /// Why the last attempt of a channel failed, by its name.
    pub errors: Vec<(String, String)>,
    /// Other programs here that change the firewall.
    pub neighbours: Vec<&'static str>,
    /// Whether the machine forwards.
    pub forwards: bool,
    /// Flowtables, through which packets pass unseen.
    pub flowtables: Vec<String>,
    /// Metered ports from which connections of the machine itself may leave.
    pub outgoing: Vec<PortRange>,
}

/// A program of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// It is not here.
    Missing,
    /// It did not tell a version, but said this.
    Unknown(String),
    /// Its version.
    Version(Vec<u32>),
}

/// config.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// There is none.
    None,
    /// It cannot be used, and why.
    Unusable(String),
    /// It can.
    Good {
        /// The entries.
        ports: usize,
        /// Whether others can read it.
        open: bool,
        /// What it says that nobody can have meant.
        warnings: Vec<String>,
        /// Whether forwarded traffic is left alone.
        forward_off: bool,
    },
}

/// Whether a part of the kernel is as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is nothing to be in force.
    NotNeeded,
    /// It waits for a default route.
    Waiting,
    /// It is as it should be, or not.
    Known(bool),
    /// It cannot be told, and why.
    Unknown(String),
}

/// The interface that limits are held on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// There is neither a default route nor a name in the configuration.
    None,
    /// The configuration names one that does not exist.
    Gone(String),
    /// It is this one.
    Here(String),
}

impl Facts {
    /// Looks at everything.
    pub async fn gather(site: &Site<'_>, machine: &Machine, now: &Zoned) -> Self {
        let view = machine.view(now).await;
        let standing = machine.standing(now).await;
        let (rules, limits) = states(standing);
        let net = host::read();
        let config = view.as_ref().ok().map(|view| &view.snapshot.config);
        let configured = config.and_then(|config| config.interface.clone());
        let state = view.as_ref().ok().map(|view| &view.snapshot.state);
        let ports: Vec<PortRange> = config.iter().flat_map(|config| config.ports.keys().copied()).collect();
        let kernel = text("/proc/sys/kernel/osrelease");
        let schedule = schedule_of(site).map_err(|error| pm_monitor::run::whole(&error));
        Self {
            may_change: may_change(&text("/proc/self/status")),
            nft: tool(site, "nft", "--version"),
            lacking: lacking(&kernel),
            kernel,
            container: container(),
            missing_programs: PROGRAMS
                .iter()
                .map(|name| program_path(site, name))
                .filter(|path| !path.is_file())
                .collect(),
            configuration: configuration(&site.paths, &view),
            rules,
            limits,
            interface: interface(configured, net.default_interface, host::has_interface),
            idle_unit: schedule.as_ref().ok().and_then(|present| (*present)?.idle_unit(site)),
            schedule,
            cron_runs: schedule::cron_runs(site),
            init_script: Init::of(site).map(|init| init.stands(site)),
            cron_start: schedule::cron_start(site),
            last_run: state.and_then(|state| state.last_run),
            now: now.clone(),
            holders: holders(&site.paths),
            free: free(&site.paths),
            waiting: state.map_or(0, |state| state.outbox.messages.len()),
            errors: state.map_or_else(Vec::new, |state| {
                let failed = |(name, progress): (&String, &pm_core::progress::Progress)| {
                    Some((name.clone(), progress.last_error.as_ref()?.text.clone()))
                };
                state.outbox.progress.iter().filter_map(failed).collect()
            }),
            neighbours: neighbours(site),
            forwards: net.forwards,
            flowtables: flowtables(site),
            outgoing: ports.into_iter().filter(|&port| host::outgoing(port).is_some()).collect(),
        }
    }
}

/// Other users have a crontab of their own, which says nothing.
fn schedule_of(site: &Site<'_>) -> Result<Option<Schedule>, SetupError> {
    let present = Schedule::present(site)?;
    let is_stranger = site.live && !rustix::process::geteuid().is_root();
    if is_stranger && matches!(present, None | Some(Schedule::Cron)) {
        return Err(SetupError::OnlyRootKnows);
    }
    Ok(present)
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn states(standing: Result<Standing, MachineError>) -> (State, State) {
    let known = |result: Result<bool, pm_core::backend::BackendError>| match result {
        Ok(stands) => State::Known(stands),
        Err(error) => State::Unknown(error.to_string()),
    };
    match standing {
        Ok(Standing { rules, limits }) => {
            let limits = match limits {
                Limits::None => State::NotNeeded,
                Limits::Waiting => State::Waiting,
                Limits::Looked(result) => known(result),
            };
            (known(rules), limits)
        }
        Err(error) => {
            let unknown = State::Unknown(pm_monitor::run::whole(&error));
            (unknown.clone(), unknown)
        }
    }
}

/// The kernel's number of the right to change the network.
const CAP_NET_ADMIN: u32 = 12;

/// Whether `/proc/self/status` grants it.
fn may_change(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> CAP_NET_ADMIN & 1 == 1)
}

fn tool(site: &Site<'_>, name: &str, asks: &str) -> Tool {
    if !site.system.has(name) {
        return Tool::Missing;
    }
    match site.system.run(&[name, asks], b"") {
        Ok(said) => {
            let said = String::from_utf8_lossy(&said);
            version(&said).map_or_else(|| Tool::Unknown(said.trim().to_owned()), Tool::Version)
        }
        Err(error) => Tool::Unknown(error.to_string()),
    }
}

/// Modules that this kernel has neither loaded nor built in nor on disk. Where that cannot be told, none.
fn lacking(release: &str) -> Vec<&'static str> {
    const USED: [&str; 4] = ["nf_tables", "nf_conntrack", "sch_htb", "sch_fq_codel"];
    let list = |name: &str| text(&format!("/lib/modules/{release}/{name}"));
    let (built_in, on_disk) = (list("modules.builtin"), list("modules.dep"));
    if built_in.is_empty() && on_disk.is_empty() {
        return Vec::new();
    }
    let has = |name: &&str| {
        let file = format!("/{name}.ko");
        Path::new("/sys/module").join(name).exists() || built_in.contains(&file) || on_disk.contains(&file)
    };
    USED.into_iter().filter(|name| !has(name)).collect()
}

fn container() -> Option<String> {
    if Path::new("/proc/vz").exists() && !Path::new("/proc/bc").exists() {
        return Some("openvz".to_owned());
    }
    let told = text("/run/systemd/container");
    let of_init = || {
        let environment = text("/proc/1/environ");
        environment.split('\0').find_map(|line| line.strip_prefix("container=")).map(str::to_owned)
    };
    let docker = || Path::new("/.dockerenv").exists().then(|| "docker".to_owned());
    Some(told).filter(|told| !told.is_empty()).or_else(of_init).or_else(docker)
}

fn configuration(paths: &Paths, view: &Result<View, MachineError>) -> Configuration {
    match view {
        Err(error) => Configuration::Unusable(pm_monitor::run::whole(error)),
        Ok(_) if !paths.config().exists() => Configuration::None,
        Ok(view) => Configuration::Good {
            ports: view.snapshot.config.ports.len(),
            open: [paths.config(), paths.join("etc/port_monitor")]
                .iter()
                .any(|path| place::is_open_to_others(path)),
            warnings: view.warnings.iter().map(ToString::to_string).collect(),
            forward_off: view.snapshot.config.forward == ForwardPolicy::Off,
        },
    }
}

fn interface(
    configured: Option<String>,
    default: Option<String>,
    exists: impl Fn(&str) -> bool,
) -> Interface {
    match configured.filter(|name| !name.is_empty()) {
        Some(name) if exists(&name) => Interface::Here(name),
        Some(name) => Interface::Gone(name),
        None => default.map_or(Interface::None, Interface::Here),
    }
}

/// Nobody holds a lock for as long as this, but who hangs.
const GLANCE: Duration = Duration::from_millis(700);

fn holders(paths: &Paths) -> Vec<(PathBuf, String)> {
    let look = || {
        let held = fs::read_to_string("/proc/locks").unwrap_or_default();
        let of = |path: PathBuf| Some((holder(&held, fs::metadata(&path).ok()?.ino())?, path));
        [paths.lock(), paths.cron_lock()].into_iter().filter_map(of).collect::<Vec<_>>()
    };
    let first = look();
    if first.is_empty() {
        return Vec::new();
    }
    sleep(GLANCE);
    let still = look();
    let stays = first.into_iter().filter(|held| still.contains(held));
    stays
        .map(|(process, path)| {
            let name = text(&format!("/proc/{process}/comm"));
            (path, format!("{process} ({name})"))
        })
        .collect()
}

/// The process that holds a `flock` on the file with this number, in `/proc/locks`.
fn holder(locks: &str, inode: u64) -> Option<String> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|&word| word == "FLOCK")?;
        // A second arrow marks those who wait.
        let waits = words.contains(&"->");
        let file = words.get(at + 4)?.rsplit(':').next()?;
        (!waits && file.parse() == Ok(inode)).then(|| words.get(at + 3).map(ToString::to_string))?
    })
}

fn free(paths: &Paths) -> Option<u64> {
    let config = paths.config();
    let folder = config.ancestors().find(|folder| folder.is_dir())?;
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

fn neighbours(site: &Site<'_>) -> Vec<&'static str> {
    let ufw = fs::read_to_string(site.paths.join("etc/ufw/ufw.conf")).unwrap_or_default();
    let here = [
        ("docker", site.system.runs(&["dockerd"])),
        ("podman", site.system.runs(&["conmon"])),
        ("firewalld", site.system.runs(&["firewalld"])),
        ("ufw", ufw.lines().any(|line| line.trim() == "ENABLED=yes")),
    ];
    here.into_iter().filter(|(_, here)| *here).map(|(name, _)| name).collect()
}

/// The names of all flowtables, with the tables that they are in.
fn flowtables(site: &Site<'_>) -> Vec<String> {
    if !site.system.has("nft") {
        return Vec::new();
    }
    let listed = site.system.run(&["nft", "list", "flowtables"], b"").unwrap_or_default();
    named_flowtables(&String::from_utf8_lossy(&listed))
}

fn named_flowtables(listed: &str) -> Vec<String> {
    let mut table = "";
    let mut names = Vec::new();
    for line in listed.lines().map(|line| line.trim().trim_end_matches(" {")) {
        if let Some(name) = line.strip_prefix("table ") {
            table = name;
        } else if let Some(name) = line.strip_prefix("flowtable ") {
            names.push(format!("{table} {name}"));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_locks_and_flowtables_are_read_as_the_kernel_writes_them() {
        assert!(may_change("Name:\tpm\nCapEff:\t000001ffffffffff\n"));
        assert!(may_change("CapEff:\t0000000000001000\n") && !may_change("CapEff:\t0000000000000fff\n"));
        assert!(!may_change(""));
        let locks = "1: POSIX  ADVISORY  WRITE 10 fe:01:7 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 00:19:1234 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 4712 00:19:1234 0 EOF\n3: FLOCK  ADVISORY  WRITE 9 00:19:77 0 EOF\n";
        assert_eq!(holder(locks, 1234).as_deref(), Some("4711"));
        assert_eq!((holder(locks, 7), holder(locks, 5)), (None, None));
        let listed =
            "table inet filter {\n\tflowtable f {\n\t\thook ingress priority 0\n\t}\n}\ntable ip x {\n}\n";
        assert_eq!(named_flowtables(listed), ["inet filter f"]);
    }

    #[test]
    fn the_configured_interface_counts_before_the_default_route() {
        let exists = |name: &str| name == "eth0" || name == "eth1";
        let told = |configured: Option<&str>, default: Option<&str>| {
            interface(configured.map(str::to_owned), default.map(str::to_owned), exists)
        };
        assert_eq!(told(Some("eth1"), Some("eth0")), Interface::Here("eth1".into()));
        assert_eq!(told(Some("ens3"), Some("eth0")), Interface::Gone("ens3".into()));
        assert_eq!(told(Some(""), Some("eth0")), Interface::Here("eth0".into()));
        assert_eq!(told(None, None), Interface::None);
    }
}
