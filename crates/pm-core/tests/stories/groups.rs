//! Ports that share one quota.

use pm_core::config::GroupId;
use pm_core::edit::{Edit, EditError, Note, Settings};
use pm_core::event::Event;
use pm_core::quota::Mode;
use pm_core::reset::ResetDay;
use pm_core::units::Bytes;

use crate::world::{
    IN, MB, OUT, World, in_group, in_no_group, limit_of, mode_of, port, quota_of, reset_on, time, words,
};

/// Ports 1000, 2000 and 3000 share 10 MB.
fn world() -> World {
    let mut world = World::new();
    world.add("2000", &Settings { reset_day: Some(ResetDay::new(1)), ..joined(quota_of(10 * MB)) });
    world.add("3000", &in_group("home"));
    world.add("1000", &in_group("home"));
    world
}

fn joined(settings: Settings) -> Settings {
    Settings { group: in_group("home").group, ..settings }
}

#[test]
fn a_group_shares_one_quota_and_one_block() {
    let mut world = world();
    let mut passed = 0;
    for (name, direction) in [("1000", IN), ("2000", OUT), ("3000", IN)] {
        passed += world.flow(name, direction, 4 * MB);
    }
    assert!(passed < 10 * MB && 10 * MB - passed <= 1500, "{passed}");
    let told = world.minute();
    assert_eq!(words(&told), ["warning 100", "blocked"], "once for all of them");
    let Event::Blocked { subject, reset_day } = &told[1] else { panic!() };
    assert_eq!(subject.ports, ["1000", "2000", "3000"].map(port));
    assert_eq!((subject.group.as_deref(), *reset_day), (Some("home"), Some(1)));
    for name in ["1000", "2000", "3000"] {
        assert!(!world.is_open(name) && !world.packet(name, OUT, 40), "{name}");
    }
    assert_eq!(words(&world.minutes(3)), [""; 0]);
}

#[test]
fn each_member_keeps_its_own_counters() {
    let mut world = world();
    world.flow("1000", IN, MB);
    world.flow("3000", OUT, 2 * MB);
    world.minute();
    let (first, third) = (world.view("1000"), world.view("3000"));
    assert_eq!((first.in_bytes, first.out_bytes), (Bytes(MB), Bytes(0)));
    assert_eq!((third.in_bytes, third.out_bytes), (Bytes(0), Bytes(2 * MB)));
    assert_eq!((first.used_bytes, third.used_bytes), (Bytes(3 * MB), Bytes(3 * MB)));
    assert_eq!(first.percent, third.percent);
}

#[test]
fn a_setting_of_one_member_is_set_for_all_and_said_so() {
    let mut world = world();
    let notes = world.set("2000", &quota_of(20 * MB));
    assert_eq!(
        notes[0].to_string(),
        "quota, mode and reset day now hold for all of group `home`: 1000, 2000, 3000"
    );
    world.set("3000", &mode_of(Mode::OutOnly));
    world.set("1000", &reset_on(7));
    for name in ["1000", "2000", "3000"] {
        let settings = &world.load().config.ports[&port(name)];
        assert_eq!((settings.quota, settings.mode), (Some(Bytes(20 * MB)), Mode::OutOnly), "{name}");
        assert_eq!(settings.reset_day, ResetDay::new(7), "{name}");
    }
    assert_eq!(world.set("2000", &limit_of(None)), [], "a limit is a member's own");
}

