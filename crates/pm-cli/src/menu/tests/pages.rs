//! Every page, in both languages, on a narrow terminal and a wide one.

use anstream::adapter::strip_str;
use pm_core::dynqos::DynQosPolicy;
use pm_core::reset::ResetDay;
use pm_core::units::Rate;
use unicode_width::UnicodeWidthStr;

use super::*;

const TWO_DAYS: Duration = Duration::from_hours(48);

fn every_page(language: Language, abilities: Abilities) -> String {
    let bench = Bench::new();
    let limit = Some(Some(Rate::mbps(100)));
    let reset_day = Some(ResetDay::new(31));
    bench.edit(&Edit::Set(port("10086"), Settings { limit, reset_day, ..Settings::default() }));
    let (trigger, penalty) = (Rate::mbps(100), Rate::mbps(5));
    let policy = DynQosPolicy { trigger, minutes: 5, penalty, duration: 60 };
    bench.edit(&Edit::DynQos(port("10086"), Some(policy)));
    let comment = Some("一个很长很长的备注 with 😀 and \u{1b}[31mescapes".to_owned());
    bench.edit(&Edit::Set(port("20000-20100"), Settings { comment, ..Settings::default() }));
    bench.kernel.packet(port("10086"), Direction::Out, 4 << 30);
    bench.kernel.packet(port("20000-20100"), Direction::In, (10 << 30) - 1);
    bench.kernel.packet(port("20000-20100"), Direction::In, 1500);
    bench.passes(TWO_DAYS);
    let steps = lines(&[
        "4", "0", // Telegram
        "1", "0", // the services
        "2", "1", "4", "0", "0", // a port and its penalty
        "2", "1-2", "0", // several ports
    ]);
    bench.with_menu(language, abilities, steps, through).1
}

#[test]
fn every_page_in_both_languages_on_80_and_120_columns() {
    for language in [Language::Zh, Language::En] {
        for (name, abilities) in [("80", NARROW), ("120", WIDE)] {
            let shown = every_page(language, abilities);
            for line in shown.lines() {
                assert!(line.width() <= (abilities.size)().columns, "{name}: {line}");
            }
            insta::assert_snapshot!(format!("{language:?}_{name}"), shown);
        }
    }
}

#[test]
fn the_page_of_a_port_lists_what_happened_in_its_cycle_newest_first() {
    let bench = Bench::new();
    let policy = DynQosPolicy {
        trigger: Rate::mbps(1),
        minutes: 1,
        penalty: Rate::bits_per_second(800_000),
        duration: 60,
    };
    bench.edit(&Edit::DynQos(port("10086"), Some(policy)));
    for bytes in [1 << 30, 8 << 30, (1 << 30) - 1, 1500] {
        bench.kernel.packet(port("10086"), Direction::Out, bytes);
        bench.passes(Duration::from_hours(1));
        bench.minute();
    }
    for language in [Language::Zh, Language::En] {
        for (name, abilities) in [("80", NARROW), ("120", WIDE)] {
            let (_, shown) = bench.with_menu(language, abilities, lines(&["2", "1", "0", "0"]), through);
            let page = &shown[shown.find("10086  Snell").unwrap()..];
            let page = &page[..page.find(" 1. ").unwrap()];
            insta::assert_snapshot!(format!("events_{language:?}_{name}"), page);
        }
    }
    bench.edit(&Edit::Reset(vec![port("10086")]));
    let shown = bench.talk(lines(&["2", "1", "0", "0"]));
    assert!(shown.contains("本周期事件  2026-02-10 16:00 统计已清零, 新周期开始\n===="), "{shown}");
}

#[test]
fn a_port_shows_its_rate_and_the_day_on_which_its_quota_runs_out() {
    let bench = Bench::new();
    bench.kernel.packet(port("10086"), Direction::Out, 4 << 30);
    bench.passes(TWO_DAYS);
    let mut steps = lines(&["2", "1"]);
    steps.extend([
        Step::Packets(port("10086"), Direction::Out, 12_500_000),
        Step::Packets(port("10086"), Direction::In, 1_250_000),
        Step::Wait,
    ]);
    steps.extend(lines(&["0", "0"]));
    let (result, shown) = bench.with_menu(Language::Zh, TERMINAL, steps, through);
    result.unwrap();
    let shown = strip_str(&shown).to_string();
    assert!(shown.contains("测量中"), "{shown}");
    assert!(shown.contains("入站 10.00 Mbps 出站 100.00 Mbps"), "{shown}");
    assert!(shown.contains("2026-02-15 (按本周期用量推算)"), "{shown}");
}

#[test]
fn the_panel_is_drawn_anew_while_it_waits_and_what_is_typed_stays() {
    let bench = Bench::new();
    let steps =
        vec![Step::Wait, Step::Packets(port("10086"), Direction::Out, 5 << 30), Step::Wait, Step::from("0")];
    let (_, shown) = bench.with_menu(Language::Zh, TERMINAL, steps, through);
    assert_eq!(shown.matches("\u{1b}[2J").count(), 1, "cleared once: {shown:?}");
    let (_, redrawn) = shown.split_once("\u{1b}7").unwrap();
    assert!(redrawn.contains("5 GB / 10 GB") && redrawn.contains("\u{1b}8"), "{redrawn:?}");
    assert_eq!(shown.matches("请输入选项: ").count(), 1, "the prompt's line is left alone");
}

#[test]
fn a_port_that_was_deleted_meanwhile_leads_back_to_the_panel() {
    for steps_before in [vec!["2", "1"], vec!["2", "1", "1", "20"], vec!["3", "1"]] {
        let bench = Bench::new();
        let mut steps = lines(&steps_before);
        steps.insert(steps_before.len().min(2), Step::Meanwhile(Edit::Remove(vec![port("10086")])));
        steps.extend(lines(&["y", "0", "0"]));
        let shown = bench.talk(steps);
        assert!(shown.contains("端口 10086 已不在监控列表中。"), "{steps_before:?}: {shown}");
        assert!(bench.snapshot().config.ports.contains_key(&port("20000-20100")), "an ID is what was shown");
    }
}
