//! The live view: what keys do, what readings mean, and how it looks.

use std::time::Duration;

use jiff::{SignedDuration, Zoned};
use pm_core::accounting::{BootId, CounterId, CounterReading, Readings};
use pm_core::backend::{BackendError, Fault};
use pm_core::port::PortRange;
use pm_core::tick::settle;
use pm_core::units::{Bytes, Rate};
use pm_core::view::Overview;
use pm_core::wire::{self, Snapshot};
use pm_monitor::machine::View;
use pm_monitor::watch::Look;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use unicode_width::UnicodeWidthStr;

use super::draw::{Palette, draw};
use super::state::{Place, Reading, Step, TopState};
use crate::text::Language;

const CONFIG: &str = r#"{
  "monitor": { "last_run_ts": 1773115380 },
  "ports": {
    "443": { "quota_gb": 100, "limit_mbps": 200, "reset_day": 1, "comment": "网站 nginx",
             "last_reset_ts": 1772294400, "stats": { "acc_in": 20000000000, "acc_out": 40000000000 },
             "events": [{ "ts": 1772294400, "type": "reset" }, { "ts": 1773028860, "type": "warning", "level": 50 }] },
    "8080": { "quota_gb": null, "quota_mode": "out_only", "comment": "only metered",
              "stats": { "acc_in": 1, "acc_out": 5000000 } },
    "10086": { "quota_gb": 10, "comment": "Snell", "stats": { "acc_in": 0, "acc_out": 9100000000 },
               "dyn_limit": { "enable": true, "trigger_mbps": 50, "trigger_time": 5, "punish_mbps": 5,
                              "punish_time": 60, "is_punished": true, "punish_end_ts": 1773118800 } },
    "20000-20100": { "quota_gb": 1500.25, "group_id": "家庭", "comment": "一个很长很长的备注 with 😀 and \u001b[31mred",
                     "stats": { "acc_in": 5, "acc_out": 7 } },
    "30000": { "quota_gb": 0.5, "comment": "SS", "stats": { "acc_in": 0, "acc_out": 536870912 } },
    "54321": { "quota_gb": 1, "comment": "idle" }
  }
}"#;

/// Bytes a second, towards the port and from it.
const TRAFFIC: [(&str, u64, u64); 6] = [
    ("443", 1_250_000, 12_500_000),
    ("8080", 900, 52_000),
    ("10086", 30_000, 620_000),
    ("20000-20100", 250, 125),
    ("30000", 0, 0),
    ("54321", 0, 0),
];

fn now(second: u64) -> Zoned {
    let beginning: Zoned = "2026-03-10T12:00:00+08:00[Asia/Shanghai]".parse().unwrap();
    beginning + SignedDuration::from_secs(i64::try_from(second).unwrap())
}

fn port(text: &str) -> PortRange {
    text.parse().unwrap()
}

/// What the counters show after so many seconds in which traffic swells and ebbs.
fn readings(second: u64) -> Readings {
    let mut readings = Readings::default();
    for (entry, (name, inbound, outbound)) in (0..).zip(TRAFFIC) {
        let passed: u64 = (0..second).map(|second| 4 + (second / 20 + entry) % 7).sum();
        let counter = |number, bytes| {
            let origin =
                CounterId { boot: BootId { kernel: 1, init: 1 }, table: 1, counter: 2 * entry + number };
            Some(CounterReading { bytes: Bytes(bytes * passed / 7), origin })
        };
        let reading = readings.counters.entry(port(name)).or_default();
        (reading.inbound, reading.outbound) = (counter(0, inbound), counter(1, outbound));
    }
    readings
}

fn reading_of(second: u64, config: &str, readings: Option<Readings>) -> Reading {
    let Snapshot { config, state, extras } = wire::decode(config.as_bytes()).unwrap().snapshot;
    let state = match &readings {
        Some(readings) => settle(&config, state, readings, now(second).timestamp()).state,
        None => state,
    };
    let overview = Overview::of(&config, &state, &now(second));
    let unread = readings.is_none().then(|| BackendError::new(Fault::Permission, "may not"));
    let snapshot = Snapshot { config, state, extras };
    let view = View { snapshot, overview, warnings: Vec::new(), shared: Vec::new(), unread };
    Reading { at: Duration::from_secs(second), now: now(second), look: Ok(Look { view, readings }) }
}

fn reading(second: u64) -> Reading {
    reading_of(second, CONFIG, Some(readings(second)))
}

/// Watched for so many seconds.
fn watched(seconds: u64) -> TopState {
    let mut state = TopState::new(reading(0));
    for second in 1..=seconds {
        state.update(reading(second));
    }
    state
}

fn press(state: &mut TopState, code: KeyCode) -> Step {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_text(state: &mut TopState, text: &str) {
    for character in text.chars() {
        assert_eq!(press(state, KeyCode::Char(character)), Step::Stay);
    }
}

fn buffer(state: &mut TopState, (width, height): (u16, u16), language: Language) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal.draw(|frame| {
        state.fit(usize::from(height));
        draw(frame, state, language.texts(), &Palette::new(true));
    });
    drawn.unwrap().buffer.clone()
}

