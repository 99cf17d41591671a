//! The rate penalty.

use jiff::SignedDuration;
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::Edit;
use pm_core::event::Event;
use pm_core::units::Rate;

use crate::world::{IN, MB, OUT, World, limit_of, port, quota_of, unlimited, words};

/// Above 8 Mbps for three minutes in a row is punished with 1 Mbps for ten minutes.
const POLICY: DynQosPolicy =
    DynQosPolicy { trigger: Rate::mbps(8), minutes: 3, penalty: Rate::mbps(1), duration: 10 };

/// Bytes a minute at exactly the trigger.
const AT_TRIGGER: u64 = 60_000_000;

fn world() -> World {
    let mut world = World::new();
    world.add("10086", &unlimited());
    world.set("10086", &limit_of(Some(Rate::mbps(50))));
    world.edit(&Edit::DynQos(port("10086"), Some(POLICY))).unwrap();
    world
}

/// A minute with this much traffic, half of it in either direction.
fn minute(world: &mut World, bytes: u64) -> Vec<String> {
    world.packet("10086", IN, bytes / 2);
    world.packet("10086", OUT, bytes - bytes / 2);
    words(&world.minute())
}

fn punished_world() -> World {
    let mut world = world();
    for told in [&[] as &[&str], &[], &["punished"]] {
        assert_eq!(minute(&mut world, AT_TRIGGER + 8), told);
    }
    world
}

#[test]
fn minutes_in_a_row_above_the_trigger_are_punished_in_the_kernel() {
    let mut world = world();
    assert_eq!(minute(&mut world, AT_TRIGGER + 8), [""; 0]);
    assert_eq!(world.view("10086").strikes, 1);
    assert_eq!(minute(&mut world, AT_TRIGGER + 8), [""; 0]);
    assert_eq!(world.speed("10086"), Some(Rate::mbps(50)));
    world.packet("10086", IN, 2 * AT_TRIGGER);
    let told = world.minute();
    let [Event::Punished { rate, trigger, penalty, minutes, .. }] = told[..] else { panic!("{told:?}") };
    assert_eq!((rate, trigger, penalty, minutes), (Rate::mbps(16), Rate::mbps(8), Rate::mbps(1), 10));
    assert_eq!(world.speed("10086"), Some(Rate::mbps(1)));
    let view = world.view("10086");
    assert!(
        view.punished && view.limit == Some(Rate::mbps(50)) && view.effective_limit == Some(Rate::mbps(1))
    );
}

#[test]
fn a_minute_at_the_trigger_starts_the_count_over() {
    let mut world = world();
    minute(&mut world, AT_TRIGGER + 8);
    minute(&mut world, AT_TRIGGER + 8);
    assert_eq!(minute(&mut world, AT_TRIGGER), [""; 0], "strictly above, or not");
    assert_eq!(world.view("10086").strikes, 0);
    minute(&mut world, AT_TRIGGER + 8);
    assert_eq!(world.view("10086").strikes, 1);
}

#[test]
fn a_punishment_ends_in_time_and_the_limit_is_back_in_the_kernel() {
    let mut world = punished_world();
    for _ in 0..9 {
        assert_eq!(minute(&mut world, AT_TRIGGER * 2), [""; 0], "nothing is counted while punished");
        assert_eq!(world.speed("10086"), Some(Rate::mbps(1)));
    }
    assert_eq!(minute(&mut world, AT_TRIGGER * 2), ["recovered"]);
    assert_eq!(world.speed("10086"), Some(Rate::mbps(50)));
    assert_eq!(world.view("10086").strikes, 0, "the punished minutes are not judged afterwards");
    assert_eq!(minute(&mut world, 0), [""; 0]);
}

#[test]
fn the_next_punishment_takes_as_many_minutes_and_is_told_again() {
    let mut world = punished_world();
    let mut told = Vec::new();
    for _ in 0..30 {
        told.extend(minute(&mut world, AT_TRIGGER * 2));
    }
    assert_eq!(told, ["recovered", "punished", "recovered", "punished"]);
}

#[test]
fn every_way_out_of_a_punishment_is_one_in_the_kernel_too() {
    let port = port("10086");
    let ways = [
        Edit::DynQos(port, None),
        Edit::DynQos(port, Some(DynQosPolicy { minutes: 9, ..POLICY })),
        Edit::Reset(vec![port]),
    ];
    for way in ways {
        let mut world = punished_world();
        world.edit(&way).unwrap();
        assert_eq!(world.speed("10086"), Some(Rate::mbps(50)), "{way:?}");
        assert!(!world.view("10086").punished, "{way:?}");
        assert_eq!(words(&world.minute()), [""; 0], "{way:?}");
    }
    let mut world = punished_world();
    world.remove(&["10086"]);
    assert_eq!(world.speed("10086"), None);
}

