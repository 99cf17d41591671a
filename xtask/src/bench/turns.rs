//! Things that are measured in turns, so that whatever else the machine does meets all of them alike.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use std::process::Command;

use super::median;

/// What a turn of each took, round by round.
pub(super) struct Turns<const N: usize>(Vec<[u64; N]>);

impl<const N: usize> Turns<N> {
    /// So many rounds, in each of which everyone has a turn.
    pub(super) fn of(
        rounds: usize,
        everyone: &mut [&mut dyn FnMut() -> Result<Duration>; N],
    ) -> Result<Self> {
        let mut table = Vec::new();
        for _ in 0..rounds {
            let mut row = [0; N];
            for (nanos, turn) in row.iter_mut().zip(everyone.iter_mut()) {
                *nanos = u64::try_from(turn()?.as_nanos())?;
            }
            table.push(row);
        }
        Ok(Self(table))
    }

    /// What one of them took, the median.
    pub(super) fn time(&self, who: usize) -> Duration {
        Duration::from_nanos(median(self.0.iter().map(|row| row[who]).collect()))
    }

    /// Thousandths of the second that the first took, the median of the rounds.
    pub(super) fn permille(&self, ours: usize, theirs: usize) -> u64 {
        median(self.0.iter().map(|row| row[ours] * 1000 / row[theirs].max(1)).collect())
    }
}

/// From the start of a process to its end; it has to succeed.
pub(super) fn timed(mut command: Command) -> Result<Duration> {
    let start = Instant::now();
    let output = command.output()?;
    let elapsed = start.elapsed();
    ensure!(
        output.status.success(),
        "{} failed: {}",
        command.get_program().to_string_lossy(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(elapsed)
}
