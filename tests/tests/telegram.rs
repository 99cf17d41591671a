//! Whole minutes of the real programs against a Bot API that takes, refuses, hangs and hangs up.

use std::time::{Duration, Instant};

use pm_tests::bot::{Bot, Manner};
use pm_tests::machine::{Machine, messages};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::pace::patience;
use pm_tests::process::{Background, Finished, Signal, until};
use pm_tests::traffic::{send_udp, udp_sink};
use serde_json::{Value, json};

/// A machine that writes to the bot, and has these messages in its queue.
fn configured<'a>(host: &'a Namespace, outbox: &[Value]) -> Machine<'a> {
    let machine = Machine::new(host);
    let messages: Vec<Value> = (0..)
        .zip(outbox)
        .map(|(id, event): (u64, &Value)| json!({"id": id, "at": "2026-02-10T06:00:00Z", "event": event}))
        .collect();
    machine.write_config(&json!({"telegram": Bot::block(), "outbox": messages}).to_string());
    machine
}

fn recovered(port: usize) -> Value {
    json!({"type": "recovered", "subject": {"ports": [port.to_string()], "comment": ""}})
}

fn at(minute: usize) -> String {
    format!("2026-02-10T{:02}:{:02}:00Z", 6 + minute / 60, minute % 60)
}

