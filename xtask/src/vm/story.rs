//! What a machine does once it has booted, and what is heard of it: every test program, one after the other.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::LeftOut;
use crate::enclosure;
use crate::kernel::Program;
use crate::shell::capture;

/// How long all tests of one program may take, in seconds. Emulation is ten to twenty times slower than a processor.
const PATIENCE: &str = "2400";

/// What the lines begin with that are no test's.
const MARK: &str = "== ";

/// The tests of some programs.
#[derive(Debug)]
pub(super) struct Story {
    chapters: Vec<Chapter>,
    /// How many tests were asked for and left out.
    pub(super) left_out: usize,
}

/// One run of a test program.
#[derive(Debug, Clone)]
struct Chapter {
    program: Program,
    words: Vec<String>,
    tests: Vec<String>,
}

/// What a machine told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// What it said of itself: kernel, nft, iproute2.
    pub(super) kernel: String,
    pub(super) nft: String,
    pub(super) iproute2: String,
    /// Which passed, and which failed: the program and the test.
    pub(super) passed: Vec<(String, String)>,
    pub(super) failed: Vec<(String, String)>,
    /// Those of them that passed when they were run once more.
    pub(super) passed_at_last: Vec<String>,
    /// From the first test to the end of the last, as the machine's own clock has it.
    pub(super) seconds: u64,
    pub(super) ended: bool,
    /// The program that tells at the moment.
    program: String,
}

impl Story {
    /// Every test whose name, behind those of its crate and program, contains one of the names; all when there are none.
    pub(super) fn new(programs: &[Program], names: &[String], left_out: &[&LeftOut]) -> Result<Self> {
        let (mut chapters, mut without) = (Vec::new(), 0);
        for program in programs {
            let mut tests = program.tests()?;
            tests.retain(|test| {
                let whole = format!("{} {test}", program.title());
                names.is_empty() || names.iter().any(|name| whole.contains(name.as_str()))
            });
            for LeftOut { test, reason, .. } in left_out {
                let before = tests.len();
                tests.retain(|one| one != test);
                if tests.len() < before {
                    without += 1;
                    println!("left out: {} {test}: {reason}", program.title());
                }
            }
            if !tests.is_empty() {
                let words = std::iter::once("--exact".to_owned()).chain(tests.iter().cloned()).collect();
                chapters.push(Chapter { program: program.clone(), words, tests });
            }
        }
        ensure!(!chapters.is_empty(), "no test has such a name");
        Ok(Self { chapters, left_out: without })
    }

    /// How many tests it is.
    pub(super) fn tests(&self) -> usize {
        self.chapters.iter().map(|chapter| chapter.tests.len()).sum()
    }

    /// These tests alone, each by itself.
    pub(super) fn only(&self, tests: &[(String, String)]) -> Self {
        let chapters = tests.iter().filter_map(|(title, test)| {
            let chapter = self.chapters.iter().find(|chapter| chapter.program.title() == *title)?;
            let words = vec!["--exact".to_owned(), test.clone()];
            Some(Chapter { program: chapter.program.clone(), words, tests: vec![test.clone()] })
        });
        Self { chapters: chapters.collect(), left_out: 0 }
    }

