//! The checks: each a function from the facts to one finding.

use jiff::SignedDuration;
use pm_core::units::Bytes;
use pm_kernel::floor::{self, dotted, version};

use crate::doctor::facts::{Configuration, Facts, Interface, State, Tool};
use crate::schedule::Schedule;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and something should be known.
    Warning,
    /// Something does not work.
    Bad,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Whether this process may change the network.
    Rights,
    /// The programs of pm.
    Programs,
    /// The firewall's program.
    Nft,
    /// The kernel.
    Kernel,
    /// config.json.
    Configuration,
    /// The table.
    Rules,
    /// The speed limits.
    Limits,
    /// The interface.
    Interface,
    /// Who runs the monitor.
    Schedule,
    /// When it last ran.
    LastRun,
    /// Who holds the locks.
    Locks,
    /// The clock and its zone.
    Clock,
    /// What is free on the disk.
    Disk,
    /// The queue of messages.
    Messages,
    /// Other programs that change the firewall.
    Neighbours,
    /// Packets that pass unseen.
    Offload,
    /// Ports that the machine's own connections may leave from.
    Outgoing,
}

/// What was found. A person is told in the words of a language, with the values in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the name of a sentence in the catalogue")]
pub enum Case {
    MayChange,
    MayNotChange,
    ProgramsHere,
    ProgramsMissing,
    ToolGood,
    ToolOld,
    ToolUnknown,
    NftMissing,
    KernelGood,
    KernelOld,
    KernelLacks,
    KernelInContainer,
    ConfigurationGood,
    ConfigurationNone,
    ConfigurationUnusable,
    ConfigurationOpen,
    ConfigurationDoubtful,
    InForce,
    NotInForce,
    NotNeeded,
    Waiting,
    CannotTell,
    InterfaceHere,
    InterfaceGone,
    InterfaceNone,
    Timer,
    Service,
    Cron,
    CronStopped,
    UnitStopped,
    CronWithoutScript,
    Unscheduled,
    Ran,
    RanLongAgo,
    NeverRan,
    LocksFree,
    LockHeld,
    ClockGood,
    ClockWrong,
    ClockBack,
    DiskGood,
    DiskFull,
    NoMessages,
    MessagesWait,
    MessagesFail,
    NoNeighbours,
    NeighboursFine,
    NeighboursUnmetered,
    NoOffload,
    Offload,
    NoOutgoing,
    Outgoing,
}

/// One line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub case: Case,
    /// What belongs into its sentence.
    pub values: Vec<String>,
}

/// All checks, in the order of the page.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    const CHECKS: [fn(&Facts) -> Finding; 17] = [
        rights,
        programs,
        nft,
        kernel,
        configuration,
        rules,
        limits,
        interface,
        schedule,
        last_run,
        locks,
        clock,
        disk,
        messages,
        neighbours,
        offload,
        outgoing,
    ];
    CHECKS.iter().map(|check| check(facts)).collect()
}

/// A minute that is late by this much is missing.
const LATE: SignedDuration = SignedDuration::from_mins(3);
/// A clock before this program was written is wrong: 2026-01-01.
const WRITTEN: i64 = 1_767_225_600;
/// Below this, the next write of ten thousand entries may fail.
const LITTLE: u64 = 32 << 20;
const VERY_LITTLE: u64 = 2 << 20;

fn good(check: Check, case: Case, values: impl IntoIterator<Item = String>) -> Finding {
    Finding { check, verdict: Verdict::Good, case, values: values.into_iter().collect() }
}

fn warning(check: Check, case: Case, values: impl IntoIterator<Item = String>) -> Finding {
    Finding { check, verdict: Verdict::Warning, case, values: values.into_iter().collect() }
}

fn bad(check: Check, case: Case, values: impl IntoIterator<Item = String>) -> Finding {
    Finding { check, verdict: Verdict::Bad, case, values: values.into_iter().collect() }
}

fn rights(facts: &Facts) -> Finding {
    if facts.may_change {
        good(Check::Rights, Case::MayChange, [])
    } else {
        bad(Check::Rights, Case::MayNotChange, [])
    }
}

