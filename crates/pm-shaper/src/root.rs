//! Whose root queueing discipline it is: only ours is changed, and only nobody's or a harmless one is replaced.

use pm_core::port::ClassId;

use crate::handle::Handle;
use crate::standing::{Qdisc, Standing};

/// Kinds that order packets and hold none back: whoever set one loses nothing while ours stands.
const HARMLESS: [&str; 11] =
    ["bfifo", "codel", "fq", "fq_codel", "fq_pie", "mq", "noqueue", "pfifo", "pfifo_fast", "pie", "sfq"];

/// Kinds whose classes somebody made one by one. Without them such a root would hold up traffic, so it is not put back.
const MADE_OF_CLASSES: [&str; 6] = ["cbq", "drr", "hfsc", "htb", "qfq", "taprio"];

/// Who set the root of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root<'a> {
    /// The kernel.
    Default,
    /// Somebody, but it shapes nothing.
    Harmless(&'a Qdisc),
    /// Somebody, on purpose: this is the part that shapes.
    Shaped(&'a Qdisc),
    /// The shell script that came before this program.
    Script,
    /// This program.
    Ours,
}

impl<'a> Root<'a> {
    /// Judges what stands on an interface. `recorded` says whether it was noted that we took it.
    pub(crate) fn of(standing: &'a Standing, recorded: bool) -> Self {
        let Some(root) = standing.below(Handle::ROOT) else { return Self::Default };
        if root.handle == Handle::NONE {
            return Self::Default;
        }
        let is_htb = root.kind == "htb" && root.handle == Handle::OURS;
        match root.htb_default().filter(|_| is_htb) {
            Some(0) if recorded => return Self::Ours,
            Some(class) if class == u32::from(ClassId::RESERVED) && !standing.classes.is_empty() => {
                return Self::Script;
            }
            _ => {}
        }
        let somebodys = || chosen(standing).filter(|qdisc| !HARMLESS.contains(&qdisc.kind.as_str()));
        // The outermost one tells its owner the most.
        let shaping = somebodys().find(|qdisc| qdisc.parent == Handle::ROOT).or_else(|| somebodys().next());
        shaping.map_or(Self::Harmless(root), Self::Shaped)
    }
}

/// What is to be put back when ours is taken away, outermost first.
pub(crate) fn memorable(standing: &Standing) -> Vec<Qdisc> {
    let is_made_of_classes = |qdisc: &&Qdisc| MADE_OF_CLASSES.contains(&qdisc.kind.as_str());
    let mut ordered: Vec<Qdisc> = chosen(standing)
        .filter(|qdisc| qdisc.parent == Handle::ROOT && !is_made_of_classes(qdisc))
        .cloned()
        .collect();
    let mut next = 0;
    while let Some(outer) = ordered.get(next) {
        let major = outer.handle.major();
        let inner =
            chosen(standing).filter(|qdisc| qdisc.parent != Handle::ROOT && qdisc.parent.major() == major);
        // One that names itself as its parent must not go round for ever.
        let new: Vec<Qdisc> = inner.filter(|qdisc| !ordered.contains(qdisc)).cloned().collect();
        ordered.extend(new);
        next += 1;
    }
    ordered
}

/// What somebody set for the packets that leave.
fn chosen(standing: &Standing) -> impl Iterator<Item = &Qdisc> {
    standing.qdiscs.iter().filter(|qdisc| qdisc.handle != Handle::NONE && qdisc.parent != Handle::INGRESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standing::Class;

    fn qdisc(kind: &str, handle: &str, parent: &str) -> Qdisc {
        let (handle, parent) = (handle.parse().unwrap(), parent.parse().unwrap());
        Qdisc { interface: 2, handle, parent, kind: kind.to_owned(), options: Vec::new() }
    }

    fn htb(default: u32) -> Qdisc {
        let mut options = [28_u16.to_ne_bytes(), 2_u16.to_ne_bytes()].concat();
        for word in [3, 10, default, 0, 0, 0] {
            options.extend(u32::to_ne_bytes(word));
        }
        Qdisc { options, ..qdisc("htb", "1:", "root") }
    }

    fn standing(qdiscs: &[Qdisc]) -> Standing {
        Standing { qdiscs: qdiscs.to_vec(), classes: Vec::new() }
    }

    fn with_class(qdiscs: &[Qdisc]) -> Standing {
        let id = Handle::new(1, 0xfffe);
        let class = Class { id, parent: Handle::ROOT, rate: 1, ceil: 1, buffer: 1, cbuffer: 1, quantum: 1 };
        Standing { classes: vec![class], ..standing(qdiscs) }
    }

    #[test]
    fn what_the_kernel_set_by_itself_is_nobodys() {
        for qdiscs in [
            vec![],
            vec![qdisc("noqueue", "0:", "root")],
            vec![qdisc("mq", "0:", "root"), qdisc("fq", "0:", "0:1")],
            vec![qdisc("pfifo_fast", "0:", "root"), qdisc("clsact", "ffff:", "ffff:fff1")],
        ] {
            let standing = standing(&qdiscs);
            assert_eq!(Root::of(&standing, false), Root::Default, "{qdiscs:?}");
            assert_eq!(memorable(&standing), [], "{qdiscs:?}");
        }
    }

    #[test]
    fn what_only_orders_packets_is_remembered_with_what_is_below_it() {
        let fq = qdisc("fq", "8001:", "root");
        assert_eq!(Root::of(&standing(std::slice::from_ref(&fq)), false), Root::Harmless(&fq));
        let below = qdisc("fq_codel", "8002:", "7:1");
        let mq = qdisc("mq", "7:", "root");
        let ingress = qdisc("ingress", "ffff:", "ffff:fff1");
        let standing = standing(&[below.clone(), ingress, mq.clone(), qdisc("fq", "0:", "7:2")]);
        assert_eq!(Root::of(&standing, false), Root::Harmless(&mq));
        assert_eq!(memorable(&standing), [mq, below]);
    }

    #[test]
    fn what_somebody_shaped_is_theirs() {
        for kind in ["cake", "tbf", "hfsc", "netem", "prio", "drr", "ets", "htb", "anything"] {
            let root = qdisc(kind, "1:", "root");
            assert_eq!(Root::of(&standing(std::slice::from_ref(&root)), true), Root::Shaped(&root), "{kind}");
        }
        let tbf = qdisc("tbf", "8002:", "7:1");
        let standing = standing(&[qdisc("mq", "7:", "root"), tbf.clone()]);
        assert_eq!(Root::of(&standing, true), Root::Shaped(&tbf));
    }

    #[test]
    fn classes_cannot_be_put_back_and_so_their_root_is_not() {
        assert_eq!(memorable(&standing(&[htb(0x30), qdisc("tbf", "8002:", "1:30")])), []);
        assert_eq!(memorable(&standing(&[qdisc("cake", "1:", "root")])).len(), 1);
    }

    #[test]
    fn ours_is_ours_only_while_it_is_on_record() {
        assert_eq!(Root::of(&standing(&[htb(0)]), true), Root::Ours);
        assert!(matches!(Root::of(&standing(&[htb(0)]), false), Root::Shaped(_)));
        assert!(matches!(Root::of(&standing(&[htb(0x30)]), true), Root::Shaped(_)));
    }

    #[test]
    fn the_scripts_root_is_known_by_its_default_class() {
        assert_eq!(Root::of(&with_class(&[htb(0xfffe)]), false), Root::Script);
        assert!(matches!(Root::of(&standing(&[htb(0xfffe)]), false), Root::Shaped(_)));
        assert!(matches!(Root::of(&with_class(&[htb(1)]), false), Root::Shaped(_)));
    }

    #[test]
    fn a_queue_that_is_its_own_parent_ends_the_search() {
        let odd = qdisc("mq", "7:", "root");
        let own = qdisc("fq", "7:", "7:1");
        assert_eq!(memorable(&standing(&[odd.clone(), own.clone()])), [odd, own]);
    }
}
