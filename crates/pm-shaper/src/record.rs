//! What has to be known of an interface after it was taken: kept in a file, believed on this run of the machine only.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use pm_kernel::boot;
use pm_kernel::file;
use pm_kernel::netns::NetworkNamespace;
use serde::{Deserialize, Serialize};

use crate::error::ShaperError;
use crate::handle::Handle;
use crate::leaf::Abilities;
use crate::standing::Qdisc;

/// The note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which run of the machine and which network namespace it is about.
    place: String,
    /// Kinds of queues that this kernel turned out not to have.
    #[serde(default)]
    lacking: BTreeSet<String>,
    /// The interface that was taken.
    pub(crate) taken: Option<Taken>,
}

/// An interface whose root is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Its name, for people.
    pub(crate) interface: String,
    /// Its number, which no other interface of this namespace ever gets.
    pub(crate) index: u32,
    /// What stood there before, outermost first; nothing where the kernel had set it by itself.
    pub(crate) before: Vec<Remembered>,
}

/// A queueing discipline to be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    kind: String,
    handle: Handle,
    parent: Handle,
    /// Its parameters as the kernel wrote them, in hexadecimal.
    options: String,
}

impl Record {
    /// The note about this run of the machine; an empty one if the file is absent or tells of another run.
    pub(crate) fn load(path: &Path) -> Result<Self, ShaperError> {
        let boot = boot::current().map_err(ShaperError::Boot)?;
        // Where the namespace cannot be told, there is only one as far as we know.
        let namespace =
            NetworkNamespace::current().map_or_else(String::new, |namespace| namespace.to_string());
        let place = format!("{boot} {namespace}");
        let blank = Self { place, lacking: BTreeSet::new(), taken: None };
        let bytes = match file::read_own(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(blank),
            Err(source) => return Err(ShaperError::ReadRecord { path: path.into(), source }),
        };
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|source| ShaperError::BrokenRecord { path: path.into(), source })?;
        Ok(if record.place == blank.place { record } else { blank })
    }

    /// Replaces the file as a whole, so that no crash leaves half of it.
    pub(crate) fn save(&self, path: &Path) -> Result<(), ShaperError> {
        self.store(path).map_err(|source| ShaperError::WriteRecord { path: path.into(), source })
    }

    /// Removes the file.
    pub(crate) fn forget(path: &Path) -> Result<(), ShaperError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ShaperError::WriteRecord { path: path.into(), source })
            }
            _ => Ok(()),
        }
    }

    /// What this kernel has, as far as it is known.
    pub(crate) fn abilities(&self) -> Abilities {
        let has = |kind: &str| !self.lacking.contains(kind);
        Abilities { tbf: has("tbf"), fq_codel: has("fq_codel") }
    }

    /// Notes that this kernel does not have this kind of queue, so that it is not tried each minute.
    pub(crate) fn lacks(&mut self, kind: &str) {
        self.lacking.insert(kind.to_owned());
    }

    fn store(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Always the same name, so that a kill leaves one file and the next note takes its place: whoever writes holds
        // the lock.
        let unfinished = path.with_extension("new");
        let replaced = self.write(&unfinished).and_then(|()| fs::rename(&unfinished, path));
        replaced.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        File::open(folder)?.sync_all()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = file::anew(path, 0o600)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }
}

impl Remembered {
    /// The queueing discipline, on that interface.
    pub(crate) fn on(&self, interface: u32) -> Qdisc {
        let options = self.options.as_bytes().chunks(2).filter_map(byte).collect();
        Qdisc { interface, handle: self.handle, parent: self.parent, kind: self.kind.clone(), options }
    }
}

impl From<Qdisc> for Remembered {
    fn from(qdisc: Qdisc) -> Self {
        let options = qdisc.options.iter().flat_map(|&byte| [byte >> 4, byte & 0xf]);
        let options = options.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
        Self { kind: qdisc.kind, handle: qdisc.handle, parent: qdisc.parent, options }
    }
}

fn byte(digits: &[u8]) -> Option<u8> {
    str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qdisc() -> Qdisc {
        let handle = Handle::new(0x8001, 0);
        Qdisc {
            interface: 7,
            handle,
            parent: Handle::ROOT,
            kind: "fq".to_owned(),
            options: vec![8, 0, 1, 255],
        }
    }

    fn taken() -> Taken {
        Taken { interface: "eth0".to_owned(), index: 7, before: vec![qdisc().into()] }
    }

    #[test]
    fn what_was_noted_is_known_to_the_next_run_of_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/shaper.json");
        let mut record = Record::load(&path).unwrap();
        assert_eq!((&record.taken, record.abilities()), (&None, Abilities { tbf: true, fq_codel: true }));
        record.taken = Some(taken());
        record.lacks("fq_codel");
        record.save(&path).unwrap();
        let again = Record::load(&path).unwrap();
        assert_eq!(again, record);
        assert_eq!(again.abilities(), Abilities { tbf: true, fq_codel: false });
        assert_eq!(again.taken.unwrap().before[0].on(7), qdisc());
        Record::forget(&path).unwrap();
        Record::forget(&path).unwrap();
        assert_eq!(Record::load(&path).unwrap().taken, None);
    }

    #[test]
    fn a_note_of_another_run_of_the_machine_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shaper.json");
        let record = Record {
            place: "another".to_owned(),
            lacking: BTreeSet::from(["tbf".to_owned()]),
            taken: Some(taken()),
        };
        record.save(&path).unwrap();
        let found = Record::load(&path).unwrap();
        assert_eq!((found.taken.clone(), found.abilities().tbf), (None, true));
    }

    #[test]
    fn a_file_that_is_no_note_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shaper.json");
        fs::write(&path, "{\"place\":").unwrap();
        let error = Record::load(&path).unwrap_err().to_string();
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"{\"place\":");
    }

    #[test]
    fn what_a_killed_run_left_becomes_the_next_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shaper.json");
        fs::write(folder.path().join("shaper.new"), "{\"place\":").unwrap();
        let mut record = Record::load(&path).unwrap();
        record.taken = Some(taken());
        record.save(&path).unwrap();
        assert_eq!(Record::load(&path).unwrap(), record);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}
