//! What people read is what the specification shows, whatever a remark holds.

use proptest::prelude::*;

use pm_core::units::Percent;

use super::*;
use crate::telegram::LIMIT;

fn voice(language: Language) -> Voice {
    Voice { host: "HK-Node1".into(), zone: TimeZone::fixed(jiff::tz::offset(8)), language }
}

fn subject(port: &str, comment: &str) -> Subject {
    Subject { ports: vec![port.parse().unwrap()], comment: comment.into(), group: None }
}

fn message(event: Event) -> Message {
    Message { id: 7, at: "2026-02-10T06:00:59Z".parse().unwrap(), event }
}

fn warning(subject: Subject, level: u8) -> Event {
    Event::QuotaWarning {
        subject,
        level,
        used: Bytes(8_697_308_775),
        limit: Bytes(10 << 30),
        percent: Percent::from_tenths(810),
        mode: Mode::Both,
    }
}

fn punished(subject: Subject) -> Event {
    Event::Punished {
        subject,
        rate: Rate::bits_per_second(120_500_000),
        trigger: Rate::mbps(100),
        penalty: Rate::mbps(5),
        minutes: 60,
    }
}

fn line(port: &str, comment: &str, used: u64, tenths: u32) -> ReportLine {
    ReportLine {
        port: port.parse().unwrap(),
        comment: comment.into(),
        used: Bytes(used),
        limit: Some(Bytes(10 << 30)),
        percent: Some(Percent::from_tenths(tenths)),
        blocked: false,
        speed: None,
        punished: false,
    }
}

/// The report of the specification.
fn report() -> Event {
    let snell = line("10086", "Snell", 4_509_715_661, 420);
    let ss = ReportLine { speed: Some(Rate::mbps(100)), ..line("20000", "SS", 8_697_308_775, 810) };
    let vmess = ReportLine {
        speed: Some(Rate::mbps(5)),
        punished: true,
        ..line("30000", "VMess", 6_979_321_857, 650)
    };
    let trojan = ReportLine { blocked: true, ..line("40000", "Trojan", 10_952_166_605, 1020) };
    Event::Report { lines: vec![snell, ss, vmess, trojan] }
}

fn one(voice: &Voice, event: Event) -> Rich {
    let mut texts = voice.texts(&message(event), LIMIT);
    assert_eq!(texts.len(), 1);
    texts.remove(0)
}

fn read(event: Event) -> String {
    one(&voice(Language::Zh), event).plain()
}

#[test]
fn the_messages_are_those_of_the_specification_to_the_character() {
    assert_eq!(
        read(warning(subject("10086", "Snell"), 80)),
        "⚠️ 端口流量预警\n🏷 标识: HK-Node1 (Snell)\n🔌 端口: 10086\n📊 已用: 8.1GB / 10GB (81.0%)\n📋 模式: 双向\n⏰ 状态: 已超过 80% 阈值"
    );
    assert_eq!(
        read(Event::Blocked { subject: subject("10086", "Snell"), reset_day: Some(1) }),
        "🚫 端口已封禁\n🏷 标识: HK-Node1 (Snell)\n🔌 端口: 10086\n📊 流量配额已耗尽，端口已被封禁\n🔄 重置策略: 每月 1 日自动重置"
    );
    assert_eq!(
        read(punished(subject("10086", "Snell"))),
        "⚡ 动态限速触发\n🏷 标识: HK-Node1 (Snell)\n🔌 端口: 10086\n📈 平均速率: 120.50 Mbps (阈值 100 Mbps)\n📉 已降速至: 5 Mbps\n⏱ 持续时间: 60 分钟"
    );
    assert_eq!(
        read(report()),
        "📋 定时流量报告\n🖥 主机: HK-Node1\n⏰ 2026-02-10 14:00\n\n✅ 10086 Snell\n   4.2GB / 10GB (42.0%)\n\n⚠️ 20000 SS\n   8.1GB / 10GB (81.0%) 🔒100M\n\n⚡ 30000 VMess\n   6.5GB / 10GB (65.0%) ⚡5M\n\n🚫 40000 Trojan\n   10.2GB / 10GB (102.0%)"
    );
}

#[test]
fn every_message_in_every_state_in_both_languages() {
    let group = Subject {
        ports: vec!["80".parse().unwrap(), "443".parse().unwrap()],
        comment: String::new(),
        group: Some("家庭".into()),
    };
    let unlimited = ReportLine { limit: None, percent: None, ..line("20000-20100", "", 0, 0) };
    let mut out_only = warning(subject("10086", ""), 100);
    if let Event::QuotaWarning { mode, .. } = &mut out_only {
        *mode = Mode::OutOnly;
    }
    let events = [
        warning(subject("10086", "Snell"), 80),
        out_only,
        warning(group, 50),
        Event::Blocked { subject: subject("10086", "Snell"), reset_day: Some(1) },
        Event::Blocked { subject: subject("20000-20100", ""), reset_day: None },
        punished(subject("10086", "Snell")),
        Event::Recovered { subject: subject("10086", "Snell") },
        Event::QuotaReset { subject: subject("10086", "Snell"), limit: Some(Bytes(10 << 30)) },
        Event::QuotaReset { subject: subject("10086", ""), limit: None },
        report(),
        Event::Report { lines: vec![unlimited] },
        Event::Report { lines: Vec::new() },
        Event::Test,
    ];
    for language in [Language::Zh, Language::En] {
        let voice = voice(language);
        let html: Vec<String> = events.iter().map(|event| one(&voice, event.clone()).html()).collect();
        insta::assert_snapshot!(format!("messages_{}", language.name()), html.join("\n\n--\n\n"));
        let messages: Vec<Message> = events[..9].iter().cloned().map(message).collect();
        let (digest, count) = voice.digest(&messages, LIMIT);
        assert_eq!(count, messages.len());
        insta::assert_snapshot!(format!("digest_{}", language.name()), digest.html());
    }
}

