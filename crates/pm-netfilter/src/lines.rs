//! A ruleset as text, a line for each thing in it, so that what differs between two of them is found by comparing lines, and
//! no more than that is read and laid out: the rows of changes in docs/performance.md.

use std::collections::BTreeSet;
use std::mem;
use std::str::Split;

use pm_core::backend::{QuotaRule, Ruleset};
use pm_core::port::{ClassId, PortRange};
use pm_core::quota::Mode;
use pm_core::units::Bytes;

use crate::layout::WIDEST_EXPANDED;

/// What lines begin with. Those that begin alike stand together.
const METER: &str = "meter";
const BLOCK: &str = "block";
const QUOTA: &str = "quota";
const QUOTA_OUT: &str = "quota-out";
const CLASS: &str = "class";
const FORWARD: &str = "forward";

/// What only ranges have in them.
const BETWEEN: char = '_';

/// The lines of this ruleset.
pub(crate) fn of(ruleset: &Ruleset) -> String {
    let mut text = Text::default();
    for &entry in &ruleset.metered {
        text.line(METER).entry(entry);
    }
    for &entry in &ruleset.blocked {
        text.line(BLOCK).entry(entry);
    }
    for (kind, mode) in [(QUOTA, Mode::Both), (QUOTA_OUT, Mode::OutOnly)] {
        for (&lead, rule) in ruleset.quotas.iter().filter(|(_, rule)| rule.mode == mode) {
            let line = text.line(kind).entry(lead).number(rule.over.0);
            rule.members.iter().fold(line, |line, &member| line.entry(member));
        }
    }
    for (&entry, class) in &ruleset.classes {
        text.line(CLASS).entry(entry).number(class.minor().into());
    }
    if ruleset.forward {
        text.line(FORWARD);
    }
    text.written
}

/// The ruleset that has these lines; none where one of them cannot be read.
pub(crate) fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Ruleset> {
    let mut ruleset = Ruleset::default();
    for line in lines {
        let mut words = line.split(' ');
        match words.next()? {
            METER => _ = ruleset.metered.insert(entry(&mut words)?),
            BLOCK => _ = ruleset.blocked.insert(entry(&mut words)?),
            QUOTA => _ = ruleset.quotas.insert(entry(&mut words)?, quota(Mode::Both, words)?),
            QUOTA_OUT => _ = ruleset.quotas.insert(entry(&mut words)?, quota(Mode::OutOnly, words)?),
            CLASS => _ = ruleset.classes.insert(entry(&mut words)?, class(&mut words)?),
            FORWARD => ruleset.forward = true,
            _ => return None,
        }
    }
    Some(ruleset)
}

/// The rulesets that have these lines, without what they have in common and the layout of the rest does not depend on: for
/// both, the same chains and the same differing elements and objects are laid out as for the whole. None where a line cannot
/// be read.
pub(crate) fn difference<'a>(old: &'a str, new: &'a str) -> Option<[Ruleset; 2]> {
    let [old, new] = [old, new].map(|text| text.lines().collect::<Vec<&'a str>>());
    let Parts { head, old, new, tail } = Parts::of(&old, &new);
    let [in_old, in_new] = [old, new].map(|lines| lines.iter().copied().collect::<BTreeSet<_>>());
    let (stay, come): (Vec<&str>, Vec<_>) = new.iter().partition(|line| in_old.contains(*line));
    let go = old.iter().copied().filter(|line| !in_new.contains(line));
    let common: Vec<_> = needed(head.iter().chain(&stay).chain(tail).copied()).collect();
    let old = read(common.iter().copied().chain(go))?;
    let new = read(common.into_iter().chain(come))?;
    Some([old, new])
}

/// Two lists: how both begin, what then is in one of them, and how both end.
struct Parts<'a, T> {
    head: &'a [T],
    old: &'a [T],
    new: &'a [T],
    tail: &'a [T],
}

