//! What holds of any input, however hostile. Each target is a function of some bytes that panics when it does not hold.
//!
//! `cargo xtask fuzz` lets libFuzzer look for bytes that make one of them panic. What it found worth keeping stands in
//! `corpus`, a folder per target, and is tried in every test run: a fault that was found once stays mended.

mod config;
mod crontab;
mod dice;
mod release;
mod rich;
mod units;

pub use config::config;
pub use crontab::crontab;
#[cfg(fuzzing)]
pub use libfuzzer_sys;
pub use pm_monitor::transfer::property::import;
pub use pm_netfilter::property::{dump, nft_json};
pub use pm_notify::property::telegram;
pub use pm_shaper::property::traffic;
pub use release::release;
pub use rich::rich;
pub use units::units;

/// A target: what holds of any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its corpus too.
pub const TARGETS: &[(&str, Target)] = &[
    ("config", config),
    ("crontab", crontab),
    ("dump", dump),
    ("import", import),
    ("nft_json", nft_json),
    ("release", release),
    ("rich", rich),
    ("telegram", telegram),
    ("traffic", traffic),
    ("units", units),
];

/// The program of a target: with libFuzzer under `cargo fuzz`, else one that tries the files that it is told.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$name(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for file in std::env::args_os().skip(1) {
                $crate::$name(&std::fs::read(file)?);
            }
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn here(folder: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn everything_that_was_found_once_stays_mended() {
        for (name, target) in TARGETS {
            let corpus = here("corpus").join(name);
            let inputs: Vec<PathBuf> =
                fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!inputs.is_empty(), "{name} has no inputs");
            for input in inputs {
                println!("{}", input.display());
                target(&fs::read(&input).unwrap());
            }
        }
    }

    #[test]
    fn each_target_has_a_program_and_a_corpus() {
        let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&here("fuzz_targets")), known);
        assert_eq!(names(&here("corpus")), known);
    }
}
