//! Minutes of the monitor in which nothing has changed.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_kernel::netlink::{Message, Protocol, Socket};
use pm_tests::machine::binary;
use pm_tests::namespace::Namespace;
use pm_tests::process::{Background, Signal};

use super::inside::inside;
use super::layout::config;
use super::row::{Figure, Row, Versus, ratio};
use super::sender::Sender;
use super::turns::{Turns, timed};
use crate::demo::grouped;
use crate::shell::{command, find, root};

/// Thousandths of the floor that a quiet minute may take.
const MOST: u64 = 3_000;
/// What a quiet minute may take with 1,000 ports, with or without the start of its process, and of memory, in KiB.
const LONGEST: Duration = Duration::from_millis(10);
const LARGEST: u64 = 8 << 10;
const MANY: u16 = 1_000;

/// Measures minutes on a real disk: what they cost includes the writing of config.json.
pub(super) fn measure(rounds: usize, sizes: &[u16]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for ports in sizes {
        println!("quiet minutes: {ports} ports");
        let machine = Machine::new(&config(*ports).to_string())?;
        let namespace = Namespace::new("minutes");
        rows.extend(inside(&namespace, || of(&machine, *ports, rounds))?);
    }
    Ok(rows)
}

fn of(machine: &Machine, ports: u16, rounds: usize) -> Result<Vec<Row>> {
    // The second one may still have something to remember.
    machine.minute()?;
    machine.minute()?;
    let mut started = 0;
    let mut ours = || {
        let before = last_task()?;
        let elapsed = machine.minute()?;
        // One of them is the monitor itself.
        started = started.max(last_task()?.saturating_sub(before + 1));
        Ok(elapsed)
    };
    let mut service = Sender::of(machine.service())?;
    let turns = Turns::of(
        rounds,
        &mut [
            &mut ours,
            &mut || Ok(Duration::from_nanos(service.slice()?)),
            &mut || machine.floor(),
            &mut || Ok(timed(command("true", [""; 0]))? + machine.floor()?),
            &mut || timed(command("nft", ["-j", "list", "table", "inet", "port_monitor"])),
        ],
    )?;
    let (calls, peak) = (machine.calls()?, machine.peak()?);
    let who = format!("{} port{}", grouped(ports.into()), if ports == 1 { "" } else { "s" });
    let floors = [(1, 2, "the dump, the write"), (0, 3, "a process that does nothing, the dump, the write")];
    let [service, time] = floors.map(|(us, floor, name)| {
        let (what, time) = (["as cron starts it", "of a service"][us], turns.time(us));
        let (against_floor, longest) = (turns.permille(us, floor), ports == MANY);
        let limits = if longest { format!("; under {}", Figure::Time(LONGEST)) } else { String::new() };
        Row::new(format!("quiet minute {what}, {who}"), Figure::Time(time))
            .rival(Versus::new("nft -j list table", Figure::Time(turns.time(4)), turns.permille(us, 4)))
            .floor(Versus::new(name, Figure::Time(turns.time(floor)), against_floor))
            .goal(
                format!("at most {} × the floor{limits}", ratio(MOST)),
                against_floor <= MOST && (!longest || time < LONGEST),
            )
    });
    let memory = Row::new(format!("its peak memory, {who}"), Figure::Memory(peak));
    let memory = if ports == MANY {
        memory.goal(format!("under {}", Figure::Memory(LARGEST)), peak < LARGEST)
    } else {
        memory
    };
    let calls = Row::new(format!("its system calls, {who}"), Figure::Count(calls));
    let tasks = Row::new(format!("processes and threads it starts, {who}"), Figure::Count(started))
        .goal("none", started == 0);
    Ok(vec![service, time, memory, calls, tasks])
}

/// Files on a real disk, and the monitor.
pub(super) struct Machine {
    monitor: PathBuf,
    folder: tempfile::TempDir,
}

impl Machine {
    /// A machine with this configuration, where pm has never run.
    pub(super) fn new(config: &str) -> Result<Self> {
        let target = root().join("target");
        let folder = tempfile::Builder::new().prefix("bench.").tempdir_in(target)?;
        std::fs::create_dir_all(folder.path().join("etc/port_monitor"))?;
        std::fs::write(folder.path().join("etc/port_monitor/config.json"), config)?;
        Ok(Self { monitor: binary("pm-monitor"), folder })
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn monitor(&self) -> Command {
        let mut command = Command::new(&self.monitor);
        command.arg("--root").arg(self.root()).stdin(Stdio::null());
        command
    }

    /// Minutes of one process, when it is asked for them.
    fn service(&self) -> Command {
        let mut command = Command::new(binary("examples/minutes"));
        command.arg(self.root());
        command
    }

    /// One minute, from the start of its process to the end.
    pub(super) fn minute(&self) -> Result<Duration> {
        timed(self.monitor())
    }

    /// What nobody can do without: all counters from the kernel, and config.json safely on the disk.
    fn floor(&self) -> Result<Duration> {
        let text = std::fs::read(self.root().join("etc/port_monitor/config.json"))?;
        let start = Instant::now();
        dump_counters()?;
        let (new, place) = (self.root().join("floor.new"), self.root().join("floor"));
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, &place)?;
        Ok(start.elapsed())
    }

    /// System calls of one minute.
    fn calls(&self) -> Result<u64> {
        let list = self.root().join("calls");
        let monitor = self.monitor();
        let mut traced = Command::new(find("strace").context("no strace")?);
        traced.args(["-f", "-c", "-o"]).arg(&list).arg(monitor.get_program()).args(monitor.get_args());
        ensure!(traced.stdout(Stdio::null()).status()?.success(), "strace failed");
        let list = std::fs::read_to_string(list)?;
        // The last line: time, seconds, microseconds a call, calls, perhaps errors, `total`.
        let total = list.lines().rev().find(|line| line.trim_end().ends_with("total"));
        let calls =
            total.and_then(|line| line.split_whitespace().nth(3)).context("strace counted nothing")?;
        Ok(calls.parse()?)
    }

    /// The most memory that two minutes needed, in KiB.
    fn peak(&self) -> Result<u64> {
        let mut command = self.monitor();
        command.args(["--every", "1s"]);
        let service = Background::spawn(command);
        thread::sleep(Duration::from_millis(1500));
        let peak = peak_of(service.id());
        service.signal(Signal::TERM);
        peak
    }
}

/// Reads all of pm's counters once, and does nothing with them.
fn dump_counters() -> Result<()> {
    /// `NFT_MSG_GETOBJ` (0x13) of the subsystem `nf_tables` (0x0a), and what follows its header: family inet, version 0.
    const GET_OBJECTS: u16 = 0x0a13;
    const INET: [u8; 4] = [1, 0, 0, 0];
    const TABLE: u16 = 1;
    const TYPE: u16 = 3;
    const COUNTER: u32 = 1;
    let question = Message::new(GET_OBJECTS, &INET).text(TABLE, "port_monitor");
    let question = question.attribute(TYPE, &COUNTER.to_be_bytes());
    ensure!(Socket::open(Protocol::Netfilter)?.dump(&question)?.iter().count() > 0, "no counters");
    Ok(())
}

/// The most memory that a process has had so far, in KiB, from the kernel's own mark.
pub(super) fn peak_of(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(mark.trim().trim_end_matches(" kB").parse()?)
}

/// The number of the process or thread that was started last, in this namespace of processes, where nobody else is busy.
fn last_task() -> Result<u64> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(load.split_whitespace().last().context("an empty loadavg")?.parse()?)
}