impl<'a, T: PartialEq> Parts<'a, T> {
    fn of(old: &'a [T], new: &'a [T]) -> Self {
        let are_equal = |(old, new): &(&T, &T)| old == new;
        let begin_alike = old.iter().zip(new).take_while(are_equal).count();
        let ((head, old), (_, new)) = (old.split_at(begin_alike), new.split_at(begin_alike));
        let end_alike = old.iter().rev().zip(new.iter().rev()).take_while(are_equal).count();
        let ((old, tail), (new, _)) =
            (old.split_at(old.len() - end_alike), new.split_at(new.len() - end_alike));
        Self { head, old, new, tail }
    }
}

/// Those lines that stay on which the layout of others depends: what is in trees, which are filled as a whole, and of each
/// kind the first that is in a hash, as a hash has rules while it holds something.
fn needed<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut represented = None;
    lines.filter(move |line| {
        let kind = line.split(' ').next();
        is_in_trees(line)
            || kind != represented && is_somewhere(line) && mem::replace(&mut represented, kind) != kind
    })
}

/// Whether one of its entries is too wide for a hash.
fn is_in_trees(line: &str) -> bool {
    let is_wide = |range: PortRange| range.width() > WIDEST_EXPANDED;
    line.contains(BETWEEN) && line.split(' ').filter_map(PortRange::from_kernel_suffix).any(is_wide)
}

/// Whether it is in a set at all, which a quota without members is not.
fn is_somewhere(line: &str) -> bool {
    !line.starts_with(QUOTA) || line.split(' ').nth(3).is_some()
}

fn entry(words: &mut Split<'_, char>) -> Option<PortRange> {
    PortRange::from_kernel_suffix(words.next()?)
}

fn class(words: &mut Split<'_, char>) -> Option<ClassId> {
    ClassId::from_minor(words.next()?.parse().ok()?)
}

fn quota(mode: Mode, mut words: Split<'_, char>) -> Option<QuotaRule> {
    let over = Bytes(words.next()?.parse().ok()?);
    let members = words.map(PortRange::from_kernel_suffix).collect::<Option<_>>()?;
    Some(QuotaRule { over, mode, members })
}

/// Text in the making.
#[derive(Default)]
struct Text {
    written: String,
    digits: itoa::Buffer,
}

impl Text {
    fn line(&mut self, kind: &str) -> &mut Self {
        if !self.written.is_empty() {
            self.written.push('\n');
        }
        self.written.push_str(kind);
        self
    }