    /// Writes the programs and the script into a folder that the machine will see as `/opt/pm`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let first = self.chapters.first().context("a story without a test")?;
        let ours = first.program.our_programs();
        let mut script = format!(
            "export LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin PM_BIN_DIR=/opt/pm {}=1\ncd /opt/pm\n\
             echo \"{MARK}kernel $(uname -r) $(uname -v)\"\necho \"{MARK}nft $(nft --version)\"\n\
             echo \"{MARK}iproute2 $(ip -V)\"\n",
            pm_tests::pace::EMULATED
        );
        // Some tests know our programs by the path that they were built at.
        writeln!(script, "mkdir -p '{}'", ours.display())?;
        for name in pm_release::PROGRAMS {
            copied(&ours.join(name), &folder.join(name))?;
            writeln!(script, "ln -s /opt/pm/{name} '{}'", ours.join(name).display())?;
        }
        // Some put one of their own in its place, and debootstrap makes none.
        writeln!(script, "[ -e /etc/hosts ] || echo '127.0.0.1 localhost' > /etc/hosts")?;
        writeln!(script, "aside=$(mktemp); begin=$(cut -d. -f1 /proc/uptime)")?;
        for (number, chapter) in self.chapters.iter().enumerate() {
            let name = format!("{number}-{}", chapter.program.name);
            copied(&chapter.program.path, &folder.join(&name))?;
            let words: Vec<String> = ["timeout", "--kill-after=9", PATIENCE]
                .into_iter()
                .chain(enclosure::words())
                .map(str::to_owned)
                .chain([format!("/opt/pm/{name}"), "--ignored".to_owned()])
                .chain(["--test-threads=1", "--color=never"].map(str::to_owned))
                .chain(chapter.words.iter().cloned())
                .map(|word| quoted(&word))
                .collect();
            writeln!(script, "echo '{MARK}program {}'", chapter.program.title())?;
            // What programs complain of meanwhile would stand between a test's name and its verdict.
            writeln!(script, "{} < /dev/null 2> $aside; cat $aside", words.join(" "))?;
        }
        writeln!(script, "echo \"{MARK}end $(($(cut -d. -f1 /proc/uptime) - begin))\"")?;
        fs::write(folder.join("story"), script)?;
        Ok(())
    }
}

impl Heard {
    /// Takes a line in; whether a person wants to see it.
    pub(super) fn line(&mut self, line: &str) -> bool {
        if let Some(told) = line.strip_prefix(MARK) {
            let (what, value) = told.split_once(' ').unwrap_or((told, ""));
            match what {
                "kernel" => self.kernel = after(value, "Debian "),
                "nft" => self.nft = after(value, "nftables v"),
                "iproute2" => self.iproute2 = after(value, "iproute2-"),
                "program" => value.clone_into(&mut self.program),
                "end" => {
                    self.ended = true;
                    self.seconds = value.parse().unwrap_or_default();
                }
                _ => {}
            }
            return what != "end";
        }
        for (word, tests) in [("ok", &mut self.passed), ("FAILED", &mut self.failed)] {
            tests.extend(verdict(line, word).map(|test| (self.program.clone(), test.to_owned())));
        }
        !line.is_empty() && !self.kernel.is_empty()
    }

    /// Counts those tests of the story as failed that nothing was heard of: their program ended before they did.
    pub(super) fn count_the_silent(&mut self, story: &Story) {
        for chapter in &story.chapters {
            for test in &chapter.tests {
                let named = (chapter.program.title(), test.clone());
                if !self.passed.contains(&named) && !self.failed.contains(&named) {
                    println!("nothing was heard of {} {test}", named.0);
                    self.failed.push(named);
                }
            }
        }
    }

    /// What failed, as a person reads it.
    pub(super) fn failed_names(&self) -> String {
        let names: Vec<String> =
            self.failed.iter().map(|(program, test)| format!("{program} {test}")).collect();
        names.join(", ")
    }

    /// What became of the tests that failed.
    pub(super) fn second_attempt(&mut self, again: Self) {
        let once = std::mem::replace(&mut self.failed, again.failed);
        let now_good = once.into_iter().filter(|test| !self.failed.contains(test));
        self.passed_at_last = now_good.map(|(program, test)| format!("{program} {test}")).collect();
        self.passed.extend(again.passed);
    }
}

/// The version behind a word; all that was told when that word is not in it. Of `5.10.0-32-amd64 #1 SMP Debian 5.10.223-1
/// (2024-08-10)`, what follows `Debian ` says more than Debian's name for it.
fn after(told: &str, word: &str) -> String {
    let version = told.split_once(word).map_or(told, |(_, version)| version);
    version.split([' ', ',']).next().unwrap_or(version).to_owned()
}

fn verdict<'a>(line: &'a str, verdict: &str) -> Option<&'a str> {
    line.strip_prefix("test ")?.strip_suffix(verdict)?.strip_suffix(" ... ")
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A program without what only a debugger reads.
fn copied(from: &Path, to: &Path) -> Result<()> {
    let mut strip = crate::shell::command("objcopy", ["--strip-all"]);
    strip.arg(from).arg(to);
    capture(strip)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
