//! Whatever is wrong with what somebody typed or wrote: one sentence that names the field, the value and what is allowed,
//! and nothing changed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use pm_tests::machine::Machine;
use pm_tests::namespace::Namespace;
use pm_tests::process::{Finished, run};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments that make no sense: the words, and what the sentence must name.
const NOT_UNDERSTOOD: &[(&str, &[&str])] = &[
    ("add 0443 --quota 1", &["PORT", "0443", "1 to 65535"]),
    ("add 0 --quota 1", &["PORT", "`0`", "1 to 65535"]),
    ("add 65536 --quota 1", &["PORT", "65536", "1 to 65535"]),
    ("add +5 --quota 1", &["PORT", "+5", "1 to 65535"]),
    ("add 20100-20000 --quota 1", &["PORT", "20100-20000", "lower"]),
    ("add 80-80 --quota 1", &["PORT", "80-80"]),
    ("add http --quota 1", &["PORT", "http", "1 to 65535"]),
    ("add 80 --quota 0", &["--quota", "`0`", "above 0"]),
    ("add 80 --quota -1", &["--quota", "-1", "above 0"]),
    ("add 80 --quota ten", &["--quota", "ten", "500MB"]),
    ("add 80 --quota 10XB", &["--quota", "10XB", "500MB"]),
    ("add 80 --quota 99999999999999TB", &["--quota", "99999999999999TB"]),
    ("add 80 --quota NaN", &["--quota", "NaN"]),
    ("add 80 --quota 1 --mode in_only", &["--mode", "in_only", "both or out_only"]),
    ("add 80 --quota 1 --limit -5", &["--limit", "-5", "0 for no limit"]),
    ("add 80 --quota 1 --limit fast", &["--limit", "fast", "0 for no limit"]),
    ("add 80 --quota 1 --limit 99999Gbps", &["--limit", "99999Gbps", "1Tbps"]),
    ("add 80 --quota 1 --reset-day 32", &["--reset-day", "32", "1 to 31"]),
    ("add 80 --quota 1 --reset-day -1", &["--reset-day", "-1", "1 to 31"]),
    ("add 80 --quota 1 --reset-day 1.5", &["--reset-day", "1.5", "1 to 31"]),
    ("add 80 --quota", &["--quota", "value is required"]),
    ("add 80 --quota 1 --quota 2", &["--quota", "multiple times"]),
    ("set 10086 --group a --no-group", &["--group", "--no-group"]),
    ("set 10086", &["10086", "--quota"]),
    ("set --quota 5", &["port"]),
    ("dynqos 10086 maybe", &["SWITCH", "maybe"]),
    ("dynqos 10086 on --trigger x --minutes 1 --penalty 1 --duration 1", &["--trigger", "x"]),
    ("dynqos 10086 on --trigger 1 --minutes x --penalty 1 --duration 1", &["--minutes", "x"]),
    ("dynqos 10086 on --trigger 1 --minutes 1 --penalty x --duration 1", &["--penalty", "x"]),
    ("dynqos 10086 on --trigger 1 --minutes 1 --penalty 1 --duration -1", &["--duration", "-1"]),
    ("dynqos 10086 on", &["required"]),
    ("rm", &["required"]),
    ("show", &["required"]),
    ("list extra", &["extra"]),
    ("frobnicate", &["frobnicate"]),
    ("list --lang xx", &["--lang", "xx"]),
];

/// Arguments that are well formed and cannot be carried out.
const NOT_POSSIBLE: &[(&str, &[&str])] = &[
    ("add 10086 --quota 2", &["10086", "already"]),
    ("add 20050 --quota 1", &["20050", "20000-20100"]),
    ("add 19990-20000 --quota 1", &["19990-20000", "20000-20100"]),
    ("add 20010-20020 --quota 1", &["20010-20020", "20000-20100"]),
    ("add 80", &["80", "--quota"]),
    ("add 80 --quota 2 --group family", &["80", "family", "2 GB", "1 GB"]),
    ("add 80 --mode out_only --group family", &["80", "family", "out_only", "both"]),
    ("add 80 --reset-day 7 --group family", &["80", "family", "7"]),
    ("add 65534 --quota 1 --limit 5", &["65534", "limit", "reserved"]),
    ("set 11 --quota 1", &["11", "pm list"]),
    ("set 20050 --quota 1", &["20050"]),
    ("rm 11 --yes", &["11", "pm list"]),
    ("rm 10086 11 --yes", &["11", "pm list"]),
    ("reset 11 --yes", &["11", "pm list"]),
    ("show 11", &["11", "pm list"]),
    ("rm 10086", &["--yes"]),
    ("reset 10086", &["--yes"]),
    ("dynqos 11 off", &["11", "pm list"]),
    ("dynqos 10086 on --trigger 0 --minutes 1 --penalty 1 --duration 1", &["trigger", "0"]),
    ("dynqos 10086 on --trigger 1 --minutes 0 --penalty 1 --duration 1", &["minutes", "0", "1"]),
    ("dynqos 10086 on --trigger 1 --minutes 1 --penalty 0 --duration 1", &["penalty", "0"]),
    ("dynqos 10086 on --trigger 1 --minutes 1 --penalty 1 --duration 0", &["duration", "0", "1"]),
    ("set 10086 --interface nope0 --limit 5", &["nope0", "ip link"]),
];