fn programs(facts: &Facts) -> Finding {
    match facts.missing_programs.as_slice() {
        [] => good(Check::Programs, Case::ProgramsHere, []),
        missing => {
            let names: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
            bad(Check::Programs, Case::ProgramsMissing, [names.join(", ")])
        }
    }
}

fn nft(facts: &Facts) -> Finding {
    let missing = bad(Check::Nft, Case::NftMissing, []);
    tool(&facts.nft, missing, floor::NFT)
}

fn tool(tool: &Tool, missing: Finding, oldest: &[u32]) -> Finding {
    let check = missing.check;
    match tool {
        Tool::Missing => missing,
        Tool::Version(version) if version.as_slice() >= oldest => {
            good(check, Case::ToolGood, [dotted(version)])
        }
        Tool::Version(version) => warning(check, Case::ToolOld, [dotted(version), dotted(oldest)]),
        Tool::Unknown(said) => warning(check, Case::ToolUnknown, [said.clone(), dotted(oldest)]),
    }
}

fn kernel(facts: &Facts) -> Finding {
    let release = facts.kernel.clone();
    let known = version(&facts.kernel);
    if known.is_some_and(|version| version.as_slice() < floor::KERNEL) {
        return bad(Check::Kernel, Case::KernelOld, [release, dotted(floor::KERNEL)]);
    }
    let works = facts.rules == State::Known(true);
    match (&facts.container, facts.lacking.as_slice()) {
        (_, lacking @ [_, ..]) => warning(Check::Kernel, Case::KernelLacks, [release, lacking.join(", ")]),
        (Some(kind), []) if !works => {
            warning(Check::Kernel, Case::KernelInContainer, [release, kind.clone()])
        }
        _ => good(Check::Kernel, Case::KernelGood, [release]),
    }
}

fn configuration(facts: &Facts) -> Finding {
    let check = Check::Configuration;
    match &facts.configuration {
        Configuration::None => warning(check, Case::ConfigurationNone, []),
        Configuration::Unusable(why) => bad(check, Case::ConfigurationUnusable, [why.clone()]),
        Configuration::Good { open: true, .. } => warning(check, Case::ConfigurationOpen, []),
        Configuration::Good { warnings, .. } if !warnings.is_empty() => {
            warning(check, Case::ConfigurationDoubtful, [warnings.join("; ")])
        }
        Configuration::Good { ports, .. } => good(check, Case::ConfigurationGood, [ports.to_string()]),
    }
}

fn rules(facts: &Facts) -> Finding {
    state(Check::Rules, &facts.rules)
}

fn limits(facts: &Facts) -> Finding {
    state(Check::Limits, &facts.limits)
}

fn state(check: Check, state: &State) -> Finding {
    match state {
        State::NotNeeded => good(check, Case::NotNeeded, []),
        State::Waiting => warning(check, Case::Waiting, []),
        State::Known(true) => good(check, Case::InForce, []),
        State::Known(false) => bad(check, Case::NotInForce, []),
        State::Unknown(why) => bad(check, Case::CannotTell, [why.clone()]),
    }
}

fn interface(facts: &Facts) -> Finding {
    match &facts.interface {
        Interface::Here(name) => good(Check::Interface, Case::InterfaceHere, [name.clone()]),
        Interface::Gone(name) => bad(Check::Interface, Case::InterfaceGone, [name.clone()]),
        Interface::None => warning(Check::Interface, Case::InterfaceNone, []),
    }
}

fn schedule(facts: &Facts) -> Finding {
    let check = Check::Schedule;
    if let Some(unit) = facts.idle_unit {
        return bad(check, Case::UnitStopped, [unit.to_owned(), unit.to_owned()]);
    }
    match &facts.schedule {
        Ok(Some(Schedule::Timer(every))) => good(check, Case::Timer, [format!("{every:#}")]),
        Ok(Some(Schedule::Service(every))) => good(check, Case::Service, [format!("{every:#}")]),
        Ok(Some(Schedule::Cron)) if facts.cron_runs && facts.init_script == Some(false) => {
            warning(check, Case::CronWithoutScript, [])
        }
        Ok(Some(Schedule::Cron)) if facts.cron_runs => good(check, Case::Cron, []),
        Ok(Some(Schedule::Cron)) => bad(check, Case::CronStopped, [facts.cron_start.to_owned()]),
        Ok(None) => bad(check, Case::Unscheduled, []),
        Err(why) => bad(check, Case::CannotTell, [why.clone()]),
    }
}

