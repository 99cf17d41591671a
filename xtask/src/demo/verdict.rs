//! The short table at the end: what was asked for, and what was measured by somebody else.

use std::time::Duration;

/// One promise and what became of it.
pub(super) struct Row {
    asked: String,
    measured: String,
    kept: bool,
}

/// By how much a shaped rate may be exceeded, in thousandths.
const MOST_OVER: u128 = 30;
/// By how much it may be missed: a machine that is busy with something else sends less, but never more.
const MOST_UNDER: u128 = 70;

impl Row {
    pub(super) fn new(asked: impl Into<String>, measured: impl Into<String>, kept: bool) -> Self {
        Self { asked: asked.into(), measured: measured.into(), kept }
    }

    /// A rate in Mbps, measured as `bytes` on the wire in `elapsed`.
    pub(super) fn rate(what: &str, mbps: u64, bytes: u64, elapsed: Duration) -> Self {
        let bits_per_millisecond = u128::from(bytes) * 8 / elapsed.as_millis().max(1);
        let permille = bits_per_millisecond / u128::from(mbps.max(1));
        let kept = (1000 - MOST_UNDER..=1000 + MOST_OVER).contains(&permille);
        let (whole, part) = (bits_per_millisecond / 1000, bits_per_millisecond % 1000 / 10);
        let seconds = elapsed.as_millis() / 1000;
        Self::new(
            format!("{what} {mbps} Mbps"),
            format!("{whole}.{part:02} Mbps on the wire over {seconds} s"),
            kept,
        )
    }

    /// What pm metered, against what a counter that pm does not know of saw.
    pub(super) fn metered(what: &str, pm: u64, witness: u64) -> Self {
        let (pm_text, off) = (grouped(pm), grouped(pm.abs_diff(witness)));
        Self::new(
            format!("{what}: {pm_text} bytes metered"),
            format!("{} bytes seen by the witness, {off} off", grouped(witness)),
            pm == witness && pm > 0,
        )
    }

    /// A quota, and what passed of it.
    pub(super) fn quota(what: &str, quota: u64, passed: u64) -> Self {
        let measured = if passed <= quota {
            format!("{} bytes passed, {} short of it, none over", grouped(passed), grouped(quota - passed))
        } else {
            format!("{} bytes passed, {} OVER", grouped(passed), grouped(passed - quota))
        };
        let kept = passed <= quota && quota - passed <= 64 << 10;
        Self::new(format!("{what} {} bytes", grouped(quota)), measured, kept)
    }
}

/// Prints the table and returns whether every promise was kept.
pub(super) fn print(rows: &[Row]) -> bool {
    let width = rows.iter().map(|row| row.asked.chars().count()).max().unwrap_or(0);
    println!("\n      {:<width$}  measured", "asked");
    for Row { asked, measured, kept } in rows {
        println!("{}  {asked:<width$}  {measured}", if *kept { "ok  " } else { "OFF " });
    }
    rows.iter().all(|row| row.kept)
}

/// 20,971,520
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1000, 20_971_520].map(grouped),
            ["0", "999", "1,000", "20,971,520"].map(str::to_owned)
        );
    }

    #[test]
    fn a_promise_is_kept_within_its_tolerance_only() {
        let second = Duration::from_secs(1);
        assert!(Row::rate("limit", 8, 1_030_000, second).kept);
        assert!(Row::rate("limit", 8, 930_000, second).kept);
        assert!(!Row::rate("limit", 8, 1_031_000, second).kept);
        assert!(!Row::rate("limit", 8, 929_000, second).kept);
        assert!(Row::quota("quota", 100_000, 100_000).kept && Row::quota("quota", 100_000, 40_000).kept);
        assert!(!Row::quota("quota", 100_000, 100_001).kept && !Row::quota("quota", 100_000, 10_000).kept);
        assert!(Row::metered("port", 5, 5).kept);
        assert!(!Row::metered("port", 5, 6).kept && !Row::metered("port", 0, 0).kept);
    }
}
