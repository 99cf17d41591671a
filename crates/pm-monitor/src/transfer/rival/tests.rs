//! What the files of other programs become here.

use pm_core::config::Config;
use pm_core::quota::Mode;
use pm_core::reset::ResetDay;
use pm_core::units::Rate;
use pm_core::view::Overview;
use pm_core::wire;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::transfer::{Content, DocumentError, Import};

const GB: u64 = 1 << 30;

macro_rules! fixture {
    ($($piece:literal),+) => {
        include_bytes!(concat!("../../../../../tests/fixtures/", $($piece),+))
    };
}

/// The files of one edition.
struct Fixture {
    rival: Rival,
    text: &'static [u8],
    usage: Option<&'static [u8]>,
}

macro_rules! dog {
    ($edition:literal) => {
        Fixture {
            rival: Rival::PortTrafficDog,
            text: fixture!("port-traffic-dog/", $edition, "/config.json"),
            usage: Some(fixture!("port-traffic-dog/", $edition, "/traffic_data.json")),
        }
    };
}

macro_rules! cop {
    ($file:literal) => {
        Fixture { rival: Rival::TrafficCop, text: fixture!("trafficcop/", $file), usage: None }
    };
}

const FIXTURES: [Fixture; 7] = [
    dog!("early"),
    dog!("present"),
    dog!("duya"),
    dog!("eric"),
    cop!("ports_traffic_config.json"),
    cop!("port_traffic_report.json"),
    cop!("port_traffic.json"),
];

fn now() -> Zoned {
    "2026-03-10T12:00:00+08:00[Asia/Shanghai]".parse().unwrap()
}

fn port(text: &str) -> PortRange {
    text.parse().unwrap()
}

fn takeover(rival: Rival, text: &[u8], usage: Option<&[u8]>) -> Result<Takeover, DocumentError> {
    Import::of_rival(rival, text, usage).map(|import| match import.content {
        Content::Ports(takeover) => takeover,
        Content::Everything(_) => unreachable!(),
    })
}

/// A fixture on a machine with nothing configured.
fn taken(fixture: &Fixture) -> (Snapshot, Vec<Gap>) {
    let takeover = takeover(fixture.rival, fixture.text, fixture.usage).unwrap();
    takeover.add_to(&Snapshot::default(), &Readings::default(), &now())
}

fn dog(config: &Value, usage: Option<&Value>) -> (Snapshot, Vec<Gap>) {
    let usage = usage.map(ToString::to_string);
    let takeover =
        takeover(Rival::PortTrafficDog, config.to_string().as_bytes(), usage.as_deref().map(str::as_bytes));
    takeover.unwrap().add_to(&Snapshot::default(), &Readings::default(), &now())
}

/// Port, mode, quota in bytes, inbound and outbound used, reset day.
fn figures(snapshot: &Snapshot, name: &str) -> (Mode, Option<u64>, u64, u64, Option<u8>) {
    let (settings, state) = (&snapshot.config.ports[&port(name)], &snapshot.state.ports[&port(name)]);
    let used = state.ledger.used();
    let day = settings.reset_day.map(ResetDay::day);
    (settings.mode, settings.quota.map(|quota| quota.0), used.inbound.0, used.outbound.0, day)
}

fn reasons<'a>(gaps: &'a [Gap], subject: &str) -> Vec<&'a Reason> {
    gaps.iter().filter(|gap| gap.subject == subject).map(|gap| &gap.reason).collect()
}

