//! Clocks that lie, and machines that were away.

use jiff::tz::TimeZone;
use pm_core::config::Secret;
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::telegram::TelegramSettings;
use pm_core::edit::{Edit, Settings};
use pm_core::reset::ResetDay;
use pm_core::units::Rate;

use crate::world::{IN, MB, OUT, World, port, quota_of, time, unlimited, words};

/// Above 8 Mbps for three minutes in a row is punished with 1 Mbps for ten minutes.
const POLICY: DynQosPolicy =
    DynQosPolicy { trigger: Rate::mbps(8), minutes: 3, penalty: Rate::mbps(1), duration: 10 };

const ABOVE_TRIGGER: u64 = 60_000_060;

/// At each change of the clocks of Berlin: an hour before it, and the day on which it happens.
const CHANGES: [(&str, u8); 2] = [("2026-03-29T01:00:00", 29), ("2026-10-25T01:00:00", 25)];
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// A port with a quota of 10 MB of which 3 MB are used, which starts anew on this day; and a report every hour.
fn world(local: &str, zone: &str, day: u8) -> World {
    let mut world = World::at(time(local, zone));
    world.add("10086", &Settings { reset_day: Some(ResetDay::new(day)), ..quota_of(10 * MB) });
    let hourly = TelegramSettings {
        enable: Some(true),
        bot_token: Some(Secret::new("123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw")),
        chat_id: Some("-1001234567890".into()),
        report_interval_hours: Some(1),
        ..TelegramSettings::default()
    };
    world.edit(&Edit::Telegram(hourly)).unwrap();
    world.flow("10086", IN, 3 * MB);
    world.minute();
    world
}

#[test]
fn back_a_day_loses_and_repeats_nothing() {
    let mut world = world("2026-02-10T11:59:00", "", 10);
    world.clock("2026-02-09T12:00:00");
    world.flow("10086", IN, MB);
    let told = world.minutes(59);
    assert_eq!(words(&told), [""; 0], "{:?}", world.now);
    assert_eq!(world.used("10086"), 4 * MB, "what passed meanwhile counts once");
    // The day is lived once more, with a report an hour and no reset: it was there when the port was added.
    assert_eq!(words(&world.minutes(24 * 60)), ["report"; 24]);
    assert_eq!(world.used("10086"), 4 * MB);
    world.flow("10086", OUT, 7 * MB);
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"], "and a quota is a quota");
}

#[test]
fn forward_a_year_is_one_reset_and_one_report_and_nobody_is_punished() {
    let mut world = world("2026-02-10T12:00:00", "", 1);
    world.edit(&Edit::DynQos(port("10086"), Some(POLICY))).unwrap();
    world.flow("10086", OUT, MB);
    world.clock("2027-02-10T12:01:00");
    assert_eq!(words(&world.run()), ["reset", "report"]);
    assert_eq!(world.used("10086"), 0);
    world.flow("10086", OUT, MB);
    assert_eq!(words(&world.minutes(59)), [""; 0]);
    assert_eq!(words(&world.minute()), ["report"]);
    assert_eq!(world.used("10086"), MB);
    // And back again: what was cleared stays cleared, the next reset comes in its time.
    world.clock("2026-02-10T12:05:00");
    assert_eq!(words(&world.run()), [""; 0]);
    assert_eq!(world.used("10086"), MB);
    world.clock("2026-03-01T00:00:00");
    assert!(words(&world.run()).contains(&"reset".to_owned()));
}

#[test]
fn the_hour_that_is_skipped_or_lived_twice_changes_no_minute_no_report_and_no_reset() {
    for (hour_before, day) in CHANGES {
        let mut world = world(hour_before, BERLIN, day);
        let offset = world.now.offset();
        assert_eq!(words(&world.minutes(59)), [""; 0], "{hour_before}");
        let told = world.minutes(5 * 60);
        assert_ne!(world.now.offset(), offset, "the clock has changed");
        assert_eq!(words(&told), ["report"; 5], "{hour_before}");
        assert_eq!(world.used("10086"), 3 * MB);
        let next = world.view("10086").next_reset_ts.unwrap();
        let midnight = time(if day == 29 { "2026-04-29T00:00:00" } else { "2026-11-25T00:00:00" }, BERLIN);
        assert_eq!(next, midnight.timestamp().as_second());
    }
}

