//! How long the processors had nothing to do.

use std::fs::read_to_string;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The kernel knows it to the microsecond, and tells hundredths of a second (its `USER_HZ`).
const TOLD: Duration = Duration::from_millis(10);
/// How often to look whether another hundredth is full.
const PAUSE: Duration = Duration::from_micros(200);
/// For so long: two processors that do anything at all less than half the time fill one sooner.
const PATIENCE: Duration = Duration::from_millis(20);

/// What was idle until some moment, of all processors together.
#[derive(Debug)]
pub(super) struct Idle {
    at: Instant,
    processors: u32,
    hundredths: u64,
}

impl Idle {
    /// At the moment when a hundredth is full, so that the figure is better than what the kernel tells; but does not wait
    /// long for it where the processors are busy, since then what is missing is little beside what they do.
    pub(super) fn read() -> Result<Self> {
        let began = Self::now()?;
        loop {
            let now = Self::now()?;
            if now.hundredths != began.hundredths || now.at - began.at > PATIENCE {
                return Ok(now);
            }
            sleep(PAUSE);
        }
    }

    fn now() -> Result<Self> {
        let (at, stat) = (Instant::now(), read_to_string("/proc/stat")?);
        // cpu user nice system idle iowait .., then the same of each processor: cpu0 ..
        let mut lines = stat.lines().take_while(|line| line.starts_with("cpu"));
        let all = lines.next().context("/proc/stat tells no times")?;
        let times = all.split_whitespace().skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let hundredths = times.iter().skip(3).take(2).sum();
        Ok(Self { at, processors: u32::try_from(lines.count())?, hundredths })
    }

    /// How long the processors had something to do since then.
    pub(super) fn busy_since(&self, earlier: &Self) -> Duration {
        let idle = self.hundredths.saturating_sub(earlier.hundredths);
        let idle = TOLD * u32::try_from(idle).unwrap_or(u32::MAX);
        self.all_since(earlier).saturating_sub(idle)
    }

    /// The time of all processors since then.
    pub(super) fn all_since(&self, earlier: &Self) -> Duration {
        (self.at - earlier.at) * self.processors
    }
}
