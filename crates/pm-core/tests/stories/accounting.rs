//! What is billed, and what is not.

use pm_core::config::ForwardPolicy;
use pm_core::edit::Edit;
use pm_core::units::{Bytes, Rate};
use pm_core::wire::{Snapshot, decode, encode};

use crate::world::{After, IN, KB, MB, OUT, World, limit_of, port, quota_of, unlimited, words};

#[test]
fn traffic_is_billed_to_the_byte_and_each_direction_apart() {
    let mut world = World::with_port("10086", 10 * MB);
    assert_eq!(world.flow("10086", IN, 123_457), 123_457);
    world.minute();
    world.flow("10086", OUT, 1);
    world.minute();
    let view = world.view("10086");
    assert_eq!((view.in_bytes, view.out_bytes, view.used_bytes), (Bytes(123_457), Bytes(1), Bytes(123_458)));
}

#[test]
fn the_panel_is_right_to_the_second() {
    let mut world = World::with_port("10086", 10 * MB);
    world.minute();
    let file = world.file.clone();
    world.flow("10086", OUT, 5000);
    assert_eq!(world.used("10086"), 5000);
    assert_eq!(world.file, file, "looking changes nothing");
}

#[test]
fn a_reboot_loses_no_byte_that_was_read() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 70_000);
    world.minute();
    world.kernel.reboot();
    world.minute();
    world.flow("10086", IN, 900);
    world.minute();
    assert_eq!(world.used("10086"), 70_900);
}

#[test]
fn a_new_counter_is_billed_whole_even_when_it_has_passed_the_old_one() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 1000);
    world.minute();
    world.kernel.reboot();
    world.rules_are_loaded();
    world.flow("10086", IN, 5000);
    world.minute();
    assert_eq!(world.used("10086"), 6000);
}

#[test]
fn rules_flushed_by_somebody_else_are_back_a_minute_later() {
    let mut world = World::with_port("10086", MB);
    world.flow("10086", IN, 2 * MB);
    world.minute();
    assert!(!world.is_open("10086"));
    world.kernel.flush();
    assert!(world.packet("10086", IN, 1000), "nothing stops packets now");
    world.minute();
    assert!(!world.packet("10086", IN, 1000) && !world.is_open("10086"));
}

#[test]
fn a_counter_that_somebody_reset_adds_nothing_and_is_pointed_out() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", OUT, 50_000);
    world.minute();
    world.kernel.reset_counters();
    world.flow("10086", OUT, 3000);
    world.minute();
    assert_eq!(world.used("10086"), 50_000);
    let alarm = world.alarms[0];
    assert_eq!((alarm.port, alarm.direction), (port("10086"), "out"));
    assert_eq!((alarm.from, alarm.to), (Bytes(50_000), Bytes(3000)));
    world.flow("10086", OUT, 700);
    world.minute();
    assert_eq!(world.used("10086"), 50_700);
    assert!(world.alarms.is_empty());
}

#[test]
fn a_port_that_is_added_starts_at_zero_whatever_its_old_counter_holds() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 50_000);
    let removed = Edit::Remove(vec![port("10086")]);
    world.edit_and(&removed, After::Crash, |_| ()).unwrap();
    world.add("10086", &quota_of(10 * MB));
    assert_eq!(world.used("10086"), 0);
    world.flow("10086", IN, 300);
    world.minute();
    assert_eq!(world.used("10086"), 300);
}

#[test]
fn a_failed_read_settles_nothing() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 4000);
    let file = world.file.clone();
    world.kernel.set_broken(true);
    assert!(world.run_and(After::Apply, |_| ()).is_err());
    assert_eq!(world.file, file);
    world.kernel.set_broken(false);
    world.minute();
    assert_eq!(world.used("10086"), 4000);
}

#[test]
fn an_edit_of_one_port_loses_no_byte_of_another() {
    let mut world = World::with_port("10086", 10 * MB);
    let mut sent = 0;
    let mut traffic = |world: &World| {
        world.flow("10086", OUT, 1234);
        sent += 1234;
    };
    traffic(&world);
    world.add("443", &quota_of(MB));
    traffic(&world);
    world.set("443", &limit_of(Some(Rate::mbps(5))));
    traffic(&world);
    world.reset(&["443"]);
    traffic(&world);
    world.remove(&["443"]);
    traffic(&world);
    assert_eq!(world.used("10086"), sent);
    world.minute();
    assert_eq!(world.used("10086"), sent);
}

