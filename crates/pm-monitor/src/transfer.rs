//! Moving everything to another machine: an export is one JSON document, an import is that document checked whole
//! before anything is touched, and undone when it cannot be brought into force. The file of another program is imported
//! in the same way, except that it adds to what is there.
//!
//! What belongs to a machine stays there: which counters were read and where they stood, the interface where the other
//! machine has none of that name, the consent to replace a qdisc, where newer releases come from, the queue of messages. Usage, warnings, penalties and
//! reset marks move. Counting goes on from what each counter of the new machine shows at the import.

#[cfg(feature = "fuzzing")]
pub mod property;
pub mod rival;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use pm_core::accounting::{Ledger, Mark, Meter, Readings};
use pm_core::backend::BackendError;
use pm_core::config::{Config, UpdateSource};
use pm_core::dynqos::RateWindow;
use pm_core::port::PortRange;
use pm_core::state::Outbox;
use pm_core::tick::{Settled, settle};
use pm_core::view::{Overview, PortView};
use pm_core::wire::{self, Decoded, Snapshot, Warning, WireError};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::NamedTempFile;

use crate::host;
use crate::lock::Lock;
use crate::machine::{Machine, MachineError};
use crate::outcome::{Note, Outcome};
use crate::store::StoreError;
use rival::{Gap, Rival, Takeover};

/// What the document calls itself.
const FORMAT: &str = "pm-export";
/// The version of the document that is written, and the highest one that is understood.
const VERSION: u64 = 1;
/// How compressed files begin (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Everything of one machine as a document.
#[derive(Debug)]
pub struct Export {
    /// The document.
    pub text: Vec<u8>,
    /// Whether there is something in it that only its owner may see.
    pub has_secrets: bool,
    /// What the operator should know, a sentence each.
    pub notes: Vec<String>,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is nothing.
    #[error("there is nothing to export yet: pm add meters a port")]
    Nothing,
    /// The configuration cannot be read.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Something is there already.
    #[error("{0} is there already, and may be the only copy: name another file, or replace it with --yes")]
    Exists(PathBuf),
    /// A device, a folder, a link.
    #[error("{0} is no regular file: name one, or leave the name away to write to standard output")]
    NotAFile(PathBuf),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A document that was read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    content: Content,
    /// What it says that nobody can have meant.
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// An export of pm.
    Everything(Box<Snapshot>),
    /// Ports of another program.
    Ports(Takeover),
}

/// What an import makes of a machine.
struct Merged {
    snapshot: Snapshot,
    notes: Vec<Note>,
    gaps: Vec<Gap>,
}

/// Why a document cannot be imported. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON, or not all of it is there, or a field is wrong.
    #[error("{0}; nothing was changed")]
    Unreadable(WireError),
    /// The file that holds the usage is no JSON, or a field of it is wrong.
    #[error("{0}; nothing was changed: without this file, the import begins at 0")]
    Usage(WireError),
    /// It is something else.
    #[error("this is no export of pm, so nothing was changed: pm export writes one")]
    Foreign,
    /// It is the file that an export is made of.
    #[error(
        "this is a config.json, not an export of pm, so nothing was changed: export it where it is in use with pm export, or put it into its place by hand"
    )]
    Configuration,
    /// It is something else than a file of that program.
    #[error("this is no file of {} that can be read, so nothing was changed: name {}", .0.name(), .0.files())]
    NotOf(Rival),
    /// It is an export of pm, and not of that program.
    #[error("this is an export of pm, so nothing was changed: import it without --from")]
    OfPm,
    /// It is an archive.
    #[error("this is a packed archive, so nothing was changed: unpack it (tar xzf FILE), and name {}", .0.files())]
    Packed(Rival),
    /// It was written by a newer pm.
    #[error(
        "this is version {0} of an export, and this pm understands up to {VERSION}, so nothing was changed: update this pm first"
    )]
    Newer(u64),
}

/// What an import would change.
#[derive(Debug)]
pub struct Plan {
    import: Import,
    over: Config,
    /// The entries that would not be as they were.
    pub changes: Vec<Change>,
    /// How many entries would stay as they are.
    pub unchanged: usize,
    /// Whether Telegram, its thresholds or another channel would change.
    pub notifications: bool,
    /// What the operator should know.
    pub notes: Vec<Note>,
    /// What of another program's file does not come along as it was.
    pub gaps: Vec<Gap>,
}

/// What would become of one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The entry.
    pub port: PortRange,
    /// As it is; none for a new one.
    pub before: Option<PortView>,
    /// As it would be; none for one that goes.
    pub after: Option<PortView>,
}

/// An import that was carried out.
#[derive(Debug)]
pub struct Imported {
    /// What there is to say.
    pub outcome: Outcome,
    /// The configuration from before, if there was one.
    pub backup: Option<PathBuf>,
}

