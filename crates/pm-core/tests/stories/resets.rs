//! The monthly reset, the reset by hand, and clocks that jump.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::{Edit, Settings};
use pm_core::event::Event;
use pm_core::reset::ResetDay;
use pm_core::units::{Bytes, Rate};
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::{IN, MB, World, limit_of, port, quota_of, reset_on, time, unlimited, words};

/// A port with a quota of 10 MB and this reset day, of which 3 MB are used.
fn world(now: Zoned, day: u8) -> World {
    let mut world = World::at(now);
    world.add("10086", &Settings { reset_day: Some(ResetDay::new(day)), ..quota_of(10 * MB) });
    world.flow("10086", IN, 3 * MB);
    world.minute();
    world
}

/// The local times at which resets happen, with a minute every `step` seconds.
fn resets(world: &mut World, until: &str, step: i64) -> Vec<String> {
    let until: jiff::civil::DateTime = until.parse().unwrap();
    let mut moments = Vec::new();
    while world.now.datetime() < until {
        world.wait(step);
        if world.run().iter().any(|event| matches!(event, Event::QuotaReset { .. })) {
            moments.push(world.now.datetime().to_string());
        }
    }
    moments
}

#[test]
fn a_reset_happens_at_midnight_of_its_day_and_clears_the_account() {
    let mut world = world(time("2026-01-14T23:57:00", ""), 15);
    assert_eq!(resets(&mut world, "2026-01-15T01:00:00", 60), ["2026-01-15T00:00:00"]);
    let view = world.view("10086");
    assert_eq!((view.used_bytes, view.in_bytes), (Bytes(0), Bytes(0)));
    assert_eq!(view.next_reset_ts, Some(time("2026-02-15T00:00:00", "").timestamp().as_second()));
}

#[test]
fn day_31_is_the_last_day_of_every_month() {
    let mut world = world(time("2026-01-31T00:10:00", ""), 31);
    let days = ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"].map(|day| format!("{day}T00:10:00"));
    world.clock("2026-01-31T00:10:00");
    assert_eq!(resets(&mut world, "2026-06-01T00:00:00", 86_400), days);
}

#[test]
fn a_midnight_that_the_clock_skips_or_repeats_is_one_reset() {
    // Cairo skips the midnight of Friday, 24 April 2026, and lives the last hour of Thursday, 29 October, twice.
    let cairo = "EET-2EEST,M4.5.5/0,M10.5.4/24";
    let mut spring = world(time("2026-04-23T23:00:00", cairo), 24);
    spring.clock("2026-04-23T23:50:00");
    assert_eq!(resets(&mut spring, "2026-04-24T05:00:00", 600), ["2026-04-24T01:00:00"]);
    let mut autumn = world(time("2026-10-29T22:00:00", cairo), 30);
    assert_eq!(resets(&mut autumn, "2026-10-30T05:00:00", 600).len(), 1);
    // Havana lives the first hour of Sunday, 1 November, twice.
    let mut havana = world(time("2026-10-31T22:00:00", "CST5CDT,M3.2.0/0,M11.1.0/1"), 1);
    assert_eq!(resets(&mut havana, "2026-11-01T06:00:00", 600).len(), 1);
}

#[test]
fn two_months_of_downtime_are_one_reset() {
    let mut world = world(time("2026-01-10T12:00:00", ""), 15);
    world.clock("2026-03-20T08:00:00");
    assert_eq!(words(&world.minutes(5)), ["reset"]);
    assert_eq!(world.used("10086"), 0);
}

#[test]
fn a_moment_of_last_month_that_passed_while_the_machine_was_off_counts() {
    let mut world = world(time("2026-01-10T12:00:00", ""), 15);
    world.clock("2026-02-03T08:00:00");
    assert_eq!(words(&world.minutes(2)), ["reset"]);
}