fn picture(state: &mut TopState, size: (u16, u16), language: Language) -> String {
    let buffer = buffer(state, size, language);
    let mut lines = String::new();
    for row in buffer.content.chunks(usize::from(size.0)) {
        let mut line = String::new();
        let mut covered = 0;
        for cell in row {
            if covered == 0 {
                line.push_str(cell.symbol());
                covered = cell.symbol().width();
            }
            covered = covered.saturating_sub(1);
        }
        assert!(line.width() <= usize::from(size.0), "{line}");
        lines += line.trim_end();
        lines.push('\n');
    }
    lines
}

const SMALL: (u16, u16) = (80, 24);
const USUAL: (u16, u16) = (120, 40);

fn ports(state: &mut TopState) -> Vec<String> {
    state.fit(40);
    state.visible().map(|(view, ..)| view.port.to_string()).collect()
}

fn chosen(state: &mut TopState) -> String {
    state.fit(40);
    state.visible().find(|(.., chosen)| *chosen).map(|(view, ..)| view.port.to_string()).unwrap()
}

#[test]
fn the_table_of_all_ports() {
    let mut state = watched(200);
    insta::assert_snapshot!("table_zh_80", picture(&mut state, SMALL, Language::Zh));
    insta::assert_snapshot!("table_en_80", picture(&mut state, SMALL, Language::En));
    insta::assert_snapshot!("table_zh_120", picture(&mut state, USUAL, Language::Zh));
    insta::assert_snapshot!("table_en_120", picture(&mut state, USUAL, Language::En));
}

#[test]
fn the_page_of_a_port() {
    let mut state = watched(200);
    let _ = press(&mut state, KeyCode::Enter);
    assert_eq!(state.place(), Place::Page(port("443")));
    insta::assert_snapshot!("page_zh_80", picture(&mut state, SMALL, Language::Zh));
    insta::assert_snapshot!("page_en_80", picture(&mut state, SMALL, Language::En));
    insta::assert_snapshot!("page_zh_120", picture(&mut state, USUAL, Language::Zh));
    insta::assert_snapshot!("page_en_120", picture(&mut state, USUAL, Language::En));
}

#[test]
fn a_filter_as_it_is_typed() {
    let mut state = watched(30);
    type_text(&mut state, "/snell");
    insta::assert_snapshot!("filter_zh_80", picture(&mut state, SMALL, Language::Zh));
    insta::assert_snapshot!("filter_en_120", picture(&mut state, USUAL, Language::En));
}

#[test]
fn what_is_wrong_stands_above_the_keys() {
    let mut state = watched(30);
    state.update(reading_of(31, CONFIG, None));
    insta::assert_snapshot!("unread_zh_80", picture(&mut state, SMALL, Language::Zh));
    let late = CONFIG.replace("1773115380", "1773110000");
    let mut state = TopState::new(reading_of(0, &late, Some(readings(0))));
    insta::assert_snapshot!("overdue_zh_80", picture(&mut state, SMALL, Language::Zh));
    state.update(Reading {
        at: Duration::from_secs(1),
        now: now(1),
        look: Err("config.json is gone\nfor now".into()),
    });
    insta::assert_snapshot!("fault_en_80", picture(&mut state, SMALL, Language::En));
}

#[test]
fn any_size_of_a_terminal_is_drawn() {
    for (width, height) in [(1, 1), (2, 2), (10, 3), (40, 5), (51, 10), (79, 24), (200, 60), (500, 4)] {
        let mut state = watched(3);
        let _ = picture(&mut state, (width, height), Language::Zh);
        let _ = press(&mut state, KeyCode::Enter);
        let _ = picture(&mut state, (width, height), Language::En);
        state.update(reading_of(4, CONFIG, None));
        let _ = picture(&mut state, (width, height), Language::Zh);
    }
    let mut none = TopState::new(reading_of(0, "{}", Some(Readings::default())));
    assert!(picture(&mut none, SMALL, Language::En).contains("no port is metered yet"));
    let _ = press(&mut none, KeyCode::Enter);
    let _ = press(&mut none, KeyCode::Down);
    assert_eq!(none.place(), Place::Table);
}

#[test]
fn ports_are_sorted_by_each_key_and_the_other_way_round_by_the_same_again() {
    let mut state = watched(30);
    let by_port = ["443", "8080", "10086", "20000-20100", "30000", "54321"];
    assert_eq!(ports(&mut state), by_port);
    for (key, first, last) in
        [('r', "443", "54321"), ('u', "443", "54321"), ('%', "30000", "8080"), ('p', "443", "54321")]
    {
        let _ = press(&mut state, KeyCode::Char(key));
        let order = ports(&mut state);
        assert_eq!((order[0].as_str(), order[5].as_str()), (first, last), "{key}: {order:?}");
        let _ = press(&mut state, KeyCode::Char(key));
        assert_ne!(ports(&mut state), order, "{key}");
    }
}

