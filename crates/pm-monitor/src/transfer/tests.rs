//! Everything moves to another machine, or nothing does.

use async_trait::async_trait;
use pm_core::backend::{Applied, Fault, Firewall, MockShaper, Ruleset};
use pm_core::desired::Host;
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::telegram::TelegramSettings;
use pm_core::edit::{Edit, InterfaceChoice, Settings};
use pm_core::fake::{Direction, FakeKernel};
use pm_core::units::{Bytes, Rate};

use super::*;
use crate::paths::Paths;
use crate::store::Store;

const TOKEN: &str = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz";

fn at(second: i64) -> Zoned {
    let noon: Zoned = "2026-03-10T12:00:00+08:00[Asia/Shanghai]".parse().unwrap();
    noon + jiff::SignedDuration::from_secs(second)
}

fn port(text: &str) -> PortRange {
    text.parse().unwrap()
}

/// A machine in memory with its files under a folder of its own.
struct World {
    folder: tempfile::TempDir,
    kernel: FakeKernel,
    machine: Machine,
}

impl World {
    fn new() -> Self {
        let kernel = FakeKernel::default();
        Self::with(kernel.clone(), Box::new(kernel.clone()), Box::new(kernel))
    }

    fn with(
        kernel: FakeKernel,
        firewall: Box<dyn Firewall + Send + Sync>,
        shaper: Box<dyn pm_core::backend::Shaper + Send + Sync>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = || Host { default_interface: Some("lo".into()), forwards: false };
        let machine = Machine::new(Paths::under(folder.path()), firewall, shaper, Box::new(host));
        Self { folder, kernel, machine }
    }

    /// Another program on the same machine.
    fn beside(&self, firewall: Box<dyn Firewall + Send + Sync>) -> Machine {
        let host = || Host { default_interface: Some("lo".into()), forwards: false };
        Machine::new(
            Paths::under(self.folder.path()),
            firewall,
            Box::new(self.kernel.clone()),
            Box::new(host),
        )
    }

    async fn edit(&self, edit: Edit) {
        let outcome = self.machine.edit(&edit, &at(0)).await.unwrap();
        assert!(outcome.faults.is_empty());
    }

    async fn add(&self, entry: &str, quota: Option<u64>, group: Option<&str>) {
        let group = group.map(|name| pm_core::config::GroupId::new(name).unwrap());
        let settings = Settings {
            quota: Some(quota.map(Bytes)),
            comment: Some(format!("备注 {entry}")),
            group: group.map(Some),
            ..Settings::default()
        };
        self.edit(Edit::Add(port(entry), settings)).await;
    }

    /// Six entries with everything that an entry can have, traffic on each, and more traffic since the last minute.
    async fn lived_in() -> Self {
        let world = Self::new();
        world.add("443", Some(1_000_000), None).await;
        world.add("8080", None, None).await;
        world.add("20000-20100", Some(50_000), Some("家庭")).await;
        world.add("30000", Some(50_000), Some("家庭")).await;
        world.add("40000", Some(5_000), None).await;
        world
            .edit(Edit::Set(
                port("443"),
                Settings { limit: Some(Some(Rate::mbps(20))), ..Settings::default() },
            ))
            .await;
        let policy =
            DynQosPolicy { trigger: Rate::mbps(1), minutes: 1, penalty: Rate::mbps(2), duration: 60 };
        world.edit(Edit::DynQos(port("8080"), Some(policy))).await;
        let token = pm_core::config::Secret::new(TOKEN);
        let telegram = TelegramSettings { bot_token: Some(token), ..TelegramSettings::default() };
        world.edit(Edit::Telegram(telegram)).await;
        world.traffic(1);
        world.kernel.packet(port("8080"), Direction::Out, 100_000_000);
        let _ = world.machine.minute(&at(60)).await.unwrap();
        world.traffic(2);
        world
    }

    fn traffic(&self, times: u64) {
        for (entry, inbound, outbound) in [
            ("443", 101, 1009),
            ("8080", 7, 13),
            ("20000-20100", 3001, 5003),
            ("30000", 1, 0),
            ("40000", 999, 4001),
        ] {
            self.kernel.packet(port(entry), Direction::In, inbound * times);
            self.kernel.packet(port(entry), Direction::Out, outbound * times);
        }
    }

