//! A machine that pm runs on: its configuration, and the kernel behind the backend traits.

use jiff::Zoned;
use pm_core::accounting::Readings;
use pm_core::backend::{BackendError, Fault, Firewall, Shaper};
use pm_core::desired::{Desired, Host};
use pm_core::edit::{Edit, EditError, edit};
use pm_core::tick::{Settled, settle, tick};
use pm_core::view::Overview;
use pm_core::wire::{Decoded, Snapshot, Warning};
use pm_netfilter::Netfilter;
use pm_shaper::Htb;

use crate::delivery;
use crate::host;
use crate::lock::{Lock, LockError};
use crate::outcome::{MinuteOutcome, Note, Outcome};
use crate::ownership::{self, Shared};
use crate::paths::Paths;
use crate::store::{Known, Store, StoreError};

type HostReader = Box<dyn Fn() -> Host + Send + Sync>;

/// Files, locks and backends of one machine.
pub struct Machine {
    pub(crate) paths: Paths,
    pub(crate) store: Store,
    pub(crate) firewall: Box<dyn Firewall + Send + Sync>,
    pub(crate) shaper: Box<dyn Shaper + Send + Sync>,
    host: HostReader,
    interface: Option<String>,
}

/// Why a minute or an edit did not happen. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A lock was not to be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The configuration cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The counters cannot be read, so nothing can be settled.
    #[error("the counters could not be read, so nothing was changed: {0}")]
    Read(#[source] BackendError),
    /// The edit is not possible.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The interface does not exist.
    #[error(
        "there is no network interface `{0}`, so nothing was changed: `ip link` lists their names, and `auto` follows the default route"
    )]
    NoInterface(String),
}

/// What can be shown.
#[derive(Debug)]
pub struct View {
    /// The file, with accounts as they stand now.
    pub snapshot: Snapshot,
    /// The entries.
    pub overview: Overview,
    /// What the file says that nobody can have meant.
    pub warnings: Vec<Warning>,
    /// What of the configuration somebody else can change.
    pub shared: Vec<Shared>,
    /// Why the figures are those of the monitor's last run, when they are.
    pub unread: Option<BackendError>,
}

impl Machine {
    /// The machine that this process runs on: the kernel objects of its network namespace, the files under a root.
    pub fn real(paths: Paths) -> Self {
        let firewall = Netfilter::new(paths.firewall_record());
        let shaper = Htb::new(paths.shaper_record());
        Self::new(paths, Box::new(firewall), Box::new(shaper), Box::new(host::read))
    }

    /// A machine made of these parts.
    pub fn new(
        paths: Paths,
        firewall: Box<dyn Firewall + Send + Sync>,
        shaper: Box<dyn Shaper + Send + Sync>,
        host: HostReader,
    ) -> Self {
        let store = Store::new(&paths);
        Self { paths, store, firewall, shaper, host, interface: None }
    }

    /// Shapes this interface, whatever the configuration says.
    #[must_use]
    pub fn on_interface(self, interface: Option<String>) -> Self {
        Self { interface, ..self }
    }

    /// Where its files are.
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// One minute but for telling: lock, read, tick, save, apply.
    pub async fn minute(&self, now: &Zoned) -> Result<MinuteOutcome, MachineError> {
        let Some(_alone) = Lock::try_now(&self.paths.cron_lock())? else { return Ok(MinuteOutcome::Busy) };
        let _lock = Lock::wait(&self.paths.lock())?;
        let Some(Decoded { snapshot: Snapshot { config, state, extras }, warnings }) = self.store.load()?
        else {
            return Ok(MinuteOutcome::NothingConfigured);
        };
        let shared = ownership::shared(&self.paths);
        let readings = self.firewall.read().await.map_err(MachineError::Read)?;
        let mut minute = tick(&config, state, &readings, now);
        // What nobody is to be told does not wait: one save for it, and not a second that takes it out again.
        let unheard = delivery::unheard(&config, &mut minute.state.outbox);
        let snapshot = Snapshot { config, state: minute.state, extras };
        let stamp = self.store.save(&snapshot)?;

        let reads_clean = warnings.is_empty();
        let messages_wait = !snapshot.state.outbox.messages.is_empty();
        let notes = warnings
            .into_iter()
            .map(Note::File)
            .chain(shared.into_iter().map(Note::Shared))
            .chain(minute.alarms.into_iter().map(Note::Counter))
            .collect();
        let mut outcome = Outcome { notes, messages_wait, unheard, ..Outcome::default() };
        self.apply(&snapshot, &readings, &mut outcome).await;
        if reads_clean {
            self.store.remember(Known::saved(snapshot, stamp));
        }
        Ok(MinuteOutcome::Done(outcome))
    }