/// Why an import was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A lock, the files or the counters were not to be had. Nothing was changed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Somebody changed the configuration after the plan was made.
    #[error(
        "the configuration was changed since it was compared with the import, so nothing was imported: try again, to see what would change now"
    )]
    Overtaken,
    /// It could not be brought into force.
    #[error(
        "the import could not be brought into force, so everything is as it was before: {}",
        sentences(.0)
    )]
    Undone(Vec<BackendError>),
    /// Neither could what was before.
    #[error(
        "the import could not be brought into force ({}); the configuration from before is back in its place, but not in force ({}): pm --monitor tries again",
        sentences(faults),
        sentences(again)
    )]
    HalfUndone {
        /// What went wrong with the import.
        faults: Vec<BackendError>,
        /// What went wrong on the way back.
        again: Vec<BackendError>,
    },
    /// The old file could not be put back.
    #[error(
        "the import could not be brought into force ({}), and the configuration from before could not be put back: {source}{}",
        sentences(faults), backup.as_ref().map_or_else(String::new, |backup| format!("; it is in {}", backup.display()))
    )]
    Stuck {
        /// What went wrong with the import.
        faults: Vec<BackendError>,
        /// What went wrong on the way back.
        source: StoreError,
        /// Where the old file is, if there was one.
        backup: Option<PathBuf>,
    },
}

