//! What a process holds, from time to time.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// By then everything has been done once.
const WARM: Duration = Duration::from_secs(30);
/// What an allocator may keep back.
const SLACK_KB: u64 = 1024;

/// One look.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    resident_kb: u64,
    descriptors: usize,
}

/// Looks at a process, in order.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    /// Takes a look, and prints it once a minute.
    pub(super) fn take(&mut self, process: u32, at: Duration) {
        let Some(sample) = look(process, at) else { return };
        if self.0.len().is_multiple_of(12) {
            println!(
                "{:>5} s  {:>6} kB  {} descriptors",
                at.as_secs(),
                sample.resident_kb,
                sample.descriptors
            );
        }
        self.0.push(sample);
    }

    /// Whether what it holds when it is warm is what it holds at the end.
    pub(super) fn verdict(&self) -> Result<()> {
        let warm = self.0.iter().find(|sample| sample.at >= WARM).context("too short to say anything")?;
        let last = self.0.last().context("nothing was seen")?;
        // A look may meet a minute in the middle of its files and sockets.
        let fewest = |samples: &[Sample]| samples.iter().map(|sample| sample.descriptors).min().unwrap_or(0);
        let (early, late) = self.0.split_at(self.0.len() / 2);
        println!(
            "memory {} kB warm, {} kB at the end; descriptors {} in the first half, {} in the second",
            warm.resident_kb,
            last.resident_kb,
            fewest(early),
            fewest(late)
        );
        ensure!(last.resident_kb <= warm.resident_kb + SLACK_KB, "the monitor's memory grows");
        ensure!(fewest(late) <= fewest(early), "the monitor keeps files open");
        Ok(())
    }
}

/// What a process holds in memory.
pub(super) fn resident_kb(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.split_whitespace().next()?.parse().ok()
}

fn look(process: u32, at: Duration) -> Option<Sample> {
    let resident_kb = resident_kb(process)?;
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
    Some(Sample { at, resident_kb, descriptors })
}
