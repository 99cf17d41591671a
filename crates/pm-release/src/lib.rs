//! Newer releases of pm: found, verified, put in place of the installed one, and back.
//!
//! A release address is a folder that anyone can serve: [`latest.json`](release::Release), the programs, and beside each
//! a minisign signature. Whoever serves it is not trusted. What is installed has been signed with the one key, names the
//! version and the machine that it was built for in its signature, and said its version when it was run.

pub mod error;
pub mod installation;
pub mod release;
pub mod signature;
#[cfg(feature = "network")]
pub mod source;

pub use error::ReleaseError;
pub use installation::Installation;
pub use release::Release;
#[cfg(feature = "network")]
pub use source::Source;

/// The programs of a release, in the order in which they are replaced.
pub const PROGRAMS: [&str; 2] = ["pm-monitor", "pm"];

/// What this machine runs: releases are static programs, so only the processor matters.
pub fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}