    fn entry(&mut self, entry: PortRange) -> &mut Self {
        self.written.push(' ');
        entry.push_kernel_suffix(&mut self.written);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.written.push(' ');
        self.written.push_str(self.digits.format(number));
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::layout::Layout;
    use crate::script::{Command, Script};
    use crate::standing::{Standing, Table};

    /// Ports, a narrow range and two wide ones, apart from each other.
    const ENTRIES: [&str; 6] = ["80", "443", "1000-1001", "5000-9000", "20000-30000", "65535"];

    fn entries() -> impl Strategy<Value = Vec<PortRange>> {
        proptest::sample::subsequence(&ENTRIES, 0..=ENTRIES.len())
            .prop_map(|entries| entries.into_iter().map(|entry| entry.parse().unwrap()).collect())
    }

    fn ruleset() -> impl Strategy<Value = Ruleset> {
        let mode = || select(&[Mode::Both, Mode::OutOnly]);
        let over = || (0..3_u64).prop_map(Bytes);
        // Each entry has the quota of one lead, and a lead need not have a member.
        let lead = || select(&ENTRIES).prop_map(|entry| entry.parse::<PortRange>().unwrap());
        let quotas = (entries(), [over(), over()], [mode(), mode()], [lead(), lead()]).prop_map(
            |(entries, over, mode, leads)| {
                let mut quotas = BTreeMap::new();
                for place in [0, 1] {
                    let members = entries.iter().skip(place).step_by(2).copied().collect();
                    let rule = QuotaRule { over: over[place], mode: mode[place], members };
                    quotas.insert(leads[place], rule);
                }
                quotas
            },
        );
        (entries(), entries(), quotas, entries(), any::<bool>()).prop_map(
            |(metered, blocked, quotas, classes, forward)| Ruleset {
                metered: metered.into_iter().collect(),
                blocked: blocked.into_iter().collect(),
                quotas,
                classes: classes.into_iter().map(|entry| (entry, ClassId::of(entry).unwrap())).collect(),
                forward,
            },
        )
    }

    /// What turns one ruleset into the other, where these quotas are exhausted and rules have handles.
    fn script([old, new]: [&Ruleset; 2], exhausted: &[PortRange]) -> Vec<String> {
        let mut standing = Standing::after(Layout::of(old), Table { handle: 1, flags: 0 });
        standing.exhausted = exhausted.iter().map(|entry| entry.kernel_name("quota_")).collect();
        standing.handles = standing
            .written
            .iter()
            .map(|chain| (chain.name.to_owned(), (0..).take(chain.rules.len()).collect()))
            .collect();
        let layout = Layout::of(new);
        let script = Script::of(&layout, &standing);
        script.whole().into_iter().map(|command: &Command<'_>| format!("{command:?}")).collect()
    }

    proptest! {
        #[test]
        fn lines_say_all_of_a_ruleset(ruleset in ruleset(), other in ruleset()) {
            let lines = of(&ruleset);
            prop_assert_eq!(read(lines.lines()), Some(ruleset.clone()));
            prop_assert_eq!(lines == of(&other), ruleset == other);
        }

        #[test]
        fn the_difference_takes_the_same_commands_as_the_whole(
            old in ruleset(), new in ruleset(), exhausted in entries()
        ) {
            let [was, becomes] = difference(&of(&old), &of(&new)).unwrap();
            prop_assert_eq!(script([&was, &becomes], &exhausted), script([&old, &new], &exhausted));
        }
    }

    #[test]
    fn of_a_thousand_ports_those_that_change_are_read_and_one_more() {
        let ports = 1_000..2_000_u16;
        let entries = || ports.clone().map(|port| port.to_string().parse::<PortRange>().unwrap());
        let mut old = Ruleset { metered: entries().collect(), ..Ruleset::default() };
        let rule = |entry| QuotaRule { over: Bytes(1), mode: Mode::Both, members: [entry].into() };
        old.quotas = entries().map(|entry| (entry, rule(entry))).collect();
        let mut new = old.clone();
        let changed: PortRange = "1500".parse().unwrap();
        new.quotas.get_mut(&changed).unwrap().over = Bytes(2);
        new.metered.remove(&changed);
        let [was, becomes] = difference(&of(&old), &of(&new)).unwrap();
        assert_eq!([was.metered.len(), becomes.metered.len()], [2, 1]);
        assert_eq!([was.quotas.len(), becomes.quotas.len()], [2, 2]);
    }

    #[test]
    fn a_quota_without_members_stands_for_no_other() {
        let [empty, stays, goes] = ["80", "443", "8443"].map(|entry| entry.parse::<PortRange>().unwrap());
        let rule = |members| QuotaRule { over: Bytes(1), mode: Mode::Both, members };
        let mut old = Ruleset::default();
        old.quotas.insert(empty, rule([].into()));
        old.quotas.extend([stays, goes].map(|entry| (entry, rule([entry].into()))));
        let mut new = old.clone();
        new.quotas.remove(&goes);
        let [was, becomes] = difference(&of(&old), &of(&new)).unwrap();
        assert_eq!(script([&was, &becomes], &[]), script([&old, &new], &[]));
    }

    #[test]
    fn no_other_line_is_read() {
        for line in
            ["", "meter", "meter 0", "meter x", "quota 80", "quota 80 x", "class 80", "class 80 0", "?"]
        {
            assert_eq!(read([line]), None, "{line}");
        }
    }
}
