//! Stories of a machine: real files and locks in a folder of its own, a kernel in memory, a clock that the story moves.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use async_trait::async_trait;
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Zoned};
use pm_core::accounting::Readings;
use pm_core::backend::{Applied, BackendError, Fault, Firewall, Ruleset, Shaper};
use pm_core::config::Secret;
use pm_core::desired::Host;
use pm_core::edit::{Edit, InterfaceChoice, Settings};
use pm_core::event::Event;
use pm_core::fake::{Direction, FakeKernel};
use pm_core::port::{ClassId, PortRange};
use pm_core::units::{Bytes, Rate};
use pm_core::wire::{Snapshot, decode};
use pm_monitor::lock::Lock;
use pm_monitor::machine::MachineError;
use pm_monitor::outcome::{MinuteOutcome, Outcome};
use pm_monitor::store::{Store, StoreError};
use pm_monitor::{Machine, Paths};
use tempfile::TempDir;

const MB: u64 = 1 << 20;

/// A folder, a kernel, and a clock.
struct Trial {
    folder: TempDir,
    kernel: FakeKernel,
    now: Zoned,
}

fn port(text: &str) -> PortRange {
    text.parse().unwrap()
}

fn quota(bytes: u64) -> Settings {
    Settings { quota: Some(Some(Bytes(bytes))), ..Settings::default() }
}

fn limit(rate: Rate) -> Settings {
    Settings { limit: Some(Some(rate)), ..Settings::default() }
}

fn host() -> Host {
    Host { default_interface: Some("eth0".into()), forwards: false }
}

impl Trial {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            kernel: FakeKernel::default(),
            now: date(2026, 1, 10).at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap(),
        }
    }

    /// With port 10086 and this quota.
    async fn with_port(bytes: u64) -> Self {
        let trial = Self::new();
        trial.edit(&Edit::Add(port("10086"), quota(bytes))).await;
        trial
    }

    /// With somebody who is to be told.
    fn with_telegram(self) -> Self {
        let store = Store::new(&self.paths());
        let mut snapshot = store.load().unwrap().unwrap().snapshot;
        let telegram = &mut snapshot.config.telegram;
        (telegram.enable, telegram.chat_id) = (true, "1".into());
        telegram.bot_token = Secret::new("1:a");
        store.save(&snapshot).unwrap();
        self
    }

    fn paths(&self) -> Paths {
        Paths::under(self.folder.path())
    }

    fn machine(&self) -> Machine {
        self.machine_with(Box::new(self.kernel.clone()), Box::new(self.kernel.clone()))
    }

    fn machine_with(
        &self,
        firewall: Box<dyn Firewall + Send + Sync>,
        shaper: Box<dyn Shaper + Send + Sync>,
    ) -> Machine {
        Machine::new(self.paths(), firewall, shaper, Box::new(host))
    }

    async fn minute(&mut self) -> Outcome {
        self.now = self.now.checked_add(SignedDuration::from_mins(1)).unwrap();
        done(self.machine().minute(&self.now).await.unwrap())
    }

    async fn edit(&self, change: &Edit) -> Outcome {
        self.machine().edit(change, &self.now).await.unwrap()
    }

    async fn used(&self) -> u64 {
        let view = self.machine().view(&self.now).await.unwrap();
        view.overview.port(port("10086")).unwrap().used_bytes.0
    }

    fn flow(&self, bytes: u64) -> u64 {
        (0..bytes / 1024).filter(|_| self.kernel.packet(port("10086"), Direction::In, 1024)).count() as u64
            * 1024
    }

    fn file(&self) -> Vec<u8> {
        fs::read(self.paths().config()).unwrap()
    }

    fn saved(&self) -> Snapshot {
        decode(&self.file()).unwrap().snapshot
    }

    /// Every file that is kept, with its contents.
    fn everything(&self) -> BTreeSet<(PathBuf, String)> {
        let (mut folders, mut files) = (vec![self.folder.path().join("etc")], BTreeSet::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert((
                        path.clone(),
                        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned(),
                    ));
                }
            }
        }
        files
    }
}