#[test]
fn a_report_of_a_thousand_ports_is_split_between_ports() {
    let lines: Vec<ReportLine> =
        (1..=1000).map(|port: u32| line(&(20_000 + port).to_string(), "备注 😀", 1 << 30, 100)).collect();
    let texts = voice(Language::Zh).texts(&message(Event::Report { lines }), LIMIT);
    let mut ports = 0;
    for text in &texts {
        assert!(text.plain().encode_utf16().count() < 4096 && text.html().matches("<code>").count() <= 100);
        let (head, entries) =
            text.plain().split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(head, "📋 定时流量报告\n🖥 主机: HK-Node1\n⏰ 2026-02-10 14:00");
        for entry in entries.split("\n\n") {
            ports += 1;
            assert_eq!(entry, format!("✅ {} 备注 😀\n   1GB / 10GB (10.0%)", 20_000 + ports));
        }
    }
    assert_eq!(ports, 1000);
    assert!(texts.len() < 20, "{}", texts.len());
}

#[test]
fn a_remark_that_is_longer_than_a_message_arrives_in_several() {
    let remark = "😀".repeat(4096);
    let texts =
        voice(Language::Zh).texts(&message(Event::Recovered { subject: subject("80", &remark) }), LIMIT);
    assert_eq!(texts.len(), 3);
    assert!(texts.iter().all(|text| text.fits(LIMIT)));
    let whole: String = texts.iter().map(Rich::plain).collect();
    assert_eq!(
        whole,
        format!("✅ 限速已恢复\n🏷 标识: HK-Node1 ({remark})\n🔌 端口: 80\n📈 惩罚期结束，已恢复原始速率")
    );
}

#[test]
fn a_digest_holds_as_many_as_fit() {
    let messages: Vec<Message> =
        (0..500).map(|_| message(Event::Recovered { subject: subject("10086", &"长".repeat(50)) })).collect();
    let (text, count) = voice(Language::Zh).digest(&messages, LIMIT);
    assert!(text.fits(LIMIT) && (50..=100).contains(&count), "{count}");
    assert!(text.plain().starts_with(&format!("📋 {count} 条通知\n")));
}

/// What Telegram makes of the HTML that it is sent: the text, or none when it refuses it.
fn parsed(html: &str) -> Option<String> {
    let (mut text, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some(character) = rest.chars().next() {
        let known = |names: &[&'static str]| names.iter().copied().find(|name| rest.starts_with(name));
        match character {
            '<' => {
                let tag = known(&["<b>", "</b>", "<code>", "</code>"])?;
                match tag.strip_prefix("</") {
                    Some(name) => (open.pop()? == name).then_some(())?,
                    None => open.push(&tag[1..]),
                }
                rest = &rest[tag.len()..];
            }
            '&' => {
                let entity = known(&["&lt;", "&gt;", "&amp;", "&quot;"]);
                text.push(match entity {
                    Some("&lt;") => '<',
                    Some("&gt;") => '>',
                    Some("&quot;") => '"',
                    _ => '&',
                });
                rest = &rest[entity.map_or(1, str::len)..];
            }
            '>' => return None,
            other => {
                text.push(other);
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    open.is_empty().then_some(text)
}

/// Remarks that have broken other programs, and any text at all.
fn remark() -> impl Strategy<Value = String> {
    let nasty = proptest::sample::select(vec![
        "_*[]()~`>#+-=|{}.!\\",
        "<b>bold</b>",
        "</b></code><a href='x'>",
        "&amp;&lt;&#65;&",
        "%41%0a+ &chat_id=999",
        "two\nlines",
        "\u{200f}\u{202e}rtl\u{2067}",
        "*{label}* `{ports}`",
        "👨‍👩‍👧😀",
    ]);
    prop_oneof![
        nasty.prop_map(String::from),
        "\\PC{1,40}",
        proptest::collection::vec("\\PC|[<>&*`_]", 1..20).prop_map(|parts| parts.concat())
    ]
}

proptest! {
    #[test]
    fn any_remark_and_host_name_arrive_as_they_were_typed(comment in remark(), host in remark()) {
        let voice = Voice { host: host.clone(), ..voice(Language::Zh) };
        let html = |event| voice.texts(&message(event), LIMIT)[0].html();
        prop_assert_eq!(
            parsed(&html(warning(subject("10086", &comment), 80))),
            Some(format!("⚠️ 端口流量预警\n🏷 标识: {host} ({comment})\n🔌 端口: 10086\n📊 已用: 8.1GB / 10GB (81.0%)\n📋 模式: 双向\n⏰ 状态: 已超过 80% 阈值"))
        );
        prop_assert_eq!(
            parsed(&html(Event::Report { lines: vec![line("10086", &comment, 0, 0)] })),
            Some(format!("📋 定时流量报告\n🖥 主机: {host}\n⏰ 2026-02-10 14:00\n\n✅ 10086 {comment}\n   0B / 10GB (0.0%)"))
        );
        let many = vec![message(Event::Recovered { subject: subject("10086", &comment) })];
        prop_assert_eq!(
            parsed(&voice.digest(&many, LIMIT).0.html()),
            Some(format!("📋 1 条通知\n🖥 主机: {host}\n⏰ 2026-02-10 14:00\n\n✅ 10086 {comment}: 限速已恢复"))
        );
    }
}
