//! What holds of whatever the kernel may say of queueing disciplines and classes, for those who try it out with bytes
//! that it would not send.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use std::collections::{BTreeMap, BTreeSet};

use pm_core::port::ClassId;
use pm_core::units::Rate;
use pm_kernel::netlink::Replies;

use crate::difference::{Plan, Step, difference};
use crate::handle::Handle;
use crate::leaf::Abilities;
use crate::root::{Root, memorable};
use crate::standing::{Class, Qdisc, Standing, classes, link, qdiscs};

/// `struct nlmsghdr` and `struct tcmsg`: whatever is found in an answer has both in front.
const HEADERS: usize = 36;
/// Our classes are taken away, made, given a line and then what is behind it.
const MOST_ROUNDS: usize = 3;
/// Handles that the kernel gives by itself begin here.
const FIRST_FREE: u16 = 0x8000;

/// Reads an answer as everything that is ever asked for, and makes of what was read what is desired.
pub fn traffic(bytes: &[u8]) {
    let replies = Replies::from_bytes(bytes);
    let mtu = link(&replies).map_or(1500, |link| link.mtu);
    let standing = Standing { qdiscs: qdiscs(&replies), classes: classes(&replies) };
    let size: usize = standing.qdiscs.iter().map(|qdisc| qdisc.kind.len() + qdisc.options.len()).sum();
    let count = standing.qdiscs.len() + standing.classes.len();
    assert!(size + count * HEADERS <= bytes.len(), "something was made up");
    for qdisc in &standing.qdiscs {
        let again = qdiscs(&sent(&[qdisc.restore(qdisc.interface).as_reply()]));
        assert_eq!(again, std::slice::from_ref(qdisc), "it is set otherwise than it was read");
    }
    is_judged(&standing);
    let wanted = [(80, 1), (443, 20), (10086, 2_000), (0xfffd, 1_000_000)];
    let desired: BTreeMap<ClassId, Rate> = wanted
        .into_iter()
        .filter_map(|(port, mbps)| Some((ClassId::from_minor(port)?, Rate::mbps(mbps))))
        .collect();
    for (tbf, fq_codel) in [(true, true), (true, false), (false, true), (false, false)] {
        let abilities = Abilities { tbf, fq_codel };
        touches_ours_alone(&standing, &desired, mtu, abilities);
        if is_plausible(&standing) {
            comes_to_rest(standing.clone(), &desired, mtu, abilities);
            comes_to_rest(standing.clone(), &BTreeMap::new(), mtu, abilities);
        }
    }
}

fn sent(messages: &[Vec<u8>]) -> Replies {
    Replies::from_bytes(messages.concat())
}

/// Nobody's classes are ours, and what is put back stood there.
fn is_judged(standing: &Standing) {
    for recorded in [false, true] {
        let root = Root::of(standing, recorded);
        let is_htb = standing.below(Handle::ROOT).is_some_and(|root| root.kind == "htb");
        assert!(is_htb || !matches!(root, Root::Ours | Root::Script), "this root was not made by pm");
        assert!(recorded || root != Root::Ours, "what was not noted is not ours");
    }
    let kept = memorable(standing);
    assert!(kept.len() <= standing.qdiscs.len());
    assert!(kept.iter().all(|qdisc| standing.qdiscs.contains(qdisc) && qdisc.handle != Handle::NONE));
}

/// A step goes to a class that is desired, to the line below it, or takes away a class of our root.
fn touches_ours_alone(
    standing: &Standing,
    desired: &BTreeMap<ClassId, Rate>,
    mtu: u32,
    abilities: Abilities,
) {
    let wanted: BTreeSet<Handle> = desired.keys().map(|&class| Handle::from(class)).collect();
    let lines = standing.qdiscs.iter().filter(|qdisc| wanted.contains(&qdisc.parent));
    let inner: BTreeSet<Handle> = lines.map(|line| line.handle.only_class()).collect();
    for step in difference(standing, desired, mtu, abilities).steps {
        let place = step.place();
        let is_ours = match step {
            Step::DeleteClass(_) => standing.classes.iter().any(|class| class.id == place),
            Step::SetClass(..) | Step::SetLine(..) | Step::ClearLeaf(_) => wanted.contains(&place),
            Step::SetFqCodel(_) => wanted.contains(&place) || inner.contains(&place),
            Step::ClearRoot | Step::SetRoot => false,
        };
        assert!(is_ours, "{step} at {place}");
    }
}

