//! Cut-off, block, warnings.

use pm_core::edit::Edit;
use pm_core::edit::telegram::TelegramSettings;
use pm_core::event::Event;
use pm_core::quota::{Mode, Thresholds};
use pm_core::units::Percent;

use crate::world::{After, IN, KB, MB, OUT, World, mode_of, port, quota_of, reset_on, unlimited, words};

#[test]
fn a_port_is_cut_off_at_its_quota_without_any_monitor() {
    let world = World::with_port("10086", 10 * MB);
    let passed = world.flow("10086", IN, 6 * MB) + world.flow("10086", OUT, 6 * MB);
    assert!(passed < 10 * MB && 10 * MB - passed <= 1500, "{passed}");
}

#[test]
fn the_next_minute_closes_both_directions_and_tells_it_once() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 11 * MB);
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
    let view = world.view("10086");
    assert!(view.blocked && view.percent == Some(Percent::FULL));
    assert!(!world.packet("10086", IN, 1) && !world.packet("10086", OUT, 1));
    assert_eq!(words(&world.minutes(10)), [""; 0]);
}

#[test]
fn a_cut_off_by_a_big_segment_is_100_percent_all_the_same() {
    let mut world = World::with_port("10086", 10 * MB);
    world.packet("10086", OUT, 10 * MB - 40 * KB);
    assert!(!world.packet("10086", OUT, 64 * KB));
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
    assert_eq!(world.view("10086").percent, Some(Percent::FULL));
    world.kernel.reboot();
    assert_eq!(words(&world.minute()), [""; 0]);
    assert!(!world.is_open("10086"), "it stays so over a reboot");
}

#[test]
fn outbound_alone_counts_in_mode_out_only_and_the_block_closes_both() {
    let mut world = World::with_port("10086", 10 * MB);
    world.set("10086", &mode_of(Mode::OutOnly));
    assert_eq!(world.flow("10086", IN, 50 * MB), 50 * MB);
    world.minute();
    assert!(world.is_open("10086") && world.used("10086") == 0);
    let passed = world.flow("10086", OUT, 11 * MB);
    assert!(passed < 10 * MB && 10 * MB - passed <= 1500);
    assert!(world.packet("10086", IN, 1500), "inbound is closed by the monitor, not by the kernel's quota");
    world.minute();
    assert!(!world.packet("10086", IN, 1500) && !world.packet("10086", OUT, 1500));
}

#[test]
fn each_threshold_is_told_once() {
    let mut world = World::with_port("10086", 10 * MB);
    let mut told = Vec::new();
    for _ in 0..24 {
        world.flow("10086", IN, MB / 2);
        told.extend(world.minute());
    }
    assert_eq!(words(&told), ["warning 50", "warning 80", "warning 100", "blocked"]);
}

#[test]
fn only_the_highest_newly_crossed_threshold_is_told() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 9 * MB);
    let told = world.minute();
    assert_eq!(words(&told), ["warning 80"]);
    let Event::QuotaWarning { percent, used, limit, mode, subject, .. } = &told[0] else { panic!() };
    assert_eq!((percent.to_string().as_str(), used.0, limit.0), ("90.0%", 9 * MB, 10 * MB));
    assert_eq!((*mode, &subject.ports), (Mode::Both, &vec![port("10086")]));
}

#[test]
fn a_block_is_told_even_when_no_threshold_of_100_is_listed() {
    let mut world = World::with_port("10086", 10 * MB);
    let thresholds = Thresholds::new([30]);
    world.edit(&Edit::Telegram(TelegramSettings { thresholds, ..TelegramSettings::default() })).unwrap();
    world.flow("10086", IN, 11 * MB);
    assert_eq!(words(&world.minute()), ["warning 30", "blocked"]);
    assert_eq!(words(&world.minutes(3)), [""; 0]);
}