#[track_caller]
fn keeps_the_token(run: &Finished) {
    assert!(!run.stdout.contains("ABCdefGHI") && !run.stderr.contains("ABCdefGHI"), "{run}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_port_that_is_used_up_is_told_once_and_in_the_words_of_the_specification() {
    let Pair { host, client } = Pair::new();
    let bot = Bot::new(&host);
    let machine = configured(&host, &[]);
    machine.pm_at(&at(0), "add 10086 --quota 20MB --reset-day 1 --comment Snell_<b>&*");
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 25_000);
    let minute = machine.minute_at(&at(1));
    assert_eq!(messages(&minute).len(), 2, "{minute}");
    let label = format!("{} (Snell_<b>&*)", host.read("/proc/sys/kernel/hostname"));
    let texts = bot.texts();
    assert!(
        texts[0].starts_with(&format!("🔴 端口流量预警\n🏷 标识: {label}\n🔌 端口: 10086\n📊 已用: "))
            && texts[0].ends_with(" / 20MB (100.0%)\n📋 模式: 双向\n⏰ 状态: 已超过 100% 阈值"),
        "{texts:?}"
    );
    let blocked = format!(
        "🚫 端口已封禁\n🏷 标识: {label}\n🔌 端口: 10086\n📊 流量配额已耗尽，端口已被封禁\n🔄 重置策略: 每月 1 日自动重置"
    );
    assert_eq!(texts[1..], [blocked]);
    assert_eq!(bot.paths(), vec![format!("/bot{}/sendMessage", Bot::TOKEN); 2]);
    keeps_the_token(&minute);
    assert_eq!(messages(&machine.minute_at(&at(2))), Vec::<&str>::new());
    assert_eq!(bot.texts().len(), 2);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn it_is_set_up_tested_and_asked_for_a_report_without_showing_the_token() {
    let host = Namespace::new("host");
    let bot = Bot::new(&host);
    let machine = Machine::new(&host);
    let file = machine.root().join("token");
    assert!(std::fs::write(&file, format!("{}\r\n", Bot::TOKEN)).is_ok());
    let set =
        format!("telegram set --token-file {} --chat -1001234567890 --api-url {}/", file.display(), Bot::URL);
    for words in [
        set.as_str(),
        "telegram thresholds 90,50,90",
        "telegram report 6",
        "telegram show",
        "telegram on",
        "telegram test",
    ] {
        keeps_the_token(&machine.pm(words));
    }
    assert_eq!(bot.texts().len(), 1);
    assert!(
        bot.texts()[0].starts_with("🔔 测试通知\n🖥 主机: ")
            && bot.texts()[0].ends_with("\n✅ Telegram 通知功能正常!")
    );
    let shown = machine.pm("telegram show --json");
    keeps_the_token(&shown);
    let shown: Option<Value> = serde_json::from_str(&shown.stdout).ok();
    let expected = json!({"enabled": true, "token": "123456...z-_0", "chat_id": "-1001234567890", "api_url": Bot::URL, "proxy": null,
        "thresholds": [50, 90], "report_interval_hours": 6, "language": "zh", "waiting": 0, "last_error": null});
    assert_eq!(shown, Some(expected));

    machine.pm("add 10086 --quota 10 --comment Snell");
    let report = machine.pm("report --send").stdout;
    assert!(report.contains("✅ 10086 Snell\n   0B / 10GB (0.0%)\n"), "{report}");
    assert_eq!(bot.texts()[1], report.trim_end());

    bot.behave(Manner::Says(400, json!({"ok": false, "error_code": 400, "description": format!("Bad Request: chat not found, bot{}", Bot::TOKEN)})));
    let refused = machine.try_pm("--lang en telegram test");
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused.stderr.contains("Bad Request: chat not found") && refused.stderr.contains("/start"),
        "{refused}"
    );
    keeps_the_token(&refused);
    for wrong in [
        "telegram",
        "telegram set",
        "telegram set --chat x",
        "telegram thresholds 0",
        "telegram report 169",
        "telegram set --token 1:a",
    ] {
        let refused = machine.try_pm(wrong);
        assert_eq!(refused.code, Some(2), "{refused}");
    }
    machine.pm("telegram off");
    assert_eq!(machine.config()["telegram"]["enable"], false);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_minute_with_nothing_to_tell_connects_to_nobody_and_one_with_a_report_once() {
    let host = Namespace::new("host");
    let bot = Bot::new(&host);
    let machine = configured(&host, &[]);
    machine.pm_at(&at(0), "telegram report 1");
    for minute in [0, 1, 59] {
        machine.minute_at(&at(minute));
        assert!(bot.paths().is_empty(), "in minute {minute}");
    }
    machine.minute_at(&at(60));
    machine.minute_at(&at(61));
    assert_eq!(bot.texts().len(), 1);
    assert!(bot.texts()[0].starts_with("📋 定时流量报告\n"), "{:?}", bot.texts());
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn whoever_hangs_keeps_nobody_waiting() {
    let host = Namespace::new("host");
    let bot = Bot::new(&host);
    let machine = configured(&host, &[recovered(1), recovered(2)]);
    bot.behave(Manner::Hangs);
    let began = Instant::now();
    let mut monitor = Background::spawn(machine.command("pm-monitor", Some(&at(0)), &[]));
    until("the bot is written to", Duration::from_secs(10), || (!bot.texts().is_empty()).then_some(()));
    let line = host.bash(&format!("tr '\\0' ' ' < /proc/{}/cmdline", monitor.id()));
    assert!(!line.contains("ABCdefGHI"), "{line}");
    let changing = Instant::now();
    machine.pm("add 80 --quota 1GB");
    let other = machine.minute();
    assert!(changing.elapsed() < patience(Duration::from_secs(5)), "{:?}", changing.elapsed());
    assert_eq!(messages(&other), Vec::<&str>::new(), "who sends already sends alone");
    let ended = monitor.wait(Duration::from_secs(25)).map(Finished::success);
    assert!(began.elapsed() < patience(Duration::from_secs(25)) && ended.is_some());
    if let Some(ended) = ended {
        assert!(ended.stderr.contains("no answer within"), "{ended}");
        keeps_the_token(&ended);
    }
    assert_eq!(machine.config()["outbox"].as_array().map(Vec::len), Some(2), "nothing is lost");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn faults_are_told_and_got_over_and_the_token_is_in_none_of_them() {
    let host = Namespace::new("host");
    let bot = Bot::new(&host);
    let machine = configured(&host, &[recovered(1)]);
    let (mut minute, mut attempts) = (0, 0);
    let throttled = json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 70}});
    for (manner, words) in [
        (Manner::HangsUp, "the connection broke"),
        (Manner::Says(502, json!("bad gateway")), "(502)"),
        (Manner::Says(200, json!({"hello": "world"})), "not that of the Bot API"),
        (Manner::Says(302, json!({})), "points to another address"),
        (Manner::Says(429, throttled), "70 s"),
    ] {
        bot.behave(manner);
        let told = loop {
            let told = machine.minute_at(&at(minute));
            keeps_the_token(&told);
            minute += 1;
            if bot.texts().len() > attempts {
                break told;
            }
        };
        attempts += 1;
        assert!(told.stderr.contains(words), "{told}");
        assert_eq!(
            machine.config()["delivery"]["telegram"]["last_error"]["text"]
                .as_str()
                .map(|text| text.contains(words)),
            Some(true)
        );
    }
    bot.behave(Manner::Takes);
    while machine.config()["outbox"] != json!([]) {
        machine.minute_at(&at(minute));
        minute += 1;
        assert!(minute < 100);
    }
    assert_eq!(bot.texts().len(), attempts + 1);

    // And what nobody else can mend is dropped, and remembered.
    let machine = configured(&host, &[recovered(2)]);
    bot.behave(Manner::Says(401, json!({"ok": false, "error_code": 401, "description": "Unauthorized"})));
    let told = machine.minute_at(&at(0));
    assert!(told.stderr.contains("Unauthorized (401)"), "{told}");
    assert_eq!(machine.config()["outbox"], json!([]));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_kill_at_any_moment_loses_no_message_and_repeats_one_at_most() {
    let host = Namespace::new("host");
    let bot = Bot::new(&host);
    bot.behave(Manner::Dawdles(Duration::from_millis(15)));
    let all: Vec<Value> = (1..=5).map(recovered).collect();
    for step in 0..24 {
        let machine = configured(&host, &all);
        let before = bot.texts().len();
        let monitor = machine.monitor("");
        std::thread::sleep(Duration::from_millis(20 + 12 * step));
        monitor.signal(Signal::KILL);
        drop(monitor);
        machine.minute();
        let texts = bot.texts().split_off(before);
        for port in 1..=5 {
            assert!(
                texts.iter().any(|text| text.contains(&format!("端口: {port}\n"))),
                "{port} of {texts:?}"
            );
        }
        assert!(texts.len() <= 6, "after {step}: {texts:?}");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_service_goes_on_with_its_minutes_while_somebody_hangs() {
    let host = Namespace::new("host");
    let bot = Bot::new(&host);
    let machine = configured(&host, &[recovered(1)]);
    bot.behave(Manner::Hangs);
    let mut monitor = machine.monitor("--every 1s");
    until("the bot is written to", Duration::from_secs(10), || (!bot.texts().is_empty()).then_some(()));
    let last_run = || machine.config()["monitor"]["last_run_ts"].as_u64();
    let first = last_run();
    until("the next minutes", Duration::from_secs(6), || (last_run() > first.map(|at| at + 2)).then_some(()));
    monitor.signal(Signal::TERM);
    let ended = monitor.wait(Duration::from_secs(10)).map(Finished::success);
    assert!(ended.is_some(), "SIGTERM ends it though somebody hangs");
}