/// Whether a kernel could have it so: a handle names one thing, and one thing is at a place.
fn is_plausible(standing: &Standing) -> bool {
    fn are_different(mut handles: impl Iterator<Item = Handle>) -> bool {
        let mut seen = BTreeSet::new();
        handles.all(|handle| seen.insert(handle))
    }
    let below = |qdisc: &&Qdisc| qdisc.parent != Handle::ROOT;
    are_different(standing.qdiscs.iter().map(|qdisc| qdisc.handle))
        && are_different(standing.qdiscs.iter().map(|qdisc| qdisc.parent))
        && are_different(standing.classes.iter().map(|class| class.id))
        && standing.qdiscs.iter().all(|qdisc| qdisc.handle.minor() == 0)
        && standing
            .qdiscs
            .iter()
            .filter(below)
            .all(|qdisc| qdisc.handle.major() != Handle::OURS.major() && qdisc.handle.major() < FIRST_FREE)
}

/// Taking the steps comes to what is desired, and then there is none left to take.
fn comes_to_rest(mut standing: Standing, desired: &BTreeMap<ClassId, Rate>, mtu: u32, abilities: Abilities) {
    let mut free = FIRST_FREE..;
    for _ in 0..MOST_ROUNDS {
        let Plan { steps, goes_on } = difference(&standing, desired, mtu, abilities);
        if steps.is_empty() {
            assert!(!goes_on, "it is said that more follows, and nothing does");
            let classes: BTreeSet<Handle> = standing.classes.iter().map(|class| class.id).collect();
            assert_eq!(classes, desired.keys().map(|&class| Handle::from(class)).collect());
            return;
        }
        for step in &steps {
            take(&mut standing, step, &mut free);
        }
    }
    let steps = difference(&standing, desired, mtu, abilities).steps;
    assert!(steps.is_empty(), "it never comes to rest: {steps:?}");
}

/// What a kernel makes of a step. It reads the message that it would be sent.
fn take(standing: &mut Standing, step: &Step, free: &mut impl Iterator<Item = u16>) {
    let replies = sent(&[step.order(7).as_reply()]);
    match *step {
        Step::DeleteClass(id) => {
            clear(standing, id);
            standing.classes.retain(|class| class.id != id);
        }
        Step::SetClass(id, _) => {
            let [class] = classes(&replies)[..] else { panic!("{step:?} is no class") };
            assert_eq!(class.id, id);
            let there = standing.classes.iter_mut().find(|class| class.id == id);
            let new = Class { parent: Handle::ROOT, ..class };
            match there {
                Some(there) => *there = new,
                None => standing.classes.push(new),
            }
        }
        Step::SetLine(place, _) | Step::SetFqCodel(place) => {
            let Some(new) = qdiscs(&replies).pop() else { panic!("{step:?} is no queueing discipline") };
            assert_eq!(new.parent, place);
            if let Some(there) =
                standing.qdiscs.iter_mut().find(|there| there.parent == place && there.kind == new.kind)
            {
                there.options = new.options;
                return;
            }
            clear(standing, place);
            let Some(major) = free.next() else { panic!("there are no handles left") };
            standing.qdiscs.push(Qdisc { handle: Handle::new(major, 0), ..new });
        }
        Step::ClearLeaf(place) => clear(standing, place),
        Step::ClearRoot | Step::SetRoot => panic!("{step:?} is for nobody's root"),
    }
}

/// Takes away what is below a class, and what is below that.
fn clear(standing: &mut Standing, place: Handle) {
    let mut majors = Vec::new();
    standing.qdiscs.retain(|qdisc| {
        let goes = qdisc.parent == place;
        if goes {
            majors.push(qdisc.handle.major());
        }
        !goes
    });
    while let Some(major) = majors.pop() {
        standing.qdiscs.retain(|qdisc| {
            let goes = qdisc.parent != Handle::ROOT && qdisc.parent.major() == major;
            if goes {
                majors.push(qdisc.handle.major());
            }
            !goes
        });
    }
}