#[test]
fn an_early_dog_counts_double_once_and_relay_twice() {
    let (snapshot, gaps) = taken(&FIXTURES[0]);
    assert_eq!(figures(&snapshot, "443"), (Mode::OutOnly, Some(100 * GB), 3 * GB, 60 * GB, Some(1)));
    assert_eq!(figures(&snapshot, "8443"), (Mode::Both, Some(50 * GB), 10 * GB, 15 * GB, Some(31)));
    // Its counters count once, and its arithmetic twice.
    assert_eq!(figures(&snapshot, "20000-20100"), (Mode::Both, Some(GB << 10), 100 * GB, 200 * GB, Some(15)));
    assert_eq!(figures(&snapshot, "9000"), (Mode::OutOnly, None, 0, 0, None));
    assert_eq!(snapshot.config.ports[&port("443")].limit, Some(Rate::mbps(100)));
    assert_eq!(snapshot.config.ports[&port("20000-20100")].comment, "Carol");
    let twice = Reason::CountedTwice { there: Bytes(2 << 40), here: Bytes(1 << 40) };
    assert_eq!(gaps, [Gap { subject: "20000-20100".into(), reason: twice }]);
}

#[test]
fn the_present_dog_counts_double_twice_by_its_counters() {
    let (snapshot, gaps) = taken(&FIXTURES[1]);
    assert_eq!(figures(&snapshot, "443"), (Mode::Both, Some(50 * GB), 2 * GB, 28 * GB, Some(1)));
    assert_eq!(figures(&snapshot, "8443"), (Mode::OutOnly, Some(20 << 20), 0, 20 << 20, Some(1)));
    assert_eq!(figures(&snapshot, "2096"), (Mode::Both, Some(20 * GB), GB, 4 * GB, Some(15)));
    assert_eq!(figures(&snapshot, "5000-5100"), (Mode::Both, Some(20 * GB), 0, 0, Some(15)));
    let group = |name: &str| snapshot.config.ports[&port(name)].group.clone();
    assert_eq!(group("2096").unwrap().as_str(), "2096,5000-5100");
    assert_eq!(group("2096"), group("5000-5100"));
    assert_eq!(group("443"), None);
    assert_eq!(figures(&snapshot, "30000-30010"), (Mode::OutOnly, None, 0, 7 * GB, None));
    let overview = Overview::of(&snapshot.config, &snapshot.state, &now());
    assert!(overview.port(port("8443")).unwrap().blocked && !overview.port(port("443")).unwrap().blocked);

    assert_eq!(reasons(&gaps, "00"), [&Reason::WholeMachine]);
    assert_eq!(
        reasons(&gaps, "2096,5000-5100"),
        [
            &Reason::CountedTwice { there: Bytes(40 * GB), here: Bytes(20 * GB) },
            &Reason::Ends("2026-06-30".into()),
            &Reason::LimitShared,
            &Reason::GroupUsage(port("2096")),
        ]
    );
    let all = [&Reason::Uploads, &Reason::Channel("wecom".into()), &Reason::Interval("30m".into())];
    assert_eq!(reasons(&gaps, ""), all);
    let telegram = &snapshot.config.telegram;
    assert!(telegram.enable && telegram.chat() == "-1001234567890" && telegram.report_interval_hours == 1);
}

#[test]
fn cycles_other_than_a_month_are_told_and_a_month_is_taken() {
    let (snapshot, gaps) = taken(&FIXTURES[2]);
    assert_eq!(figures(&snapshot, "3265"), (Mode::Both, Some(50 * GB), 10 * GB, 20 * GB, Some(2)));
    assert_eq!(figures(&snapshot, "3266"), (Mode::Both, Some(10 * GB), GB, 2 * GB, None));
    assert_eq!(figures(&snapshot, "3271").4, Some(31));
    assert_eq!(figures(&snapshot, "3272").1, None);
    for (name, cycle) in [
        ("3266", Cycle::Days("1".into())),
        ("3267", Cycle::Months("3".into())),
        ("3268", Cycle::Year),
        ("3269", Cycle::Once("2026-05-01".into())),
    ] {
        assert_eq!(reasons(&gaps, name), [&Reason::Cycle(cycle)]);
        assert_eq!(figures(&snapshot, name).4, None);
    }
    assert!(reasons(&gaps, "3270").is_empty());
    assert_eq!(reasons(&gaps, "3272"), [&Reason::QuotaOff("80GB".into())]);
    let telegram = &snapshot.config.telegram;
    assert!(!telegram.enable && telegram.api_url == "https://tg.example.com");
}