#[test]
fn the_chosen_port_stays_chosen_wherever_it_moves() {
    let mut state = watched(30);
    assert_eq!(chosen(&mut state), "443");
    let _ = press(&mut state, KeyCode::Down);
    assert_eq!(chosen(&mut state), "8080");
    let _ = press(&mut state, KeyCode::Char('%'));
    assert_eq!(chosen(&mut state), "30000", "whoever sorts wants to see who comes first");
    let _ = press(&mut state, KeyCode::Down);
    assert_eq!(chosen(&mut state), "10086");
    // Port 443 overtakes it.
    let overtaken = CONFIG.replace("\"acc_out\": 40000000000", "\"acc_out\": 80000000000");
    state.update(reading_of(31, &overtaken, Some(readings(31))));
    assert_eq!(ports(&mut state)[1], "443");
    assert_eq!(chosen(&mut state), "10086");
    state.update(reading(32));
    for (code, there) in [
        (KeyCode::End, "8080"),
        (KeyCode::Home, "30000"),
        (KeyCode::PageDown, "8080"),
        (KeyCode::Char('k'), "54321"),
    ] {
        let _ = press(&mut state, code);
        assert_eq!(chosen(&mut state), there, "{code:?}");
    }
    let without = CONFIG.replace("\"54321\"", "\"54322\"");
    let mut gone = readings(33);
    gone.counters.clear();
    state.update(reading_of(33, &without, Some(gone)));
    assert_eq!(chosen(&mut state), "54322", "the one in its place");
}

#[test]
fn the_page_of_a_port_that_was_removed_closes() {
    let mut state = watched(3);
    let _ = press(&mut state, KeyCode::Enter);
    let _ = press(&mut state, KeyCode::Down);
    assert_eq!(state.place(), Place::Page(port("8080")));
    state.update(reading_of(4, &CONFIG.replace("\"8080\"", "\"8081\""), Some(readings(4))));
    assert_eq!(state.place(), Place::Table);
}

#[test]
fn a_filter_finds_ports_remarks_and_groups() {
    let mut state = watched(3);
    type_text(&mut state, "/家庭");
    assert_eq!(ports(&mut state), ["20000-20100"]);
    let _ = press(&mut state, KeyCode::Backspace);
    let _ = press(&mut state, KeyCode::Backspace);
    assert_eq!(ports(&mut state).len(), 6);
    type_text(&mut state, "NGINX");
    assert_eq!(ports(&mut state), ["443"]);
    // What is typed into the filter is no command.
    type_text(&mut state, "q");
    assert_eq!((ports(&mut state).len(), state.place()), (0, Place::Filter));
    let _ = press(&mut state, KeyCode::Backspace);
    let _ = press(&mut state, KeyCode::Enter);
    assert_eq!((ports(&mut state), state.place()), (vec!["443".to_owned()], Place::Table));
    assert_eq!(press(&mut state, KeyCode::Esc), Step::Stay);
    assert_eq!(ports(&mut state).len(), 6);
    type_text(&mut state, &format!("／{}\u{1b}", "9".repeat(10_000)));
    assert_eq!(state.filter().len(), 200);
    let _ = press(&mut state, KeyCode::Esc);
    assert_eq!((state.filter(), state.place()), ("", Place::Table));
}

#[test]
fn q_escape_and_control_c_leave() {
    for code in [KeyCode::Char('q'), KeyCode::Esc] {
        assert_eq!(press(&mut watched(0), code), Step::Leave);
    }
    let mut state = watched(0);
    let _ = press(&mut state, KeyCode::Enter);
    assert_eq!(press(&mut state, KeyCode::Esc), Step::Stay);
    let _ = press(&mut state, KeyCode::Enter);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Step::Leave);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for text in ["", "/", "/abc"] {
        let mut state = watched(0);
        type_text(&mut state, text);
        assert_eq!(state.key(control_c), Step::Leave, "{text}");
    }
}

#[test]
fn a_flush_shows_no_rate_for_a_second_and_never_an_absurd_one() {
    let mut state = watched(10);
    assert!(picture(&mut state, SMALL, Language::En).contains("Mbps"));
    let mut remade = readings(11);
    for reading in remade.counters.values_mut() {
        for counter in [&mut reading.inbound, &mut reading.outbound].into_iter().flatten() {
            counter.origin.table = 2;
            counter.bytes = Bytes(1 << 60);
        }
    }
    state.update(reading_of(11, CONFIG, Some(remade.clone())));
    let totals = state.total();
    assert_eq!((totals.inbound, totals.outbound), (None, None));
    state.update(reading_of(12, CONFIG, Some(remade)));
    assert_eq!(state.total().outbound.map(Rate::as_bits_per_second), Some(0));
}

#[test]
fn colours_say_how_near_the_end_is_and_without_colours_nothing_is_coloured() {
    let mut state = watched(3);
    let buffer = buffer(&mut state, SMALL, Language::En);
    let colour = |row: u16| buffer[(78, row)].fg;
    assert_eq!([colour(2), colour(4), colour(6)], [Color::Green, Color::Yellow, Color::Red]);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let drawn = terminal.draw(|frame| draw(frame, &state, Language::Zh.texts(), &Palette::new(false)));
    assert!(drawn.unwrap().buffer.content.iter().all(|cell| cell.fg == Color::Reset));
}
