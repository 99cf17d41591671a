//! What v4.3 wrote is read and written back; what nobody can have meant is refused, and said where.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

mod generated;

use super::*;
use crate::account::AccountId;
use crate::accounting::{BootId, CounterId, CounterReading, Ledger, Mark, Meter, Reading};
use crate::channel::{Channel, Service};
use crate::chronicle::{Chronicle, Happening, What};
use crate::config::{DynQosConfig, ForwardPolicy, GroupId, Language, PortConfig, Secret, Telegram};
use crate::dynqos::{DynQos, DynQosPolicy, RateWindow};
use crate::event::{Event, Subject};
use crate::progress::{LastError, Progress};
use crate::quota::{Cutoff, Mode, Thresholds};
use crate::reset::{ResetDay, ResetMark};
use crate::state::{AccountState, Outbox, PortState};
use crate::units::{Bytes, Rate};

/// Section 4.1 of the specification, letter by letter.
const SPECIFIED: &str = r#"{
  "interface": "eth0",
  "ports": {
    "10086": {
      "quota_gb": 10,
      "quota_mode": "both",
      "limit_mbps": 100,
      "reset_day": 1,
      "last_reset_ts": 1700000000,
      "comment": "Snell",
      "stats": {
        "acc_in": 1073741824,
        "acc_out": 2147483648,
        "last_kernel_in": 50000000,
        "last_kernel_out": 80000000
      },
      "dyn_limit": {
        "enable": true,
        "trigger_mbps": 100,
        "trigger_time": 5,
        "punish_mbps": 5,
        "punish_time": 60,
        "is_punished": false,
        "strike_count": 0,
        "punish_end_ts": 0
      },
      "notify_state": {
        "quota_level": 50,
        "punish_notified": false,
        "recover_notified": true
      }
    }
  },
  "telegram": {
    "enable": true,
    "bot_token": "123456789:ABC...",
    "chat_id": "-1001234567890",
    "api_url": "https://api.telegram.org",
    "thresholds": [50, 80, 100],
    "report_interval_hours": 6,
    "last_report_ts": 1700000000
  }
}"#;

fn port(text: &str) -> PortRange {
    text.parse().unwrap()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn read(text: &str) -> Snapshot {
    let decoded = decode(text.as_bytes()).unwrap();
    assert_eq!(decoded.warnings, []);
    decoded.snapshot
}

fn refused(text: &str) -> WireError {
    decode(text.as_bytes()).expect_err(text)
}

fn rewritten(text: &str) -> Value {
    serde_json::from_slice(&encode(&decode(text.as_bytes()).unwrap().snapshot)).unwrap()
}

/// Every field of `before` is in `after` with the same value.
fn assert_kept(before: &Value, after: &Value, path: &str) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let path = format!("{path}.{key}");
                assert_kept(value, after.get(key).unwrap_or_else(|| panic!("{path} is gone")), &path);
            }
        }
        _ => assert_eq!(before, after, "{path}"),
    }
}

#[test]
fn where_releases_come_from_is_kept_and_not_written_when_nobody_said() {
    let text = r#"{"update": {"url": "https://example.org/pm", "public_key": "RWx", "channel": "beta"}}"#;
    let update = read(text).config.update;
    assert_eq!(update.url.as_deref(), Some("https://example.org/pm"));
    assert_eq!(update.public_key.as_deref(), Some("RWx"));
    assert_kept(&serde_json::from_str(text).unwrap(), &rewritten(text), "");
    assert_eq!(rewritten("{}").get("update"), None);
}

#[test]
fn the_example_of_the_specification_is_read_as_it_is_meant() {
    let Snapshot { config, state, .. } = read(SPECIFIED);
    assert_eq!(config.interface.as_deref(), Some("eth0"));
    let policy = DynQosPolicy { trigger: Rate::mbps(100), minutes: 5, penalty: Rate::mbps(5), duration: 60 };
    let expected = PortConfig {
        quota: Some(Bytes(10 << 30)),
        mode: Mode::Both,
        limit: Some(Rate::mbps(100)),
        reset_day: ResetDay::new(1),
        comment: "Snell".into(),
        group: None,
        dynqos: DynQosConfig { enabled: true, policy: Some(policy) },
    };
    assert_eq!(config.ports, [(port("10086"), expected)].into());
    let meter =
        |used, last| Meter { used: Bytes(used), mark: Some(Mark { bytes: Bytes(last), origin: None }) };
    let expected = PortState {
        ledger: Ledger { inbound: meter(1 << 30, 50_000_000), outbound: meter(2 << 30, 80_000_000) },
        dynqos: DynQos::default(),
        window: RateWindow::default(),
        last_reset: Some(second(1_700_000_000)),
    };
    assert_eq!(state.ports, [(port("10086"), expected)].into());
    let account = AccountState {
        level: 50,
        block_told: false,
        cutoff: None,
        reset: ResetMark { day: ResetDay::new(1), done: Some(second(1_700_000_000)), date: None },
    };
    assert_eq!(state.accounts, [(AccountId::Port(port("10086")), account)].into());
    assert_eq!(state.last_report, Some(second(1_700_000_000)));
    assert_eq!(config.telegram.bot_token.expose(), "123456789:ABC...");
    assert_eq!(config.telegram.report_interval_hours, 6);
    assert_eq!((state.last_run, state.outbox), (None, Outbox::default()));
}

