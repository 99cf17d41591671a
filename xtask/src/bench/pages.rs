//! Pages: how long somebody waits for `pm list` and for the first page of the menu, and what memory they take.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::binary;
use pm_tests::namespace::Namespace;
use serde_json::{Value, json};

use super::layout::config;
use super::{PAGES, median, minute};
use crate::shell::{find, root};

/// Where an operator has a thousand customers.
pub(super) const PORTS: u16 = 1_000;
/// The end of the first page: the prompt behind it.
const PROMPT: &str = "Your choice: ";

/// What one page costs.
#[derive(Debug, Clone)]
pub(super) struct Cost {
    /// From the start of the process to the last byte of the page, the median.
    pub(super) time: Duration,
    /// Peak memory in KiB.
    pub(super) peak: u64,
}

/// All of them, measured in turns.
#[derive(Debug, Clone)]
pub(super) struct Costs {
    /// A process that does nothing.
    pub(super) floor: Duration,
    pub(super) list: Cost,
    pub(super) menu: Cost,
}

/// Measures so many rounds.
pub(super) fn measure(rounds: usize) -> Result<Costs> {
    println!("pages: {PORTS} ports");
    let folder = root().join("target/bench");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(folder.join("etc/port_monitor"))?;
    std::fs::write(folder.join("etc/port_monitor/config.json"), config(PORTS).to_string())?;
    let namespace = Namespace::new("pages");
    let mut command = namespace.command(std::env::current_exe()?);
    command.args(["bench", PAGES]).arg(&folder).arg(rounds.to_string());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "a page failed");
    let costs: Value = serde_json::from_slice(&output.stdout)?;
    std::fs::remove_dir_all(&folder)?;
    let number = |field: &str| costs[field].as_u64().with_context(|| format!("no {field}"));
    let cost = |time: &str, peak: &str| {
        Ok::<_, anyhow::Error>(Cost { time: Duration::from_micros(number(time)?), peak: number(peak)? })
    };
    Ok(Costs {
        floor: Duration::from_micros(number("floor")?),
        list: cost("list", "list_peak")?,
        menu: cost("menu", "menu_peak")?,
    })
}

/// Inside of a namespace: shows pages, and prints what they cost.
pub(super) fn serve(folder: &Path, rounds: usize) -> Result<()> {
    let mut monitor = Command::new(binary("pm-monitor"));
    monitor.arg("--root").arg(folder).stdin(Stdio::null()).stdout(Stdio::null());
    ensure!(monitor.status()?.success(), "pm-monitor failed");
    let pages = Pages { program: binary("pm"), folder, nothing: find("true").context("no program `true`")? };
    let [mut floor, mut list, mut menu] = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        floor.push(pages.nothing()?);
        list.push(pages.list()?);
        menu.push(pages.menu()?.0);
    }
    let costs = json!({
        "floor": median(floor), "list": median(list), "menu": median(menu),
        "list_peak": pages.list_peak()?, "menu_peak": pages.menu()?.1
    });
    println!("{costs}");
    Ok(())
}

struct Pages<'a> {
    program: PathBuf,
    folder: &'a Path,
    nothing: PathBuf,
}

impl Pages<'_> {
    fn nothing(&self) -> Result<u64> {
        let start = Instant::now();
        ensure!(
            Command::new(&self.nothing).stdout(Stdio::piped()).output()?.status.success(),
            "true is false"
        );
        Ok(minute::micros(start.elapsed()))
    }

    fn pm(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--lang", "en", "--root"]).arg(self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// From the start to the end of the process.
    fn list(&self) -> Result<u64> {
        let start = Instant::now();
        let output = self.pm().arg("list").output()?;
        let elapsed = start.elapsed();
        let lines = String::from_utf8_lossy(&output.stdout).lines().count();
        ensure!(output.status.success() && lines > usize::from(PORTS), "pm list failed");
        Ok(minute::micros(elapsed))
    }

    /// The page is larger than the pipe, so after its first byte the program waits with all of it in memory.
    fn list_peak(&self) -> Result<u64> {
        let mut list = self.pm().arg("list").spawn()?;
        let mut output = list.stdout.take().context("no output")?;
        output.read_exact(&mut [0])?;
        let peak = peak(&list)?;
        output.read_to_end(&mut Vec::new())?;
        ensure!(list.wait()?.success(), "pm list failed");
        Ok(peak)
    }

    /// From the start to the prompt behind the first page, and the memory that it took by then.
    fn menu(&self) -> Result<(u64, u64)> {
        let start = Instant::now();
        let mut menu = self.pm().spawn()?;
        let mut output = menu.stdout.take().context("no output")?;
        let (mut page, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        while !page.ends_with(PROMPT.as_bytes()) {
            let length = output.read(&mut piece)?;
            ensure!(length > 0, "the menu ended before its first prompt");
            page.extend_from_slice(&piece[..length]);
        }
        let elapsed = start.elapsed();
        let peak = peak(&menu)?;
        // The end of its input ends it.
        drop(menu.stdin.take());
        ensure!(menu.wait()?.success(), "the menu failed");
        Ok((minute::micros(elapsed), peak))
    }
}

fn peak(process: &Child) -> Result<u64> {
    minute::peak_of(process.id())
}
