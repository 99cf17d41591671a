//! Proof that pm-core cannot touch the machine: it is compiled alone, without the standard library, on known crates.

use anyhow::{Context as _, Result, ensure};

use crate::shell::{capture, cargo, root, run};

/// What pm-core may stand on. Each of them is as pure as pm-core is to be.
const ALLOWED: &[&str] =
    &["async-trait", "itoa", "jiff", "serde", "serde_json", "serde_path_to_error", "thiserror"];

pub(crate) fn check() -> Result<()> {
    let source = root().join("crates/pm-core/src/lib.rs");
    let source = std::fs::read_to_string(source).context("pm-core has no lib.rs")?;
    ensure!(
        source.lines().any(|line| line == "#![no_std]"),
        "pm-core is no longer `no_std`: without that, clocks, files, processes and sockets are within its reach"
    );

    let tree = ["tree", "--package", "pm-core", "--edges", "normal", "--depth", "1", "--prefix", "none"];
    let tree = capture(cargo(tree))?;
    let mut found: Vec<&str> = tree.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    found.sort_unstable();
    found.dedup();
    ensure!(
        found == ALLOWED,
        "pm-core depends on {}; it is allowed {}: a new one must be as pure as pm-core, and be named in xtask/src/purity.rs",
        found.join(", "),
        ALLOWED.join(", ")
    );

    // Alone, so that no other crate of the workspace turns a dependency's `std` on for it.
    run(cargo(["clippy", "--quiet", "--package", "pm-core", "--lib", "--", "--deny", "warnings"]))
}
