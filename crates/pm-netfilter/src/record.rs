//! A note of what was applied last, by which a run that has nothing to do finds that out with two questions, and one that
//! has something to do knows what stands without a question: the rows of quiet minutes and of changes in
//! docs/performance.md.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pm_kernel::file;
use serde::{Deserialize, Serialize};

/// More than a record takes.
const LONGEST_RECORD: usize = 1024;

/// What was applied, and how the table looked right after: what every run compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which run of the machine and which network namespace it was, and how rulesets were laid out.
    pub(crate) place: String,
    /// The handle of the table.
    pub(crate) table: u64,
    /// The generation that was found to be as applied.
    pub(crate) generation: u32,
    /// What should stand, as a number.
    pub(crate) ruleset: u64,
    /// The lines that say it, as a number.
    pub(crate) lines: u64,
    /// What stood of what has no names, as a number.
    pub(crate) fingerprint: u64,
}

/// Where the record is kept: in memory, and in a file for the next run of the program. Behind its line in the file stand those
/// of the ruleset, which only a change has to read.
///
/// The note only ever saves work. If it cannot be read or written, or is lost, the next apply does all of it.
#[derive(Debug)]
pub(crate) struct Notebook {
    path: PathBuf,
    cached: Mutex<Option<Record>>,
}

impl Notebook {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, cached: Mutex::new(None) }
    }

    /// The record, if it passes the test: the one in memory, or else the one in the file, which another run may have
    /// written since.
    pub(crate) fn find(&self, is_right: impl Fn(&Record) -> bool) -> Option<Record> {
        let cached = self.cached().clone().filter(&is_right);
        cached.or_else(|| self.load().filter(is_right))
    }

    /// The lines of the ruleset that this record is about, if the file still has them.
    pub(crate) fn lines(&self, record: &Record) -> Option<String> {
        let text = String::from_utf8(file::read_own(&self.path).ok()?).ok()?;
        let (_, lines) = text.split_once('\n')?;
        (checksum(lines) == record.lines).then(|| lines.to_owned())
    }

    /// Keeps a record and the lines of its ruleset.
    pub(crate) fn keep(&self, record: Record, lines: &str) {
        // Without the file the next run of the program applies once more than it has to.
        let _ = store(&self.path, &record, lines);
        *self.cached() = Some(record);
    }

    /// Forgets what was noted.
    pub(crate) fn forget(&self) {
        *self.cached() = None;
        // A note that stays is compared with the kernel before it is believed.
        let _ = fs::remove_file(&self.path);
    }

    fn load(&self) -> Option<Record> {
        let mut line = Vec::with_capacity(LONGEST_RECORD);
        let mut file = file::open_own(&self.path).ok()?.take(LONGEST_RECORD as u64);
        file.read_to_end(&mut line).ok()?;
        serde_json::from_slice(line.split(|&byte| byte == b'\n').next()?).ok()
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<Record>> {
        // The record is replaced as a whole, so a panic elsewhere leaves a whole one.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number for the lines, by which those of another record and those that were spoilt are told from them.
pub(crate) fn checksum(lines: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(lines.as_bytes());
    hasher.finish()
}

/// Replaces the file as a whole. It need not survive a crash of the machine: no note does.
fn store(path: &Path, record: &Record, lines: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let text = [&serde_json::to_string(record)?, lines].join("\n");
    // Always the same name, so that a kill leaves one file and the next note takes its place. Two that write at once, of
    // whom one only looks, may spoil it: that is no note.
    let unfinished = path.with_extension("new");
    let written = file::anew(&unfinished, 0o600).and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "meter 443\nforward";

    fn record(generation: u32) -> Record {
        let place = "here".to_owned();
        let lines = checksum(LINES);
        Record { place, table: 1, generation, ruleset: u64::MAX, lines, fingerprint: 1 << 63 }
    }

    #[test]
    fn a_note_is_found_by_the_next_run_and_after_another_one_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("var/run/note.json");
        let ours = Notebook::new(path.clone());
        assert_eq!(ours.find(|_| true), None);
        ours.keep(record(1), LINES);
        let other = Notebook::new(path.clone());
        assert_eq!(other.find(|_| true), Some(record(1)));
        assert_eq!(other.lines(&record(1)).as_deref(), Some(LINES));
        other.keep(record(2), LINES);
        assert_eq!(ours.find(|record| record.generation == 2), Some(record(2)));
        ours.forget();
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_run_left_becomes_the_next_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        fs::write(folder.path().join("note.new"), "{\"place\":").unwrap();
        Notebook::new(path.clone()).keep(record(1), LINES);
        assert_eq!(Notebook::new(path).find(|_| true), Some(record(1)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_broken_file_is_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        Notebook::new(path.clone()).keep(record(1), LINES);
        let whole = fs::read_to_string(&path).unwrap();
        let line = whole.find('\n').unwrap();
        let endless = " ".repeat(LONGEST_RECORD) + &whole;
        for broken in ["", "{\"place\":", &whole[..line - 1], &format!("\n{whole}"), &endless] {
            fs::write(&path, broken).unwrap();
            assert_eq!(Notebook::new(path.clone()).find(|_| true), None, "{broken}");
        }
    }

    #[test]
    fn lines_that_were_spoilt_or_are_of_another_record_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        let notebook = Notebook::new(path.clone());
        notebook.keep(record(1), LINES);
        let whole = fs::read_to_string(&path).unwrap();
        for end in whole.find('\n').unwrap()..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(notebook.lines(&record(1)), None, "of {end} bytes");
        }
        notebook.keep(Record { lines: checksum("meter 80"), ..record(2) }, "meter 80");
        assert_eq!(notebook.lines(&record(1)), None);
    }

    #[test]
    fn a_note_that_cannot_be_written_is_kept_in_memory() {
        let notebook = Notebook::new("/proc/pm/note.json".into());
        notebook.keep(record(1), LINES);
        assert_eq!(notebook.find(|_| true), Some(record(1)));
        assert_eq!(notebook.lines(&record(1)), None);
    }
}
