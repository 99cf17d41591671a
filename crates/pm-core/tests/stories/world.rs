//! A machine in memory: a configuration file, a kernel, and a clock that the story moves.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Zoned};
use pm_core::backend::{Applied, BackendError, Firewall, Shaper};
use pm_core::config::GroupId;
use pm_core::desired::{Desired, Host};
use pm_core::edit::{Edit, EditError, Note, Settings, edit};
use pm_core::event::Event;
use pm_core::fake::{Direction, FakeKernel};
use pm_core::port::{ClassId, PortRange};
use pm_core::quota::Mode;
use pm_core::reset::ResetDay;
use pm_core::tick::{Alarm, settle, tick};
use pm_core::units::{Bytes, Rate};
use pm_core::view::{Overview, PortView};
use pm_core::wire::{Snapshot, decode, encode};

pub(crate) const KB: u64 = 1 << 10;
pub(crate) const MB: u64 = 1 << 20;
pub(crate) const IN: Direction = Direction::In;
pub(crate) const OUT: Direction = Direction::Out;

/// What becomes of a run after its state was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The kernel is brought up to date.
    Apply,
    /// The program is killed.
    Crash,
}

/// The machine.
pub(crate) struct World {
    pub(crate) file: Vec<u8>,
    pub(crate) kernel: FakeKernel,
    pub(crate) now: Zoned,
    pub(crate) host: Host,
    /// Counters that went back, as the last run said.
    pub(crate) alarms: Vec<Alarm>,
}

/// The fakes never wait, so a future of theirs is ready at once.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the machine in memory never waits"),
    }
}

pub(crate) fn port(text: &str) -> PortRange {
    text.parse().unwrap()
}

/// A local time in a POSIX zone; UTC when the zone is empty.
pub(crate) fn time(local: &str, zone: &str) -> Zoned {
    let zone = if zone.is_empty() { TimeZone::UTC } else { TimeZone::posix(zone).unwrap() };
    local.parse::<DateTime>().unwrap().to_zoned(zone).unwrap()
}

impl World {
    pub(crate) fn at(now: Zoned) -> Self {
        Self {
            file: b"{}".to_vec(),
            kernel: FakeKernel::default(),
            now,
            host: Host { default_interface: Some("eth0".into()), forwards: false },
            alarms: Vec::new(),
        }
    }

    /// Noon of an ordinary day.
    pub(crate) fn new() -> Self {
        Self::at(time("2026-01-10T12:00:00", ""))
    }

    /// A machine with one port, in mode `both` with this quota.
    pub(crate) fn with_port(name: &str, quota: u64) -> Self {
        let mut world = Self::new();
        world.add(name, &quota_of(quota));
        world
    }