#[test]
fn a_group_of_neighbours_is_one_range_and_erics_arithmetic_is_undone() {
    let (snapshot, gaps) = taken(&FIXTURES[3]);
    assert_eq!(figures(&snapshot, "101-103"), (Mode::Both, Some(100 * GB), 10 * GB, 20 * GB, Some(10)));
    assert_eq!(figures(&snapshot, "110"), (Mode::Both, Some(100 * GB), 0, 0, Some(10)));
    assert_eq!(figures(&snapshot, "10443"), (Mode::OutOnly, Some(50 * GB), GB, 50 * GB, Some(5)));
    assert!(reasons(&gaps, "10443").contains(&&Reason::Ends("2026-02-01".into())));
    assert_eq!(reasons(&gaps, ""), [&Reason::Channel("email".into())]);
}

#[test]
fn trafficcop_acts_below_its_limit_and_says_nothing_of_usage() {
    let (snapshot, gaps) = taken(&FIXTURES[4]);
    assert_eq!(figures(&snapshot, "443"), (Mode::Both, Some(285 * GB), 0, 0, Some(1)));
    assert_eq!(figures(&snapshot, "80"), (Mode::OutOnly, Some(GB / 2), 0, 0, Some(28)));
    assert_eq!(figures(&snapshot, "8388"), (Mode::Both, Some(90 * GB), 0, 0, None));
    assert!(!snapshot.config.ports.contains_key(&port("1080")));
    assert_eq!(reasons(&gaps, ""), [&Reason::NoUsage(Rival::TrafficCop)]);
    assert_eq!(reasons(&gaps, "1080"), [&Reason::Quota("5 - 10".into())]);
    let tolerance = Reason::Tolerance { there: Bytes(300 * GB), here: Bytes(285 * GB) };
    assert_eq!(reasons(&gaps, "443"), [&tolerance, &Reason::Throttle("20".into())]);
    assert!(reasons(&gaps, "80").is_empty());
    assert!(reasons(&gaps, "8388").contains(&&Reason::Larger));
    assert!(reasons(&gaps, "8388").contains(&&Reason::Cycle(Cycle::Months("3".into()))));
    assert!(reasons(&gaps, "22").contains(&&Reason::InboundAlone));
}

#[test]
fn both_reports_of_trafficcop_have_its_usage() {
    for (fixture, used) in [(&FIXTURES[5], 0), (&FIXTURES[6], GB / 4)] {
        let (snapshot, gaps) = taken(fixture);
        let (mode, quota, inbound, outbound, day) = figures(&snapshot, "443");
        assert_eq!((mode, quota, day), (Mode::Both, Some(300 * GB), None));
        assert_eq!(inbound + outbound, 120 * GB + GB / 2);
        let (.., inbound, outbound, _) = figures(&snapshot, "80");
        assert_eq!(inbound + outbound, used);
        assert_eq!(gaps, [Gap { subject: String::new(), reason: Reason::Report }]);
    }
}

#[test]
fn what_is_configured_stays_as_it_is() {
    let (mut present, _) = taken(&FIXTURES[0]);
    present.config.telegram.chat_id = "@here".into();
    let mut config: Value = serde_json::from_slice(FIXTURES[1].text).unwrap();
    config["ports"]["20050"] = config["ports"]["8443"].clone();
    let takeover = takeover(Rival::PortTrafficDog, config.to_string().as_bytes(), None).unwrap();
    let (after, gaps) = takeover.add_to(&present, &Readings::default(), &now());
    for (port, settings) in &present.config.ports {
        assert_eq!(&after.config.ports[port], settings);
        assert_eq!(after.state.ports[port].ledger, present.state.ports[port].ledger);
    }
    assert_eq!(after.config.ports.len(), present.config.ports.len() + 3);
    assert_eq!(reasons(&gaps, "443"), [&Reason::Present]);
    assert_eq!(reasons(&gaps, "8443"), [&Reason::Present]);
    assert_eq!(reasons(&gaps, "20050"), [&Reason::Overlaps(port("20000-20100"))]);
    assert_eq!(after.config.telegram, present.config.telegram);
    assert!(gaps.contains(&Gap { subject: String::new(), reason: Reason::TelegramPresent }));
}