#[test]
fn a_crash_after_the_state_was_saved_bills_nothing_twice() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 9000);
    for _ in 0..3 {
        world.run_and(After::Crash, |_| ()).unwrap();
    }
    world.minute();
    assert_eq!(world.used("10086"), 9000);
}

#[test]
fn packets_between_reading_and_applying_are_billed_in_the_next_minute() {
    let mut world = World::with_port("10086", 10 * MB);
    let packet = |kernel: &pm_core::fake::FakeKernel| assert!(kernel.packet(port("10086"), IN, 1400));
    world.run_and(After::Apply, packet).unwrap();
    world.minute();
    assert_eq!(world.used("10086"), 1400);
}

#[test]
fn a_port_past_four_gigabytes_and_a_quota_of_100_tb_are_ordinary() {
    const TB: u64 = 1 << 40;
    let mut world = World::with_port("10086", 100 * TB);
    world.packet("10086", OUT, 99 * TB);
    world.minute();
    assert_eq!(world.used("10086"), 99 * TB);
    assert!(world.is_open("10086"));
    world.packet("10086", OUT, TB - 1);
    world.packet("10086", OUT, 1);
    world.minute();
    assert!(!world.is_open("10086"));
}

#[test]
fn a_port_without_a_quota_is_only_metered() {
    let mut world = World::new();
    world.add("10086", &unlimited());
    world.packet("10086", IN, 1 << 45);
    assert!(world.minutes(3).is_empty());
    let view = world.view("10086");
    assert_eq!((view.percent, view.quota_bytes, view.blocked), (None, None, false));
    assert_eq!(view.used_bytes, Bytes(1 << 45));
}

#[test]
fn a_quota_of_zero_in_a_file_blocks_with_the_first_byte() {
    let mut world = World::new();
    world.file = br#"{"ports": {"10086": {"quota_gb": 0}}}"#.to_vec();
    assert_eq!(words(&world.minutes(2)), ["warning 100", "blocked"]);
    assert!(!world.packet("10086", IN, 1));
}

#[test]
fn a_range_is_one_entry() {
    let mut world = World::with_port("20000-20100", MB);
    world.flow("20000-20100", IN, 300 * KB);
    world.minute();
    assert_eq!(world.used("20000-20100"), 300 * KB);
    assert_eq!(world.desired().ruleset.metered, [port("20000-20100")].into());
}

#[test]
fn a_blocked_port_keeps_its_class_and_its_rate() {
    let mut world = World::with_port("10086", MB);
    world.set("10086", &limit_of(Some(Rate::mbps(7))));
    world.flow("10086", IN, 2 * MB);
    world.minute();
    assert!(!world.is_open("10086"));
    assert_eq!(world.speed("10086"), Some(Rate::mbps(7)));
}

#[test]
fn without_a_default_route_metering_and_quotas_go_on() {
    let mut world = World::with_port("10086", MB);
    world.host.default_interface = None;
    world.set("10086", &limit_of(Some(Rate::mbps(7))));
    assert_eq!(world.desired().shaping.interface, None);
    world.flow("10086", IN, 2 * MB);
    world.minute();
    assert!(!world.is_open("10086"));
}

#[test]
fn forwarded_traffic_is_metered_where_the_machine_forwards_or_is_told_to() {
    let mut world = World::with_port("10086", MB);
    for (policy, on_router, elsewhere) in [
        (ForwardPolicy::Auto, true, false),
        (ForwardPolicy::On, true, true),
        (ForwardPolicy::Off, false, false),
    ] {
        let mut snapshot: Snapshot = decode(&world.file).unwrap().snapshot;
        snapshot.config.forward = policy;
        world.file = encode(&snapshot);
        for (forwards, expected) in [(true, on_router), (false, elsewhere)] {
            world.host.forwards = forwards;
            assert_eq!(world.desired().ruleset.forward, expected, "{policy:?}");
        }
    }
}