fn last_run(facts: &Facts) -> Finding {
    let check = Check::LastRun;
    let period = match facts.schedule {
        Ok(Some(Schedule::Timer(every) | Schedule::Service(every))) => every,
        Ok(Some(Schedule::Cron) | None) | Err(_) => SignedDuration::from_mins(1),
    };
    let Some(last) = facts.last_run else { return warning(check, Case::NeverRan, []) };
    let ago = facts.now.timestamp().duration_since(last);
    let rounded = format!("{:#}", SignedDuration::from_secs(ago.as_secs()));
    if ago > period.saturating_add(LATE) {
        bad(check, Case::RanLongAgo, [rounded])
    } else {
        good(check, Case::Ran, [rounded])
    }
}

fn locks(facts: &Facts) -> Finding {
    match facts.holders.first() {
        None => good(Check::Locks, Case::LocksFree, []),
        Some((path, holder)) => {
            warning(Check::Locks, Case::LockHeld, [path.display().to_string(), holder.clone()])
        }
    }
}

fn clock(facts: &Facts) -> Finding {
    let check = Check::Clock;
    let shown = facts.now.strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    let zone = facts.now.time_zone().iana_name().unwrap_or("-").to_owned();
    if facts.now.timestamp().as_second() < WRITTEN {
        return bad(check, Case::ClockWrong, [shown]);
    }
    match facts.last_run {
        // Two programs may read the clock in the other order.
        Some(last) if last.duration_since(facts.now.timestamp()) > SignedDuration::from_secs(5) => {
            let ahead =
                last.to_zoned(facts.now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
            warning(check, Case::ClockBack, [shown, ahead])
        }
        _ => good(check, Case::ClockGood, [shown, zone]),
    }
}

fn disk(facts: &Facts) -> Finding {
    let shown = |free: u64| [Bytes(free).to_string()];
    match facts.free {
        Some(free) if free < VERY_LITTLE => bad(Check::Disk, Case::DiskFull, shown(free)),
        Some(free) if free < LITTLE => warning(Check::Disk, Case::DiskFull, shown(free)),
        Some(free) => good(Check::Disk, Case::DiskGood, shown(free)),
        None => warning(Check::Disk, Case::CannotTell, ["statvfs".to_owned()]),
    }
}

fn messages(facts: &Facts) -> Finding {
    let waiting = facts.waiting.to_string();
    match (facts.errors.first(), facts.waiting) {
        (Some((name, error)), _) => {
            warning(Check::Messages, Case::MessagesFail, [waiting, name.clone(), error.clone()])
        }
        (None, 0) => good(Check::Messages, Case::NoMessages, []),
        (None, _) => good(Check::Messages, Case::MessagesWait, [waiting]),
    }
}

fn neighbours(facts: &Facts) -> Finding {
    let check = Check::Neighbours;
    let forward_off = matches!(facts.configuration, Configuration::Good { forward_off: true, .. });
    match facts.neighbours.as_slice() {
        [] => good(check, Case::NoNeighbours, []),
        names if facts.forwards && forward_off => {
            warning(check, Case::NeighboursUnmetered, [names.join(", ")])
        }
        names => good(check, Case::NeighboursFine, [names.join(", ")]),
    }
}

fn offload(facts: &Facts) -> Finding {
    match facts.flowtables.as_slice() {
        [] => good(Check::Offload, Case::NoOffload, []),
        names => warning(Check::Offload, Case::Offload, [names.join(", ")]),
    }
}

fn outgoing(facts: &Facts) -> Finding {
    match facts.outgoing.as_slice() {
        [] => good(Check::Outgoing, Case::NoOutgoing, []),
        ports => {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            warning(Check::Outgoing, Case::Outgoing, [ports.join(","), ports.join(",")])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use jiff::Timestamp;

    use super::*;

    /// A machine with nothing wrong.
    fn well() -> Facts {
        let now: jiff::Zoned = "2026-03-10T12:00:00+08:00[Asia/Shanghai]".parse().unwrap();
        Facts {
            may_change: true,
            nft: Tool::Version(vec![1, 0, 6]),
            kernel: "6.1.0-18-amd64".into(),
            lacking: Vec::new(),
            container: None,
            missing_programs: Vec::new(),
            configuration: Configuration::Good {
                ports: 3,
                open: false,
                warnings: Vec::new(),
                forward_off: false,
            },
            rules: State::Known(true),
            limits: State::Known(true),
            interface: Interface::Here("eth0".into()),
            schedule: Ok(Some(Schedule::Timer(SignedDuration::from_mins(1)))),
            idle_unit: None,
            cron_runs: false,
            init_script: None,
            cron_start: "service cron start",
            last_run: Some(now.timestamp() - SignedDuration::from_secs(42)),
            now,
            holders: Vec::new(),
            free: Some(1 << 30),
            waiting: 0,
            errors: Vec::new(),
            neighbours: Vec::new(),
            forwards: false,
            flowtables: Vec::new(),
            outgoing: Vec::new(),
        }
    }

    /// What a machine is found to have when this is changed about it; everything else is still well.
    #[track_caller]
    fn finds(change: impl FnOnce(&mut Facts), check: Check, verdict: Verdict, case: Case) -> Vec<String> {
        let mut facts = well();
        change(&mut facts);
        let findings = examine(&facts);
        let others = findings.iter().filter(|finding| finding.check != check);
        for other in others {
            assert_eq!(other.verdict, Verdict::Good, "{other:?}");
        }
        let finding = findings.iter().find(|finding| finding.check == check).unwrap();
        assert_eq!((finding.verdict, finding.case), (verdict, case));
        finding.values.clone()
    }

    #[test]
    fn a_machine_with_nothing_wrong_is_well() {
        let findings = examine(&well());
        assert_eq!(findings.len(), 17);
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Good), "{findings:?}");
    }

    #[test]
    fn each_fault_is_found_where_it_is_and_nowhere_else() {
        use Verdict::{Bad, Good, Warning};
        finds(|f| f.may_change = false, Check::Rights, Bad, Case::MayNotChange);
        let missing = finds(
            |f| f.missing_programs = vec![PathBuf::from("/usr/local/bin/pm")],
            Check::Programs,
            Bad,
            Case::ProgramsMissing,
        );
        assert_eq!(missing, ["/usr/local/bin/pm"]);
        finds(|f| f.nft = Tool::Missing, Check::Nft, Bad, Case::NftMissing);
        let old = finds(|f| f.nft = Tool::Version(vec![0, 9, 3]), Check::Nft, Warning, Case::ToolOld);
        assert_eq!(old, ["0.9.3", "0.9.8"]);
        finds(|f| f.nft = Tool::Version(vec![0, 9, 8]), Check::Nft, Good, Case::ToolGood);
        finds(|f| f.nft = Tool::Unknown("nft 1".into()), Check::Nft, Warning, Case::ToolUnknown);
        finds(|f| f.kernel = "4.19.0".into(), Check::Kernel, Bad, Case::KernelOld);
        finds(|f| f.lacking = vec!["sch_htb"], Check::Kernel, Warning, Case::KernelLacks);
        finds(|f| f.container = Some("lxc".into()), Check::Kernel, Good, Case::KernelGood);
        finds(|f| f.interface = Interface::Gone("ens3".into()), Check::Interface, Bad, Case::InterfaceGone);
        finds(|f| f.interface = Interface::None, Check::Interface, Warning, Case::InterfaceNone);
        finds(|f| f.rules = State::Known(false), Check::Rules, Bad, Case::NotInForce);
        finds(|f| f.limits = State::Waiting, Check::Limits, Warning, Case::Waiting);
        finds(|f| f.limits = State::Unknown("no netlink".into()), Check::Limits, Bad, Case::CannotTell);
        let held = vec![(PathBuf::from("/run/pm.lock"), "4711 (pm)".to_owned())];
        finds(|f| f.holders = held, Check::Locks, Warning, Case::LockHeld);
        finds(|f| f.free = Some(1 << 20), Check::Disk, Bad, Case::DiskFull);
        finds(|f| f.free = Some(20 << 20), Check::Disk, Warning, Case::DiskFull);
        finds(|f| f.waiting = 2, Check::Messages, Good, Case::MessagesWait);
        let failing = |f: &mut Facts| f.errors = vec![("telegram".into(), "401".into())];
        assert_eq!(finds(failing, Check::Messages, Warning, Case::MessagesFail), ["0", "telegram", "401"]);
        finds(|f| f.flowtables = vec!["inet f".into()], Check::Offload, Warning, Case::Offload);
        finds(|f| f.outgoing = vec!["40000".parse().unwrap()], Check::Outgoing, Warning, Case::Outgoing);
    }

    #[test]
    fn the_configuration_and_its_neighbours_are_judged_together() {
        use Verdict::{Bad, Good, Warning};
        let check = Check::Configuration;
        finds(|f| f.configuration = Configuration::None, check, Warning, Case::ConfigurationNone);
        let unusable = Configuration::Unusable("line 1".into());
        finds(|f| f.configuration = unusable, check, Bad, Case::ConfigurationUnusable);
        let file = |open, warnings: &[&str], forward_off| Configuration::Good {
            ports: 1,
            open,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            forward_off,
        };
        finds(|f| f.configuration = file(true, &[], false), check, Warning, Case::ConfigurationOpen);
        finds(
            |f| f.configuration = file(false, &["a", "b"], false),
            check,
            Warning,
            Case::ConfigurationDoubtful,
        );
        finds(|f| f.neighbours = vec!["docker"], Check::Neighbours, Good, Case::NeighboursFine);
        let unmetered = |f: &mut Facts| {
            (f.neighbours, f.forwards, f.configuration) = (vec!["docker"], true, file(false, &[], true));
        };
        finds(unmetered, Check::Neighbours, Warning, Case::NeighboursUnmetered);
    }

    #[test]
    fn a_monitor_that_does_not_run_is_found_however_it_is_meant_to_run() {
        use Verdict::{Bad, Good, Warning};
        let cron = |runs| move |f: &mut Facts| (f.schedule, f.cron_runs) = (Ok(Some(Schedule::Cron)), runs);
        finds(cron(true), Check::Schedule, Good, Case::Cron);
        assert_eq!(finds(cron(false), Check::Schedule, Bad, Case::CronStopped), ["service cron start"]);
        finds(|f| f.idle_unit = Some("pm-monitor.timer"), Check::Schedule, Bad, Case::UnitStopped);
        let script = |stands| {
            move |f: &mut Facts| {
                cron(true)(f);
                f.init_script = Some(stands);
            }
        };
        finds(script(true), Check::Schedule, Good, Case::Cron);
        finds(script(false), Check::Schedule, Warning, Case::CronWithoutScript);
        finds(|f| f.schedule = Ok(None), Check::Schedule, Bad, Case::Unscheduled);
        finds(|f| f.schedule = Err("crontab".into()), Check::Schedule, Bad, Case::CannotTell);
        finds(|f| f.last_run = None, Check::LastRun, Warning, Case::NeverRan);
        let ago = |minutes| {
            move |f: &mut Facts| f.last_run = Some(f.now.timestamp() - SignedDuration::from_mins(minutes))
        };
        finds(ago(4), Check::LastRun, Good, Case::Ran);
        finds(ago(5), Check::LastRun, Bad, Case::RanLongAgo);
        let hourly = |f: &mut Facts| {
            f.schedule = Ok(Some(Schedule::Service(SignedDuration::from_hours(1))));
            ago(60)(f);
        };
        finds(hourly, Check::LastRun, Good, Case::Ran);
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_found() {
        use Verdict::{Bad, Good, Warning};
        finds(
            |f| f.now = Timestamp::UNIX_EPOCH.to_zoned(f.now.time_zone().clone()),
            Check::Clock,
            Bad,
            Case::ClockWrong,
        );
        let back = |f: &mut Facts| f.last_run = Some(f.now.timestamp() + SignedDuration::from_hours(1));
        let values = finds(back, Check::Clock, Warning, Case::ClockBack);
        assert_eq!(values[1], "2026-03-10 13:00:00 +08:00");
        let values = finds(|_| {}, Check::Clock, Good, Case::ClockGood);
        assert_eq!(values, ["2026-03-10 12:00:00 +08:00", "Asia/Shanghai"]);
    }
}
