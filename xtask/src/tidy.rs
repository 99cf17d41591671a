//! The rules of the house that no lint knows.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::shell::{capture, command, root};

/// A file is called after the noun it owns; past this it owns more than one.
const LONGEST: usize = 700;
/// What a new reader of the repository looks for first.
const FIRST_FILES: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
/// Where people's machines keep their own things. Written in two parts, so that this file is tidy too.
const PRIVATE_FOLDERS: &[&str] = &[concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/")];
/// Promises that belong into an issue.
const UNFINISHED: &[&str] = &[concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME")];

pub(crate) fn check() -> Result<()> {
    let tracked = capture(command("git", ["ls-files", "-z"]))?;
    let mut complaints = Vec::new();
    for name in FIRST_FILES.iter().filter(|name| !root().join(name).is_file()) {
        complaints.push(format!("{name}: missing"));
    }
    // Inputs for fuzzing are as they have to be.
    let written = |path: &&str| !path.is_empty() && !path.starts_with("fuzz/corpus/");
    for path in tracked.split('\0').filter(written) {
        let file = root().join(path);
        // A file that is deleted but not yet committed as such is no longer anybody's business.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            complaints.extend(of_file(path, &text));
        }
    }
    complaints.extend(of_version()?);
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("the house is not tidy:\n  {}", complaints.join("\n  "))
}

fn of_file(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let here = root();
    for (number, line) in text.lines().enumerate() {
        let at = format!("{path}:{}", number + 1);
        if PRIVATE_FOLDERS.iter().any(|folder| line.contains(folder))
            || line.contains(&*here.to_string_lossy())
        {
            complaints.push(format!("{at}: names a folder of somebody's machine"));
        }
        if UNFINISHED.iter().any(|word| line.contains(word)) {
            complaints.push(format!("{at}: something is unfinished; finish it or write an issue"));
        }
    }
    if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
        if !text.starts_with("//!") && !text.starts_with("#![doc") {
            complaints.push(format!("{path}: begins without a `//!` that says what it is"));
        }
        let lines = text.lines().count();
        if lines > LONGEST {
            complaints.push(format!("{path}: {lines} lines; more than {LONGEST} is more than one subject"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        complaints.push(format!("{path}: the last line has no end"));
    }
    complaints
}

/// The changelog knows the version that the workspace has.
fn of_version() -> Result<Option<String>> {
    let version = env!("CARGO_PKG_VERSION");
    let changelog = root().join("CHANGELOG.md");
    if !changelog.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(changelog).context("CHANGELOG.md")?;
    Ok((!text.contains(version)).then(|| format!("CHANGELOG.md: says nothing of version {version}")))
}
