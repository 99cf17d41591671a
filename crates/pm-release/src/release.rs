//! `latest.json`: what a release consists of.

use std::collections::BTreeMap;

use pm_core::units::excerpt;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::PROGRAMS;
use crate::error::ReleaseError;

/// The newest release, as `latest.json` describes it:
///
/// ```json
/// {
///   "version": "5.1.0",
///   "notes": {"zh": "…", "en": "…"},
///   "targets": {
///     "x86_64-unknown-linux-musl": {
///       "pm": {"file": "pm-5.1.0-x86_64", "size": 3500000, "sha256": "…64 hex digits…"},
///       "pm-monitor": {"file": "pm-monitor-5.1.0-x86_64", "size": 3000000, "sha256": "…"}
///     }
///   }
/// }
/// ```
///
/// Beside each file stands its signature, `FILE.minisig`. Nothing in here is signed, so nothing in here is believed that a
/// signature does not say too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Release {
    /// Which release it is.
    pub version: Version,
    /// What is new, by language.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
    /// The programs by kind of machine and by name.
    pub targets: BTreeMap<String, BTreeMap<String, Program>>,
}

/// One program of a release, for one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The name of the file beside `latest.json`.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 as 64 hexadecimal digits.
    pub sha256: String,
}

impl Release {
    /// Reads `latest.json`. The reason of a refusal is a phrase.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        /// No program of pm's is near it: what claims more would only fill memory.
        const LARGEST: u64 = 64 << 20;
        let release: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        for program in release.targets.values().flat_map(BTreeMap::values) {
            let Program { file, size, sha256 } = program;
            let is_name = file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !is_name || file.is_empty() || file.starts_with('.') {
                return Err("a file of it has a name that is no file name".to_owned());
            }
            if *size == 0 || *size > LARGEST {
                return Err(format!("{file} of it has an impossible size"));
            }
            if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(format!("{file} of it has no SHA-256"));
            }
        }
        Ok(release)
    }

    /// Whether it is newer than the version that runs; an older one is refused.
    pub fn is_newer_than(&self, present: &Version) -> Result<bool, ReleaseError> {
        if self.version < *present {
            return Err(ReleaseError::Older { offered: self.version.clone(), present: present.clone() });
        }
        Ok(self.version > *present)
    }

    /// What is new, in this language (`zh`, `en`) or else in any: lines that are safe to print.
    pub fn notes_in(&self, language: &str) -> Vec<String> {
        const MOST: usize = 40;
        const LONGEST: usize = 500;
        let text = self.notes.get(language).or_else(|| self.notes.values().next());
        let lines = text.map(String::as_str).unwrap_or_default().lines().take(MOST);
        lines.map(|line| excerpt(line, LONGEST)).collect()
    }

    /// The programs for this kind of machine, in the order of [`PROGRAMS`].
    pub fn programs(&self, target: &str) -> Result<Vec<(&'static str, &Program)>, ReleaseError> {
        let programs = self.targets.get(target);
        PROGRAMS
            .into_iter()
            .map(|name| programs.and_then(|programs| Some((name, programs.get(name)?))))
            .collect::<Option<_>>()
            .ok_or_else(|| ReleaseError::NoTarget {
                version: self.version.clone(),
                target: target.to_owned(),
            })
    }

    /// What the signature of each of its programs has to vouch for: its trusted comment.
    pub fn vouched(&self, name: &str, target: &str) -> String {
        format!("{name} {} {target}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn described(file: &str, size: u64, sha256: &str) -> String {
        let program = format!(r#"{{"file": "{file}", "size": {size}, "sha256": "{sha256}"}}"#);
        format!(
            r#"{{"version": "5.1.0", "targets": {{"here": {{"pm": {program}, "pm-monitor": {program}}}}}}}"#
        )
    }

    #[test]
    fn a_release_is_newer_the_same_or_refused() {
        let release = Release::read(described("pm-5.1.0", 7, DIGEST).as_bytes()).unwrap();
        let than = |version: &str| release.is_newer_than(&version.parse().unwrap());
        assert!(than("5.0.0").unwrap());
        assert!(than("5.1.0-beta.2").unwrap());
        assert!(!than("5.1.0").unwrap());
        assert!(matches!(than("5.10.0"), Err(ReleaseError::Older { .. })));
        let names: Vec<_> = release.programs("here").unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, PROGRAMS);
        assert!(matches!(release.programs("there"), Err(ReleaseError::NoTarget { .. })));
    }

    #[test]
    fn names_that_lead_elsewhere_and_impossible_figures_are_refused() {
        for (file, size, sha256) in [
            ("../pm", 7, DIGEST),
            ("/etc/passwd", 7, DIGEST),
            ("http://elsewhere/pm", 7, DIGEST),
            (".pm", 7, DIGEST),
            ("", 7, DIGEST),
            ("pm?x", 7, DIGEST),
            ("pm", 0, DIGEST),
            ("pm", u64::MAX, DIGEST),
            ("pm", 7, "abc"),
            ("pm", 7, &"g".repeat(64)),
        ] {
            assert!(
                Release::read(described(file, size, sha256).as_bytes()).is_err(),
                "{file} {size} {sha256}"
            );
        }
        for text in
            ["", "<!DOCTYPE html>", "[]", r#"{"version": "five", "targets": {}}"#, r#"{"version": "5.1.0"}"#]
        {
            assert!(Release::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn notes_are_lines_that_are_safe_to_print() {
        let text =
            r#"{"version": "5.1.0", "notes": {"zh": "更快\n\u001b[2J更好", "en": "faster"}, "targets": {}}"#;
        let release = Release::read(text.as_bytes()).unwrap();
        assert_eq!(release.notes_in("en"), ["faster"]);
        assert_eq!(release.notes_in("zh")[0], "更快");
        assert!(!release.notes_in("zh")[1].contains('\u{1b}'));
        assert_eq!(release.notes_in("fr"), ["faster"]);
    }
}