#[test]
fn the_example_of_the_specification_is_written_back_with_every_field_it_had() {
    assert_kept(&serde_json::from_str(SPECIFIED).unwrap(), &rewritten(SPECIFIED), "");
}

#[test]
fn the_keys_of_the_specification_keep_their_order() {
    let written = String::from_utf8(encode(&read(SPECIFIED))).unwrap();
    let mut rest = written.as_str();
    for line in SPECIFIED.lines().filter(|line| line.contains("\":")) {
        let key = format!("{}\":", line.split("\":").next().unwrap());
        let place = rest.find(&key).unwrap_or_else(|| panic!("{key} is not in its place in\n{written}"));
        rest = &rest[place + key.len()..];
    }
}

#[test]
fn ports_are_written_in_numeric_order() {
    let text = r#"{"ports": {"65535": {}, "10086": {}, "443": {}, "20000-20100": {}, "80": {}}}"#;
    let written = String::from_utf8(encode(&read(text))).unwrap();
    let keys: Vec<&str> =
        written.lines().filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\": {")).collect();
    assert_eq!(keys, ["80", "443", "10086", "20000-20100", "65535"]);
}

#[test]
fn fields_that_nobody_knows_survive_at_every_level() {
    let mut file: Value = serde_json::from_str(SPECIFIED).unwrap();
    let unknown = json!({"deep": [1, 2.5, null, {"deeper": "是"}], "big": u64::MAX});
    for place in ["", "/ports/10086", "/ports/10086/stats", "/ports/10086/dyn_limit"] {
        file.pointer_mut(place).unwrap()["v9"] = unknown.clone();
    }
    for place in ["/ports/10086/notify_state", "/telegram"] {
        file.pointer_mut(place).unwrap()["v9"] = unknown.clone();
    }
    file["monitor"] = json!({"v9": unknown});
    file["config_version"] = json!("4.7");
    let mut written = rewritten(&file.to_string());
    assert_kept(&file, &written, "");
    written["ports"]["10086"]["comment"] = json!("changed");
    assert_kept(&written, &rewritten(&written.to_string()), "");
}

#[test]
fn of_what_happened_the_part_that_is_understood_is_kept() {
    let mut file: Value = serde_json::from_str(SPECIFIED).unwrap();
    let reset = json!({"ts": 1_700_000_000, "type": "reset"});
    let punished = json!({"ts": 1_700_000_060, "type": "punished", "penalty_mbps": 0.5, "minutes": 60});
    file["ports"]["10086"]["events"] =
        json!([reset, {"ts": 5, "type": "moved"}, 7, {"type": "blocked"}, punished]);
    assert_eq!(rewritten(&file.to_string())["ports"]["10086"]["events"], json!([reset, punished]));
    assert!(rewritten(SPECIFIED)["ports"]["10086"].get("events").is_none(), "nothing is written of nothing");
}

#[test]
fn what_is_missing_has_the_defaults_of_the_script() {
    let Snapshot { config, state, .. } = read("{}");
    assert_eq!(config, Config::default());
    assert_eq!(config.telegram.thresholds.levels().collect::<Vec<_>>(), [50, 80, 100]);
    assert_eq!(config.telegram.api_url, "https://api.telegram.org");
    assert!(!config.telegram.enable);
    assert_eq!(state, State::default());

    let Snapshot { config, state, .. } = read(r#"{"ports": {"10086": {"dyn_limit": {"enable": false}}}}"#);
    assert_eq!(config.ports[&port("10086")], PortConfig::default());
    assert_eq!(state.ports[&port("10086")].ledger.used().total(), Bytes(0));
    assert_eq!(state.accounts[&AccountId::Port(port("10086"))], AccountState::default());
    assert_eq!(
        rewritten(r#"{"ports": {"10086": {"dyn_limit": {"enable": false}}}}"#)["ports"]["10086"]["dyn_limit"],
        json!({"enable": false})
    );
}

#[test]
fn a_dyn_limit_without_all_four_figures_keeps_those_it_had() {
    let text = r#"{"ports": {"5": {"dyn_limit": {"enable": true, "trigger_mbps": 100, "punish_time": 60,
        "is_punished": false, "strike_count": 3, "punish_end_ts": 0, "v9": 1}}}}"#;
    let decoded = decode(text.as_bytes()).unwrap();
    assert_eq!(decoded.warnings, [Warning::IdlePenalty(port("5"))]);
    assert_kept(&serde_json::from_str(text).unwrap(), &rewritten(text), "");
}