    async fn overview(&self, second: i64) -> Overview {
        self.machine.view(&at(second)).await.unwrap().overview
    }

    async fn exported(&self) -> Export {
        self.machine.export(&at(90)).await.unwrap()
    }

    async fn import(&self, text: &[u8]) -> Result<Imported, ImportError> {
        let plan = self.machine.plan(Import::read(text).unwrap(), &at(90)).await?;
        self.machine.import(&plan, &at(90)).await
    }

    fn config(&self) -> Option<Vec<u8>> {
        fs::read(Paths::under(self.folder.path()).config()).ok()
    }

    fn files(&self) -> Vec<String> {
        let folder = self.folder.path().join("etc/port_monitor");
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn everything_arrives_to_the_byte_and_the_next_byte_is_counted_once() {
    let old = World::lived_in().await;
    let export = old.exported().await;
    let before = old.overview(90).await;
    assert!(before.port(port("40000")).unwrap().blocked && before.port(port("8080")).unwrap().punished);

    let new = World::new();
    let imported = new.import(&export.text).await.unwrap();
    assert!(imported.outcome.faults.is_empty() && imported.backup.is_none());
    let after = new.overview(90).await;
    assert_eq!(after.ports, before.ports);
    let chronicles =
        |bytes: Option<Vec<u8>>| wire::decode(&bytes.unwrap()).unwrap().snapshot.state.chronicles;
    assert_eq!(chronicles(new.config()), chronicles(old.config()));
    assert!(chronicles(new.config()).contains_key(&port("8080")), "what happened in the cycle comes along");
    let _ = old.machine.minute(&at(120)).await.unwrap();
    assert_eq!(new.kernel.blocked(), old.kernel.blocked());
    assert_eq!(new.kernel.classes(), old.kernel.classes());

    new.kernel.packet(port("443"), Direction::In, 17);
    let _ = new.machine.minute(&at(120)).await.unwrap();
    new.kernel.packet(port("443"), Direction::Out, 5);
    let (was, is) = (before.port(port("443")).unwrap(), new.overview(121).await);
    let is = is.port(port("443")).unwrap();
    assert_eq!((is.in_bytes.0, is.out_bytes.0), (was.in_bytes.0 + 17, was.out_bytes.0 + 5));

    let again = new.exported().await;
    assert!(Import::read(&again.text).is_ok());
}

#[tokio::test]
async fn what_standing_counters_hold_is_not_billed_to_what_is_imported() {
    let old = World::lived_in().await;
    let export = old.exported().await;
    let new = World::new();
    new.add("443", Some(77_000), None).await;
    new.add("9999", None, None).await;
    new.kernel.packet(port("443"), Direction::In, 50_000);
    let replaced = new.config().unwrap();

    let imported = new.import(&export.text).await.unwrap();
    assert_eq!(new.overview(90).await.ports, old.overview(90).await.ports);
    new.kernel.packet(port("443"), Direction::In, 3);
    let used = |overview: &Overview| overview.port(port("443")).unwrap().in_bytes.0;
    assert_eq!(used(&new.overview(91).await), used(&old.overview(91).await) + 3);

    let backup = imported.backup.unwrap();
    assert_eq!(fs::read(&backup).unwrap(), replaced, "the backup is the file as it was");
    assert!(backup.ends_with("config.json.before-import-20260310-120130"), "{}", backup.display());
}

#[tokio::test]
async fn the_plan_tells_what_would_come_go_and_change() {
    let old = World::lived_in().await;
    let new = World::new();
    new.add("443", Some(77_000), None).await;
    new.add("9999", None, None).await;
    let import = Import::read(&old.exported().await.text).unwrap();
    let plan = new.machine.plan(import.clone(), &at(90)).await.unwrap();
    let told: Vec<(String, bool, bool)> = plan
        .changes
        .iter()
        .map(|change| (change.port.to_string(), change.before.is_some(), change.after.is_some()))
        .collect();
    let told: Vec<(&str, bool, bool)> = told.iter().map(|(port, b, a)| (port.as_str(), *b, *a)).collect();
    assert_eq!(
        told,
        [
            ("443", true, true),
            ("8080", false, true),
            ("9999", true, false),
            ("20000-20100", false, true),
            ("30000", false, true),
            ("40000", false, true)
        ]
    );
    assert!(plan.notifications);
    new.machine.import(&plan, &at(90)).await.unwrap();
    let plan = new.machine.plan(import, &at(90)).await.unwrap();
    assert_eq!((plan.changes.len(), plan.unchanged, plan.notifications), (0, 5, false));
}

#[tokio::test]
async fn what_belongs_to_a_machine_stays_there() {
    let old = World::lived_in().await;
    old.edit(Edit::Interface(InterfaceChoice { name: Some(Some("lo".into())), take_over: Some(true) })).await;
    let export = old.exported().await;
    let text = String::from_utf8(export.text).unwrap();
    assert!(export.has_secrets && text.contains(TOKEN));
    assert!(!text.contains("\"counters\"") && text.contains("\"last_kernel_in\": 0"));
    assert!(text.contains("\"outbox\": []") && text.contains("\"last_run_ts\": 0"));

    let new = World::new();
    new.add("1", None, None).await;
    let _ = new.machine.minute(&at(30)).await.unwrap();
    new.import(text.as_bytes()).await.unwrap();
    let view = new.machine.view(&at(90)).await.unwrap();
    let config = &view.snapshot.config;
    assert_eq!((config.interface.as_deref(), config.take_over_qdisc), (Some("lo"), false));
    assert_eq!(view.overview.monitor.last_run_ts, Some(at(30).timestamp().as_second()));

    let elsewhere = text.replace("\"interface\": \"lo\"", "\"interface\": \"nowhere0\"");
    let imported = new.import(elsewhere.as_bytes()).await.unwrap();
    assert_eq!(new.machine.view(&at(90)).await.unwrap().snapshot.config.interface.as_deref(), Some("lo"));
    let interface = Note::Interface { foreign: "nowhere0".into(), instead: Some("lo".into()) };
    assert_eq!(imported.outcome.notes, [interface]);
}

#[tokio::test]
async fn an_import_never_decides_where_programs_come_from() {
    let old = World::lived_in().await;
    let text = String::from_utf8(old.exported().await.text).unwrap();
    let stranger = r#""update": { "url": "https://stranger.example", "public_key": "RWstranger" },"#;
    let hostile = text.replacen("\"ports\":", &format!("{stranger} \"ports\":"), 1);
    let new = World::new();
    new.add("1", None, None).await;
    let imported = new.import(hostile.as_bytes()).await.unwrap();
    assert_eq!(imported.outcome.notes, [Note::Releases]);
    let view = new.machine.view(&at(90)).await.unwrap();
    assert_eq!(view.snapshot.config.update, UpdateSource::default());
    assert!(!String::from_utf8(new.config().unwrap()).unwrap().contains("stranger"));
}

#[tokio::test]
async fn a_document_that_is_not_whole_or_not_ours_says_where_and_changes_nothing() {
    let world = World::lived_in().await;
    let text = String::from_utf8(world.exported().await.text).unwrap();
    let refused = |text: &str| Import::read(text.as_bytes()).unwrap_err();
    for tenth in 0..10 {
        let cut = text.floor_char_boundary(text.len() * tenth / 10);
        let DocumentError::Unreadable(error) = refused(&text[..cut]) else { panic!("{tenth} tenths") };
        assert_eq!(error.line, text[..cut].matches('\n').count() + 1, "{error}");
    }
    assert!(matches!(refused(&(text.clone() + "x")), DocumentError::Unreadable(_)));
    assert!(matches!(Import::read(b"\xff\xfe").unwrap_err(), DocumentError::Unreadable(_)));
    for foreign in
        ["{}", "[]", "5", "null", "{\"format\":\"pm-export\"}", "{\"format\":5,\"version\":1,\"config\":{}}"]
    {
        assert_eq!(refused(foreign), DocumentError::Foreign, "{foreign}");
    }
    let newer = text.replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(refused(&newer), DocumentError::Newer(2));
    let configuration = world.config().unwrap();
    assert_eq!(Import::read(&configuration).unwrap_err(), DocumentError::Configuration);

    let wrong = text.replacen("\"acc_in\": 303", "\"acc_in\": -303", 1);
    assert_ne!(wrong, text);
    let DocumentError::Unreadable(error) = refused(&wrong) else { panic!("a negative figure") };
    let line = text.lines().position(|line| line.contains("\"acc_in\": 303")).unwrap() + 1;
    assert_eq!((error.line, error.field.as_str()), (line, "config.ports.443.stats.acc_in"), "{error}");
    let twice = text.replacen("\"30000\": {", "\"20050\": {", 1);
    assert!(refused(&twice).to_string().contains("share a port"), "{}", refused(&twice));
    assert_eq!(world.config().unwrap(), configuration);
}

/// A firewall that can be read but not changed.
struct Refusing(FakeKernel);

#[async_trait]
impl Firewall for Refusing {
    async fn read(&self) -> Result<Readings, BackendError> {
        self.0.read().await
    }

    async fn apply(&self, ruleset: &Ruleset) -> Result<Applied, BackendError> {
        if ruleset.metered.contains(&port("8080")) {
            return Err(BackendError::new(Fault::Failed, "the firewall refused"));
        }
        Firewall::apply(&self.0, ruleset).await
    }

    async fn stands(&self, ruleset: &Ruleset) -> Result<bool, BackendError> {
        Firewall::stands(&self.0, ruleset).await
    }

    async fn remove(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_import_that_cannot_be_brought_into_force_is_undone_and_no_byte_is_lost() {
    let export = World::lived_in().await.exported().await;
    let new = World::new();
    new.add("443", Some(77_000), None).await;
    new.add("9999", Some(500), None).await;
    new.kernel.packet(port("443"), Direction::In, 50_000);
    new.kernel.packet(port("9999"), Direction::Out, 100);
    let (config, files) = (new.config(), new.files());
    let classes = new.kernel.classes();

    let machine = new.beside(Box::new(Refusing(new.kernel.clone())));
    let plan = machine.plan(Import::read(&export.text).unwrap(), &at(90)).await.unwrap();
    let error = machine.import(&plan, &at(90)).await.unwrap_err();
    assert!(matches!(&error, ImportError::Undone(faults) if faults.len() == 1), "{error}");
    assert!(error.to_string().contains("as it was before: the firewall refused"), "{error}");
    assert_eq!((new.config(), new.kernel.classes()), (config, classes));
    assert_eq!(new.files(), files);

    new.kernel.packet(port("443"), Direction::In, 1);
    assert!(
        new.kernel.packet(port("9999"), Direction::In, 300)
            && !new.kernel.packet(port("9999"), Direction::In, 300)
    );
    let overview = new.overview(91).await;
    let used: Vec<u64> = overview.ports.iter().map(|view| view.used_bytes.0).collect();
    assert_eq!(used, [50_001, 400]);
}

#[tokio::test]
async fn a_failed_import_on_a_new_machine_leaves_it_new() {
    let export = World::lived_in().await.exported().await;
    let kernel = FakeKernel::default();
    let mut shaper = MockShaper::new();
    let mut calls = 0;
    shaper.expect_apply().returning(move |_| {
        calls += 1;
        let refused = Err(BackendError::new(Fault::Occupied, "somebody's qdisc stands there"));
        if calls == 1 { refused } else { Ok(Applied::Unchanged) }
    });
    let new = World::with(kernel.clone(), Box::new(kernel), Box::new(shaper));
    let error = new.import(&export.text).await.unwrap_err();
    assert!(error.to_string().contains("somebody's qdisc"), "{error}");
    assert_eq!((new.config(), new.files()), (None, Vec::new()));
    assert!(new.machine.store.load().unwrap().is_none());
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_overrun() {
    let export = World::lived_in().await.exported().await;
    let new = World::new();
    new.add("443", Some(77_000), None).await;
    let plan = new.machine.plan(Import::read(&export.text).unwrap(), &at(90)).await.unwrap();
    new.add("444", Some(77_000), None).await;
    let config = new.config();
    assert!(matches!(new.machine.import(&plan, &at(91)).await.unwrap_err(), ImportError::Overtaken));
    assert_eq!(new.config(), config);
}

#[tokio::test]
async fn an_export_is_private_and_replaces_nothing_unasked() {
    let world = World::lived_in().await;
    let export = world.exported().await;
    let path = world.folder.path().join("moved.json");
    export.save(&path, false).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&path, "mine").unwrap();
    assert!(matches!(export.save(&path, false).unwrap_err(), ExportError::Exists(_)));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    export.save(&path, true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), export.text);
    assert!(matches!(export.save(world.folder.path(), true).unwrap_err(), ExportError::NotAFile(_)));
    assert!(matches!(export.save(Path::new("/dev/null"), true).unwrap_err(), ExportError::NotAFile(_)));
    let nowhere = world.folder.path().join("no/such/folder.json");
    assert!(export.save(&nowhere, false).unwrap_err().to_string().contains("folder.json"));
    assert!(matches!(World::new().machine.export(&at(0)).await.unwrap_err(), ExportError::Nothing));
}

#[test]
fn a_file_is_kept_under_a_name_that_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(&Paths::under(folder.path()));
    assert_eq!(store.keep("once").unwrap(), None);
    store.save(&Snapshot::default()).unwrap();
    let kept = [store.keep("once").unwrap().unwrap(), store.keep("once").unwrap().unwrap()];
    let names: Vec<_> = kept.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["config.json.once", "config.json.once-2"]);
}

/// Ports of another program, one of which is metered here already, and used up.
const DOG: &[u8] = br#"{"global": {"billing_mode": "double"}, "ports": {
    "443": {"quota": {"monthly_limit": "5GB"}},
    "8080": {"billing_mode": "single", "quota": {"monthly_limit": "1MB"}, "bandwidth_limit": {"enabled": true, "rate": "5Mbps"}}
}}"#;
const DOG_USAGE: &[u8] = br#"{"443": {"output": 7}, "8080": {"output": 1048576}}"#;