#[test]
fn a_group_goes_by_a_name_of_its_own_and_misses_the_members_that_are_here() {
    let (first, _) = taken(&FIXTURES[1]);
    let mut config: Value = serde_json::from_slice(FIXTURES[1].text).unwrap();
    let group = config["ports"]["2096,5000-5100"].take();
    config["ports"] = json!({"2096,5000-5100,6000,7000": group.clone(), "8000,8001,9000": group});
    let second = takeover(Rival::PortTrafficDog, config.to_string().as_bytes(), None).unwrap();
    let (after, gaps) = second.add_to(&first, &Readings::default(), &now());
    assert_eq!(reasons(&gaps, "2096"), [&Reason::Present]);
    assert_eq!(reasons(&gaps, "5000-5100"), [&Reason::Present]);
    let names: BTreeSet<&str> =
        after.config.ports.values().filter_map(|port| port.group.as_ref()).map(GroupId::as_str).collect();
    assert_eq!(names, BTreeSet::from(["2096,5000-5100", "2096,5000-5100,6000,7000", "8000,8001,9000"]));
    let (again, _) = second.add_to(
        &Snapshot {
            config: Config {
                ports: BTreeMap::from([(port("1"), grouped("8000,8001,9000"))]),
                ..Config::default()
            },
            ..Snapshot::default()
        },
        &Readings::default(),
        &now(),
    );
    assert_eq!(again.config.ports[&port("9000")].group, GroupId::new("8000,8001,9000 2").ok());
}

fn grouped(name: &str) -> PortConfig {
    PortConfig { group: GroupId::new(name).ok(), ..PortConfig::default() }
}

#[test]
fn a_reset_that_fell_due_since_the_usage_was_saved_is_still_carried_out() {
    let mut usage: Value = serde_json::from_slice(FIXTURES[1].usage.unwrap()).unwrap();
    let config: Value = serde_json::from_slice(FIXTURES[1].text).unwrap();
    let due = |usage: &Value, name: &str| {
        let (snapshot, _) = dog(&config, Some(usage));
        let day = snapshot.config.ports[&port(name)].reset_day;
        snapshot.state.accounts[&AccountId::Port(port(name))].reset.is_due(day, &now())
    };
    assert!(!due(&usage, "443"));
    usage["443"]["backup_time"] = "2026-02-27T01:02:03+08:00".into();
    assert!(due(&usage, "443") && !due(&usage, "8443"));
    usage["443"]["backup_time"] = "9999-12-31T00:00:00+08:00".into();
    assert!(!due(&usage, "443"), "a clock that was ahead");
}