#[test]
fn every_mode_but_out_only_is_both() {
    for (written, mode) in [
        ("both", Mode::Both),
        ("in_out", Mode::Both),
        ("", Mode::Both),
        ("Out_Only", Mode::Both),
        ("out_only", Mode::OutOnly),
    ] {
        let text = format!(r#"{{"ports": {{"5": {{"quota_mode": "{written}"}}}}}}"#);
        assert_eq!(read(&text).config.ports[&port("5")].mode, mode, "{written}");
        assert_eq!(rewritten(&text)["ports"]["5"]["quota_mode"], mode.name());
    }
}

#[test]
fn zero_means_none_everywhere() {
    let text = r#"{"interface": "", "ports": {"5": {"quota_gb": null, "limit_mbps": 0, "reset_day": 0,
        "last_reset_ts": 0, "group_id": "", "dyn_limit": {"enable": true, "trigger_mbps": 0, "trigger_time": 0,
        "punish_mbps": 0, "punish_time": 0, "is_punished": true, "strike_count": 0, "punish_end_ts": 0}}},
        "telegram": {"api_url": "", "report_interval_hours": 0, "last_report_ts": 0}}"#;
    let Decoded { snapshot: Snapshot { config, state, .. }, warnings } = decode(text.as_bytes()).unwrap();
    let (settings, known) = (&config.ports[&port("5")], state.ports[&port("5")]);
    assert_eq!((settings.quota, settings.limit, settings.reset_day), (None, None, None));
    assert_eq!((&settings.group, settings.dynqos.active()), (&None, None));
    assert_eq!((known.dynqos, known.last_reset), (DynQos::default(), None));
    assert_eq!((config.interface, state.last_report, state.last_run), (None, None, None));
    assert_eq!(config.telegram, Telegram::default());
    assert_eq!(warnings.len(), 1, "the policy that never acts: {warnings:?}");
    let group = |id: &str| rewritten(&format!(r#"{{"ports": {{"5": {{{id}}}}}}}"#))["ports"]["5"].clone();
    assert_eq!(group(r#""group_id": """#).get("group_id"), Some(&Value::Null), "the field stays");
    assert_eq!(group("").get("group_id"), None);
}

#[test]
fn a_port_that_the_script_wrote_goes_on_where_it_stood() {
    let origin = CounterId { boot: BootId { kernel: 1, init: 2 }, table: 3, counter: 4 };
    let counter = |bytes| Some(CounterReading { bytes: Bytes(bytes), origin });
    let reading = |inbound, outbound| Reading { inbound: counter(inbound), outbound: counter(outbound) };
    let ledger = read(SPECIFIED).state.ports[&port("10086")].ledger;

    let mut running = ledger;
    let _ = running.advance(reading(50_000_100, 80_000_200));
    assert_eq!(running.used().inbound, Bytes((1 << 30) + 100));
    assert_eq!(running.used().outbound, Bytes((2 << 30) + 200));

    let mut rebooted = ledger;
    let _ = rebooted.advance(reading(300, 80_000_200));
    assert_eq!(rebooted.used().inbound, Bytes((1 << 30) + 300));

    let mut gone = ledger;
    let _ = gone.advance(Reading::default());
    let _ = gone.advance(reading(60_000_000, 0));
    assert_eq!(gone.used().inbound, Bytes((1 << 30) + 60_000_000), "a new counter that has passed the old");
}

#[test]
fn the_identity_of_the_counters_survives_the_file() {
    let mut snapshot = read(SPECIFIED);
    let origin =
        |counter| CounterId { boot: BootId { kernel: u128::MAX, init: 9 }, table: u64::MAX, counter };
    let meter = |counter| Meter {
        used: Bytes(u64::MAX),
        mark: Some(Mark { bytes: Bytes(7), origin: Some(origin(counter)) }),
    };
    for (inbound, outbound) in
        [(meter(1), meter(2)), (meter(1), Meter::default()), (Meter::default(), meter(2))]
    {
        let ledger = Ledger { inbound, outbound };
        snapshot.state.ports.get_mut(&port("10086")).unwrap().ledger = ledger;
        let read = decode(&encode(&snapshot)).unwrap().snapshot;
        assert_eq!(read.state.ports[&port("10086")].ledger, ledger);
    }
}

#[test]
fn members_of_a_group_that_differ_follow_the_lowest_and_are_pointed_out() {
    let text = r#"{"ports": {
        "30000": {"quota_gb": 7, "group_id": "家庭", "notify_state": {"quota_level": 80}},
        "10086": {"quota_gb": 5, "quota_mode": "out_only", "reset_day": 3, "group_id": "家庭"}}}"#;
    let Decoded { snapshot, warnings } = decode(text.as_bytes()).unwrap();
    assert_eq!(warnings.len(), 1);
    for part in ["10086", "30000", "家庭", "differ in quota, mode or reset day"] {
        assert!(warnings[0].to_string().contains(part), "{part}: {warnings:?}");
    }
    let accounts = crate::account::Account::all(&snapshot.config);
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0].quota(), Some(Bytes(5 << 30)));
    assert_eq!((accounts[0].mode(), accounts[0].reset_day()), (Mode::OutOnly, ResetDay::new(3)));
    assert_kept(&json!({"quota_gb": 7}), &rewritten(text)["ports"]["30000"], "");
}