fn done(outcome: MinuteOutcome) -> Outcome {
    match outcome {
        MinuteOutcome::Done(outcome) => outcome,
        other @ (MinuteOutcome::Busy | MinuteOutcome::NothingConfigured) => panic!("{other:?}"),
    }
}

/// What a firewall does instead of applying.
#[derive(Clone)]
enum Instead {
    /// It fails.
    Fail,
    /// The whole program ends.
    Die,
    /// It applies, and keeps what the file held at that moment.
    Look(PathBuf, Arc<Mutex<Vec<Vec<u8>>>>),
}

struct Odd {
    kernel: FakeKernel,
    instead: Instead,
}

#[async_trait]
impl Firewall for Odd {
    async fn read(&self) -> Result<Readings, BackendError> {
        self.kernel.read().await
    }

    async fn apply(&self, ruleset: &Ruleset) -> Result<Applied, BackendError> {
        match &self.instead {
            Instead::Fail => Err(BackendError::new(Fault::Missing, "nft is not installed")),
            Instead::Die => panic!("killed"),
            Instead::Look(path, seen) => {
                seen.lock().unwrap().push(fs::read(path).unwrap());
                Firewall::apply(&self.kernel, ruleset).await
            }
        }
    }

    async fn stands(&self, ruleset: &Ruleset) -> Result<bool, BackendError> {
        Firewall::stands(&self.kernel, ruleset).await
    }

    async fn remove(&self) -> Result<(), BackendError> {
        Firewall::remove(&self.kernel).await
    }
}

impl Trial {
    fn odd_machine(&self, instead: Instead) -> Machine {
        let firewall = Odd { kernel: self.kernel.clone(), instead };
        self.machine_with(Box::new(firewall), Box::new(self.kernel.clone()))
    }
}

#[tokio::test]
async fn a_minute_is_saved_with_its_messages_before_anything_is_applied() {
    let trial = Trial::with_port(MB).await.with_telegram();
    trial.flow(2 * MB);
    let seen = Arc::default();
    let machine = trial.odd_machine(Instead::Look(trial.paths().config(), Arc::clone(&seen)));
    done(machine.minute(&trial.now).await.unwrap());
    let seen = seen.lock().unwrap();
    let saved = decode(&seen[0]).unwrap().snapshot.state;
    assert!(saved.ports[&port("10086")].ledger.used().total() > Bytes(MB - 2048));
    let told: Vec<&Event> = saved.outbox.messages.iter().map(|message| &message.event).collect();
    assert!(matches!(told[..], [Event::QuotaWarning { level: 100, .. }, Event::Blocked { .. }]), "{told:?}");
}

#[tokio::test]
async fn an_edit_is_saved_before_it_is_applied_too() {
    let trial = Trial::new();
    let seen = Arc::default();
    let machine = trial.odd_machine(Instead::Look(trial.paths().config(), Arc::clone(&seen)));
    machine.edit(&Edit::Add(port("443"), quota(MB)), &trial.now).await.unwrap();
    assert!(decode(&seen.lock().unwrap()[0]).unwrap().snapshot.config.ports.contains_key(&port("443")));
}

#[tokio::test]
async fn a_failed_read_saves_nothing_and_fails() {
    let trial = Trial::with_port(MB).await;
    trial.flow(MB / 2);
    let before = trial.everything();
    trial.kernel.set_broken(true);
    let error = trial.machine().minute(&trial.now).await.unwrap_err();
    assert!(
        matches!(error, MachineError::Read(_)) && error.to_string().contains("nothing was changed"),
        "{error}"
    );
    let add = Edit::Add(port("443"), quota(MB));
    assert!(matches!(trial.machine().edit(&add, &trial.now).await, Err(MachineError::Read(_))));
    assert_eq!(trial.everything(), before);
    trial.kernel.set_broken(false);
    assert_eq!(trial.used().await, MB / 2);
}