fn sentences(faults: &[BackendError]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Export {
    /// The document of what is configured and used now. Whatever belongs to this machine alone is left out.
    fn of(mut snapshot: Snapshot, now: &Zoned) -> Self {
        let state = &mut snapshot.state;
        for port in state.ports.values_mut() {
            let used = port.ledger.used();
            let unmarked = |used| Meter { used, mark: None };
            port.ledger = Ledger { inbound: unmarked(used.inbound), outbound: unmarked(used.outbound) };
            port.window = RateWindow::default();
        }
        state.last_run = None;
        // What waits in the queue is told by this machine.
        state.outbox = Outbox { next_id: state.outbox.next_id, ..Outbox::default() };
        let config = String::from_utf8_lossy(&wire::encode(&snapshot)).trim_end().replace('\n', "\n  ");
        let text = format!(
            "{{\n  \"format\": \"{FORMAT}\",\n  \"version\": {VERSION},\n  \"pm\": \"{}\",\n  \"exported_at\": \"{}\",\n  \"config\": {config}\n}}\n",
            env!("CARGO_PKG_VERSION"),
            now.strftime("%Y-%m-%dT%H:%M:%S%:z"),
        );
        let Config { telegram, channels, .. } = &snapshot.config;
        let has_secrets = !telegram.bot_token.expose().is_empty()
            || !telegram.proxy.expose().is_empty()
            || !channels.is_empty();
        Self { text: text.into_bytes(), has_secrets, notes: Vec::new() }
    }

    /// Writes it to a file that only its owner can read: all of it or nothing. What is there already is replaced only
    /// if `replace` says so.
    pub fn save(&self, path: &Path, replace: bool) -> Result<(), ExportError> {
        let failed = |source| ExportError::Write { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Ok(there) if !there.is_file() => return Err(ExportError::NotAFile(path.to_owned())),
            Ok(_) if !replace => return Err(ExportError::Exists(path.to_owned())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(_) | Err(_) => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
        file.as_file().set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        file.write_all(&self.text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        let persisted = if replace { file.persist(path) } else { file.persist_noclobber(path) };
        if let Err(error) = persisted {
            let exists = error.error.kind() == io::ErrorKind::AlreadyExists;
            return Err(if exists { ExportError::Exists(path.to_owned()) } else { failed(error.error) });
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

/// The outside of a document.
#[derive(Deserialize)]
struct Envelope<'a> {
    format: Option<Value>,
    version: Option<Value>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    /// What makes a config.json.
    #[serde(borrow)]
    ports: Option<&'a RawValue>,
    /// What makes it ours.
    #[serde(borrow)]
    telegram: Option<&'a RawValue>,
}

/// Reads the outside. `foreign` is what to say of JSON that has another one.
fn envelope(text: &[u8], foreign: DocumentError) -> Result<(&str, Envelope<'_>), DocumentError> {
    let unreadable = |line, column, reason| {
        DocumentError::Unreadable(WireError { line, column, field: String::new(), reason })
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(unreadable(1, 1, "this is not UTF-8 text".to_owned()));
    };
    match serde_json::from_str(text) {
        Ok(envelope) => Ok((text, envelope)),
        Err(error) if error.is_data() => Err(foreign),
        Err(error) => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let reason = error.to_string();
            let reason = reason.strip_suffix(&place).unwrap_or(&reason).to_owned();
            Err(unreadable(error.line().max(1), error.column().max(1), reason))
        }
    }
}

impl Import {
    /// Reads a document and checks all of it.
    pub fn read(text: &[u8]) -> Result<Self, DocumentError> {
        let (text, envelope) = envelope(text, DocumentError::Foreign)?;
        if envelope.format.is_none_or(|format| format != FORMAT) {
            let is_configuration = envelope.ports.is_some();
            return Err(if is_configuration { DocumentError::Configuration } else { DocumentError::Foreign });
        }
        match envelope.version.and_then(|version| version.as_u64()) {
            Some(1..=VERSION) => {}
            Some(newer) if newer > VERSION => return Err(DocumentError::Newer(newer)),
            _ => return Err(DocumentError::Foreign),
        }
        let Some(config) = envelope.config else { return Err(DocumentError::Foreign) };
        let decoded = wire::decode(config.get().as_bytes());
        let Decoded { snapshot, warnings } =
            decoded.map_err(|error| DocumentError::Unreadable(placed(error, text, config)))?;
        Ok(Self { content: Content::Everything(Box::new(snapshot)), warnings })
    }

    /// Reads a file of another program and checks all of it; `usage` is its file with the usage, where that is a file of
    /// its own.
    pub fn of_rival(rival: Rival, text: &[u8], usage: Option<&[u8]>) -> Result<Self, DocumentError> {
        if text.starts_with(GZIP) {
            return Err(DocumentError::Packed(rival));
        }
        if text.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|&byte| byte != b'{') {
            return Err(DocumentError::NotOf(rival));
        }
        let (_, envelope) = envelope(text, DocumentError::NotOf(rival))?;
        if envelope.format.is_some_and(|format| format == FORMAT) {
            return Err(DocumentError::OfPm);
        }
        let opening = if rival.lists_ports() { '[' } else { '{' };
        let has_ports = envelope.ports.is_some_and(|ports| ports.get().starts_with(opening));
        // Our own configuration has an object of ports too.
        if !has_ports || envelope.telegram.is_some() {
            return Err(DocumentError::NotOf(rival));
        }
        let takeover = rival.read(text, usage)?;
        Ok(Self { content: Content::Ports(takeover), warnings: Vec::new() })
    }

    /// What it makes of a machine that is as `present`, with what could not be taken over as it stands.
    fn merged(
        &self,
        present: &Snapshot,
        readings: &Readings,
        now: &Zoned,
        has_interface: impl Fn(&str) -> bool,
    ) -> Merged {
        let Snapshot { mut config, mut state, extras } = match &self.content {
            Content::Everything(snapshot) => Snapshot::clone(snapshot),
            Content::Ports(takeover) => {
                let (snapshot, gaps) = takeover.add_to(present, readings, now);
                return Merged { snapshot, notes: Vec::new(), gaps };
            }
        };
        let mut notes = Vec::new();
        config.take_over_qdisc = present.config.take_over_qdisc;
        // Whoever wrote the document must not decide what programs this machine installs one day.
        let releases = mem::replace(&mut config.update, present.config.update.clone());
        if releases != config.update && releases != UpdateSource::default() {
            notes.push(Note::Releases);
        }
        if let Some(foreign) = config.interface.take_if(|name| !has_interface(name)) {
            config.interface.clone_from(&present.config.interface);
            let foreign = pm_core::units::shown(&foreign);
            notes.push(Note::Interface { foreign, instead: config.interface.clone() });
        }
        for (port, port_state) in &mut state.ports {
            // What a standing counter holds was counted for what stood here before.
            let reading = readings.counters.get(port).copied().unwrap_or_default();
            port_state.ledger.inbound.mark = reading.inbound.map(Mark::from);
            port_state.ledger.outbound.mark = reading.outbound.map(Mark::from);
            port_state.window = RateWindow::starting(now.timestamp());
        }
        state.last_run = present.state.last_run;
        // Numbers of messages are never used twice, neither here nor there.
        let next_id = state.outbox.next_id.max(present.state.outbox.next_id);
        state.outbox = Outbox { next_id, ..present.state.outbox.clone() };
        state.fit(&config, readings, now.timestamp());
        Merged { snapshot: Snapshot { config, state, extras }, notes, gaps: Vec::new() }
    }
}

impl Plan {
    /// Whether it adds to what is there, rather than replacing it.
    pub const fn adds(&self) -> bool {
        matches!(self.import.content, Content::Ports(_))
    }
}

/// Where an error is in the whole document.
fn placed(error: WireError, text: &str, config: &RawValue) -> WireError {
    let offset = config.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let before = text.get(..offset).unwrap_or_default();
    let column = before.rsplit('\n').next().map_or(0, str::len);
    let field = if error.field.is_empty() { "config".to_owned() } else { format!("config.{}", error.field) };
    WireError {
        line: error.line + before.matches('\n').count(),
        column: if error.line == 1 { error.column + column } else { error.column },
        field,
        reason: error.reason,
    }
}

impl Machine {
    /// Everything that is configured and was used until now, for another machine. Nothing is written or locked.
    pub async fn export(&self, now: &Zoned) -> Result<Export, ExportError> {
        if self.store.load().map_err(MachineError::from)?.is_none() {
            return Err(ExportError::Nothing);
        }
        let view = self.view(now).await?;
        let notes = view.warnings.iter().map(ToString::to_string).chain(view.stale_note()).collect();
        Ok(Export { notes, ..Export::of(view.snapshot, now) })
    }

    /// What an import would change here.
    pub async fn plan(&self, import: Import, now: &Zoned) -> Result<Plan, MachineError> {
        let present = self.view(now).await?;
        let Merged { snapshot: after, notes, gaps } =
            import.merged(&present.snapshot, &Readings::default(), now, host::has_interface);
        let overview = Overview::of(&after.config, &after.state, now);
        let before = &present.snapshot.config;
        let ports: BTreeSet<PortRange> =
            before.ports.keys().chain(after.config.ports.keys()).copied().collect();
        let change = |&port: &PortRange| {
            let (before, after) = (present.overview.port(port), overview.port(port));
            Change { port, before: before.cloned(), after: after.cloned() }
        };
        let differs = |change: &Change| {
            change.before != change.after
                || before.ports.get(&change.port) != after.config.ports.get(&change.port)
        };
        let (changes, unchanged): (Vec<Change>, Vec<Change>) = ports.iter().map(change).partition(differs);
        Ok(Plan {
            notifications: before.telegram != after.config.telegram
                || before.channels != after.config.channels,
            over: present.snapshot.config,
            changes,
            unchanged: unchanged.len(),
            notes: import.warnings.iter().cloned().map(Note::File).chain(notes).collect(),
            gaps,
            import,
        })
    }

    /// Carries an import out: lock, read, take over, save, apply. When it cannot be brought into force, the
    /// file and the kernel go back to what they were.
    pub async fn import(&self, plan: &Plan, now: &Zoned) -> Result<Imported, ImportError> {
        let _lock = Lock::wait(&self.paths.lock()).map_err(MachineError::from)?;
        let Decoded { snapshot: old, .. } = self.load_or_new().map_err(MachineError::from)?;
        if old.config != plan.over {
            return Err(ImportError::Overtaken);
        }
        let readings = self.firewall.read().await.map_err(MachineError::Read)?;
        let Snapshot { config, state, extras } = old.clone();
        let Settled { state, alarms } = settle(&config, state, &readings, now.timestamp());
        let present = Snapshot { config, state, extras };
        let Merged { snapshot: new, mut notes, .. } =
            plan.import.merged(&present, &readings, now, host::has_interface);
        if plan.adds() {
            notes.extend(alarms.into_iter().map(Note::Counter));
        }

        let word = format!("before-import-{}", now.strftime("%Y%m%d-%H%M%S"));
        let backup = self.store.keep(&word).map_err(MachineError::from)?;
        if let Err(error) = self.store.save(&new) {
            if let Some(backup) = &backup {
                // One more name of a file that is still in its place.
                let _ = fs::remove_file(backup);
            }
            return Err(MachineError::from(error).into());
        }

        let mut outcome = Outcome { notes, ..Outcome::default() };
        let desired = self.desired(&new, &readings);
        // The firewall is changed by one transaction, and last: when anything fails, no counter was touched.
        self.shape(&desired, &mut outcome).await;
        if outcome.faults.is_empty() {
            self.meter(&desired, &mut outcome).await;
        }
        if outcome.faults.is_empty() {
            return Ok(Imported { outcome, backup });
        }
        Err(self.undo(old, backup, &readings, outcome.faults, now).await)
    }

    async fn undo(
        &self,
        old: Snapshot,
        backup: Option<PathBuf>,
        readings: &Readings,
        faults: Vec<BackendError>,
        now: &Zoned,
    ) -> ImportError {
        if let Err(source) = self.store.go_back(backup.as_deref()) {
            return ImportError::Stuck { faults, source, backup };
        }
        let readings = self.firewall.read().await.unwrap_or_else(|_| readings.clone());
        let Snapshot { config, state, extras } = old;
        let state = settle(&config, state, &readings, now.timestamp()).state;
        let desired = self.desired(&Snapshot { config, state, extras }, &readings);
        let mut outcome = Outcome::default();
        self.meter(&desired, &mut outcome).await;
        self.shape(&desired, &mut outcome).await;
        match outcome.faults {
            again if again.is_empty() => ImportError::Undone(faults),
            again => ImportError::HalfUndone { faults, again },
        }
    }
}

#[cfg(test)]
mod tests;
