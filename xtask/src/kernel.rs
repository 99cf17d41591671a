//! The tests on the real kernel: built outside, run one by one in namespaces of their own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::enclosure;
use crate::shell::{self, capture, cargo};

/// Runs every test that `words` let pass. Returns those that failed and then passed when they were run once more, alone: a
/// machine that is busy with other things can make a measurement fail that the program has no part in.
pub(crate) fn run(words: &[String]) -> Result<Vec<String>> {
    shell::run(cargo(["build", "--quiet", "--package", "pm-cli", "--package", "pm-monitor", "--bins"]))?;
    let mut suspects = Vec::new();
    for program in Program::built(cargo(["test", "--tests"]))? {
        println!("\n{}", program.title());
        let failed = program.failures(words)?;
        suspects.extend(failed.into_iter().map(|test| (program.clone(), test)));
    }
    let (mut passed, mut failed) = (Vec::new(), Vec::new());
    for (program, test) in suspects {
        let name = format!("{} {test}", program.title());
        println!("\nonce more: {name}");
        let again = program.failures(&["--exact".to_owned(), test])?;
        if again.is_empty() { passed.push(name) } else { failed.push(name) }
    }
    ensure!(failed.is_empty(), "tests on the kernel failed, twice: {}", failed.join(", "));
    Ok(passed)
}

/// A test program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    package: String,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    folder: PathBuf,
}

impl Program {
    /// Every program that has tests on the kernel, built by `cargo test` or what stands for it.
    pub(crate) fn built(mut cargo_test: Command) -> Result<Vec<Self>> {
        cargo_test.args(["--workspace", "--all-features", "--no-run", "--message-format", "json"]);
        let mut programs = Vec::new();
        for program in capture(cargo_test)?.lines().filter_map(Self::of) {
            if !program.tests()?.is_empty() {
                programs.push(program);
            }
        }
        Ok(programs)
    }

    /// What messages call it.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.package, self.name)
    }

    /// The names of its tests on the kernel.
    pub(crate) fn tests(&self) -> Result<Vec<String>> {
        let listed = capture(shell::command(&self.path, ["--list", "--ignored"]))?;
        Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// The test program in a line of what cargo says that it built.
    fn of(line: &str) -> Option<Self> {
        let built: Value = serde_json::from_str(line).ok()?;
        let path = built["executable"].as_str()?;
        if built["profile"]["test"] != true {
            return None;
        }
        let folder = PathBuf::from(built["manifest_path"].as_str()?).parent()?.to_owned();
        Some(Self {
            package: folder.file_name()?.to_string_lossy().into_owned(),
            name: built["target"]["name"].as_str()?.to_owned(),
            path: PathBuf::from(path),
            folder,
        })
    }

    /// Runs its tests, shows what they print, and returns the names of those that failed.
    fn failures(&self, words: &[String]) -> Result<Vec<String>> {
        let fixed = ["--ignored", "--test-threads=1"].into_iter();
        let mut command = enclosure::enclosed(&self.path, fixed.chain(words.iter().map(String::as_str)));
        command.env("PM_BIN_DIR", self.our_programs()).current_dir(&self.folder).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.path.display()))?;
        let (mut failed, mut told) = (Vec::new(), None);
        for line in BufReader::new(child.stdout.take().context("it has no output")?).lines() {
            let line = line.context("what a test prints is not text")?;
            println!("{line}");
            let verdict = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
            failed.extend(verdict.map(str::to_owned));
            told = failures_told(&line).or(told);
        }
        let status = child.wait().context("cannot wait for a test")?;
        ensure!(
            told == Some(failed.len()) && status.success() == failed.is_empty(),
            "{} ended otherwise than its tests did ({status})",
            self.title()
        );
        Ok(failed)
    }

    /// The folder of our own programs, two floors above the tests.
    pub(crate) fn our_programs(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(Path::new("."))
    }
}

/// How many tests failed, in the last line of a test program.
fn failures_told(line: &str) -> Option<usize> {
    let counts = line.strip_prefix("test result: ")?;
    counts.split("; ").find_map(|count| count.strip_suffix(" failed"))?.parse().ok()
}