    pub(crate) fn load(&self) -> Snapshot {
        decode(&self.file).unwrap().snapshot
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    pub(crate) fn clock(&mut self, local: &str) {
        let local: DateTime = local.parse().unwrap();
        self.now = local.to_zoned(self.now.time_zone().clone()).unwrap();
    }

    /// A minute passes, and the monitor runs.
    pub(crate) fn minute(&mut self) -> Vec<Event> {
        self.wait(60);
        self.run()
    }

    pub(crate) fn minutes(&mut self, count: usize) -> Vec<Event> {
        (0..count).flat_map(|_| self.minute()).collect()
    }

    /// The monitor runs now.
    pub(crate) fn run(&mut self) -> Vec<Event> {
        self.run_and(After::Apply, |_| ()).unwrap()
    }

    /// The monitor runs now; `meanwhile` happens between its reading and its applying.
    pub(crate) fn run_and(
        &mut self,
        after: After,
        meanwhile: impl FnOnce(&FakeKernel),
    ) -> Result<Vec<Event>, BackendError> {
        let Snapshot { config, state, extras } = self.load();
        let readings = at_once(self.kernel.read())?;
        let minute = tick(&config, state, &readings, &self.now);
        self.alarms = minute.alarms;
        let snapshot = Snapshot { config, state: minute.state, extras };
        self.file = encode(&snapshot);
        meanwhile(&self.kernel);
        if after == After::Apply {
            let desired = Desired::of(&snapshot.config, &snapshot.state, &readings, &self.host);
            let _ = self.apply(&desired)?;
        }
        Ok(minute.events)
    }

    pub(crate) fn apply(&self, desired: &Desired) -> Result<Applied, BackendError> {
        let firewall = at_once(Firewall::apply(&self.kernel, &desired.ruleset))?;
        let shaper = at_once(Shaper::apply(&self.kernel, &desired.shaping))?;
        let unchanged = (firewall, shaper) == (Applied::Unchanged, Applied::Unchanged);
        Ok(if unchanged { Applied::Unchanged } else { Applied::Changed })
    }

    /// Somebody else loads the rules as they were, as nftables.service does from a file: all counters begin at zero.
    pub(crate) fn rules_are_loaded(&self) {
        self.kernel.flush();
        let _ = at_once(Firewall::apply(&self.kernel, &self.desired().ruleset)).unwrap();
    }

    /// What the kernel should be by what is known now.
    pub(crate) fn desired(&self) -> Desired {
        let Snapshot { config, state, .. } = self.load();
        let readings = at_once(self.kernel.read()).unwrap();
        let state = settle(&config, state, &readings, self.now.timestamp()).state;
        Desired::of(&config, &state, &readings, &self.host)
    }

    /// The operator changes something.
    pub(crate) fn edit(&mut self, change: &Edit) -> Result<Vec<Note>, EditError> {
        self.edit_and(change, After::Apply, |_| ())
    }

    pub(crate) fn edit_and(
        &mut self,
        change: &Edit,
        after: After,
        meanwhile: impl FnOnce(&FakeKernel),
    ) -> Result<Vec<Note>, EditError> {
        let Snapshot { mut config, state, extras } = self.load();
        let readings = at_once(self.kernel.read()).unwrap();
        let settled = settle(&config, state, &readings, self.now.timestamp());
        let mut state = settled.state;
        let before = (config.clone(), state.clone());
        let outcome = edit(&mut config, &mut state, &readings, &self.now, change);
        if outcome.is_err() {
            assert_eq!(before, (config, state), "a refused edit changes nothing");
            return outcome;
        }
        self.alarms = settled.alarms;
        let snapshot = Snapshot { config, state, extras };
        self.file = encode(&snapshot);
        meanwhile(&self.kernel);
        if after == After::Apply {
            let desired = Desired::of(&snapshot.config, &snapshot.state, &readings, &self.host);
            let _ = self.apply(&desired).unwrap();
        }
        outcome
    }

    pub(crate) fn add(&mut self, name: &str, settings: &Settings) {
        self.edit(&Edit::Add(port(name), settings.clone())).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, settings: &Settings) -> Vec<Note> {
        self.edit(&Edit::Set(port(name), settings.clone())).unwrap()
    }

    pub(crate) fn reset(&mut self, names: &[&str]) -> Vec<Note> {
        self.edit(&Edit::Reset(names.iter().copied().map(port).collect())).unwrap()
    }

    pub(crate) fn remove(&mut self, names: &[&str]) {
        self.edit(&Edit::Remove(names.iter().copied().map(port).collect())).unwrap();
    }

    /// One packet; true when it passed.
    pub(crate) fn packet(&self, name: &str, direction: Direction, bytes: u64) -> bool {
        self.kernel.packet(port(name), direction, bytes)
    }

    /// Packets of at most 1,500 bytes until all were sent or the port is closed. Returns what passed.
    pub(crate) fn flow(&self, name: &str, direction: Direction, bytes: u64) -> u64 {
        let mut passed = 0;
        while passed < bytes {
            let size = (bytes - passed).min(1500);
            if !self.packet(name, direction, size) {
                break;
            }
            passed += size;
        }
        passed
    }

    /// The entry as the panel shows it now.
    pub(crate) fn view(&self, name: &str) -> PortView {
        let Snapshot { config, state, .. } = self.load();
        let readings = at_once(self.kernel.read()).unwrap();
        let state = settle(&config, state, &readings, self.now.timestamp()).state;
        Overview::of(&config, &state, &self.now).port(port(name)).unwrap().clone()
    }

    pub(crate) fn used(&self, name: &str) -> u64 {
        self.view(name).used_bytes.0
    }

    pub(crate) fn is_open(&self, name: &str) -> bool {
        !self.view(name).blocked && !self.kernel.blocked().contains(&port(name))
    }

    /// The speed limit that the kernel holds the entry to.
    pub(crate) fn speed(&self, name: &str) -> Option<Rate> {
        ClassId::of(port(name)).and_then(|class| self.kernel.classes().get(&class).copied())
    }
}

pub(crate) fn quota_of(bytes: u64) -> Settings {
    Settings { quota: Some(Some(Bytes(bytes))), ..Settings::default() }
}

pub(crate) fn unlimited() -> Settings {
    Settings { quota: Some(None), ..Settings::default() }
}

pub(crate) fn mode_of(mode: Mode) -> Settings {
    Settings { mode: Some(mode), ..Settings::default() }
}

pub(crate) fn limit_of(limit: Option<Rate>) -> Settings {
    Settings { limit: Some(limit), ..Settings::default() }
}

pub(crate) fn reset_on(day: u8) -> Settings {
    Settings { reset_day: Some(ResetDay::new(day)), ..Settings::default() }
}

pub(crate) fn in_group(name: &str) -> Settings {
    Settings { group: Some(Some(GroupId::new(name).unwrap())), ..Settings::default() }
}

pub(crate) fn in_no_group() -> Settings {
    Settings { group: Some(None), ..Settings::default() }
}

/// What was told, a word for each.
pub(crate) fn words(events: &[Event]) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::QuotaWarning { level, .. } => format!("warning {level}"),
        Event::Blocked { .. } => "blocked".into(),
        Event::Punished { .. } => "punished".into(),
        Event::Recovered { .. } => "recovered".into(),
        Event::QuotaReset { .. } => "reset".into(),
        Event::Report { .. } => "report".into(),
        Event::Test => "test".into(),
    };
    events.iter().map(word).collect()
}