#[test]
fn what_cannot_be_is_left_out_and_told() {
    let entry = |limit: &str| json!({"quota": {"monthly_limit": limit, "reset_day": "1"}});
    let config = json!({"global": {}, "ports": {
        "0": entry("1GB"), "70000": entry("1GB"), "0443": entry("1GB"), "": entry("1GB"), "80,x": entry("1GB"),
        "1": entry("-5GB"), "2": entry("ten"), "3": entry("99999999999999999999TB"), "4": entry("0.5GB"),
        "65534": {"bandwidth_limit": {"enabled": "true", "rate": "10Mbps"}},
        "7": {"bandwidth_limit": {"enabled": true, "rate": "1bps"}, "remark": "x".repeat(201)},
        "100-200": entry("1GB"), "150": entry("1GB"), "150-300": entry("1GB"), "8": {"quota": {"monthly_limit": "1GB", "reset_day": 45}},
    }});
    let usage = json!({"4": {"input": -5, "output": "1e3"}, "8": {"input": "1000", "output": 1e3}, "5": [] });
    assert!(matches!(
        takeover(Rival::PortTrafficDog, config.to_string().as_bytes(), Some(usage.to_string().as_bytes())),
        Err(DocumentError::Usage(error)) if error.field == "5"
    ));
    let usage = json!({"4": {"input": -5, "output": "1e3"}, "8": {"input": "1000", "output": 1e3}});
    let (snapshot, gaps) = dog(&config, Some(&usage));
    for name in ["0", "70000", "0443", "", "80,x"] {
        assert!(reasons(&gaps, name).contains(&&Reason::NotAPort), "{name}");
    }
    for name in ["1", "2", "3"] {
        assert!(matches!(reasons(&gaps, name)[..], [Reason::Quota(_)]), "{name}");
    }
    assert_eq!(reasons(&gaps, "150"), [&Reason::Repeated(port("100-200"))]);
    assert_eq!(reasons(&gaps, "150-300"), [&Reason::Repeated(port("100-200"))]);
    assert_eq!(reasons(&gaps, "65534"), [&Reason::LimitReserved]);
    assert_eq!(reasons(&gaps, "7"), [&Reason::Comment, &Reason::Limit("1bps".into())]);
    assert!(reasons(&gaps, "8").contains(&&Reason::ResetDay("45".into())));
    assert!(reasons(&gaps, "4").contains(&&Reason::Usage("-5".into())));
    assert_eq!(figures(&snapshot, "8").2, 500, "counted twice");
    let ports: Vec<String> = snapshot.config.ports.keys().map(ToString::to_string).collect();
    assert_eq!(ports, ["4", "7", "8", "100-200", "65534"]);
}

