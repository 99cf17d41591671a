//! Edits that are refused, and what they leave behind: nothing.

use pm_core::config::EntryError;
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::{Edit, EditError, InterfaceChoice, MOST_COMMENT, Settings};
use pm_core::units::{Bytes, Rate};

use crate::world::{IN, MB, World, limit_of, port, quota_of, unlimited, words};

const POLICY: DynQosPolicy =
    DynQosPolicy { trigger: Rate::mbps(100), minutes: 5, penalty: Rate::mbps(5), duration: 60 };

#[test]
fn an_edit_that_is_refused_changes_nothing_and_says_what_to_do() {
    let mut world = World::with_port("10086", 10 * MB);
    world.add("20000-20100", &quota_of(10 * MB));
    world.add("65534", &quota_of(10 * MB));
    world.flow("10086", IN, 5000);
    let comment = |length| Settings { comment: Some("长".repeat(length)), ..Settings::default() };
    let dynqos = |name, policy| Edit::DynQos(port(name), Some(policy));
    let none = Rate::default();
    let cases = [
        (Edit::Add(port("10086"), unlimited()), "port 10086 is metered already: change it with pm set 10086"),
        (Edit::Add(port("20050"), unlimited()), "20000-20100 is metered already and shares a port with it"),
        (Edit::Add(port("20100-20200"), unlimited()), "20000-20100 is metered already"),
        (Edit::Add(port("10000-11000"), unlimited()), "10086 is metered already"),
        (Edit::Add(port("5"), Settings::default()), "port 5 needs a quota: give --quota SIZE"),
        (Edit::Add(port("5"), quota_of(0)), "give more than 0"),
        (Edit::Add(port("5"), quota_of(u64::MAX)), "at most 1048576TB"),
        (Edit::Set(port("10086"), quota_of(0)), "give more than 0"),
        (Edit::Set(port("5"), unlimited()), "port 5 is not metered: pm list shows"),
        (Edit::Set(port("20050"), unlimited()), "it belongs to the range 20000-20100"),
        (Edit::Set(port("10086"), comment(MOST_COMMENT + 1)), "cannot have more than 200 characters"),
        (Edit::Set(port("65534"), limit_of(Some(Rate::mbps(5)))), "the class of port 65534 is reserved"),
        (Edit::Remove(vec![port("10086"), port("5")]), "port 5 is not metered"),
        (Edit::Reset(vec![port("10086"), port("5")]), "port 5 is not metered"),
        (Edit::DynQos(port("5"), None), "port 5 is not metered"),
        (dynqos("65534", POLICY), "the class of port 65534 is reserved"),
        (dynqos("10086", DynQosPolicy { trigger: none, ..POLICY }), "a trigger of 0"),
        (dynqos("10086", DynQosPolicy { penalty: none, ..POLICY }), "a penalty of 0"),
        (dynqos("10086", DynQosPolicy { minutes: 0, ..POLICY }), "give 1 to 1440 minutes in a row"),
        (dynqos("10086", DynQosPolicy { minutes: 1441, ..POLICY }), "minutes of 1441"),
        (dynqos("10086", DynQosPolicy { duration: 0, ..POLICY }), "give 1 to 525600 minutes"),
        (dynqos("10086", DynQosPolicy { duration: 525_601, ..POLICY }), "a duration of 525601"),
    ];
    let (file, applies) = (world.file.clone(), world.kernel.applies());
    for (change, said) in cases {
        let error = world.edit(&change).unwrap_err().to_string();
        assert!(error.contains(said), "{change:?}: {error}");
        assert!(!error.contains('\n'), "one sentence: {error}");
    }
    assert_eq!((world.file, world.kernel.applies()), (file, applies));
}

#[test]
fn a_port_that_is_named_twice_is_removed_once() {
    let mut world = World::with_port("10086", 10 * MB);
    world.remove(&["10086", "10086"]);
    assert!(world.load().config.ports.is_empty());
    let error = world.edit(&Edit::Remove(vec![port("10086")])).unwrap_err();
    assert_eq!(error, EditError::Entry(EntryError::Unknown(port("10086"))));
}

#[test]
fn the_port_of_the_reserved_class_may_be_metered_and_have_a_quota() {
    let mut world = World::with_port("65534", MB);
    world.set("65534", &limit_of(None));
    world.flow("65534", IN, 2 * MB);
    assert_eq!(words(&world.minute()), ["warning 100", "blocked"]);
    assert!(!world.is_open("65534"));
    world.add("65533", &unlimited());
    world.set("65533", &limit_of(Some(Rate::mbps(5))));
    world.add("65535", &unlimited());
    world.set("65535", &limit_of(Some(Rate::mbps(6))));
    let (below, above) = (world.speed("65533"), world.speed("65535"));
    assert_eq!((below, above), (Some(Rate::mbps(5)), Some(Rate::mbps(6))));
}

#[test]
fn what_is_not_named_stays_as_it_is() {
    let mut world = World::with_port("10086", 10 * MB);
    world.set("10086", &limit_of(Some(Rate::mbps(5))));
    world.edit(&Edit::DynQos(port("10086"), Some(POLICY))).unwrap();
    let before = world.load().config.ports[&port("10086")].clone();
    world.set("10086", &Settings::default());
    assert_eq!(world.load().config.ports[&port("10086")], before);
    world.set("10086", &Settings { comment: Some("长".repeat(MOST_COMMENT)), ..Settings::default() });
    let after = world.load().config.ports[&port("10086")].clone();
    assert_eq!((after.quota, after.limit, after.dynqos), (before.quota, before.limit, before.dynqos));
}

#[test]
fn an_interface_is_named_or_follows_the_default_route() {
    let mut world = World::with_port("10086", 10 * MB);
    world.set("10086", &limit_of(Some(Rate::mbps(5))));
    let choose = |name: Option<&str>, take_over| {
        Edit::Interface(InterfaceChoice { name: Some(name.map(String::from)), take_over })
    };
    world.edit(&choose(Some("wan0"), Some(true))).unwrap();
    let shaping = world.desired().shaping;
    assert_eq!((shaping.interface.as_deref(), shaping.take_over), (Some("wan0"), true));
    world.edit(&choose(None, None)).unwrap();
    let shaping = world.desired().shaping;
    assert_eq!((shaping.interface.as_deref(), shaping.take_over), (Some("eth0"), true));
}

#[test]
fn a_removed_port_leaves_nothing_behind() {
    let mut world = World::with_port("10086", MB);
    world.set("10086", &limit_of(Some(Rate::mbps(5))));
    world.flow("10086", IN, 2 * MB);
    world.minute();
    world.remove(&["10086"]);
    assert!(world.kernel.blocked().is_empty() && world.kernel.classes().is_empty());
    assert!(world.packet("10086", IN, 1500));
    let snapshot = world.load();
    assert!(snapshot.state.ports.is_empty() && snapshot.state.accounts.is_empty());
    world.add("10086", &quota_of(MB));
    assert_eq!((world.used("10086"), world.view("10086").quota_bytes), (0, Some(Bytes(MB))));
    assert_eq!(words(&world.minute()), [""; 0]);
}