#[test]
fn a_clock_that_goes_back_resets_nothing_and_repeats_nothing() {
    let mut world = world(time("2026-02-27T12:00:00", ""), 1);
    world.clock("2026-03-01T00:00:30");
    assert_eq!(words(&world.run()), ["reset"]);
    world.flow("10086", IN, MB);
    for local in ["2026-02-28T23:00:00", "2026-02-10T00:00:00", "2026-02-28T23:59:59", "2026-03-01T00:00:00"]
    {
        world.clock(local);
        assert_eq!(words(&world.run()), [""; 0], "{local}");
    }
    world.clock("2026-03-31T00:00:00");
    assert_eq!(words(&world.run()), [""; 0]);
    world.clock("2026-04-01T00:00:00");
    assert_eq!(words(&world.run()), ["reset"]);
}

#[test]
fn a_clock_that_once_was_years_ahead_does_not_stop_the_resets() {
    let mut world = world(time("2026-02-10T12:00:00", ""), 1);
    world.clock("2031-07-04T00:00:00");
    assert_eq!(words(&world.run()), ["reset"]);
    world.clock("2026-02-10T12:05:00");
    assert_eq!(words(&world.run()), [""; 0]);
    world.clock("2026-03-01T00:00:00");
    assert_eq!(words(&world.run()), ["reset"]);
}

#[test]
fn setting_a_reset_day_never_resets_by_itself() {
    let mut world = world(time("2026-02-20T12:00:00", ""), 0);
    for day in [20, 1, 15, 31] {
        world.set("10086", &reset_on(day));
        assert_eq!(words(&world.minutes(2)), [""; 0], "day {day}");
        assert_eq!(world.used("10086"), 3 * MB);
    }
    world.set("10086", &reset_on(21));
    assert_eq!(resets(&mut world, "2026-02-21T12:00:00", 3600).len(), 1);
}

#[test]
fn a_reset_day_changed_in_the_file_by_hand_never_resets_by_itself_either() {
    let mut world = world(time("2026-02-20T12:00:00", ""), 25);
    let text = String::from_utf8(world.file.clone()).unwrap();
    world.file = text.replacen("\"reset_day\": 25", "\"reset_day\": 15", 1).into_bytes();
    assert_eq!(words(&world.minutes(2)), [""; 0]);
    world.clock("2026-03-15T00:00:00");
    assert_eq!(words(&world.run()), ["reset"]);
}

#[test]
fn the_first_partial_cycle_of_a_new_port_is_not_reset() {
    let mut world = world(time("2026-02-20T12:00:00", ""), 15);
    assert_eq!(words(&world.minutes(3)), [""; 0]);
    assert_eq!(world.used("10086"), 3 * MB);
}

#[test]
fn a_port_of_the_script_that_missed_its_reset_is_reset_once() {
    let mut world = World::at(time("2026-02-20T12:00:00", ""));
    world.file = br#"{"ports": {"10086": {"quota_gb": 10, "reset_day": 15, "last_reset_ts": 1768435200,
        "stats": {"acc_in": 5000000000}}}}"#
        .to_vec();
    assert_eq!(words(&world.minutes(3)), ["reset"]);
    assert_eq!(world.used("10086"), 0);
}

#[test]
fn a_reset_clears_usage_warnings_block_and_punishment_in_the_kernel_too() {
    let policy = DynQosPolicy {
        trigger: Rate::bits_per_second(1),
        minutes: 1,
        penalty: Rate::mbps(5),
        duration: 1440,
    };
    for by_hand in [false, true] {
        let mut world = world(time("2026-02-28T22:00:00", ""), 1);
        world.set("10086", &limit_of(Some(Rate::mbps(50))));
        world.edit(&Edit::DynQos(port("10086"), Some(policy))).unwrap();
        world.flow("10086", IN, 20 * MB);
        assert_eq!(words(&world.minute()), ["punished", "warning 100", "blocked"]);
        assert_eq!(world.speed("10086"), Some(Rate::mbps(5)));
        if by_hand {
            world.reset(&["10086"]);
        } else {
            world.clock("2026-03-01T00:00:00");
            assert_eq!(words(&world.run()), ["reset"]);
        }
        let view = world.view("10086");
        assert_eq!((view.used_bytes, view.blocked, view.punished), (Bytes(0), false, false));
        assert_eq!(world.speed("10086"), Some(Rate::mbps(50)));
        assert!(world.packet("10086", IN, 1500), "open at once");
        world.flow("10086", IN, 6 * MB);
        assert_eq!(words(&world.minute()), ["punished", "warning 50"], "armed again");
    }
}

