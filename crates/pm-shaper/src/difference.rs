//! What has to be done so that what stands becomes what is desired, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pm_core::port::ClassId;
use pm_core::units::Rate;

use crate::bucket::Bucket;
use crate::handle::Handle;
use crate::leaf::{Abilities, Leaf, Line};
use crate::standing::{Class, Qdisc, Standing};

/// The kernel rounds a bucket's time by a tick or so. What an earlier version of pm set by `tc`, which rounds it by up to
/// a microsecond, is as desired, too.
const ROUNDING_TICKS: u64 = 32;

/// One change of what stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Takes away the root that stands.
    ClearRoot,
    /// Puts our root into the place of whatever stands there.
    SetRoot,
    /// Takes away a class with all that is in it.
    DeleteClass(Handle),
    /// Makes a class, or changes its rate under the traffic that is in it.
    SetClass(Handle, Bucket),
    /// Makes a line below a class, or changes it under the traffic that is in it.
    SetLine(Handle, Line),
    /// Sets an `fq_codel` below a class or a line.
    SetFqCodel(Handle),
    /// Gives a class the kernel's own queue again.
    ClearLeaf(Handle),
}

impl Step {
    /// The kind of queueing discipline that it sets, which this kernel may not have.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        match self {
            Self::SetRoot => Some("htb"),
            Self::SetLine(..) => Some("tbf"),
            Self::SetFqCodel(_) => Some("fq_codel"),
            Self::ClearRoot | Self::DeleteClass(_) | Self::SetClass(..) | Self::ClearLeaf(_) => None,
        }
    }

    /// What it happens to: a class, the class of a line, or an interface.
    pub(crate) fn place(&self) -> Handle {
        match *self {
            Self::ClearRoot | Self::SetRoot => Handle::ROOT,
            Self::DeleteClass(class)
            | Self::SetClass(class, _)
            | Self::SetLine(class, _)
            | Self::SetFqCodel(class)
            | Self::ClearLeaf(class) => class,
        }
    }
}

impl fmt::Display for Step {
    /// What does not happen when the kernel refuses it. A class is named after the port that it is for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        let port = || format!("the limit of port {} (class {place})", place.minor());
        match self {
            Self::ClearRoot => f.write_str("what stood there before cannot be taken away"),
            Self::SetRoot => f.write_str("the root of the limits cannot be set"),
            Self::DeleteClass(_) => write!(f, "{} cannot be taken away", port()),
            Self::SetClass(..) => write!(f, "{} cannot be set", port()),
            Self::SetLine(..) | Self::SetFqCodel(_) => {
                let kind = self.kind().unwrap_or_default();
                write!(f, "`{kind}` cannot be set as the queue of {place}")
            }
            Self::ClearLeaf(_) => write!(f, "the queue of {place} cannot be taken away"),
        }
    }
}

/// The steps from what stands to what is desired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// None says that all is as desired.
    pub(crate) steps: Vec<Step>,
    /// Whether there are more that only become known when these are done.
    pub(crate) goes_on: bool,
}

/// The plan from what stands below our root to these classes.
pub(crate) fn difference(
    standing: &Standing,
    desired: &BTreeMap<ClassId, Rate>,
    mtu: u32,
    abilities: Abilities,
) -> Plan {
    let standing_classes: BTreeMap<Handle, &Class> =
        standing.classes.iter().map(|class| (class.id, class)).collect();
    let desired: BTreeMap<Handle, Bucket> =
        desired.iter().map(|(&id, &rate)| (Handle::from(id), Bucket::of(rate))).collect();
    let leaves: BTreeMap<Handle, &Qdisc> =
        standing.qdiscs.iter().map(|qdisc| (qdisc.parent, qdisc)).collect();

    // A class below another one shares its rate, and HTB cannot move it.
    let misplaced = |class: &Class| class.parent != Handle::ROOT;
    let unwanted: BTreeSet<Handle> = standing_classes
        .values()
        .filter(|class| misplaced(class) || !desired.contains_key(&class.id))
        .map(|class| class.id)
        .collect();
    let mut steps: Vec<Step> =
        innermost_first(&unwanted, &standing_classes).into_iter().map(Step::DeleteClass).collect();

    let mut goes_on = false;
    // A class has its queue before the next one is made, so that its first packets are in it.
    let kept = |id: &Handle| standing_classes.get(id).filter(|_| !unwanted.contains(id));
    for (&id, &bucket) in &desired {
        if !kept(&id).is_some_and(|class| is_as_desired(class, bucket)) {
            steps.push(Step::SetClass(id, bucket));
        }
        let leaf = kept(&id).and_then(|_| leaves.get(&id)).copied();
        let below = leaf.and_then(|leaf| leaves.get(&leaf.handle.only_class()).copied());
        let (step, more) = leaf_step(id, Leaf::of(bucket, mtu, abilities), leaf, below);
        steps.extend(step);
        goes_on |= more;
    }
    Plan { steps, goes_on }
}