/// What nobody can have meant, by where it stands in config.json: the field, the value, and what the sentence must name.
fn wrong_fields() -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        ("/interface", json!(5), &["interface", "5", "string"]),
        ("/ports", json!([]), &["ports", "sequence", "object"]),
        ("/ports/10086", json!(5), &["ports.10086", "5", "object"]),
        ("/ports/10086/quota_gb", json!("ten"), &["ports.10086.quota_gb", "ten", "GB"]),
        ("/ports/10086/quota_gb", json!(-1), &["ports.10086.quota_gb", "-1", "GB"]),
        ("/ports/10086/quota_gb", json!(1e300), &["ports.10086.quota_gb", "1e", "GB"]),
        ("/ports/10086/quota_mode", json!(7), &["ports.10086.quota_mode", "7", "string"]),
        ("/ports/10086/limit_mbps", json!("fast"), &["ports.10086.limit_mbps", "fast", "Mbps"]),
        ("/ports/10086/limit_mbps", json!(-5), &["ports.10086.limit_mbps", "-5", "0"]),
        ("/ports/10086/reset_day", json!(32), &["ports.10086.reset_day", "32", "1 to 31"]),
        ("/ports/10086/reset_day", json!(1.5), &["ports.10086.reset_day", "1.5", "1 to 31"]),
        ("/ports/10086/last_reset_ts", json!("x"), &["ports.10086.last_reset_ts", "x", "time"]),
        ("/ports/10086/comment", json!(5), &["ports.10086.comment", "5", "string"]),
        ("/ports/10086/stats", json!([]), &["ports.10086.stats", "sequence", "object"]),
        ("/ports/10086/stats/acc_in", json!(-1), &["ports.10086.stats.acc_in", "-1", "whole number"]),
        ("/ports/10086/stats/acc_out", json!("x"), &["ports.10086.stats.acc_out", "x", "whole number"]),
        ("/ports/10086/stats/last_kernel_in", json!(1.5), &["stats.last_kernel_in", "1.5", "whole number"]),
        ("/ports/10086/stats/last_kernel_out", json!(true), &["stats.last_kernel_out", "true", "whole"]),
        ("/ports/10086/dyn_limit/enable", json!("yes"), &["dyn_limit.enable", "yes", "boolean"]),
        ("/ports/10086/dyn_limit/trigger_mbps", json!(-1), &["dyn_limit.trigger_mbps", "-1", "Mbps"]),
        ("/ports/10086/dyn_limit/trigger_time", json!("x"), &["dyn_limit.trigger_time", "x", "number"]),
        ("/ports/10086/dyn_limit/punish_mbps", json!("x"), &["dyn_limit.punish_mbps", "x", "Mbps"]),
        ("/ports/10086/dyn_limit/punish_time", json!(-3), &["dyn_limit.punish_time", "-3", "number"]),
        ("/ports/10086/dyn_limit/is_punished", json!(1), &["dyn_limit.is_punished", "1", "boolean"]),
        ("/ports/10086/dyn_limit/strike_count", json!(-1), &["dyn_limit.strike_count", "-1", "number"]),
        ("/ports/10086/dyn_limit/punish_end_ts", json!("x"), &["dyn_limit.punish_end_ts", "x", "time"]),
        ("/ports/10086/notify_state/quota_level", json!(500), &["notify_state.quota_level", "500", "100"]),
        ("/ports/10086/notify_state/punish_notified", json!("no"), &["punish_notified", "no", "boolean"]),
        ("/telegram/enable", json!("yes"), &["telegram.enable", "yes", "boolean"]),
        ("/telegram/bot_token", json!([]), &["telegram.bot_token", "string"]),
        ("/telegram/chat_id", json!({}), &["telegram.chat_id"]),
        ("/telegram/api_url", json!(5), &["telegram.api_url", "5", "string"]),
        ("/telegram/thresholds", json!(5), &["telegram.thresholds", "5"]),
        ("/telegram/thresholds", json!(["a"]), &["telegram.thresholds", "a", "0 to 100"]),
        ("/telegram/thresholds", json!([101]), &["telegram.thresholds", "101", "0 to 100"]),
        ("/telegram/report_interval_hours", json!(-1), &["telegram.report_interval_hours", "-1", "number"]),
        ("/telegram/last_report_ts", json!("x"), &["telegram.last_report_ts", "x", "time"]),
        ("/ports/0443", port(), &["0443", "1 to 65535"]),
        ("/ports/65536", port(), &["65536", "1 to 65535"]),
        ("/ports/20100-20000", port(), &["20100-20000", "lower"]),
        ("/ports/10000-10100", port(), &["10000-10100", "10086"]),
    ]
}