#[test]
fn a_quota_of_zero_blocks_and_is_pointed_out() {
    let text = r#"{"ports": {"10086": {"quota_gb": 0}}}"#;
    let Decoded { snapshot: Snapshot { config, state, .. }, warnings } = decode(text.as_bytes()).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings, [Warning::QuotaOfNothing(port("10086"))]);
    assert!(crate::account::Account::all(&config)[0].is_blocked(&state));
    assert_eq!(rewritten(text)["ports"]["10086"]["quota_gb"], 0);
}

#[test]
fn a_speed_limit_on_the_reserved_class_is_pointed_out() {
    let decoded = decode(br#"{"ports": {"65534": {"limit_mbps": 5}}}"#).unwrap();
    assert_eq!(decoded.warnings, [Warning::ReservedClass(port("65534"))]);
    assert_eq!(decode(br#"{"ports": {"65534": {"quota_gb": 5}}}"#).unwrap().warnings, []);
}

#[test]
fn text_that_is_no_json_is_refused_with_its_place() {
    for length in [0, 1, 20, 500, SPECIFIED.len() - 1] {
        let error = refused(&SPECIFIED[..length]);
        assert!(error.reason.contains("EOF"), "{error}");
        assert_eq!(error.line, SPECIFIED[..length].split('\n').count(), "{error}");
    }
    assert_eq!(refused(&format!("{SPECIFIED}}}")).line, 43);
    let error = decode(b"{\n  \"interface\": \"\xff\"}").unwrap_err();
    assert_eq!((error.line, error.column), (2, 17));
    assert!(error.to_string().contains("not UTF-8"), "{error}");
    let error = refused("{\n  \"ports\": {\"5\": {\"quota_gb\": 1, \"quota_gb\": 2}}}");
    assert_eq!((error.line, error.field.as_str()), (2, "ports.5"));
    assert!(error.reason.contains("duplicate field `quota_gb`"), "{error}");
}

#[test]
fn a_port_is_plain_digits_and_stands_once() {
    for key in ["0443", "0", "65536", "+5", " 5 ", "", "ssh", "5-", "20-10", "5-5", "5 - 7", "1-2-3", "٣"] {
        let error = refused(&format!("{{\"ports\":\n {{\"{key}\": {{}}}}}}"));
        assert_eq!((error.line, error.field.as_str()), (2, format!("ports.{key}").as_str()), "{error}");
        assert!(error.reason.contains(&format!("`{key}`")), "{error}");
    }
    for (keys, said) in [
        (["5", "5"], "port 5 stands here twice"),
        (["10-20", "10-20"], "port 10-20 stands here twice"),
        (["10-20", "15"], "15 and 10-20 share a port"),
        (["15", "10-20"], "10-20 and 15 share a port"),
        (["10-20", "20-30"], "20-30 and 10-20 share a port"),
        (["10-30", "15-20"], "15-20 and 10-30 share a port"),
        (["15-20", "10-30"], "10-30 and 15-20 share a port"),
    ] {
        let error =
            refused(&format!(r#"{{"ports": {{"{}": {{}}, "1": {{}}, "{}": {{}}}}}}"#, keys[0], keys[1]));
        assert!(error.reason.contains(said), "{error}");
    }
}

const OBJECT: &str = "expected an object";
const WORD: &str = "expected a string";
const FLAG: &str = "expected a boolean";
const WHOLE: &str = "a whole number, 0 or more";
const TIME: &str = "a Unix time in seconds, or 0 for none";
const COUNT: &str = "a whole number from 0 to 525600";
const LEVEL: &str = "a whole number from 0 to 100";
const MBPS: &str = "a number of Mbps from 0 to 1000000, where 0 means none";
const GB: &str = "a number of GB from 0 to 1073741824, or null to meter only";
const DAY: &str = "a day of the month from 1 to 31, or 0 for none";
const CHAT: &str = "a chat such as";
const FORWARD: &str = r#"expected "auto", "on" or "off""#;

/// The path of a field, values that it cannot have, and what the refusal says is allowed.
const WRONG: &[(&str, &[&str], &str)] = &[
    ("interface", &["5", "[]", "true"], WORD),
    ("take_over_qdisc", &["1", "\"yes\"", "null"], FLAG),
    ("forward", &["\"maybe\"", "1", "null", "{}"], FORWARD),
    ("ports", &["[]", "5", "\"x\"", "null"], OBJECT),
    ("ports.5", &["7", "[]", "\"x\"", "null"], OBJECT),
    ("ports.5.quota_gb", &["-1", "\"10\"", "1e30", "1073741825", "true", "[]", "{}"], GB),
    ("ports.5.quota_mode", &["1", "null", "[]"], WORD),
    ("ports.5.limit_mbps", &["-1", "\"100\"", "1000001", "null", "false"], MBPS),
    ("ports.5.reset_day", &["32", "-1", "1.5", "\"1\"", "null"], DAY),
    ("ports.5.last_reset_ts", &["-1", "\"now\"", "1e18", "0.5", "null"], TIME),
    ("ports.5.comment", &["5", "null", "[\"x\"]"], WORD),
    ("ports.5.group_id", &["5", "[]"], WORD),
    ("ports.5.group_id", &["\" a\"", "\"a\\u0007\""], "write 1 to 64 characters"),
    ("ports.5.stats", &["[]", "5", "null"], OBJECT),
    ("ports.5.stats.acc_in", &["-1", "1.5", "1e30", "\"5\"", "null"], WHOLE),
    ("ports.5.stats.acc_out", &["-1", "1.5", "18446744073709551616", "\"5\"", "true"], WHOLE),
    ("ports.5.stats.last_kernel_in", &["-1", "0.1", "\"5\"", "[]"], WHOLE),
    ("ports.5.stats.last_kernel_out", &["-1", "0.1", "\"5\"", "{}"], WHOLE),
    ("ports.5.stats.counters", &["7", "\"x\""], OBJECT),
    ("ports.5.stats.counters.boot", &["7"], WORD),
    ("ports.5.stats.counters.boot", &["\"x\"", "\"12\"", "\"g.1\""], "is not a boot id"),
    ("ports.5.stats.counters.table", &["-1", "\"x\"", "null"], WHOLE),
    ("ports.5.stats.counters.in", &["-1", "\"x\""], WHOLE),
    ("ports.5.stats.counters.out", &["-1", "1.5"], WHOLE),
    ("ports.5.dyn_limit", &["[]", "true", "null"], OBJECT),
    ("ports.5.dyn_limit.enable", &["1", "\"true\"", "null"], FLAG),
    ("ports.5.dyn_limit.trigger_mbps", &["-1", "\"100\"", "1000001"], MBPS),
    ("ports.5.dyn_limit.trigger_time", &["-1", "1.5", "525601", "\"5\"", "null"], COUNT),
    ("ports.5.dyn_limit.punish_mbps", &["-1", "\"5\"", "1000001"], MBPS),
    ("ports.5.dyn_limit.punish_time", &["-1", "1.5", "525601", "\"60\""], COUNT),
    ("ports.5.dyn_limit.is_punished", &["1", "\"no\""], FLAG),
    ("ports.5.dyn_limit.strike_count", &["-1", "0.5", "\"0\""], COUNT),
    ("ports.5.dyn_limit.punish_end_ts", &["-1", "0.5", "\"0\"", "1e18"], TIME),
    ("ports.5.dyn_limit.window", &["5", "\"x\""], OBJECT),
    ("ports.5.dyn_limit.window.since_ms", &["-1", "\"x\"", "null"], WHOLE),
    ("ports.5.dyn_limit.window.bytes", &["-1", "\"x\"", "0.5"], WHOLE),
    ("ports.5.notify_state", &["[]", "5", "null"], OBJECT),
    ("ports.5.notify_state.quota_level", &["101", "-1", "50.5", "\"50\"", "null"], LEVEL),
    ("ports.5.notify_state.punish_notified", &["1", "\"no\"", "null"], FLAG),
    ("ports.5.notify_state.recover_notified", &["1", "\"no\"", "null"], FLAG),
    ("ports.5.notify_state.block_notified", &["1", "\"no\""], FLAG),
    ("ports.5.notify_state.cut_off", &["5", "true"], OBJECT),
    ("ports.5.notify_state.cut_off.used", &["-1", "\"x\""], WHOLE),
    ("ports.5.notify_state.cut_off.limit", &["-1", "\"x\""], WHOLE),
    ("ports.5.reset_mark", &["5", "\"x\""], OBJECT),
    ("ports.5.reset_mark.day", &["32", "-1", "\"1\""], DAY),
    ("ports.5.reset_mark.done_ts", &["-1", "\"1\"", "1e18"], TIME),
    ("ports.5.reset_mark.date", &["5", "[]"], WORD),
    ("ports.5.reset_mark.date", &["\"\"", "\"today\"", "\"2026-02-30\""], "write one such as 2026-02-01"),
    ("ports.5.events", &["5", "{}", "\"x\"", "null"], "expected a sequence"),
    ("telegram", &["[]", "5", "\"x\""], OBJECT),
    ("telegram.enable", &["1", "\"true\"", "null"], FLAG),
    ("telegram.bot_token", &["5", "null", "[]"], WORD),
    ("telegram.chat_id", &["true", "[]", "{}", "1.5"], CHAT),
    ("telegram.api_url", &["5", "null"], WORD),
    ("telegram.thresholds", &["5", "\"50\"", "{}"], "expected a sequence"),
    ("telegram.thresholds[0]", &["101", "-1", "50.5", "\"50\"", "null"], LEVEL),
    ("telegram.report_interval_hours", &["-1", "0.5", "\"6\"", "525601", "null"], COUNT),
    ("telegram.proxy", &["5", "null"], WORD),
    ("telegram.language", &["\"fr\"", "1", "null"], "expected \"zh\" or \"en\""),
    ("channels", &["5", "{}", "null"], "expected a sequence"),
    ("channels[0]", &["5", "\"x\""], OBJECT),
    ("channels[0].name", &["5", "null"], WORD),
    ("channels[0].type", &["\"sms\"", "5", "null"], "expected \"webhook\", \"bark\""),
    ("channels[0].enable", &["1", "\"yes\"", "null"], FLAG),
    ("channels[0].url", &["5", "null"], WORD),
    ("channels[0].secret", &["5", "null"], WORD),
    ("channels[0].proxy", &["5", "null"], WORD),
    ("delivery", &["5", "[]", "null"], "expected a map"),
    ("delivery.telegram", &["5", "\"x\""], OBJECT),
    ("delivery.telegram.next_id", &["-1", "\"x\"", "1.5"], WHOLE),
    ("delivery.telegram.parts", &["-1", "\"x\"", "1.5"], COUNT),
    ("delivery.telegram.failures", &["-1", "\"x\"", "null"], COUNT),
    ("delivery.telegram.not_before_ts", &["-1", "\"x\"", "1e18"], TIME),
    ("delivery.telegram.recent_ts", &["5", "{}"], "expected a sequence"),
    ("delivery.telegram.recent_ts[0]", &["-1", "\"x\"", "0.5"], TIME),
    ("delivery.telegram.last_error", &["5", "\"x\""], OBJECT),
    ("delivery.telegram.last_error.ts", &["-1", "\"x\"", "null"], TIME),
    ("delivery.telegram.last_error.text", &["5", "null"], WORD),
    ("telegram.last_report_ts", &["-1", "\"x\"", "1e18", "null"], TIME),
    ("monitor", &["[]", "5", "null"], OBJECT),
    ("monitor.last_run_ts", &["-1", "\"x\"", "1e18", "null"], TIME),
    ("monitor.next_message_id", &["-1", "\"x\"", "1.5"], WHOLE),
    ("outbox", &["5", "{}", "\"x\"", "null"], "expected a sequence"),
    ("outbox[0]", &["5", "\"x\""], "expected"),
    ("outbox[0].id", &["-1", "\"x\""], "expected u64"),
];

/// A file in which the field of this path stands on a line of its own, and what is around it is right.
fn file_with(path: &str, value: &str) -> String {
    let (mut head, mut tail) = (String::from("{\n"), String::from("\n}"));
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        let (key, in_list) = key.strip_suffix("[0]").map_or((key, false), |key| (key, true));
        head.extend(["\"", key, "\": "]);
        if in_list {
            head.push_str("[\n");
            tail.insert_str(0, "\n]");
        }
        if keys.peek().is_some() {
            head.push_str("{\n");
            tail.insert_str(0, "\n}");
        }
    }
    head + value + &tail
}

/// A value as the refusal shows it.
fn shown_value(value: &str) -> Vec<String> {
    let kinds = match serde_json::from_str::<Value>(value).unwrap() {
        Value::Null => ["null", "null"],
        Value::Array(_) => ["sequence", "[]"],
        Value::Object(_) => ["map", "{}"],
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let bare = value.trim_matches('"');
            let plain =
                serde_json::from_str::<f64>(value).map_or(bare.into(), |number| json!(number).to_string());
            // Control characters are shown as escapes, of one form or another.
            return vec![bare.into(), plain, "\\u{7}".into()];
        }
    };
    kinds.map(String::from).to_vec()
}

#[test]
fn every_field_refuses_what_it_cannot_be_and_says_where_what_and_why() {
    for &(path, values, allowed) in WRONG {
        for value in values {
            let text = file_with(path, value);
            let error = refused(&text);
            let line = text.lines().position(|line| line.ends_with(value)).unwrap() + 1;
            assert_eq!((error.line, error.field.as_str()), (line, path), "{value}: {error}");
            assert!(error.column >= 1, "{error}");
            assert!(error.reason.contains(allowed), "{path} = {value}: {error}");
            let names_value = shown_value(value).iter().any(|shown| error.reason.contains(shown.as_str()));
            assert!(names_value, "{path} = {value}: {error}");
        }
    }
}

#[test]
fn every_field_that_is_written_is_in_the_table_of_wrong_values() {
    fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    found.push(path.clone());
                    paths(value, &path, found);
                }
            }
            Value::Array(items) => {
                for item in items {
                    found.push(format!("{path}[0]"));
                    paths(item, &format!("{path}[0]"), found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    let file = serde_json::from_slice(&encode(&full())).unwrap();
    paths(&file, "", &mut found);
    let found = found.iter().map(|path| path.replace("10086", "5"));
    for path in found.filter(|path| {
        // What an event holds is the affair of its own type.
        let of_events = path.starts_with("outbox[0].") || path.starts_with("ports.5.events[0]");
        !of_events && path != "config_version" && !path.starts_with("channels[0].body")
    }) {
        assert!(WRONG.iter().any(|&(known, ..)| known == path), "{path} is in no test");
    }
}

#[test]
fn a_message_in_the_queue_that_cannot_be_read_is_refused_with_its_place() {
    let good = json!({"id": 1, "at": "2026-01-01T00:00:00Z", "event": {"type": "test"}});
    let with = |field: &str, value: Value| {
        let mut message = good.clone();
        message[field] = value;
        json!({ "outbox": [message] }).to_string()
    };
    assert_eq!(read(&with("id", json!(4))).state.outbox.next_id, 5, "a number is never used twice");
    let error = refused(&with("at", json!("yesterday")));
    assert_eq!(error.field, "outbox[0].at", "{error}");
    let error = refused(&with("event", json!({"type": "boo"})));
    assert!(error.field.starts_with("outbox[0].event") && error.reason.contains("`boo`"), "{error}");
}

#[test]
fn a_refusal_is_one_short_line_whatever_the_file_holds() {
    let error = refused(&format!(r#"{{"ports": {{"5": {{"quota_gb": "{}"}}}}}}"#, "x\\u001b[2J".repeat(500)));
    let text = error.to_string();
    assert!(text.chars().count() < 800 && text.contains(GB), "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    // The name of a field is somebody's text too.
    let text = refused(&format!(r#"{{"ports": {{"{}": {{}}}}}}"#, "5\\u001b[2J".repeat(500))).to_string();
    assert!(text.chars().count() < 1_500 && text.contains("ports.5\\u{1b}[2J"), "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

#[test]
fn a_refusal_never_shows_the_token() {
    let token = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
    for wrong in [
        format!(r#"{{"telegram": {{"bot_token": "{token}", "enable": "yes"}}}}"#),
        format!(r#"{{"telegram": {{"bot_token": ["{token}"]}}}}"#),
        format!(r#"{{"telegram": {{"bot_token": "{token}"#),
        format!(r#"{{"telegram": {{"bot_token": "{token}" "chat_id": 1}}}}"#),
    ] {
        let error = refused(&wrong).to_string();
        assert!(!error.contains("AAHdqTcv"), "{error}");
    }
}

/// A snapshot in which everything that can be written is there.
fn full() -> Snapshot {
    let mut text: Value = serde_json::from_str(SPECIFIED).unwrap();
    text["ports"]["10086"]["dyn_limit"]["is_punished"] = json!(true);
    text["ports"]["10086"]["dyn_limit"]["punish_end_ts"] = json!(1_700_003_600);
    text["ports"]["10086"]["group_id"] = json!("家庭");
    let mut snapshot = read(&text.to_string());
    snapshot.config.take_over_qdisc = true;
    snapshot.config.forward = ForwardPolicy::On;
    snapshot.config.telegram.proxy = Secret::new("socks5://127.0.0.1:1080");
    snapshot.config.telegram.language = Language::En;
    snapshot.config.channels.push(Channel {
        name: "phone".into(),
        enable: false,
        service: Service::Bark,
        url: Secret::new("https://api.day.app/key"),
        secret: Secret::new("signed"),
        body: Some(json!({"words": "{text}"})),
        proxy: Secret::new("http://127.0.0.1:8080"),
        extra: Map::new(),
    });
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let boot = BootId { kernel: 0xfeed, init: 42 };
    let origin = |counter| Some(CounterId { boot, table: 3, counter });
    let entry = snapshot.state.ports.get_mut(&port("10086")).unwrap();
    for (meter, counter) in [(&mut entry.ledger.inbound, 4), (&mut entry.ledger.outbound, 5)] {
        meter.mark = Some(Mark { bytes: Bytes(5_000_000_000), origin: origin(counter) });
    }
    entry.window = RateWindow { since: Some(at), bytes: Bytes(777) };
    for account in snapshot.state.accounts.values_mut() {
        account.cutoff = Some(Cutoff { used: Bytes(10_737_418_000), limit: Bytes(10 << 30) });
        account.block_told = true;
    }
    let subject = Subject { ports: vec![port("10086")], comment: "Snell".into(), group: None };
    snapshot.state.outbox.push(at, Event::Blocked { subject, reset_day: Some(1) });
    snapshot.state.last_run = Some(at);
    let happenings = [What::Reset, What::Warning { level: 80 }, What::Blocked]
        .into_iter()
        .chain([What::Punished { penalty: Rate::mbps(5), minutes: 60 }, What::Recovered])
        .map(|what| Happening { at, what });
    snapshot.state.chronicles.insert(port("10086"), happenings.collect());
    let last_error = Some(LastError { at, text: "Bad Gateway".into() });
    let progress =
        Progress { next: 0, parts: 1, failures: 2, not_before: Some(at), recent: vec![at], last_error };
    snapshot.state.outbox.progress.insert("telegram".into(), progress);
    snapshot
}

#[test]
fn what_we_write_is_not_left_to_serde_json() {
    let mut snapshot = full();
    snapshot.config.ports.get_mut(&port("10086")).unwrap().comment = "\"家庭\"\n".into();
    snapshot.config.ports.get_mut(&port("10086")).unwrap().quota = Some(Bytes(1 << 29));
    assert!(document::Document::of_our_form(&encode(&snapshot)).is_some());
}

#[test]
fn a_file_of_another_form_is_read_as_any_json() {
    let text = String::from_utf8(encode(&full())).unwrap();
    let ours = read(&text);
    let of_another_form = |text: &str| document::Document::of_our_form(text.as_bytes()).is_none();
    let value: Value = serde_json::from_str(&text).unwrap();
    for same in [value.to_string(), text.replace('\n', "\r\n"), text.replace("\"ports\": ", "\"ports\" : ")] {
        assert_eq!(read(&same), ours);
    }
    assert!(of_another_form(&value.to_string()));

    // What nobody knows is kept, wherever it stands; what stands twice is refused.
    let unknown = text.replace("      \"quota_gb\"", "      \"mine\": [1],\n      \"quota_gb\"");
    assert!(of_another_form(&unknown));
    assert_eq!(rewritten(&unknown)["ports"]["10086"]["mine"], json!([1]));
    let twice = text.replace("\"comment\": ", "\"comment\": \"\",\n      \"comment\": ");
    assert!(refused(&twice).to_string().contains("duplicate field"));
    let ports_twice = text.replace("  \"telegram\": {", "  \"ports\": {},\n  \"telegram\": {");
    assert!(refused(&ports_twice).to_string().contains("duplicate field"));
}

#[test]
fn a_full_file_looks_like_this() {
    insta::assert_snapshot!(String::from_utf8(encode(&full())).unwrap());
}