    /// One change by the operator: lock, read, settle, change, save, apply.
    pub async fn edit(&self, change: &Edit, now: &Zoned) -> Result<Outcome, MachineError> {
        if let Edit::Interface(choice) = change
            && let Some(Some(name)) = &choice.name
            && !host::has_interface(name)
        {
            return Err(MachineError::NoInterface(pm_core::units::shown(name)));
        }
        let _lock = Lock::wait(&self.paths.lock())?;
        let Decoded { snapshot, warnings: _ } = self.load_or_new()?;
        let Snapshot { mut config, state, extras } = snapshot;
        let readings = self.firewall.read().await.map_err(MachineError::Read)?;
        let Settled { mut state, alarms } = settle(&config, state, &readings, now.timestamp());
        let notes = edit(&mut config, &mut state, &readings, now, change)?;
        let snapshot = Snapshot { config, state, extras };
        self.store.save(&snapshot)?;

        let notes = notes.into_iter().map(Note::Edit).chain(alarms.into_iter().map(Note::Counter)).collect();
        let mut outcome = Outcome { notes, ..Outcome::default() };
        self.apply(&snapshot, &readings, &mut outcome).await;
        Ok(outcome)
    }

    /// The accounts plus what the kernel has counted since: right to the second, and nothing is written or locked.
    pub async fn view(&self, now: &Zoned) -> Result<View, MachineError> {
        let decoded = self.load_or_new()?;
        let shared = ownership::shared(&self.paths);
        Ok(match self.firewall.read().await {
            Ok(readings) => View { shared, ..View::of(decoded, Some(&readings), now) },
            Err(error) => View { shared, unread: Some(error), ..View::of(decoded, None, now) },
        })
    }

    pub(crate) fn load_or_new(&self) -> Result<Decoded, StoreError> {
        let none = || Decoded { snapshot: Snapshot::default(), warnings: Vec::new() };
        Ok(self.store.load()?.unwrap_or_else(none))
    }

    async fn apply(&self, snapshot: &Snapshot, readings: &Readings, outcome: &mut Outcome) {
        let desired = self.desired(snapshot, readings);
        self.meter(&desired, outcome).await;
        self.shape(&desired, outcome).await;
    }

    /// What the kernel should be.
    pub(crate) fn desired(&self, snapshot: &Snapshot, readings: &Readings) -> Desired {
        let mut desired = Desired::of(&snapshot.config, &snapshot.state, readings, &(self.host)());
        if let Some(interface) = &self.interface {
            desired.shaping.interface = Some(interface.clone());
        }
        desired
    }

    /// The firewall's part of an apply.
    pub(crate) async fn meter(&self, desired: &Desired, outcome: &mut Outcome) {
        if let Err(fault) = self.firewall.apply(&desired.ruleset).await {
            outcome.faults.push(fault);
        }
    }

    /// The traffic control's part of an apply.
    pub(crate) async fn shape(&self, desired: &Desired, outcome: &mut Outcome) {
        outcome.shaping_waits = desired.shaping.interface.is_none() && !desired.shaping.classes.is_empty();
        if outcome.shaping_waits {
            return;
        }
        if let Err(fault) = self.shaper.apply(&desired.shaping).await {
            outcome.faults.push(fault);
        }
    }
}

impl View {
    /// A file, brought up to date with readings where there are any.
    pub(crate) fn of(decoded: Decoded, readings: Option<&Readings>, now: &Zoned) -> Self {
        let Decoded { snapshot: Snapshot { config, state, extras }, warnings } = decoded;
        let state = match readings {
            Some(readings) => settle(&config, state, readings, now.timestamp()).state,
            None => state,
        };
        let overview = Overview::of(&config, &state, now);
        Self {
            snapshot: Snapshot { config, state, extras },
            overview,
            warnings,
            shared: Vec::new(),
            unread: None,
        }
    }

    /// Why the figures are not live, as a sentence, when they are not.
    pub fn stale_note(&self) -> Option<String> {
        let error = self.unread.as_ref()?;
        let when = "the figures are those of the monitor's last run";
        Some(match error.fault {
            Fault::Permission => format!("{when}, because only root can read the live counters"),
            Fault::Missing | Fault::Occupied | Fault::Failed => format!("{when}: {error}"),
        })
    }
}