/// A port as version 4.3 of the script wrote it.
fn port() -> Value {
    json!({
        "quota_gb": 10, "quota_mode": "in_out", "limit_mbps": 100, "reset_day": 1,
        "last_reset_ts": 1_700_000_000, "comment": "Snell",
        "stats": {
            "acc_in": 1_073_741_824, "acc_out": 2_147_483_648_u64,
            "last_kernel_in": 50_000_000, "last_kernel_out": 80_000_000
        },
        "dyn_limit": {
            "enable": true, "trigger_mbps": 100, "trigger_time": 5, "punish_mbps": 5, "punish_time": 60,
            "is_punished": false, "strike_count": 0, "punish_end_ts": 0
        },
        "notify_state": { "quota_level": 50, "punish_notified": false, "recover_notified": true }
    })
}

/// A configuration as version 4.3 of the script wrote it.
fn config() -> Value {
    json!({
        "interface": "",
        "ports": { "10086": port() },
        "telegram": {
            "enable": false, "bot_token": "", "chat_id": "", "api_url": "https://api.telegram.org",
            "thresholds": [50, 80, 100], "report_interval_hours": 6, "last_report_ts": 1_700_000_000
        }
    })
}

/// A machine with a port, a range and a group.
fn machine(host: &Namespace) -> Machine<'_> {
    let machine = Machine::new(host);
    machine.pm("add 10086 --quota 1 --comment one");
    machine.pm("add 20000-20100 --quota 1");
    machine.pm("add 30000 --quota 1 --group family");
    machine
}

