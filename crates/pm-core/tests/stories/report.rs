//! The regular report.

use pm_core::config::Secret;
use pm_core::edit::Edit;
use pm_core::edit::telegram::TelegramSettings;
use pm_core::event::Event;
use pm_core::units::{Bytes, Rate};

use crate::world::{IN, MB, World, limit_of, quota_of, time, words};

fn reporting_every(hours: u32) -> World {
    let mut world = World::at(time("2026-01-10T12:34:00", ""));
    let settings = TelegramSettings {
        bot_token: Some(Secret::new("123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw")),
        chat_id: Some("-1001234567890".into()),
        ..TelegramSettings::default()
    };
    world.edit(&Edit::Telegram(settings)).unwrap();
    let settings = TelegramSettings {
        enable: Some(true),
        report_interval_hours: Some(hours),
        ..TelegramSettings::default()
    };
    world.edit(&Edit::Telegram(settings)).unwrap();
    world.run();
    world
}

/// The moments of the reports, with a run every `step` seconds for so many hours.
fn moments(world: &mut World, hours: i64, step: i64) -> Vec<String> {
    let mut moments = Vec::new();
    for _ in 0..hours * 3600 / step {
        world.wait(step);
        if words(&world.run()) == ["report"] {
            moments.push(world.now.strftime("%H:%M:%S").to_string());
        }
    }
    moments
}

#[test]
fn the_first_report_comes_a_whole_interval_after_switching_on_and_none_drifts() {
    let mut world = reporting_every(6);
    assert_eq!(moments(&mut world, 25, 60), ["18:34:00", "00:34:00", "06:34:00", "12:34:00"]);
}

#[test]
fn runs_that_come_late_do_not_move_the_reports_after_them() {
    let mut world = reporting_every(1);
    // Every 7 minutes and 11 seconds: each report is late by less than that, and the lateness does not add up.
    let late = moments(&mut world, 24, 431);
    assert_eq!(late.len(), 23);
    for moment in late {
        let minute: u32 = moment[3..5].parse().unwrap();
        assert!((34..42).contains(&minute), "{moment}");
    }
}

#[test]
fn intervals_that_were_missed_are_one_report() {
    let mut world = reporting_every(6);
    world.clock("2026-01-13T13:00:00");
    assert_eq!(words(&world.minutes(3)), ["report"]);
    world.clock("2026-01-13T18:33:00");
    assert_eq!(words(&world.minutes(3)), ["report"], "back on the multiples");
}

#[test]
fn switching_off_and_on_starts_over() {
    let mut world = reporting_every(6);
    world.clock("2026-01-10T18:00:00");
    let switch = |on| Edit::Telegram(TelegramSettings { enable: Some(on), ..TelegramSettings::default() });
    world.edit(&switch(false)).unwrap();
    world.run();
    world.edit(&switch(true)).unwrap();
    world.run();
    assert_eq!(moments(&mut world, 7, 60), ["00:00:00"]);
}

#[test]
fn a_clock_that_goes_back_reports_nothing_and_starts_over() {
    let mut world = reporting_every(6);
    world.clock("2026-01-01T00:00:00");
    assert_eq!(words(&world.run()), [""; 0]);
    assert_eq!(moments(&mut world, 7, 60), ["06:00:00"]);
}

#[test]
fn no_report_is_made_while_it_is_off() {
    let mut world = reporting_every(0);
    assert_eq!(moments(&mut world, 200, 3600), [""; 0]);
}

#[test]
fn a_report_has_a_line_for_each_port_in_the_order_of_the_ports() {
    let mut world = reporting_every(1);
    world.add("20000", &quota_of(10 * MB));
    world.add("443", &quota_of(MB));
    world.set("20000", &limit_of(Some(Rate::mbps(5))));
    world.flow("20000", IN, 5 * MB);
    world.flow("443", IN, 2 * MB);
    world.clock("2026-01-10T13:34:00");
    let told = world.run();
    let Some(Event::Report { lines }) = told.last() else { panic!("{told:?}") };
    let ports: Vec<String> = lines.iter().map(|line| line.port.to_string()).collect();
    assert_eq!(ports, ["443", "20000"]);
    assert!(lines[0].blocked && !lines[1].blocked);
    assert_eq!(
        (lines[1].used, lines[1].limit, lines[1].speed),
        (Bytes(5 * MB), Some(Bytes(10 * MB)), Some(Rate::mbps(5)))
    );
    assert_eq!(lines[1].percent.unwrap().to_string(), "50.0%");
}