#[test]
fn the_message_of_a_block_says_when_it_ends() {
    for (day, said) in [(0, None), (15, Some(15))] {
        let mut world = World::with_port("10086", 10 * MB);
        world.set("10086", &reset_on(day));
        world.flow("10086", IN, 11 * MB);
        let told = world.minute();
        assert!(matches!(told[1], Event::Blocked { reset_day, .. } if reset_day == said), "{told:?}");
    }
}

#[test]
fn a_raised_quota_opens_the_port_at_once_and_arms_the_levels_above() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 11 * MB);
    world.minute();
    world.set("10086", &quota_of(16 * MB));
    assert!(world.is_open("10086") && world.packet("10086", IN, 1500));
    assert_eq!(words(&world.minute()), [""; 0], "62 %: the 50 was told in this cycle");
    world.flow("10086", IN, 3 * MB);
    assert_eq!(words(&world.minute()), ["warning 80"]);
    world.flow("10086", IN, 9 * MB);
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
    let passed = world.used("10086");
    assert!(passed < 16 * MB && 16 * MB - passed < 3000, "{passed}");
}

#[test]
fn usage_that_comes_back_within_the_minute_of_the_raise_is_told_again() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 11 * MB);
    world.minute();
    world.set("10086", &quota_of(11 * MB));
    world.flow("10086", IN, 2 * MB);
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
}

#[test]
fn a_quota_lowered_below_usage_blocks_at_once_and_is_told_once() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 6 * MB);
    world.minute();
    world.set("10086", &quota_of(5 * MB));
    assert!(!world.is_open("10086") && !world.packet("10086", OUT, 40));
    let told = world.minutes(3);
    assert_eq!(words(&told), ["warning 100", "blocked"]);
    assert!(matches!(told[0], Event::QuotaWarning { percent, .. } if percent.to_string() == "120.0%"));
}

#[test]
fn a_changed_mode_opens_the_port_at_once() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 6 * MB);
    world.flow("10086", OUT, 6 * MB);
    world.minute();
    world.set("10086", &mode_of(Mode::OutOnly));
    assert!(world.is_open("10086") && world.packet("10086", OUT, 1500));
    world.minute();
    world.set("10086", &mode_of(Mode::Both));
    world.minute();
    assert!(!world.is_open("10086"));
}

#[test]
fn a_quota_that_is_lifted_opens_the_port_at_once() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 11 * MB);
    world.minute();
    world.set("10086", &unlimited());
    assert!(world.is_open("10086"));
    assert_eq!(world.flow("10086", IN, 20 * MB), 20 * MB);
    assert_eq!(words(&world.minute()), [""; 0]);
}

#[test]
fn a_monitor_that_was_killed_before_it_applied_a_block_applies_it_a_minute_later() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 11 * MB);
    world.wait(60);
    assert_eq!(words(&world.run_and(After::Crash, |_| ()).unwrap()), ["warning 100", "blocked"]);
    assert!(world.kernel.blocked().is_empty());
    assert_eq!(words(&world.minute()), [""; 0], "it is told once");
    assert_eq!(world.kernel.blocked(), [port("10086")]);
}

#[test]
fn a_reset_that_was_killed_before_it_was_applied_does_not_block_a_small_quota_again() {
    let mut world = World::with_port("10086", 100 * KB);
    world.flow("10086", IN, MB);
    world.minute();
    assert!(!world.is_open("10086"));
    world.edit_and(&Edit::Reset(vec![port("10086")]), After::Crash, |_| ()).unwrap();
    assert_eq!(words(&world.minute()), [""; 0]);
    assert!(world.is_open("10086") && world.packet("10086", IN, 1500));
}

#[test]
fn applying_twice_is_applying_once() {
    let mut world = World::with_port("10086", 10 * MB);
    let applies = world.kernel.applies();
    world.flow("10086", IN, 3 * MB);
    world.minutes(5);
    assert_eq!(world.kernel.applies(), applies, "a quiet minute touches nothing");
    world.flow("10086", IN, 20 * MB);
    world.minutes(5);
    assert_eq!(world.kernel.applies(), applies + 1, "the block, once");
}