#[test]
fn who_joins_takes_on_what_the_group_has_and_cannot_differ() {
    let mut world = world();
    world.add("4000", &quota_of(5 * MB));
    let change = Settings { quota: quota_of(7 * MB).quota, ..in_group("home") };
    let error = world.edit(&Edit::Set(port("4000"), change)).unwrap_err();
    let EditError::GroupDiffers { field, given, present, member, .. } = &error else { panic!("{error}") };
    assert_eq!((*field, given.as_str(), present.as_str()), ("quota", "7 MB", "10 MB"));
    assert_eq!(*member, port("1000"));
    world.set("4000", &in_group("home"));
    let settings = &world.load().config.ports[&port("4000")];
    assert_eq!((settings.quota, settings.reset_day), (Some(Bytes(10 * MB)), ResetDay::new(1)));
    for (settings, word) in [
        (mode_of(Mode::OutOnly), "mode out_only, because the group has both"),
        (reset_on(5), "reset day 5, because the group has 1"),
        (reset_on(0), "reset day 0, because the group has 1"),
    ] {
        let error = world.edit(&Edit::Add(port("5000"), joined(settings))).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn who_joins_brings_along_what_it_used() {
    let mut world = world();
    world.add("4000", &quota_of(100 * MB));
    world.flow("4000", IN, 12 * MB);
    world.minute();
    world.set("4000", &in_group("home"));
    for name in ["1000", "4000"] {
        assert!(!world.is_open(name), "{name}");
    }
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
}

#[test]
fn who_leaves_keeps_the_quota_as_its_own_and_takes_its_usage_along() {
    let mut world = world();
    world.flow("1000", IN, 6 * MB);
    world.flow("2000", IN, 6 * MB);
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
    world.set("1000", &in_no_group());
    assert_eq!((world.used("1000"), world.view("1000").quota_bytes), (6 * MB, Some(Bytes(10 * MB))));
    assert!(world.used("2000") < 4 * MB);
    for name in ["1000", "2000", "3000"] {
        assert!(world.is_open(name) && world.packet(name, IN, 1500), "{name}");
    }
    assert_eq!(words(&world.minute()), [""; 0], "60 % was told as part of the group");
    world.flow("1000", IN, 3 * MB);
    assert_eq!(words(&world.minute()), ["warning 80"]);
}

#[test]
fn a_group_is_reset_once_as_a_whole() {
    let mut world = world();
    for name in ["1000", "2000", "3000"] {
        world.flow(name, IN, MB);
    }
    world.now = time("2026-02-01T00:00:10", "");
    assert_eq!(words(&world.minutes(3)), ["reset"]);
    for name in ["1000", "2000", "3000"] {
        assert_eq!(world.view(name).in_bytes, Bytes(0), "{name}");
    }
}

#[test]
fn a_reset_of_some_members_says_that_the_usage_of_the_others_stays() {
    let mut world = world();
    world.flow("1000", IN, 6 * MB);
    world.flow("2000", IN, 6 * MB);
    world.minute();
    let notes = world.reset(&["1000"]);
    let left = vec![port("2000"), port("3000")];
    assert_eq!(notes, [Note::UsageStays { group: GroupId::new("home").unwrap(), left }]);
    assert!(world.is_open("1000") && world.used("1000") < 4 * MB);
    assert_eq!(world.reset(&["1000", "2000", "3000"]), []);
    assert_eq!(world.used("2000"), 0);
}

#[test]
fn a_lower_port_that_joins_and_a_lowest_one_that_goes_change_nothing_for_the_others() {
    let mut world = world();
    world.flow("2000", IN, 4 * MB);
    world.add("500", &in_group("home"));
    world.flow("500", IN, MB);
    assert_eq!(world.used("2000"), 5 * MB);
    let passed = world.flow("3000", IN, 9 * MB);
    assert!(passed < 5 * MB && 5 * MB - passed <= 1500, "{passed}");
    world.minute();
    world.remove(&["500"]);
    assert!(world.is_open("2000"), "what 500 used left with it");
    let passed = world.flow("2000", IN, 9 * MB);
    assert!(passed < MB + 1500, "{passed}");
}

#[test]
fn members_that_differ_in_a_file_follow_the_lowest_even_after_an_edit_of_another() {
    let mut world = World::new();
    world.file = br#"{"ports": {
        "10086": {"quota_gb": 5, "reset_day": 3, "group_id": "home"},
        "30000": {"quota_gb": 7, "quota_mode": "out_only", "group_id": "home"}}}"#
        .to_vec();
    world.run();
    world.set("30000", &Settings { comment: Some("changed".into()), ..Settings::default() });
    for name in ["10086", "30000"] {
        let view = world.view(name);
        assert_eq!(
            (view.quota_bytes, view.mode, view.reset_day),
            (Some(Bytes(5 << 30)), Mode::Both, 3),
            "{name}"
        );
    }
    world.set("30000", &in_no_group());
    assert_eq!(world.view("30000").quota_bytes, Some(Bytes(5 << 30)), "it leaves with what held for it");
}

#[test]
fn a_new_group_is_founded_by_a_port_with_its_own_settings() {
    let mut world = World::with_port("10086", 10 * MB);
    world.flow("10086", IN, 6 * MB);
    assert_eq!(words(&world.minute()), ["warning 50"]);
    world.set("10086", &in_group("new"));
    assert_eq!((world.used("10086"), world.view("10086").quota_bytes), (6 * MB, Some(Bytes(10 * MB))));
    assert_eq!(words(&world.minute()), [""; 0], "it is not told twice because it moved");
    let error = world.edit(&Edit::Add(port("5"), in_group("other"))).unwrap_err();
    assert_eq!(error, EditError::NoQuota(port("5")), "a new group needs a quota");
}
