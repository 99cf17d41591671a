//! Installs what a task needs and the machine lacks.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Result, bail};

use crate::shell::{cargo, command, find, run, works};

/// Something that a task needs, and the Debian package that has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// A program, or the full path of a file.
    pub(crate) needed: &'static str,
    /// The package.
    pub(crate) package: &'static str,
}

/// Everything that the namespaces, the traffic and pm itself need.
pub(crate) const LABORATORY: &[Tool] = &[
    Tool { needed: "nft", package: "nftables" },
    Tool { needed: "tc", package: "iproute2" },
    Tool { needed: "ip", package: "iproute2" },
    Tool { needed: "ss", package: "iproute2" },
    Tool { needed: "unshare", package: "util-linux" },
    Tool { needed: "nsenter", package: "util-linux" },
    Tool { needed: "setpriv", package: "util-linux" },
    Tool { needed: "mount", package: "mount" },
    Tool { needed: "script", package: "bsdutils" },
    Tool { needed: "iperf3", package: "iperf3" },
    Tool { needed: "socat", package: "socat" },
    // What kills and disturbs at a system call.
    Tool { needed: "strace", package: "strace" },
    // Daylight saving time is tested with zones that change at midnight.
    Tool { needed: "/usr/share/zoneinfo/Asia/Beirut", package: "tzdata" },
];

/// Whether this process may do what root does.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Installs the packages of those tools that are missing, or says which command does.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    let mut packages: Vec<&str> =
        tools.iter().filter(|tool| !is_there(tool.needed)).map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if find("apt-get").is_none() {
        bail!("missing on this machine: {}. Install them with its package manager", packages.join(", "));
    }
    if !is_root() && !works(command("sudo", ["-n", "true"])) {
        bail!("missing on this machine: {}. Run this first: sudo {line}", packages.join(", "));
    }
    println!("installing {}", packages.join(", "));
    // A fresh machine has no package lists, and an old one has lists of packages that are gone.
    if works(as_root(&line)) {
        return Ok(());
    }
    run(as_root("apt-get update"))?;
    run(as_root(&line))
}

/// Installs the parts of the toolchain that rustup left out.
pub(crate) fn ensure_components() -> Result<()> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| !works(cargo([subcommand, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if find("rustup").is_none() {
        bail!("missing on this machine: {}. Install them beside cargo", missing.join(", "));
    }
    run(command("rustup", ["component", "add"].iter().chain(&missing)))
}

fn is_there(needed: &str) -> bool {
    if needed.starts_with('/') { Path::new(needed).exists() } else { find(needed).is_some() }
}

fn as_root(line: &str) -> std::process::Command {
    let sudo: &[&str] = if is_root() { &[] } else { &["sudo", "-n"] };
    let quiet: &[&str] = &["env", "DEBIAN_FRONTEND=noninteractive"];
    let words: Vec<&str> = sudo.iter().chain(quiet).copied().chain(line.split_whitespace()).collect();
    command(words[0], &words[1..])
}