#[test]
fn another_file_is_refused_with_what_to_name_instead() {
    let refused = |rival, text: &[u8]| takeover(rival, text, None).unwrap_err().to_string();
    let dog = |text: &[u8]| refused(Rival::PortTrafficDog, text);
    assert!(dog(FIXTURES[4].text).contains("/etc/port-traffic-dog/config.json"));
    assert!(refused(Rival::TrafficCop, FIXTURES[0].text).contains("ports_traffic_config.json"));
    assert!(refused(Rival::TrafficCop, b"TRAFFIC_MODE=total\n").contains("ports_traffic_config.json"));
    assert!(dog(b"\x1f\x8b\x08\0").contains("tar xzf"));
    assert!(dog(br#"{"format": "pm-export", "version": 1, "config": {}}"#).contains("without --from"));
    let ours = br#"{"ports": {"443": {"quota_gb": 5}}, "telegram": {}}"#;
    assert!(dog(ours).starts_with("this is no file of port-traffic-dog"));
    assert_eq!(
        dog(b"{\n \"ports\": {\"443\": {]}}"),
        "line 2, column 20: key must be a string; nothing was changed"
    );
    let twice = dog(br#"{"ports": {"443": {}, "443": {}}}"#);
    assert!(twice.starts_with("line 1, column 27, field `ports`: `443` stands here twice"), "{twice}");
    let object = dog(br#"{"ports": {"443": {"quota": {"monthly_limit": {}}}}}"#);
    assert!(
        object.contains("field `ports.443.quota.monthly_limit`") && object.contains("a number, a text"),
        "{object}"
    );
    let list = refused(Rival::TrafficCop, br#"{"ports": [{"port": 80}, {"prt": 443}]}"#);
    assert!(list.contains("field `ports[1]`") && list.contains("missing field `port`"), "{list}");
}

#[test]
fn a_file_of_ten_megabytes_is_read_at_once() {
    let entry = json!({"quota": {"enabled": true, "monthly_limit": "10GB", "reset_day": 1}, "remark": "x".repeat(100)});
    let ports: serde_json::Map<String, Value> =
        (1..=40_000).map(|port| (port.to_string(), entry.clone())).collect();
    let names: Vec<String> = (40_002..60_000).step_by(2).map(|port: u32| port.to_string()).collect();
    let mut config = json!({"ports": ports});
    config["ports"][names.join(",")] = entry;
    assert!(config.to_string().len() > 7_000_000);
    let (snapshot, _) = dog(&config, None);
    assert_eq!(snapshot.config.ports.len(), 40_000 + names.len());
}

/// Values that no port was ever configured with.
fn hostile() -> impl Strategy<Value = Value> {
    let texts = prop_oneof!["[ -~]{0,12}", "[0-9]{1,25}(\\.[0-9]{0,20})?(GB|MB|T|Mbps|Kbps)?", ".{0,3}"];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_map(|number| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)),
        texts.prop_map(Value::from),
        Just(json!([])),
        Just(json!({"type": "monthly", "day": 99, "every": -1})),
        Just(json!([{"port": "1-65535", "traffic_limit": 1e308}])),
    ]
}

/// How many values there are, those within others included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Replaces the value with this number, or renames the field that leads to it.
fn mutate(value: &mut Value, mut place: usize, with: &Value, rename: bool) {
    if place == 0 {
        *value = with.clone();
        return;
    }
    place -= 1;
    match value {
        Value::Array(items) => {
            for item in items {
                match place.checked_sub(size(item)) {
                    None => return mutate(item, place, with, rename),
                    Some(rest) => place = rest,
                }
            }
        }
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                let size = size(&fields[&name]);
                if place < size {
                    if rename && place == 0 {
                        let field = fields.remove(&name).unwrap();
                        let name = with.as_str().map_or_else(|| with.to_string(), str::to_owned);
                        fields.insert(name, field);
                        return;
                    }
                    return mutate(&mut fields[&name], place, with, rename);
                }
                place -= size;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whatever a file says: it is refused, or what comes of it can be saved, and what was there is there.
fn check(fixture: &Fixture, text: &[u8], usage: Option<&[u8]>) -> Result<(), TestCaseError> {
    let Ok(takeover) = takeover(fixture.rival, text, usage) else { return Ok(()) };
    let (present, _) = taken(&FIXTURES[3]);
    let (after, _) = takeover.add_to(&present, &Readings::default(), &now());
    for (port, settings) in &present.config.ports {
        prop_assert_eq!(&after.config.ports[port], settings);
    }
    let written = wire::encode(&after);
    let read = wire::decode(&written).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&read.snapshot.config, &after.config);
    prop_assert_eq!(read.warnings.len(), 0, "{:?}", read.warnings);
    let _ = Overview::of(&after.config, &after.state, &now());
    Ok(())
}

proptest! {
    #[test]
    fn no_value_in_any_place_is_met_with_a_panic(
        which in 0..FIXTURES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), hostile(), any::<bool>()), 1..6),
        in_usage in any::<bool>(),
    ) {
        let fixture = &FIXTURES[which];
        let usage_too = fixture.usage.filter(|_| in_usage);
        let mut document: Value = serde_json::from_slice(usage_too.unwrap_or(fixture.text)).unwrap();
        for (place, with, rename) in &changes {
            let place = place.index(size(&document));
            mutate(&mut document, place, with, *rename);
        }
        let text = document.to_string();
        match usage_too {
            Some(_) => check(fixture, fixture.text, Some(text.as_bytes()))?,
            None => check(fixture, text.as_bytes(), fixture.usage)?,
        }
    }

    #[test]
    fn no_broken_text_is_met_with_a_panic(
        which in 0..FIXTURES.len(),
        place in any::<prop::sample::Index>(),
        insert in prop::collection::vec(any::<u8>(), 0..4),
        cut in 0_usize..40,
    ) {
        let fixture = &FIXTURES[which];
        let mut text = fixture.text.to_vec();
        let start = place.index(text.len());
        let end = (start + cut).min(text.len());
        text.splice(start..end, insert);
        check(fixture, &text, fixture.usage)?;
    }
}
