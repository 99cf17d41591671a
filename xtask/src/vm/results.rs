//! What was seen on each Debian, as a page that every run brings up to date.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;

use anyhow::{Result, ensure};

use super::LeftOut;
use super::debian::Debian;
use super::story::Heard;
use crate::shell::{capture, command, root};

/// What the table says of a run of all tests.
const ALL: &str = "all";

/// Where it stands.
pub(super) const PAGE: &str = "docs/kernels.md";

const INTRODUCTION: &str = "\
# Kernels

Written by `cargo xtask vm`. The tests on the kernel, under the kernels of the Debians that pm supports and with their own \
nft, ip and tc: root file systems by debootstrap, kernels from Debian's packages, booted by virtme-ng with an emulated \
processor, so durations say nothing about pm. A run of some tests stands below the last one of all. A test that fails is run once more, alone, after another boot. Programs are \
linked statically (musl), as in a release.

What is older than Debian 11's (kernel 5.10, nft 0.9.8) is not supported; pm doctor names it, and so do nft's errors ([kernel.md](kernel.md)).

| Debian | kernel | nft | iproute2 | tests | passed | of them at the second attempt | failed | left out | minutes | pm | date |
|---|---|---|---|---|---:|---:|---:|---:|---:|---|---|
";

/// One run on one Debian.
#[derive(Debug)]
pub(super) struct Row {
    number: &'static str,
    text: String,
    /// Whether it was a run of all tests.
    whole: bool,
    /// How many tests failed twice.
    pub(super) failed: usize,
}

impl Row {
    pub(super) fn of(debian: &Debian, heard: Heard, names: &[String], left_out: usize) -> Result<Self> {
        let failed_names = heard.failed_names();
        let Heard { kernel, nft, iproute2, passed, passed_at_last, failed, seconds, .. } = heard;
        let number = debian.number;
        let date = capture(command("date", ["-u", "+%F"]))?;
        let whole = names.is_empty();
        let tests = if whole { ALL.to_owned() } else { names.join(", ") };
        let text = format!(
            "| {number} | {kernel} | {nft} | {iproute2} | {tests} | {} | {} | {} | {left_out} | {} | {} | {} |",
            passed.len(),
            passed_at_last.len(),
            if failed.is_empty() { "0".to_owned() } else { format!("{}: {failed_names}", failed.len()) },
            seconds.div_ceil(60),
            env!("CARGO_PKG_VERSION"),
            date.trim(),
        );
        Ok(Self { number, text, whole, failed: failed.len() })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Puts these rows into the page: a run of all tests in the place of everything that was known of its Debian, one of some
/// below it. The rest stays.
pub(super) fn write(rows: &[Row], left_out: &[LeftOut]) -> Result<()> {
    let file = root().join(PAGE);
    let page = fs::read_to_string(&file).unwrap_or_default();
    // By its Debian, and whether it is of some tests only.
    let mut all: BTreeMap<(&str, bool), &str> = BTreeMap::new();
    for debian in &Debian::ALL {
        let begin = format!("| {} |", debian.number);
        for line in page.lines().filter(|line| line.starts_with(&begin)) {
            all.insert((debian.number, !line.contains(&format!("| {ALL} |"))), line);
        }
    }
    for row in rows {
        if row.whole {
            all.remove(&(row.number, true));
        }
        all.insert((row.number, !row.whole), &row.text);
    }
    ensure!(!all.is_empty(), "nothing was run");
    let mut text = INTRODUCTION.to_owned();
    for row in all.values() {
        text.push_str(row);
        text.push('\n');
    }
    if !left_out.is_empty() {
        text.push_str("\nLeft out, because there is no answer to be had:\n\n");
        for LeftOut { test, reason, .. } in left_out {
            writeln!(text, "- `{test}`: {reason}")?;
        }
    }
    fs::write(file, text)?;
    Ok(())
}
