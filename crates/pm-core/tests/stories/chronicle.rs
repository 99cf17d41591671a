//! What happened to an entry in its present cycle.

use pm_core::chronicle::{Happening, What};
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::Edit;
use pm_core::units::Rate;

use crate::world::{MB, OUT, World, in_group, port, quota_of, reset_on};

const POLICY: DynQosPolicy =
    DynQosPolicy { trigger: Rate::mbps(8), minutes: 1, penalty: Rate::mbps(1), duration: 2 };
const PUNISHED: What = What::Punished { penalty: Rate::mbps(1), minutes: 2 };
/// Above the trigger for a minute.
const BURST: u64 = 61 * MB;

fn happenings(world: &World, name: &str) -> Vec<Happening> {
    let chronicles = world.load().state.chronicles;
    chronicles.get(&port(name)).map(|chronicle| chronicle.happenings().to_vec()).unwrap_or_default()
}

fn kinds(world: &World, name: &str) -> Vec<What> {
    happenings(world, name).into_iter().map(|happening| happening.what).collect()
}

#[test]
fn what_is_told_of_an_entry_is_kept_with_it_until_its_next_cycle() {
    let mut world = World::with_port("443", 120 * MB);
    world.set("443", &reset_on(1));
    world.edit(&Edit::DynQos(port("443"), Some(POLICY))).unwrap();
    assert_eq!(kinds(&world, "443"), []);
    world.flow("443", OUT, BURST);
    world.minute();
    assert_eq!(kinds(&world, "443"), [PUNISHED, What::Warning { level: 50 }]);
    assert_eq!(happenings(&world, "443")[0].at, world.now.timestamp());
    world.minutes(2);
    world.flow("443", OUT, BURST);
    world.minute();
    let rest = [What::Recovered, PUNISHED, What::Warning { level: 100 }, What::Blocked];
    assert_eq!(kinds(&world, "443")[2..], rest);

    world.clock("2026-02-01T00:00:10");
    world.run();
    assert_eq!(kinds(&world, "443"), [What::Reset]);
    assert_eq!(happenings(&world, "443")[0].at, world.now.timestamp());
    world.flow("443", OUT, BURST);
    world.minute();
    assert_eq!(kinds(&world, "443")[0], What::Reset, "it stands at the head of its cycle");
    assert_eq!(kinds(&world, "443").last(), Some(&What::Warning { level: 50 }));
}

#[test]
fn a_reset_by_hand_begins_anew_for_those_that_were_named() {
    let mut world = World::with_port("443", 100 * MB);
    for name in ["80", "443"] {
        if name == "80" {
            world.add(name, &quota_of(100 * MB));
        }
        world.set(name, &in_group("g"));
    }
    world.flow("80", OUT, 60 * MB);
    world.minute();
    for name in ["80", "443"] {
        assert_eq!(kinds(&world, name), [What::Warning { level: 50 }], "it is the group's quota");
    }
    world.wait(60);
    world.reset(&["443"]);
    assert_eq!(kinds(&world, "443"), [What::Reset]);
    assert_eq!(kinds(&world, "80"), [What::Warning { level: 50 }]);
    world.remove(&["443"]);
    world.add("443", &quota_of(MB));
    assert_eq!(kinds(&world, "443"), [], "a new entry has no past");
}

#[test]
fn switching_the_penalty_off_ends_a_punishment() {
    let mut world = World::with_port("443", 1000 * MB);
    world.edit(&Edit::DynQos(port("443"), Some(POLICY))).unwrap();
    world.flow("443", OUT, BURST);
    world.minute();
    world.edit(&Edit::DynQos(port("443"), None)).unwrap();
    world.edit(&Edit::DynQos(port("443"), Some(POLICY))).unwrap();
    assert_eq!(kinds(&world, "443"), [PUNISHED, What::Recovered]);
}
