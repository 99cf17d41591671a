//! Minutes: what one of the monitor costs when nothing has changed, and the first one, when everything has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::binary;
use pm_tests::namespace::Namespace;
use pm_tests::process::{Background, Signal};
use serde_json::{Value, json};

use super::layout::config;
use super::{MINUTES, median};
use crate::shell::{find, root};

/// Numbers of ports.
const PORTS: [u16; 3] = [10, 100, 1_000];

/// What minutes cost with so many ports.
#[derive(Debug, Clone)]
pub(super) struct Cost {
    pub(super) ports: u16,
    /// The first one, which sets everything up.
    pub(super) first: Duration,
    /// A quiet one, the median.
    pub(super) quiet: Duration,
    /// What a quiet one takes of a processor, on average.
    pub(super) busy: Duration,
    /// Processes and threads that a quiet one started beside itself, the most of all.
    pub(super) started: u64,
    /// System calls of a quiet one, where strace is there to count them.
    pub(super) calls: Option<u64>,
    /// Peak memory in KiB.
    pub(super) peak: u64,
}

/// Measures minutes on a real disk: what they cost includes the writing of config.json.
pub(super) fn measure(minutes: usize) -> Result<Vec<Cost>> {
    let folder = root().join("target/bench");
    let mut costs = Vec::new();
    for ports in PORTS {
        println!("minutes: {ports} ports");
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(folder.join("etc/port_monitor"))?;
        std::fs::write(folder.join("etc/port_monitor/config.json"), config(ports).to_string())?;
        let namespace = Namespace::new("minutes");
        let mut command = namespace.command(std::env::current_exe()?);
        command.args(["bench", MINUTES]).arg(&folder).arg(minutes.to_string());
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "a minute failed");
        let cost: Value = serde_json::from_slice(&output.stdout)?;
        let number = |field: &str| cost[field].as_u64().with_context(|| format!("no {field}"));
        costs.push(Cost {
            ports,
            first: Duration::from_micros(number("first")?),
            quiet: Duration::from_micros(number("quiet")?),
            busy: Duration::from_micros(number("busy")?),
            started: number("started")?,
            calls: cost["calls"].as_u64(),
            peak: number("peak")?,
        });
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(costs)
}

/// Inside of a namespace: runs minutes, and prints what they cost.
pub(super) fn serve(folder: &Path, minutes: usize) -> Result<()> {
    let monitor = Monitor { program: binary("pm-monitor"), folder };
    let first = monitor.minute()?.0;
    // The second one may still have something to remember.
    monitor.minute()?;
    let mut quiet = Vec::new();
    let (mut started, ticks) = (0, ticks_of_children()?);
    for _ in 0..minutes {
        let (elapsed, tasks) = monitor.minute()?;
        quiet.push(micros(elapsed));
        started = started.max(tasks);
    }
    let ticks = ticks_of_children()? - ticks;
    let busy = ticks * MICROS_PER_TICK / u64::try_from(minutes.max(1))?;
    let cost = json!({
        "first": micros(first), "quiet": median(quiet), "busy": busy, "started": started,
        "calls": monitor.calls()?, "peak": monitor.peak()?
    });
    println!("{cost}");
    Ok(())
}

struct Monitor<'a> {
    program: PathBuf,
    folder: &'a Path,
}

impl Monitor<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// One minute: how long it took, and how many processes and threads it started.
    fn minute(&self) -> Result<(Duration, u64)> {
        let (before, start) = (last_task()?, Instant::now());
        let status = self.command().status()?;
        let (elapsed, after) = (start.elapsed(), last_task()?);
        ensure!(status.success(), "pm-monitor: {status}");
        // One of them is the monitor itself.
        Ok((elapsed, after.saturating_sub(before).saturating_sub(1)))
    }

    /// System calls of one minute.
    fn calls(&self) -> Result<Option<u64>> {
        let Some(strace) = find("strace") else { return Ok(None) };
        let list = self.folder.join("calls");
        let mut command = Command::new(strace);
        command.args(["-f", "-c", "-o"]).arg(&list).arg(&self.program).arg("--root").arg(self.folder);
        ensure!(command.stdout(Stdio::null()).status()?.success(), "strace failed");
        let list = std::fs::read_to_string(list)?;
        // The last line: time, seconds, microseconds a call, calls, perhaps errors, `total`.
        let total = list.lines().rev().find(|line| line.trim_end().ends_with("total"));
        Ok(total.and_then(|line| line.split_whitespace().nth(3)).and_then(|calls| calls.parse().ok()))
    }

    /// The most memory that two minutes needed, in KiB.
    fn peak(&self) -> Result<u64> {
        let mut command = self.command();
        command.args(["--every", "1s"]);
        let service = Background::spawn(command);
        thread::sleep(Duration::from_millis(1500));
        let peak = peak_of(service.id());
        service.signal(Signal::TERM);
        peak
    }
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

/// The kernel tells processor time in hundredths of a second (its `USER_HZ`).
const MICROS_PER_TICK: u64 = 10_000;

/// Processor time of the children that have ended, as user and as system.
fn ticks_of_children() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // What follows the name, which may hold blanks: the state is the third field, these are the 16th and the 17th.
    let (_, fields) = stat.rsplit_once(')').context("an odd /proc/self/stat")?;
    let times = fields.split_whitespace().skip(13).take(2).map(str::parse::<u64>);
    Ok(times.sum::<Result<u64, _>>()?)
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
