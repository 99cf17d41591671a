//! The oldest kernel and the oldest nft that pm works with: those of Debian 11.
//!
//! A version alone stops nothing, since distributions bring new abilities to old kernels. Where something fails, or a
//! person asks what is wrong, it is told.

use std::fs;

/// The kernel.
pub const KERNEL: &[u32] = &[5, 10];
/// The program `nft`.
pub const NFT: &[u32] = &[0, 9, 8];

/// The version in what a program says of itself, or in the release of a kernel.
pub fn version(said: &str) -> Option<Vec<u32>> {
    let words = said.split(|character: char| !(character.is_ascii_digit() || character == '.'));
    let mut numbers = words.map(|word| word.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>());
    numbers.find_map(|parsed| parsed.ok().filter(|parsed| parsed.len() >= 2))
}

/// A version as people write it.
pub fn dotted(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// A sentence about something whose version is below its floor; nothing about anything else.
pub fn remark(what: &str, said: &str, oldest: &[u32]) -> Option<String> {
    let version = version(said).filter(|version| version.as_slice() < oldest)?;
    Some(format!(
        "this {what} is {}, and pm needs {} or newer: upgrade the system, Debian 11 or newer has it",
        dotted(&version),
        dotted(oldest)
    ))
}

/// The same about the kernel that runs.
pub fn kernel_remark() -> Option<String> {
    remark("kernel", &fs::read_to_string("/proc/sys/kernel/osrelease").ok()?, KERNEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, told) in [
            ("nftables v1.0.6 (Lester Gooch #5)", Some(vec![1, 0, 6])),
            ("a utility, package2-6.1.0, library 1.1.0", Some(vec![6, 1, 0])),
            ("a utility, package2-ss190107", None),
            ("6.1.0-18-amd64", Some(vec![6, 1, 0])),
        ] {
            assert_eq!(version(said), told, "{said}");
        }
    }

    #[test]
    fn only_what_is_too_old_is_remarked_upon() {
        for good in ["nftables v0.9.8 (E.D.S.)", "nftables v1.1.3 (Commodore Bullmoose #4)", "no version"] {
            assert_eq!(remark("nft", good, NFT), None, "{good}");
        }
        assert_eq!(
            remark("kernel", "4.19.0-27-amd64", KERNEL).unwrap(),
            "this kernel is 4.19.0, and pm needs 5.10 or newer: upgrade the system, Debian 11 or newer has it"
        );
    }
}