#[test]
fn a_port_without_a_limit_has_none_again_after_its_punishment() {
    let mut world = punished_world();
    world.set("10086", &limit_of(None));
    assert_eq!(world.speed("10086"), Some(Rate::mbps(1)));
    world.minutes(10);
    assert_eq!(world.speed("10086"), None);
}

#[test]
fn a_penalty_never_makes_a_port_faster_than_its_limit() {
    let mut world = punished_world();
    world.set("10086", &limit_of(Some(Rate::bits_per_second(500_000))));
    assert_eq!(world.speed("10086"), Some(Rate::bits_per_second(500_000)));
}

#[test]
fn the_figures_stay_when_it_is_switched_off() {
    let mut world = world();
    world.edit(&Edit::DynQos(port("10086"), None)).unwrap();
    let settings = world.load().config.ports[&port("10086")].dynqos;
    assert!(!settings.enabled && settings.policy == Some(POLICY));
    for _ in 0..9 {
        assert_eq!(minute(&mut world, AT_TRIGGER * 9), [""; 0]);
    }
}

#[test]
fn a_run_after_a_gap_counts_the_minutes_it_covers_at_their_average() {
    let mut fast = world();
    fast.packet("10086", IN, 5 * AT_TRIGGER + 40);
    fast.wait(300);
    assert_eq!(words(&fast.run()), ["punished"]);
    let mut slow = world();
    slow.packet("10086", IN, 5 * AT_TRIGGER);
    slow.wait(300);
    assert_eq!(words(&slow.run()), [""; 0]);
}

#[test]
fn running_more_often_than_once_a_minute_changes_nothing() {
    for step in [5, 12, 30] {
        let mut world = world();
        let mut told = Vec::new();
        for second in (step..=180).step_by(step) {
            world.packet("10086", IN, (AT_TRIGGER + 60) * step as u64 / 60);
            world.wait(i64::try_from(step).unwrap());
            told.extend(words(&world.run()).into_iter().map(|word| (second, word)));
        }
        assert_eq!(told, [(180, "punished".to_string())], "every {step} s");
    }
}

#[test]
fn a_reboot_in_the_middle_keeps_strikes_and_punishment() {
    let mut world = world();
    minute(&mut world, AT_TRIGGER + 8);
    minute(&mut world, AT_TRIGGER + 8);
    world.kernel.reboot();
    world.run();
    assert_eq!(minute(&mut world, AT_TRIGGER + 8), ["punished"]);
    world.kernel.reboot();
    assert_eq!(words(&world.minute()), [""; 0]);
    assert_eq!(world.speed("10086"), Some(Rate::mbps(1)));
}

#[test]
fn a_blocked_port_serves_its_punishment() {
    let mut world = punished_world();
    world.set("10086", &quota_of(MB));
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
    assert_eq!(world.speed("10086"), Some(Rate::mbps(1)));
    assert_eq!(words(&world.minutes(9)), ["recovered"]);
}

#[test]
fn a_clock_that_goes_back_punishes_nobody_for_longer_than_a_whole_punishment() {
    let mut world = punished_world();
    world.now = world.now.checked_sub(SignedDuration::from_hours(50)).unwrap();
    assert_eq!(words(&world.run()), [""; 0]);
    assert_eq!(words(&world.minutes(10)), ["recovered"]);
}

#[test]
fn a_dyn_limit_of_the_script_with_a_zero_in_it_never_acts() {
    let mut world = World::new();
    world.file = br#"{"ports": {"10086": {"quota_gb": null, "dyn_limit": {"enable": true, "trigger_mbps": 0,
        "trigger_time": 1, "punish_mbps": 5, "punish_time": 60}}}}"#
        .to_vec();
    world.run();
    for _ in 0..5 {
        assert_eq!(minute(&mut world, AT_TRIGGER), [""; 0]);
    }
    assert_eq!(world.speed("10086"), None);
}

#[test]
fn a_punishment_of_the_script_goes_on_until_its_end() {
    let mut world = World::new();
    let end = world.now.timestamp().as_second() + 120;
    world.file = format!(
        r#"{{"ports": {{"10086": {{"quota_gb": 1, "limit_mbps": 50, "dyn_limit": {{"enable": true, "trigger_mbps": 100,
        "trigger_time": 5, "punish_mbps": 5, "punish_time": 60, "is_punished": true, "strike_count": 0,
        "punish_end_ts": {end}}}}}}}}}"#
    )
    .into_bytes();
    assert_eq!(words(&world.minute()), [""; 0]);
    assert_eq!(world.speed("10086"), Some(Rate::mbps(5)));
    assert_eq!(words(&world.minute()), ["recovered"]);
    assert_eq!(world.speed("10086"), Some(Rate::mbps(50)));
}