/// HTB does not delete a class that has classes below it.
fn innermost_first(unwanted: &BTreeSet<Handle>, standing: &BTreeMap<Handle, &Class>) -> Vec<Handle> {
    let depth = |id: &Handle| {
        let parent = |id: &Handle| standing.get(id).map(|class| class.parent);
        // HTB has eight levels; whatever claims to be deeper goes round.
        std::iter::successors(Some(*id), parent).take(16).count()
    };
    let mut ordered: Vec<Handle> = unwanted.iter().copied().collect();
    ordered.sort_by_key(|id| std::cmp::Reverse(depth(id)));
    ordered
}

fn is_as_desired(class: &Class, bucket: Bucket) -> bool {
    let ticks = bucket.ticks();
    let is_full_after = |buffer: u32| u64::from(buffer).abs_diff(ticks) <= ROUNDING_TICKS + ticks / 100;
    class.rate == bucket.rate
        && class.ceil == bucket.rate
        && class.quantum == bucket.quantum
        && is_full_after(class.buffer)
        && is_full_after(class.cbuffer)
}

/// At most one step at a time, and whether another one follows: the handle of a line is known only when it stands.
fn leaf_step(
    class: Handle,
    desired: Leaf,
    standing: Option<&Qdisc>,
    below: Option<&Qdisc>,
) -> (Option<Step>, bool) {
    let is = |qdisc: Option<&Qdisc>, kind: &str| qdisc.is_some_and(|qdisc| qdisc.kind == kind);
    match (desired, standing) {
        (Leaf::Default, standing) => (standing.map(|_| Step::ClearLeaf(class)), false),
        (Leaf::FqCodel, standing) => ((!is(standing, "fq_codel")).then_some(Step::SetFqCodel(class)), false),
        (Leaf::Line { line, fq_codel }, Some(stands)) if stands.kind == "tbf" => {
            let lacks_codel = fq_codel && !is(below, "fq_codel");
            if stands.line() == Some(line) {
                (lacks_codel.then(|| Step::SetFqCodel(stands.handle.only_class())), false)
            } else {
                (Some(Step::SetLine(class, line)), lacks_codel)
            }
        }
        (Leaf::Line { line, fq_codel }, _) => (Some(Step::SetLine(class, line)), fq_codel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Abilities = Abilities { tbf: true, fq_codel: true };
    const PLAIN: Abilities = Abilities { tbf: false, fq_codel: false };
    /// That of 20 Mbit/s.
    const LINE_OF_20: Line = Line { limit: 500_000, largest: 1_600 };

    fn id(minor: u16) -> ClassId {
        ClassId::from_minor(minor).unwrap()
    }

    fn desired(classes: &[(u16, u64)]) -> BTreeMap<ClassId, Rate> {
        classes.iter().map(|&(minor, mbps)| (id(minor), Rate::mbps(mbps))).collect()
    }

    fn class(minor: u16, mbps: u64) -> Class {
        let bucket = Bucket::of(Rate::mbps(mbps));
        let ticks = u32::try_from(bucket.ticks()).unwrap();
        Class {
            id: Handle::new(1, minor),
            parent: Handle::ROOT,
            rate: bucket.rate,
            ceil: bucket.rate,
            buffer: ticks,
            cbuffer: ticks,
            quantum: bucket.quantum,
        }
    }

    fn below(parent: Handle, kind: &str, major: u16) -> Qdisc {
        let handle = Handle::new(major, 0);
        let mut options = Vec::new();
        if kind == "tbf" {
            options.extend([40_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
            options.extend([0; 24]);
            options.extend(LINE_OF_20.limit.to_ne_bytes());
            options.extend([0; 4]);
            options.extend(LINE_OF_20.largest.to_ne_bytes());
        }
        Qdisc { interface: 2, handle, parent, kind: kind.to_owned(), options }
    }

    fn steps(classes: &[Class], qdiscs: &[Qdisc], wanted: &[(u16, u64)], abilities: Abilities) -> Vec<Step> {
        let standing = Standing { qdiscs: qdiscs.to_vec(), classes: classes.to_vec() };
        difference(&standing, &desired(wanted), 1500, abilities).steps
    }

    fn goes_on(qdiscs: &[Qdisc], wanted: (u16, u64), abilities: Abilities) -> bool {
        let standing = Standing { qdiscs: qdiscs.to_vec(), classes: vec![class(5, 20)] };
        difference(&standing, &desired(&[wanted]), 1500, abilities).goes_on
    }

    fn set(minor: u16, mbps: u64) -> Step {
        Step::SetClass(Handle::new(1, minor), Bucket::of(Rate::mbps(mbps)))
    }

    #[test]
    fn what_stands_as_desired_is_left_alone() {
        let leaf = below(Handle::new(1, 5), "tbf", 0x8001);
        let inner = below(Handle::new(0x8001, 1), "fq_codel", 0x8002);
        assert_eq!(steps(&[class(5, 20)], &[leaf, inner], &[(5, 20)], ALL), []);
        assert_eq!(steps(&[class(5, 20)], &[], &[(5, 20)], PLAIN), []);
        let rounded =
            Class { buffer: class(5, 20).buffer + 16, cbuffer: class(5, 20).cbuffer - 1, ..class(5, 20) };
        assert_eq!(steps(&[rounded], &[], &[(5, 20)], PLAIN), []);
    }

    #[test]
    fn only_what_differs_is_touched() {
        let standing = [class(5, 20), class(6, 20), class(7, 20)];
        assert_eq!(
            steps(&standing, &[], &[(5, 20), (6, 30), (8, 1)], PLAIN),
            [Step::DeleteClass(Handle::new(1, 7)), set(6, 30), set(8, 1)]
        );
        for changed in [
            Class { ceil: 1, ..class(5, 20) },
            Class { quantum: 1, ..class(5, 20) },
            Class { buffer: 1, ..class(5, 20) },
            Class { cbuffer: 1, ..class(5, 20) },
        ] {
            assert_eq!(steps(&[changed], &[], &[(5, 20)], PLAIN), [set(5, 20)], "{changed:?}");
        }
    }

    #[test]
    fn what_is_refused_is_told_with_its_port() {
        let class = Handle::new(1, 0x2766);
        for (step, text) in [
            (set(0x2766, 1), "the limit of port 10086 (class 1:2766) cannot be set"),
            (Step::DeleteClass(class), "the limit of port 10086 (class 1:2766) cannot be taken away"),
            (Step::SetLine(class, LINE_OF_20), "`tbf` cannot be set as the queue of 1:2766"),
            (Step::SetFqCodel(class), "`fq_codel` cannot be set as the queue of 1:2766"),
            (Step::ClearLeaf(class), "the queue of 1:2766 cannot be taken away"),
            (Step::SetRoot, "the root of the limits cannot be set"),
        ] {
            assert_eq!(step.to_string(), text);
        }
    }

    #[test]
    fn a_class_below_another_is_made_anew_and_the_inner_ones_go_first() {
        let outer = class(5, 20);
        let inner = Class { parent: outer.id, ..class(6, 20) };
        let innermost = Class { parent: inner.id, ..class(3, 20) };
        assert_eq!(
            steps(&[innermost, inner, outer], &[], &[(6, 20)], PLAIN),
            [3, 6, 5]
                .map(|minor| Step::DeleteClass(Handle::new(1, minor)))
                .into_iter()
                .chain([set(6, 20)])
                .collect::<Vec<_>>()
        );
        let round = [
            Class { parent: Handle::new(1, 2), ..class(1, 1) },
            Class { parent: Handle::new(1, 1), ..class(2, 1) },
        ];
        assert_eq!(steps(&round, &[], &[], PLAIN).len(), 2);
    }

    #[test]
    fn more_follows_only_where_a_line_is_new_and_has_something_behind_it() {
        let leaf = below(Handle::new(1, 5), "tbf", 0x8001);
        let inner = below(Handle::new(0x8001, 1), "fq_codel", 0x8002);
        let only_tbf = Abilities { fq_codel: false, ..ALL };
        assert!(goes_on(&[], (5, 20), ALL) && goes_on(std::slice::from_ref(&leaf), (5, 100), ALL));
        assert!(!goes_on(&[], (5, 20), only_tbf) && !goes_on(&[], (5, 20), PLAIN));
        let both = [leaf, inner];
        assert!(!goes_on(&both[..1], (5, 20), ALL) && !goes_on(&both, (5, 100), ALL));
        assert!(!goes_on(&both, (5, 2000), ALL) && !goes_on(&both, (5, 20), ALL));
    }

    #[test]
    fn leaves_are_set_and_healed_one_level_at_a_time() {
        let class_id = Handle::new(1, 5);
        let line = Step::SetLine(class_id, LINE_OF_20);
        assert_eq!(steps(&[], &[], &[(5, 20)], ALL), [set(5, 20), line]);
        assert_eq!(steps(&[class(5, 20)], &[], &[(5, 20)], ALL), [line]);
        assert_eq!(steps(&[class(5, 20)], &[below(class_id, "pfifo", 9)], &[(5, 20)], ALL), [line]);
        let leaf = below(class_id, "tbf", 0x8001);
        assert_eq!(
            steps(&[class(5, 20)], std::slice::from_ref(&leaf), &[(5, 20)], ALL),
            [Step::SetFqCodel(Handle::new(0x8001, 1))]
        );
        assert_eq!(steps(&[class(5, 1)], std::slice::from_ref(&leaf), &[(5, 1)], ALL).len(), 1);
        let no_tbf = Abilities { tbf: false, ..ALL };
        assert_eq!(
            steps(&[class(5, 20)], std::slice::from_ref(&leaf), &[(5, 20)], no_tbf),
            [Step::SetFqCodel(class_id)]
        );
        assert_eq!(steps(&[class(5, 2000)], &[leaf], &[(5, 2000)], PLAIN), [Step::ClearLeaf(class_id)]);
    }
}
