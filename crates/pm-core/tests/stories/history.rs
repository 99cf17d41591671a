//! Any history of a machine, against a model of twenty lines.
#![expect(clippy::wildcard_enum_match_arm, reason = "a match names the edits that matter to it")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use pm_core::account::{Account, AccountId};
use pm_core::backend::Applied;
use pm_core::chronicle::What;
use pm_core::config::{Config, GroupId};
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::{Edit, Settings};
use pm_core::event::{Event, Subject};
use pm_core::fake::{Direction, FakeKernel};
use pm_core::port::PortRange;
use pm_core::quota::{CUTOFF_MARGIN, Mode};
use pm_core::reset::ResetDay;
use pm_core::state::State;
use pm_core::units::{Bytes, Percent, Rate};
use pm_core::wire::Snapshot;
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::{After, World, port};

type Key = (PortRange, Direction);

/// What an account must come to: what the kernel let pass, but for what a flush, a reboot or somebody else's reset of
/// the counters took with it.
#[derive(Default)]
struct Model {
    /// What the kernel's counters show.
    shown: BTreeMap<Key, u64>,
    /// What of that was billed already.
    billed: BTreeMap<Key, u64>,
    used: BTreeMap<Key, u64>,
}

impl Model {
    fn passed(&mut self, key: Key, bytes: u64) {
        self.shown.entry(key).and_modify(|shown| *shown += bytes);
    }

    fn counters_are_gone(&mut self) {
        self.shown.clear();
        self.billed.clear();
    }

    fn counters_are_zero(&mut self) {
        self.shown.values_mut().for_each(|shown| *shown = 0);
    }

    fn settle(&mut self) {
        for (key, used) in &mut self.used {
            let shown = self.shown.get(key).copied().unwrap_or(0);
            *used += shown.saturating_sub(self.billed.insert(*key, shown).unwrap_or(0));
        }
    }

    fn apply(&mut self, config: &Config) {
        self.shown.retain(|(port, _), _| config.ports.contains_key(port));
        for key in config.ports.keys().flat_map(|&port| both(port)) {
            self.shown.entry(key).or_insert(0);
        }
    }

    fn begin(&mut self, port: PortRange) {
        for key in both(port) {
            self.used.insert(key, 0);
            self.billed.insert(key, self.shown.get(&key).copied().unwrap_or(0));
        }
    }

    fn reset(&mut self, port: PortRange) {
        self.used.extend(both(port).map(|key| (key, 0)));
    }

    fn forget(&mut self, port: PortRange) {
        self.used.retain(|key, _| key.0 != port);
        self.billed.retain(|key, _| key.0 != port);
    }
}

fn both(port: PortRange) -> [Key; 2] {
    [(port, Direction::In), (port, Direction::Out)]
}

/// What may happen to a machine.
#[derive(Clone, Debug)]
enum Step {
    Traffic(Burst),
    Minute { seconds: i64, after: After, meanwhile: Option<Burst> },
    Edit { edit: Edit, after: After, meanwhile: Option<Burst> },
    FailedRead,
    Reboot,
    Flush,
    Reload,
    ForeignReset,
    ClockJump { seconds: i64 },
}

/// So many packets of one size.
#[derive(Clone, Copy, Debug)]
struct Burst {
    key: Key,
    bytes: u64,
    count: u32,
}

/// Few, so that histories come back to the same ones.
const PORTS: [&str; 4] = ["80", "443", "20000-20100", "65534"];

fn ports() -> impl Strategy<Value = PortRange> {
    select(&PORTS[..]).prop_map(port)
}

fn bursts() -> impl Strategy<Value = Burst> {
    let key = (ports(), select(vec![Direction::In, Direction::Out]));
    let size = prop_oneof![40_u64..1500, Just(1500), 1500_u64..=65_535];
    (key, size, 1_u32..40).prop_map(|(key, bytes, count)| Burst { key, bytes, count })
}

fn after() -> impl Strategy<Value = After> {
    prop_oneof![4 => Just(After::Apply), 1 => Just(After::Crash)]
}