#[test]
fn a_reset_by_hand_does_not_bring_back_a_monthly_one_when_the_clock_is_behind() {
    let mut world = world(time("2026-02-27T12:00:00", ""), 1);
    world.clock("2026-03-01T00:00:30");
    assert_eq!(words(&world.run()), ["reset"]);
    world.clock("2026-02-28T12:00:00");
    world.reset(&["10086"]);
    world.clock("2026-03-01T00:01:00");
    assert_eq!(words(&world.run()), [""; 0]);
}

#[test]
fn the_traffic_before_a_reset_belongs_to_the_cycle_that_ended() {
    let mut world = world(time("2026-02-28T23:58:00", ""), 1);
    world.flow("10086", IN, MB);
    assert_eq!(words(&world.minute()), ["reset"]);
    assert_eq!(world.used("10086"), 0);
}

#[test]
fn a_port_without_a_quota_is_reset_too() {
    let mut world = World::at(time("2026-02-28T23:59:00", ""));
    world.add("10086", &Settings { reset_day: Some(ResetDay::new(1)), ..unlimited() });
    world.flow("10086", IN, MB);
    let told = world.minute();
    assert!(matches!(told[..], [Event::QuotaReset { limit: None, .. }]), "{told:?}");
    assert_eq!(world.used("10086"), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Jump(i64),
    SetDay(u8),
    ByHand,
}

/// Every due moment from `after` to `until`, both days looked at one by one.
fn due(day: u8, after: Timestamp, until: &Zoned) -> bool {
    let zone = until.time_zone();
    let mut date: Date = after.to_zoned(zone.clone()).date();
    while date <= until.date() {
        let is_day = date.day() == i8::try_from(day).unwrap().min(date.days_in_month());
        let begins = date.to_zoned(zone.clone()).unwrap().start_of_day().unwrap().timestamp();
        if is_day && begins > after && begins <= until.timestamp() {
            return true;
        }
        date = date.checked_add(1.day()).unwrap();
    }
    false
}

proptest! {
    #[test]
    fn a_reset_comes_exactly_when_a_due_moment_has_passed_that_none_was_for(
        zone in select(vec!["", "EET-2EEST,M4.5.5/0,M10.5.4/24", "CST5CDT,M3.2.0/0,M11.1.0/1", "<+14>-14"]),
        start in 0_i64..400,
        steps in proptest::collection::vec(
            prop_oneof![
                6 => (1_i64..4 * 86_400).prop_map(Step::Pass),
                1 => (0_i64..100 * 86_400).prop_map(Step::Pass),
                2 => (-31 * 86_400_i64..=0).prop_map(Step::Jump),
                1 => (0_u8..=31).prop_map(Step::SetDay),
                1 => Just(Step::ByHand),
            ],
            1..20,
        ),
    ) {
        let mut world = world(time("2026-01-01T12:00:00", zone), 1);
        world.wait(start * 86_400);
        let mut day = 28;
        world.set("10086", &reset_on(day));
        // Everything up to here is done; a clock that goes back does not change that.
        let mut done = world.now.timestamp();
        for step in steps {
            match step {
                Step::Pass(seconds) | Step::Jump(seconds) => {
                    world.now = world.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
                    let now = world.now.timestamp();
                    if done.duration_since(now) > SignedDuration::from_hours(32 * 24) {
                        done = now;
                    }
                    let expected = day > 0 && due(day, done, &world.now);
                    prop_assert_eq!(words(&world.run()) == ["reset"], expected, "{} day {}", world.now, day);
                    if expected {
                        done = now;
                    }
                }
                Step::SetDay(new) => {
                    world.set("10086", &reset_on(new));
                    if new != day {
                        (day, done) = (new, world.now.timestamp());
                    }
                }
                Step::ByHand => {
                    world.reset(&["10086"]);
                    done = done.max(world.now.timestamp());
                }
            }
        }
    }
}
