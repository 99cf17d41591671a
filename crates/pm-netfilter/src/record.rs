//! A note of what was applied last, by which a run that has nothing to do finds that out with two questions, and one that
//! has something to do knows what stands without a question: the rows of quiet minutes and of changes in
//! docs/performance.md.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pm_core::backend::Ruleset;
use pm_kernel::file;
use serde::{Deserialize, Serialize};

/// What was applied, and how the table looked right after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) record: Record,
    /// What should stand, as JSON, which only a change has to read.
    ruleset: String,
}

/// What every run compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which run of the machine and which network namespace it was.
    pub(crate) place: String,
    /// The handle of the table.
    pub(crate) table: u64,
    /// The generation that was found to be as applied.
    pub(crate) generation: u32,
    /// What should stand, as a number.
    pub(crate) ruleset: u64,
    /// What stood of what has no names, as a number.
    pub(crate) fingerprint: u64,
}

impl Note {
    pub(crate) fn new(record: Record, ruleset: &Ruleset) -> Option<Self> {
        Some(Self { record, ruleset: serde_json::to_string(ruleset).ok()? })
    }

    /// What should stand.
    pub(crate) fn ruleset(&self) -> Option<Ruleset> {
        serde_json::from_str(&self.ruleset).ok()
    }

    /// A line for each of the two.
    fn read(text: &str) -> Option<Self> {
        let (record, ruleset) = text.split_once('\n')?;
        Some(Self { record: serde_json::from_str(record).ok()?, ruleset: ruleset.to_owned() })
    }

    fn text(&self) -> serde_json::Result<String> {
        Ok(format!("{}\n{}", serde_json::to_string(&self.record)?, self.ruleset))
    }
}

/// Where the note is kept: in memory, and in a file for the next run of the program.
///
/// The note only ever saves work. If it cannot be read or written, or is lost, the next apply does all of it.
#[derive(Debug)]
pub(crate) struct Notebook {
    path: PathBuf,
    cached: Mutex<Option<Note>>,
}

impl Notebook {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, cached: Mutex::new(None) }
    }

    /// The note, if it passes the test: the one in memory, or else the one in the file, which another run may have
    /// written since.
    pub(crate) fn find(&self, is_right: impl Fn(&Record) -> bool) -> Option<Note> {
        let is_right = |note: &Note| is_right(&note.record);
        let cached = self.cached().clone().filter(is_right);
        cached.or_else(|| self.load().filter(is_right))
    }

    /// Keeps a note.
    pub(crate) fn keep(&self, note: Note) {
        // Without the file the next run of the program applies once more than it has to.
        let _ = store(&self.path, &note);
        *self.cached() = Some(note);
    }

    /// Forgets what was noted.
    pub(crate) fn forget(&self) {
        *self.cached() = None;
        // A note that stays is compared with the kernel before it is believed.
        let _ = fs::remove_file(&self.path);
    }

    fn load(&self) -> Option<Note> {
        Note::read(str::from_utf8(&file::read_own(&self.path).ok()?).ok()?)
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<Note>> {
        // The note is replaced as a whole, so a panic elsewhere leaves a whole one.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the file as a whole. It need not survive a crash of the machine: no note does.
fn store(path: &Path, note: &Note) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Always the same name, so that a kill leaves one file and the next note takes its place. Two that write at once, of
    // whom one only looks, may spoil it: that is no note.
    let unfinished = path.with_extension("new");
    let written = file::anew(&unfinished, 0o600).and_then(|mut file| file.write_all(note.text()?.as_bytes()));
    written.and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

#[cfg(test)]
mod tests {
    use pm_core::backend::QuotaRule;
    use pm_core::port::{ClassId, PortRange};
    use pm_core::quota::Mode;
    use pm_core::units::Bytes;

    use super::*;

    fn note(generation: u32) -> Note {
        let place = "here".to_owned();
        let record = Record { place, table: 1, generation, ruleset: u64::MAX, fingerprint: 1 << 63 };
        Note::new(record, &ruleset()).unwrap()
    }

    fn ruleset() -> Ruleset {
        let [port, range]: [PortRange; 2] = ["443", "20000-20100"].map(|entry| entry.parse().unwrap());
        let rule = QuotaRule { over: Bytes(u64::MAX), mode: Mode::OutOnly, members: [port, range].into() };
        Ruleset {
            metered: [port, range].into(),
            blocked: [range].into(),
            quotas: [(port, rule)].into(),
            classes: [(range, ClassId::of(range).unwrap())].into(),
            forward: true,
        }
    }

    #[test]
    fn a_note_is_found_by_the_next_run_and_after_another_one_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("var/run/note.json");
        let ours = Notebook::new(path.clone());
        assert_eq!(ours.find(|_| true), None);
        ours.keep(note(1));
        let other = Notebook::new(path.clone());
        assert_eq!(other.find(|_| true), Some(note(1)));
        assert_eq!(other.find(|_| true).unwrap().ruleset(), Some(ruleset()));
        other.keep(note(2));
        assert_eq!(ours.find(|record| record.generation == 2), Some(note(2)));
        ours.forget();
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_run_left_becomes_the_next_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        fs::write(folder.path().join("note.new"), "{\"place\":").unwrap();
        Notebook::new(path.clone()).keep(note(1));
        assert_eq!(Notebook::new(path).find(|_| true), Some(note(1)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_broken_file_is_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        let whole = note(1).text().unwrap();
        for broken in ["", "{\"place\":", &whole[..whole.find('\n').unwrap()], &format!("\n{whole}")] {
            fs::write(&path, broken).unwrap();
            assert_eq!(Notebook::new(path.clone()).find(|_| true), None, "{broken}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(Notebook::new(path).find(|_| true).unwrap().ruleset(), None);
    }

    #[test]
    fn a_note_that_cannot_be_written_is_kept_in_memory() {
        let notebook = Notebook::new("/proc/pm/note.json".into());
        notebook.keep(note(1));
        assert_eq!(notebook.find(|_| true), Some(note(1)));
    }
}