#[tokio::test]
async fn ports_of_another_program_are_added_and_no_byte_of_the_present_ones_is_lost() {
    let world = World::new();
    world.add("443", Some(77_000), None).await;
    world.kernel.packet(port("443"), Direction::In, 1_000);
    let _ = world.machine.minute(&at(60)).await.unwrap();
    world.kernel.packet(port("443"), Direction::In, 200);

    let import = Import::of_rival(Rival::PortTrafficDog, DOG, Some(DOG_USAGE)).unwrap();
    let plan = world.machine.plan(import, &at(90)).await.unwrap();
    assert!(plan.adds());
    assert_eq!((plan.changes.len(), plan.unchanged), (1, 1));
    let imported = world.machine.import(&plan, &at(90)).await.unwrap();
    assert!(imported.outcome.faults.is_empty() && imported.backup.is_some());

    world.kernel.packet(port("443"), Direction::In, 30);
    let overview = world.overview(91).await;
    let view = overview.port(port("443")).unwrap();
    assert_eq!((view.in_bytes.0, view.quota_bytes), (1_230, Some(Bytes(77_000))));
    let view = overview.port(port("8080")).unwrap();
    assert_eq!((view.out_bytes.0, view.blocked, view.limit), (1 << 20, true, Some(Rate::mbps(5))));
    assert!(!world.kernel.packet(port("8080"), Direction::Out, 1), "cut off at once");
}

#[tokio::test]
async fn ports_of_another_program_that_cannot_be_brought_into_force_are_not_added() {
    let world = World::new();
    world.add("9999", Some(500), None).await;
    world.kernel.packet(port("9999"), Direction::Out, 100);
    let config = world.config();
    let machine = world.beside(Box::new(Refusing(world.kernel.clone())));
    let import = Import::of_rival(Rival::PortTrafficDog, DOG, None).unwrap();
    let plan = machine.plan(import, &at(90)).await.unwrap();
    assert!(matches!(machine.import(&plan, &at(90)).await.unwrap_err(), ImportError::Undone(_)));
    assert_eq!(world.config(), config);
    assert_eq!(world.overview(91).await.port(port("9999")).unwrap().used_bytes.0, 100);
}