#[tokio::test]
async fn a_first_edit_whose_read_fails_leaves_no_configuration() {
    let trial = Trial::new();
    trial.kernel.set_broken(true);
    assert!(trial.machine().edit(&Edit::Add(port("443"), quota(MB)), &trial.now).await.is_err());
    assert!(!trial.paths().config().exists());
}

#[tokio::test]
async fn a_firewall_that_cannot_be_brought_into_force_is_reported_and_healed_a_minute_later() {
    let mut trial = Trial::with_port(MB).await.with_telegram();
    trial.flow(2 * MB);
    let outcome = done(trial.odd_machine(Instead::Fail).minute(&trial.now).await.unwrap());
    assert_eq!(outcome.faults.len(), 1);
    assert!(outcome.faults[0].to_string().contains("nft is not installed"));
    assert!(trial.saved().state.outbox.messages.len() == 2, "it is saved and will be told");
    assert!(trial.kernel.blocked().is_empty());
    assert!(trial.minute().await.faults.is_empty());
    assert_eq!(trial.kernel.blocked(), [port("10086")]);
    assert_eq!(trial.saved().state.outbox.messages.len(), 2, "it is told once");
}

#[tokio::test]
async fn a_shaper_that_fails_does_not_keep_the_firewall_from_its_work() {
    let trial = Trial::with_port(MB).await;
    let broken = FakeKernel::default();
    broken.set_broken(true);
    let machine = trial.machine_with(Box::new(trial.kernel.clone()), Box::new(broken));
    trial.flow(2 * MB);
    let outcome = done(machine.minute(&trial.now).await.unwrap());
    assert_eq!(outcome.faults.len(), 1);
    assert_eq!(trial.kernel.blocked(), [port("10086")]);
}

#[test]
fn a_monitor_that_dies_before_it_applies_leaves_no_lock_and_bills_nothing_twice() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut trial = runtime().block_on(Trial::with_port(4 * MB));
    trial.flow(MB);
    let (machine, now) = (trial.odd_machine(Instead::Die), trial.now.clone());
    thread::spawn(move || runtime().block_on(machine.minute(&now)).map(drop)).join().expect_err("it died");
    assert_eq!(trial.saved().state.ports[&port("10086")].ledger.used().total(), Bytes(MB));
    trial.flow(MB);
    runtime().block_on(trial.minute());
    assert_eq!(trial.saved().state.ports[&port("10086")].ledger.used().total(), Bytes(2 * MB));
}

#[tokio::test]
async fn a_state_that_cannot_be_saved_is_not_applied() {
    let trial = Trial::with_port(MB).await;
    trial.flow(2 * MB);
    // A folder where the backup should be: the file cannot be replaced.
    fs::create_dir(trial.paths().backup()).unwrap();
    let (before, applies) = (trial.everything(), trial.kernel.applies());
    let error = trial.machine().minute(&trial.now).await.unwrap_err();
    assert!(
        error.to_string().contains("cannot write") && error.to_string().contains("config.json"),
        "{error}"
    );
    let edit = Edit::Set(port("10086"), quota(MB * 9));
    assert!(matches!(
        trial.machine().edit(&edit, &trial.now).await,
        Err(MachineError::Store(StoreError::Write { .. }))
    ));
    assert_eq!((trial.everything(), trial.kernel.applies()), (before, applies), "no litter either");
}

#[tokio::test]
async fn looking_is_live_and_writes_nothing_not_even_a_lock() {
    let trial = Trial::with_port(4 * MB).await;
    fs::remove_dir_all(trial.folder.path().join("var")).unwrap();
    let before = trial.everything();
    trial.flow(MB);
    assert_eq!(trial.used().await, MB);
    trial.flow(MB);
    assert_eq!(trial.used().await, 2 * MB);
    assert_eq!(trial.everything(), before);
    assert!(!trial.folder.path().join("var").exists());
}

#[tokio::test]
async fn where_the_counters_cannot_be_read_the_figures_are_the_last_ones_and_said_to_be() {
    let mut trial = Trial::with_port(4 * MB).await;
    trial.flow(MB);
    trial.minute().await;
    trial.flow(MB);
    trial.kernel.set_broken(true);
    assert_eq!(trial.used().await, MB);
    let view = trial.machine().view(&trial.now).await.unwrap();
    assert!(view.stale_note().unwrap().contains("the monitor's last run"));
}