/// One sentence on standard error that names all of this, and nothing on standard output.
#[track_caller]
fn is_a_sentence(refused: &Finished, words: &[&str]) {
    let lines: Vec<&str> = refused.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let Some(sentence) = lines.first() else { panic!("not a word: {refused}") };
    for word in words {
        assert!(refused.stderr.contains(word), "{word:?} is not in it: {refused}");
    }
    // What follows a refused argument is the usage, and where to read more.
    assert!(lines.len() == 1 || sentence.starts_with("error: "), "more than a sentence: {refused}");
    assert!(!refused.stderr.contains("panicked"), "{refused}");
    assert_eq!(refused.stdout, "", "{refused}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_wrong_argument_is_refused_with_a_sentence_and_changes_nothing() {
    let host = Namespace::new("host");
    let machine = machine(&host);
    let (config, table) = (machine.config_bytes(), host.table("port_monitor"));
    for (code, cases) in [(2, NOT_UNDERSTOOD), (1, NOT_POSSIBLE)] {
        for (words, named) in cases {
            let refused = machine.try_pm(words);
            assert_eq!(refused.code, Some(code), "{refused}");
            is_a_sentence(&refused, named);
            assert_eq!(machine.config_bytes(), config, "`pm {words}` changed config.json");
        }
    }
    assert_eq!(host.table("port_monitor"), table);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn arguments_that_no_keyboard_types_are_refused_too() {
    let host = Namespace::new("host");
    let machine = machine(&host);
    let config = machine.config_bytes();
    let long = "9".repeat(5000);
    for arguments in [
        &["add", " 5 ", "--quota", "1"] as &[&str],
        &["add", "5\n6", "--quota", "1"],
        &["add", "", "--quota", "1"],
        &["add", "８０", "--quota", "1"],
        &["add", "80", "--quota", &long],
        &["add", &long, "--quota", "1"],
        &["add", "80", "--quota", "1", "--group", "a\nb"],
        &["add", "80", "--quota", "1", "--group", ""],
        &["add", "80; flush ruleset", "--quota", "1"],
    ] {
        let refused = machine.try_pm_args(arguments);
        assert_eq!(refused.code, Some(2), "{refused}");
        is_a_sentence(&refused, &[]);
    }
    let mut command = machine.command("pm", None, &["add", "80", "--quota", "1", "--comment"]);
    command.arg(OsStr::from_bytes(b"\xff\xfe"));
    let refused = run(command, PATIENCE);
    assert_eq!(refused.code, Some(2), "{refused}");
    is_a_sentence(&refused, &["UTF-8"]);
    assert_eq!(machine.config_bytes(), config);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_remark_is_data_whatever_it_holds() {
    let host = Namespace::new("host");
    let machine = machine(&host);
    for remark in ["\"; flush ruleset; #", "$(reboot)", "{}'\\\"", "备注 🚫", "a\tb", "\u{1b}[2J"] {
        let set = machine.try_pm_args(&["set", "10086", "--comment", remark]);
        assert_eq!(set.code, Some(0), "{set}");
        assert_eq!(machine.show("10086")["comment"], remark);
        machine.minute();
        let panel = machine.pm("list").stdout;
        assert!(!panel.contains('\u{1b}'), "a remark does not write to the terminal: {panel}");
    }
    assert!(host.table("port_monitor").contains("cnt_in_10086"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_wrong_field_of_the_file_is_refused_with_its_place_and_the_file_is_left_as_it_is() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    machine.write_config(&config().to_string());
    machine.minute();
    machine.pm("list --json");
    let table = host.table("port_monitor");
    for (place, value, named) in wrong_fields() {
        let mut wrong = config();
        let (above, field) = place.rsplit_once('/').unwrap_or_default();
        let Some(above) = wrong.pointer_mut(above) else { panic!("there is no {above}") };
        above[field] = value;
        let text = serde_json::to_string_pretty(&wrong).unwrap_or_default();
        machine.write_config(&text);
        let line = "line ";
        for refused in [
            machine.try_pm("list --json"),
            machine.try_pm("set 10086 --quota 5"),
            machine.try_pm("add 80 --quota 5"),
            machine.try_minute(),
        ] {
            assert_eq!(refused.code, Some(1), "{place}: {refused}");
            is_a_sentence(&refused, named);
            is_a_sentence(&refused, &["config.json", line, "column "]);
            assert_eq!(refused.stderr.matches(line).count(), 1, "said twice: {refused}");
        }
        assert_eq!(machine.config_bytes(), text.as_bytes(), "{place}");
    }
    assert_eq!(host.table("port_monitor"), table, "the rules of the last good file stand");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_truncated_file_is_refused_left_as_it_is_and_restored_by_the_command_that_is_named() {
    let host = Namespace::new("host");
    let machine = machine(&host);
    machine.minute();
    let whole = machine.config_bytes();
    let text = String::from_utf8_lossy(&whole).into_owned();
    for length in [0, 1, 2, text.len() / 3, text.len() / 2, text.len() - 2] {
        machine.write_config(&text[..length]);
        for refused in
            [machine.try_pm("list"), machine.try_minute(), machine.try_pm("set 10086 --comment changed")]
        {
            assert_eq!(refused.code, Some(1), "{length} bytes: {refused}");
            is_a_sentence(&refused, &["config.json", "line ", "config.json.bak"]);
        }
        assert_eq!(machine.config_bytes(), &whole[..length], "{length} bytes");
    }
    let refused = machine.try_pm("list");
    let Some(restore) = refused.stderr.split('`').nth(1) else { panic!("no command in {refused}") };
    host.bash(restore);
    machine.minute();
    assert_eq!(machine.list()["ports"].as_array().map(Vec::len), Some(3));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn files_that_are_no_configuration_are_refused() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    machine.write_config("{}");
    for (bytes, named) in [
        (b"null".as_slice(), "object"),
        (b"[]", "object"),
        (b"{\"ports\":{}} x", "after the end"),
        (b"{\"interface\":\"\xff\"}", "UTF-8"),
        (b"{\"ports\":{\"80\":{\"quota_gb\":1},\"80\":{\"quota_gb\":2}}}", "80"),
    ] {
        std::fs::write(machine.config_path(), bytes).unwrap();
        let refused = machine.try_minute();
        assert_eq!(refused.code, Some(1), "{refused}");
        is_a_sentence(&refused, &["config.json", "line ", named]);
        assert_eq!(machine.config_bytes(), bytes);
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_clock_is_moved_only_on_a_trial_and_only_to_a_moment() {
    let host = Namespace::new("host");
    let machine = machine(&host);
    for program in ["pm", "pm-monitor"] {
        let words: &[&str] = if program == "pm" { &["list"] } else { &[] };
        for wrong in ["yesterday", "", "2026-02-30T00:00:00Z", "2026-02-28T00:00:00"] {
            let refused = run(machine.command(program, Some(wrong), words), PATIENCE);
            assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
            is_a_sentence(&refused, &["PM_NOW", wrong, "2026-02-28T00:00:00+08:00"]);
        }
        let mut command = host.command(pm_tests::machine::binary(program));
        command.args(words).env("PM_NOW", "2026-02-28T00:00:00+08:00");
        let refused = run(command, PATIENCE);
        assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
        is_a_sentence(&refused, &["PM_NOW", "--root"]);
    }
    for wrong in ["--every 0s", "--every x", "--every 2h", "--every"] {
        let mut monitor = machine.monitor(wrong);
        let Some(refused) = monitor.wait(PATIENCE) else { panic!("pm-monitor {wrong} stays") };
        assert_eq!(refused.code, Some(2), "{refused}");
        is_a_sentence(&refused, &["--every"]);
    }
}