#[test]
fn a_punishment_over_a_change_of_the_clocks_has_its_ten_minutes() {
    for (hour_before, _) in CHANGES {
        let mut world = World::at(time(hour_before, BERLIN));
        world.wait(55 * 60);
        world.add("10086", &unlimited());
        world.edit(&Edit::DynQos(port("10086"), Some(POLICY))).unwrap();
        let mut told = Vec::new();
        for _ in 0..3 {
            world.packet("10086", IN, ABOVE_TRIGGER);
            told.extend(world.minute());
        }
        assert_eq!(words(&told), ["punished"], "{hour_before}");
        assert_eq!(words(&world.minutes(9)), [""; 0], "{hour_before}");
        assert_eq!(words(&world.minute()), ["recovered"], "{hour_before}");
    }
}

#[test]
fn a_zone_that_is_changed_between_two_minutes_repeats_no_reset() {
    let zone = |world: &mut World, zone: &str| {
        world.now = world.now.with_time_zone(TimeZone::posix(zone).unwrap());
    };
    let mut world = world("2026-01-31T23:50:00", "UTC0", 1);
    assert_eq!(words(&world.minutes(9)), ["reset"]);
    world.flow("10086", IN, 2 * MB);
    // From there the same midnight is still to come, and comes again.
    zone(&mut world, "NYC5");
    assert_eq!(world.now.datetime().to_string(), "2026-01-31T19:00:00");
    let next = time("2026-03-01T00:00:00", "NYC5").timestamp().as_second();
    assert_eq!(world.view("10086").next_reset_ts, Some(next));
    assert!(!words(&world.minutes(6 * 60)).contains(&"reset".to_owned()));
    assert_eq!(world.used("10086"), 2 * MB);
    // Further east, the next one comes earlier; back in the west it does not come again.
    world.clock("2026-02-28T20:00:00");
    zone(&mut world, "CST-8");
    assert_eq!(words(&world.run()).iter().filter(|word| *word == "reset").count(), 1);
    world.flow("10086", IN, MB);
    zone(&mut world, "UTC0");
    world.clock("2026-03-01T00:01:00");
    assert!(!words(&world.run()).contains(&"reset".to_owned()));
    world.clock("2026-03-31T23:59:00");
    assert!(!words(&world.run()).contains(&"reset".to_owned()));
    assert_eq!(words(&world.minute()), ["reset"]);
}

#[test]
fn three_hours_of_sleep_are_one_minute_that_covers_them() {
    let mut world = world("2026-02-10T12:00:00", "", 0);
    world.edit(&Edit::DynQos(port("10086"), Some(POLICY))).unwrap();
    // What came just before the machine fell asleep, spread over three hours, is slow.
    world.packet("10086", IN, ABOVE_TRIGGER / 60);
    world.wait(3 * 60 * 60);
    assert_eq!(words(&world.run()), ["report"], "one for three hours");
    assert_eq!(world.used("10086"), 3 * MB + ABOVE_TRIGGER / 60);
    assert_eq!(world.view("10086").strikes, 0);
    // The same counters go on.
    world.packet("10086", IN, 1000);
    world.minute();
    assert_eq!(world.used("10086"), 3 * MB + ABOVE_TRIGGER / 60 + 1000);
    assert!(world.alarms.is_empty());
}

#[test]
fn a_punishment_that_was_slept_through_is_over() {
    let mut world = World::new();
    world.add("10086", &unlimited());
    world.edit(&Edit::DynQos(port("10086"), Some(POLICY))).unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        world.packet("10086", IN, ABOVE_TRIGGER);
        told.extend(world.minute());
    }
    assert_eq!(words(&told), ["punished"]);
    world.wait(3 * 60 * 60);
    assert_eq!(words(&world.run()), ["recovered"]);
    assert_eq!(world.speed("10086"), None);
}

#[test]
fn two_months_off_are_one_reset_for_each_account_and_the_last_bytes_count_in_the_old_cycle() {
    let mut world = world("2026-01-10T12:00:00", "", 15);
    for (name, day) in [("443", 1), ("8443", 31), ("9000", 0)] {
        world.add(name, &Settings { reset_day: Some(ResetDay::new(day)), ..quota_of(10 * MB) });
        world.flow(name, IN, MB);
    }
    world.minute();
    world.kernel.reboot();
    world.clock("2026-03-12T12:00:00");
    // Something passed between the start of the machine and the monitor's first minute: of the cycle that ends now.
    world.run();
    assert_eq!(["443", "8443", "9000", "10086"].map(|name| world.used(name)), [0, 0, MB, 0]);
    let reset = |word: &String| word == "reset";
    assert_eq!(words(&world.minutes(60)).into_iter().filter(reset).count(), 0, "once each");
    world.flow("443", IN, MB);
    world.minute();
    assert_eq!(world.used("443"), MB);
}