#[tokio::test]
async fn without_a_configuration_a_minute_has_nothing_to_do_and_a_view_is_empty() {
    let trial = Trial::new();
    let outcome = trial.machine().minute(&trial.now).await.unwrap();
    assert!(matches!(outcome, MinuteOutcome::NothingConfigured));
    assert!(!trial.paths().config().exists() && trial.kernel.applies() == 0);
    assert!(trial.machine().view(&trial.now).await.unwrap().overview.ports.is_empty());
}

#[tokio::test]
async fn a_configuration_that_went_missing_is_not_replaced_by_an_empty_one() {
    let trial = Trial::with_port(MB).await;
    trial.edit(&Edit::Set(port("10086"), quota(2 * MB))).await;
    let backup = fs::read(trial.paths().backup()).unwrap();
    fs::remove_file(trial.paths().config()).unwrap();
    let add = Edit::Add(port("443"), quota(MB));
    for error in [
        trial.machine().minute(&trial.now).await.unwrap_err(),
        trial.machine().edit(&add, &trial.now).await.unwrap_err(),
        trial.machine().view(&trial.now).await.unwrap_err(),
    ] {
        assert!(matches!(error, MachineError::Store(StoreError::Gone { .. })), "{error}");
        assert!(
            error.to_string().contains("cp -p") && error.to_string().contains("config.json.bak"),
            "{error}"
        );
    }
    assert!(!trial.paths().config().exists());
    fs::copy(trial.paths().backup(), trial.paths().config()).unwrap();
    assert_eq!(trial.file(), backup);
    assert!(trial.machine().minute(&trial.now).await.is_ok(), "restored as the message says");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_refused_and_left_as_it_is() {
    let trial = Trial::with_port(MB).await;
    let whole = trial.file();
    let wrong = String::from_utf8(whole.clone()).unwrap().replacen("\"both\"", "7", 1).into_bytes();
    for broken in [&whole[..whole.len() / 2], b"", b"\xff\xfe", &wrong[..]] {
        fs::write(trial.paths().config(), broken).unwrap();
        let before = trial.everything();
        let error = trial.machine().minute(&trial.now).await.unwrap_err().to_string();
        assert!(error.contains("line") && error.contains("it was left as it is"), "{error}");
        let add = Edit::Add(port("443"), quota(MB));
        assert!(trial.machine().edit(&add, &trial.now).await.is_err());
        assert!(trial.machine().view(&trial.now).await.is_err());
        assert_eq!(trial.everything(), before);
    }
}

#[tokio::test]
async fn a_minute_in_the_middle_of_another_is_left_to_it() {
    let trial = Trial::with_port(MB).await;
    trial.flow(MB / 2);
    let before = trial.everything();
    let held = Lock::try_now(&trial.paths().cron_lock()).unwrap().unwrap();
    assert!(matches!(trial.machine().minute(&trial.now).await.unwrap(), MinuteOutcome::Busy));
    assert_eq!(trial.everything(), before);
    drop(held);
    assert!(matches!(trial.machine().minute(&trial.now).await.unwrap(), MinuteOutcome::Done(_)));
}

#[tokio::test]
async fn an_edit_does_not_wait_for_a_monitor_that_is_between_its_minutes() {
    let trial = Trial::with_port(MB).await;
    let _monitor = Lock::try_now(&trial.paths().cron_lock()).unwrap().unwrap();
    trial.edit(&Edit::Set(port("10086"), quota(2 * MB))).await;
    assert_eq!(trial.saved().config.ports[&port("10086")].quota, Some(Bytes(2 * MB)));
}

#[tokio::test]
async fn a_speed_limit_waits_for_a_default_route_and_is_healed_by_it() {
    let mut trial = Trial::with_port(MB).await;
    let kernel = || Box::new(trial.kernel.clone());
    let cut_off = Machine::new(trial.paths(), kernel(), kernel(), Box::new(Host::default));
    let outcome = cut_off.edit(&Edit::Set(port("10086"), limit(Rate::mbps(5))), &trial.now).await.unwrap();
    assert!(outcome.shaping_waits && outcome.faults.is_empty());
    trial.flow(2 * MB);
    let outcome = done(cut_off.minute(&trial.now).await.unwrap());
    assert!(outcome.shaping_waits && trial.kernel.classes().is_empty());
    assert_eq!(trial.kernel.blocked(), [port("10086")], "metering and quotas go on");
    assert!(!trial.minute().await.shaping_waits);
    assert_eq!(trial.kernel.classes()[&ClassId::of(port("10086")).unwrap()], Rate::mbps(5));
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_refused_before_anything_is_touched() {
    let trial = Trial::with_port(MB).await;
    let before = trial.everything();
    for name in ["no-such-interface", "", "../lo", "."] {
        let choice = InterfaceChoice { name: Some(Some(name.into())), take_over: None };
        let error = trial.machine().edit(&Edit::Interface(choice), &trial.now).await.unwrap_err();
        assert!(matches!(error, MachineError::NoInterface(_)), "{name}: {error}");
    }
    assert_eq!(trial.everything(), before);
}

#[tokio::test]
async fn a_counter_that_somebody_reset_is_pointed_out() {
    let mut trial = Trial::with_port(4 * MB).await;
    trial.flow(MB);
    trial.minute().await;
    trial.kernel.reset_counters();
    trial.flow(2048);
    let outcome = trial.minute().await;
    let note = outcome.notes[0].to_string();
    assert!(note.contains("inbound counter of port 10086 went back"), "{note}");
    assert_eq!(trial.used().await, MB);
}

#[tokio::test]
async fn what_happens_where_nobody_is_told_goes_to_the_log_once_and_into_no_queue() {
    let mut trial = Trial::with_port(MB).await;
    trial.flow(2 * MB);
    let outcome = trial.minute().await;
    assert_eq!(outcome.unheard.iter().map(|message| message.id).collect::<Vec<_>>(), [0, 1]);
    assert!(!outcome.messages_wait && trial.saved().state.outbox.messages.is_empty());
    let remembered = trial.saved().state.chronicles[&port("10086")].happenings().len();
    assert_eq!(remembered, 2, "the entry keeps what happened to it");
    assert!(trial.minute().await.unheard.is_empty());
}

/// Six operators, two monitors and somebody who looks, all at once.
#[test]
fn concurrent_edits_lose_nothing_and_the_file_is_always_whole() {
    const OPERATORS: u16 = 6;
    const EDITS: u16 = 4;
    const MINUTES: u16 = 20;
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let trial = runtime().block_on(Trial::with_port(1 << 40));
    let over = AtomicBool::new(false);
    let (trial, over) = (&trial, &over);
    thread::scope(|scope| {
        let operators: Vec<_> = (0..OPERATORS)
            .map(|operator| {
                scope.spawn(move || {
                    for number in 0..EDITS {
                        let name = port(&(1000 + operator * 100 + number).to_string());
                        runtime().block_on(trial.edit(&Edit::Add(name, quota(MB))));
                        trial.kernel.packet(port("10086"), Direction::Out, 1000);
                        runtime().block_on(trial.edit(&Edit::Set(name, limit(Rate::mbps(5)))));
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..MINUTES {
                    runtime().block_on(trial.machine().minute(&trial.now)).unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                decode(&trial.file()).unwrap();
            }
        });
        for operator in operators {
            operator.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    let config = trial.saved().config;
    assert_eq!(config.ports.len(), usize::from(OPERATORS * EDITS) + 1);
    let limited = config.ports.values().filter(|settings| settings.limit == Some(Rate::mbps(5))).count();
    assert_eq!(limited, usize::from(OPERATORS * EDITS));
    assert_eq!(runtime().block_on(trial.used()), u64::from(OPERATORS * EDITS) * 1000, "no byte is lost");
}