fn meanwhile() -> impl Strategy<Value = Option<Burst>> {
    proptest::option::weighted(0.2, bursts())
}

fn quotas() -> impl Strategy<Value = Option<Bytes>> {
    prop_oneof![
        5 => (1_u64..40).prop_map(|quarters| Some(Bytes(quarters << 18))),
        1 => (1_u64..200_000).prop_map(|bytes| Some(Bytes(bytes))),
        1 => Just(None),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let group = prop_oneof![
        2 => Just(None),
        2 => select(vec!["a", "b"]).prop_map(|name| Some(GroupId::new(name).ok().unwrap())),
    ];
    (
        proptest::option::weighted(0.6, quotas()),
        proptest::option::weighted(0.3, select(vec![Mode::Both, Mode::OutOnly])),
        proptest::option::weighted(0.2, proptest::option::of((1_u64..100).prop_map(Rate::mbps))),
        proptest::option::weighted(0.4, (0_u8..=31).prop_map(ResetDay::new)),
        proptest::option::weighted(0.3, group),
    )
        .prop_map(|(quota, mode, limit, reset_day, group)| Settings {
            quota,
            mode,
            limit,
            reset_day,
            comment: None,
            group,
        })
}

fn edits() -> impl Strategy<Value = Edit> {
    let policy =
        (1_u64..20, 1_u32..4, 1_u64..5, 1_u32..5).prop_map(|(trigger, minutes, penalty, duration)| {
            let rate = |tenths: u64| Rate::bits_per_second(tenths * 100_000);
            DynQosPolicy { trigger: rate(trigger), minutes, penalty: rate(penalty), duration }
        });
    let some_ports = || proptest::collection::vec(ports(), 1..3);
    prop_oneof![
        4 => (ports(), settings(), quotas()).prop_map(|(port, settings, quota)| {
            Edit::Add(port, Settings { quota: Some(quota), ..settings })
        }),
        4 => (ports(), settings()).prop_map(|(port, settings)| Edit::Set(port, settings)),
        2 => some_ports().prop_map(Edit::Remove),
        1 => some_ports().prop_map(Edit::Reset),
        2 => (ports(), proptest::option::weighted(0.8, policy)).prop_map(|(port, policy)| Edit::DynQos(port, policy)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    const DAY: i64 = 86_400;
    let seconds = prop_oneof![8 => Just(60_i64), 2 => 1_i64..200, 1 => 0_i64..5 * DAY];
    prop_oneof![
        10 => bursts().prop_map(Step::Traffic),
        10 => (seconds, after(), meanwhile())
            .prop_map(|(seconds, after, meanwhile)| Step::Minute { seconds, after, meanwhile }),
        6 => (edits(), after(), meanwhile())
            .prop_map(|(edit, after, meanwhile)| Step::Edit { edit, after, meanwhile }),
        1 => Just(Step::FailedRead),
        1 => Just(Step::Reboot),
        1 => Just(Step::Flush),
        1 => Just(Step::Reload),
        1 => Just(Step::ForeignReset),
        1 => (-40 * DAY..60 * DAY).prop_map(|seconds| Step::ClockJump { seconds }),
    ]
}

/// What was told since an account began its cycle, or since the operator changed what it is measured by.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    level: u8,
    blocked: bool,
}

struct History {
    world: World,
    model: Model,
    told: BTreeMap<AccountId, Told>,
    /// Up to where an account may have come: its limit, or what it had used when the operator lowered that.
    ceilings: BTreeMap<AccountId, Bytes>,
    /// Whether the kernel has not heard of the last edit yet.
    stale: bool,
    punished: BTreeSet<PortRange>,
    messages: u64,
}

fn send(kernel: &FakeKernel, model: &mut Model, burst: Burst) -> u64 {
    let Burst { key: (port, direction), bytes, count } = burst;
    let mut passed = 0;
    for _ in 0..count {
        if kernel.packet(port, direction, bytes) {
            model.passed(burst.key, bytes);
            passed += bytes;
        }
    }
    passed
}

impl History {
    fn new() -> Self {
        let mut world = World::new();
        // Two ports of different modes stand from the beginning, so that short histories have something to say.
        let quota = |quota: u64, mode| Settings {
            quota: Some(Some(Bytes(quota))),
            mode: Some(mode),
            reset_day: Some(ResetDay::new(1)),
            ..Settings::default()
        };
        world.add("80", &quota(1 << 20, Mode::Both));
        world.add("443", &quota(2 << 20, Mode::OutOnly));
        let mut history = Self {
            world,
            model: Model::default(),
            told: BTreeMap::new(),
            ceilings: BTreeMap::new(),
            stale: false,
            punished: BTreeSet::new(),
            messages: 0,
        };
        for name in ["80", "443"] {
            history.model.begin(port(name));
        }
        let Snapshot { config, state, .. } = history.world.load();
        history.told =
            Account::all(&config).into_iter().map(|account| (account.id, Told::default())).collect();
        history.model.apply(&config);
        history.raise_ceilings(&config, &state, 0);
        history
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Traffic(burst) => {
                send(&self.world.kernel, &mut self.model, *burst);
                Ok(())
            }
            Step::Minute { seconds, after, meanwhile } => self.minute(*seconds, *after, *meanwhile),
            Step::Edit { edit, after, meanwhile } => self.edit(edit, *after, *meanwhile),
            Step::FailedRead => {
                self.world.wait(60);
                self.world.kernel.set_broken(true);
                let before = self.world.file.clone();
                prop_assert!(self.world.run_and(After::Apply, |_| ()).is_err());
                prop_assert_eq!(&before, &self.world.file, "no reading, no change");
                self.world.kernel.set_broken(false);
                Ok(())
            }
            Step::Reboot => {
                self.world.kernel.reboot();
                self.model.counters_are_gone();
                Ok(())
            }
            Step::Flush => {
                self.world.kernel.flush();
                self.model.counters_are_gone();
                Ok(())
            }
            Step::Reload => {
                self.world.rules_are_loaded();
                self.model.counters_are_gone();
                let Snapshot { config, state, .. } = self.world.load();
                self.model.apply(&config);
                self.raise_ceilings(&config, &state, 0);
                Ok(())
            }
            Step::ForeignReset => {
                self.world.kernel.reset_counters();
                self.model.counters_are_zero();
                Ok(())
            }
            Step::ClockJump { seconds } => {
                let moved = self.world.now.checked_add(SignedDuration::from_secs(*seconds));
                self.world.now = moved.unwrap();
                Ok(())
            }
        }
    }

    fn minute(&mut self, seconds: i64, after: After, meanwhile: Option<Burst>) -> Result<(), TestCaseError> {
        self.world.wait(seconds);
        self.model.settle();
        let (model, mut slipped) = (&mut self.model, 0);
        let events = self
            .world
            .run_and(after, |kernel| slipped = meanwhile.map_or(0, |burst| send(kernel, model, burst)))
            .unwrap();
        for event in &events {
            self.hear(event)?;
        }
        let Snapshot { config, state, .. } = self.world.load();
        self.compare(&config, &state)?;
        self.check_queue(&state, events.len())?;
        for account in Account::all(&config) {
            self.check_account(&account, &config, &state)?;
        }
        if after == After::Apply {
            self.model.apply(&config);
            if self.stale {
                self.raise_ceilings(&config, &state, slipped);
            }
            self.stale = false;
            self.check_kernel(&config, &state, meanwhile.is_none())?;
        }
        Ok(())
    }

    fn edit(&mut self, edit: &Edit, after: After, meanwhile: Option<Burst>) -> Result<(), TestCaseError> {
        let before = self.world.file.clone();
        let old = self.world.load().config;
        let (model, mut slipped) = (&mut self.model, 0);
        // The model learns of the edit before packets slip through between its saving and its applying.
        let mut changed = false;
        let done = self.world.edit_and(edit, after, |kernel| {
            model.settle();
            match edit {
                Edit::Add(port, _) => model.begin(*port),
                Edit::Remove(ports) => ports.iter().for_each(|&port| model.forget(port)),
                Edit::Reset(ports) => ports.iter().for_each(|&port| model.reset(port)),
                _ => {}
            }
            changed = true;
            slipped = meanwhile.map_or(0, |burst| send(kernel, model, burst));
        });
        if done.is_err() {
            prop_assert!(!changed);
            prop_assert_eq!(before, self.world.file.clone(), "a refused edit changes nothing");
            return Ok(());
        }
        let Snapshot { config, state, .. } = self.world.load();
        self.compare(&config, &state)?;
        let accounts = Account::all(&config);
        let told = |account: &Account<'_>| {
            (account.id.clone(), self.still_told(account, edit, &old, &config, &state))
        };
        self.told = accounts.iter().map(told).collect();
        match edit {
            Edit::DynQos(port, _) => drop(self.punished.remove(port)),
            Edit::Remove(ports) | Edit::Reset(ports) => self.punished.retain(|port| !ports.contains(port)),
            _ => {}
        }
        self.stale |= after == After::Crash;
        self.raise_ceilings(&config, &state, slipped);
        if after == After::Apply {
            self.model.apply(&config);
            self.stale = false;
            self.check_kernel(&config, &state, meanwhile.is_none())?;
        }
        Ok(())
    }

    /// What need not be told again after an edit: what was told, as far as usage still reaches it. A port that leaves
    /// or founds a group takes along what its old account was told.
    fn still_told(
        &self,
        account: &Account<'_>,
        edit: &Edit,
        old: &Config,
        new: &Config,
        state: &State,
    ) -> Told {
        let told = match edit {
            Edit::Reset(ports) if account.ports().all(|port| ports.contains(&port)) => Told::default(),
            Edit::Set(port, _)
                if !self.told.contains_key(&account.id) && account.ports().any(|own| own == *port) =>
            {
                self.told.get(&AccountId::of(*port, &old.ports[port])).copied().unwrap_or_default()
            }
            _ => self.told.get(&account.id).copied().unwrap_or_default(),
        };
        let standing = account.standing(state);
        let percent = standing.map_or(Percent::default(), |standing| standing.percent());
        let reached = new.telegram.thresholds.reached(percent);
        Told {
            level: if percent.reaches(told.level) { told.level } else { reached },
            blocked: told.blocked && standing.is_some_and(|standing| standing.blocked),
        }
    }

    /// The accounts in the file are those of the model.
    fn compare(&self, config: &Config, state: &State) -> Result<(), TestCaseError> {
        let mut used = BTreeMap::new();
        for (&port, known) in &state.ports {
            prop_assert!(config.ports.contains_key(&port));
            let traffic = known.ledger.used();
            used.insert((port, Direction::In), traffic.inbound.0);
            used.insert((port, Direction::Out), traffic.outbound.0);
        }
        prop_assert_eq!(&used, &self.model.used);
        for (port, chronicle) in &state.chronicles {
            prop_assert!(config.ports.contains_key(port) && !chronicle.is_empty());
            prop_assert!(chronicle.happenings().len() <= pm_core::chronicle::MOST);
            let later = chronicle.happenings().iter().skip(1);
            prop_assert!(later.into_iter().all(|happening| happening.what != What::Reset));
        }
        Ok(())
    }

    fn hear(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::QuotaWarning { subject, level, percent, .. } => {
                let told = self.told.entry(account_of(subject)).or_default();
                prop_assert!(*level > told.level, "warned of {level} % twice in a cycle");
                prop_assert!(percent.reaches(*level));
                told.level = *level;
            }
            Event::Blocked { subject, .. } => {
                let told = self.told.entry(account_of(subject)).or_default();
                prop_assert!(!told.blocked, "told twice in a cycle that it is blocked");
                told.blocked = true;
            }
            Event::QuotaReset { subject, .. } => {
                for &port in &subject.ports {
                    self.model.reset(port);
                    self.punished.remove(&port);
                }
                self.told.insert(account_of(subject), Told::default());
                let limit = self.ceilings.entry(account_of(subject)).or_default();
                *limit =
                    (*limit).min(self.world.load().config.ports[&subject.ports[0]].quota.unwrap_or(*limit));
            }
            Event::Punished { subject, .. } => {
                prop_assert!(self.punished.insert(subject.ports[0]), "punished twice");
            }
            Event::Recovered { subject } => {
                prop_assert!(self.punished.remove(&subject.ports[0]), "recovered from nothing");
            }
            Event::Report { .. } | Event::Test => {}
        }
        Ok(())
    }

    fn check_queue(&mut self, state: &State, told: usize) -> Result<(), TestCaseError> {
        self.messages += told as u64;
        prop_assert_eq!(state.outbox.messages.len() as u64, self.messages, "each event is in the queue once");
        let ids: Vec<u64> = state.outbox.messages.iter().map(|message| message.id).collect();
        prop_assert_eq!(ids, (0..self.messages).collect::<Vec<_>>());
        Ok(())
    }

    fn check_account(
        &self,
        account: &Account<'_>,
        config: &Config,
        state: &State,
    ) -> Result<(), TestCaseError> {
        let Some(standing) = account.standing(state) else { return Ok(()) };
        let told = self.told.get(&account.id).copied().unwrap_or_default();
        prop_assert_eq!(told.blocked, standing.blocked, "blocked and told are one");
        let reached = config.telegram.thresholds.reached(standing.percent());
        prop_assert_eq!(told.level, reached, "the highest level is told");
        prop_assert_eq!(standing.percent() >= Percent::FULL, standing.blocked, "blocked and 100 % are one");
        if standing.blocked {
            prop_assert!(standing.limit.saturating_sub(standing.used) <= CUTOFF_MARGIN, "cut off in time");
        }
        if !self.stale {
            let ceiling = self.ceilings[&account.id];
            prop_assert!(standing.used <= ceiling, "{:?} passed of {ceiling:?}", standing.used);
        }
        Ok(())
    }

    fn raise_ceilings(&mut self, config: &Config, state: &State, slipped: u64) {
        let ceiling = |account: Account<'_>| {
            let used = account.used(state).saturating_add(Bytes(slipped));
            (account.id.clone(), account.quota().unwrap_or_default().max(used))
        };
        self.ceilings = Account::all(config).into_iter().map(ceiling).collect();
    }

    /// What was just applied is in force.
    fn check_kernel(&mut self, config: &Config, state: &State, is_quiet: bool) -> Result<(), TestCaseError> {
        if is_quiet {
            let again = self.world.apply(&self.world.desired()).unwrap();
            prop_assert_eq!(again, Applied::Unchanged, "applying twice is applying once");
        }
        let punished = state.ports.iter().filter(|(_, known)| known.dynqos.is_punished());
        let punished: BTreeSet<PortRange> = punished.map(|(&port, _)| port).collect();
        prop_assert_eq!(&punished, &self.punished, "punished and told are one");
        for account in Account::all(config) {
            let standing = account.standing(state);
            let remaining = standing.map_or(Bytes(u64::MAX), |standing| standing.remaining());
            for key in account.ports().flat_map(both) {
                let probe = Burst { key, bytes: 40, count: 1 };
                if standing.is_some_and(|standing| standing.blocked) {
                    let passed = send(&self.world.kernel, &mut self.model, probe);
                    prop_assert_eq!(passed, 0, "nothing passes a blocked port");
                } else if is_quiet && remaining.0 > 20_000 {
                    let passed = send(&self.world.kernel, &mut self.model, probe);
                    prop_assert_eq!(passed, 40, "an open port is open");
                }
            }
        }
        Ok(())
    }
}

fn account_of(subject: &Subject) -> AccountId {
    match &subject.group {
        Some(group) => AccountId::Group(GroupId::new(group).unwrap()),
        None => AccountId::Port(subject.ports[0]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_comes_to_what_the_kernel_let_pass(
        steps in proptest::collection::vec(steps(), 1..40),
    ) {
        let mut history = History::new();
        for step in &steps {
            history.step(step)?;
        }
    }
}
