//! The text of commands, as `nft -f -` reads it.

use std::fmt::Write as _;

use crate::layout::{Holds, Hook, Key, PRIORITY, Rule, TABLE, Way};
use crate::script::{Command, Keys};

/// The commands of one transaction, a line each.
pub(crate) fn text(commands: &[&Command<'_>]) -> String {
    let mut text = String::new();
    for command in commands {
        text.push_str(&line(command));
        text.push('\n');
    }
    text
}

/// One command.
pub(crate) fn line(command: &Command<'_>) -> String {
    let kind = |is_map: bool| if is_map { "map" } else { "set" };
    match command {
        Command::AddTable => format!("add table inet {TABLE}"),
        Command::DeleteTable => format!("delete table inet {TABLE}"),
        Command::FlushRules => format!("flush table inet {TABLE}"),
        Command::AddCounter(name) => format!("add counter inet {TABLE} {name}"),
        Command::DeleteCounter(name) => format!("delete counter inet {TABLE} {name}"),
        Command::AddQuota { name, over, used: 0 } => {
            format!("add quota inet {TABLE} {name} {{ over {over} bytes }}")
        }
        Command::AddQuota { name, over, used } => {
            format!("add quota inet {TABLE} {name} {{ over {over} bytes used {used} bytes }}")
        }
        Command::DeleteQuota(name) => format!("delete quota inet {TABLE} {name}"),
        Command::AddSet { name, holds, is_tree, room } => {
            let value = match holds {
                Holds::Nothing => "",
                Holds::Counters => " : counter",
                Holds::Quotas => " : quota",
                Holds::Classes => " : classid",
            };
            let flags = if *is_tree { " flags interval;" } else { "" };
            let room = room.map(|room| format!(" size {room};")).unwrap_or_default();
            let kind = kind(holds.is_map());
            format!("add {kind} inet {TABLE} {name} {{ type inet_service{value};{room}{flags} }}")
        }
        // nft deletes maps by another word than sets.
        Command::DeleteSet { name, is_map } => format!("delete {} inet {TABLE} {name}", kind(*is_map)),
        Command::FlushSet { name, is_map } => format!("flush {} inet {TABLE} {name}", kind(*is_map)),
        Command::AddElements { set, holds, elements } => {
            format!("add element inet {TABLE} {set} {{ {} }}", list(elements, *holds))
        }
        Command::DeleteElements { set, holds, elements } => {
            format!("delete element inet {TABLE} {set} {{ {} }}", list(elements, *holds))
        }
        Command::AddChain { name, hook: None } => format!("add chain inet {TABLE} {name}"),
        Command::AddChain { name, hook: Some(hook) } => {
            let hook = match hook {
                Hook::Input => "input",
                Hook::Forward => "forward",
                Hook::Output => "output",
            };
            format!(
                "add chain inet {TABLE} {name} {{ type filter hook {hook} priority {PRIORITY}; policy accept; }}"
            )
        }
        Command::DeleteChain(name) => format!("delete chain inet {TABLE} {name}"),
        Command::AddRule { chain, rule: wanted, before: None } => {
            format!("add rule inet {TABLE} {chain} {}", rule(*wanted))
        }
        Command::AddRule { chain, rule: wanted, before: Some(handle) } => {
            format!("insert rule inet {TABLE} {chain} handle {handle} {}", rule(*wanted))
        }
    }
}

fn list(elements: &Keys<'_>, holds: Holds) -> String {
    fn all<K: std::fmt::Display>(elements: &[(K, &str)], holds: Holds) -> String {
        let mut text = String::new();
        for (key, value) in elements {
            let separator = if text.is_empty() { "" } else { ", " };
            // Writing into a string does not fail.
            let _ = match holds {
                Holds::Nothing => write!(text, "{separator}{key}"),
                Holds::Counters | Holds::Quotas => write!(text, "{separator}{key} : \"{value}\""),
                Holds::Classes => write!(text, "{separator}{key} : {value}"),
            };
        }
        text
    }
    match elements {
        Keys::Ports(ports) => all(ports, holds),
        Keys::Ranges(ranges) => all(ranges, holds),
    }
}

fn rule(rule: Rule) -> String {
    match rule {
        Rule::LeaveWithoutPorts => "meta l4proto != tcp meta l4proto != udp return".to_owned(),
        Rule::Follow(way, chain) => {
            let way = match way {
                Way::Original => "original",
                Way::Reply => "reply",
            };
            format!("ct status dnat ct direction {way} jump {chain}")
        }
        Rule::Use(key, set, holds) => {
            let (before, key) = match key {
                Key::Source => ("", "th sport"),
                Key::Destination => ("", "th dport"),
                // nft before 1.1 knows it as a port only in a rule that names the protocols first.
                Key::Dialled => ("meta l4proto { tcp, udp } ", "ct original proto-dst"),
            };
            match holds {
                Holds::Nothing => format!("{before}{key} @{set} drop"),
                Holds::Quotas => format!("{before}quota name {key} map @{set} drop"),
                Holds::Counters => format!("{before}counter name {key} map @{set}"),
                Holds::Classes => format!("{before}meta priority set {key} map @{set}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use pm_core::backend::{QuotaRule, Ruleset};
    use pm_core::port::{ClassId, PortRange};
    use pm_core::quota::Mode;
    use pm_core::units::Bytes;

    use super::*;
    use crate::layout::{Chain, Layout};
    use crate::script::{STEP, Script};
    use crate::standing::{ChainShape, NOTHING, SetShape, Standing, Table};

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    fn metered(entries: &[&str]) -> Ruleset {
        Ruleset { metered: entries.iter().map(|entry| range(entry)).collect(), ..Ruleset::default() }
    }

    fn limited(mut ruleset: Ruleset, lead: &str, over: u64, mode: Mode, members: &[&str]) -> Ruleset {
        let members = members.iter().map(|entry| range(entry)).collect();
        ruleset.quotas.insert(range(lead), QuotaRule { over: Bytes(over), mode, members });
        ruleset
    }

    fn whole(script: &Script<'_>) -> String {
        text(&script.whole())
    }

    fn new(ruleset: &Ruleset) -> String {
        whole(&Script::of(&Layout::of(ruleset), &NOTHING))
    }

    /// What is seen to stand right after `ruleset` was applied. Rules are not read.
    fn after(ruleset: &Ruleset) -> Standing {
        Standing { written: Vec::new(), ..noted(ruleset) }
    }

    /// What is known to stand, with handles that say where.
    fn noted(ruleset: &Ruleset) -> Standing {
        let mut standing = Standing::after(Layout::of(ruleset), Table { handle: 1, flags: 0 });
        let number = |(chain, rule): (usize, usize)| u64::try_from(100 * (chain + 1) + rule).unwrap_or(0);
        let handles = |(place, chain): (usize, &Chain)| {
            (chain.name.to_owned(), (0..chain.rules.len()).map(|rule| number((place, rule))).collect())
        };
        standing.handles = standing.written.iter().enumerate().map(handles).collect();
        standing
    }

    fn change(from: &Ruleset, to: &Ruleset) -> String {
        whole(&Script::of(&Layout::of(to), &after(from)))
    }

    #[test]
    fn one_port() {
        let ruleset = limited(metered(&["10086"]), "10086", 10 << 30, Mode::Both, &["10086"]);
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn one_port_with_a_speed_limit_that_counts_outbound_traffic() {
        let mut ruleset = limited(metered(&["10086"]), "10086", 10 << 30, Mode::OutOnly, &["10086"]);
        ruleset.classes.insert(range("10086"), ClassId::of(range("10086")).unwrap());
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn a_group_with_a_range_of_which_one_is_blocked() {
        let members = ["443", "20000-20003"];
        let mut ruleset = limited(metered(&members), "443", 1 << 40, Mode::Both, &members);
        ruleset.blocked.insert(range("20000-20003"));
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn a_wide_range() {
        let members = ["443", "30000-40000"];
        let mut ruleset = limited(metered(&members), "443", 1 << 40, Mode::Both, &members);
        ruleset.blocked.insert(range("30000-40000"));
        ruleset.classes.insert(range("30000-40000"), ClassId::of(range("30000-40000")).unwrap());
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn forwarding() {
        assert_snapshot!(new(&Ruleset { forward: true, ..metered(&["8080"]) }));
    }

    #[test]
    fn nothing_but_the_rules_where_all_stands() {
        let ruleset = limited(metered(&["10086"]), "10086", 10 << 30, Mode::Both, &["10086"]);
        assert_snapshot!(change(&ruleset, &ruleset));
    }

    #[test]
    fn a_port_more_and_a_port_less() {
        let one = limited(metered(&["443", "8080"]), "443", 9, Mode::Both, &["443"]);
        let other = limited(metered(&["443", "10086"]), "10086", 7, Mode::Both, &["10086"]);
        assert_snapshot!(change(&one, &other));
    }

    #[test]
    fn a_wide_range_and_forwarding_that_go() {
        let wide = Ruleset { forward: true, ..metered(&["443", "30000-40000"]) };
        assert_snapshot!(change(&wide, &metered(&["443"])));
    }

    #[test]
    fn a_higher_limit_for_a_quota_with_room_and_for_an_exhausted_one() {
        let limits = |first, second| {
            let ruleset = limited(metered(&["443", "8080"]), "443", first, Mode::OutOnly, &["443"]);
            limited(ruleset, "8080", second, Mode::OutOnly, &["8080"])
        };
        let mut standing = after(&limits(100, 200));
        standing.exhausted.insert("quota_8080".to_owned());
        assert_snapshot!(whole(&Script::of(&Layout::of(&limits(1000, 2000)), &standing)));
    }

    #[test]
    fn what_is_known_to_stand_keeps_its_rules_unless_they_differ() {
        let with = |blocked: &[&str]| {
            let ruleset = limited(metered(&["443", "8080"]), "443", 9, Mode::Both, &["443"]);
            Ruleset { blocked: metered(blocked).metered, ..ruleset }
        };
        let change =
            |from: &[&str], to: &[&str]| whole(&Script::of(&Layout::of(&with(to)), &noted(&with(from))));
        assert_snapshot!(format!(
            "# one more\n{}# the first\n{}# none any more\n{}",
            change(&["443"], &["443", "8080"]),
            change(&[], &["443"]),
            change(&["443"], &[])
        ));
    }

    #[test]
    fn foreign_things_and_misshapen_ones() {
        let ruleset = metered(&["443"]);
        let mut standing = after(&ruleset);
        let plain = SetShape { flags: 0, key_type: 7, data_type: 0, object_type: 0, timeout: 0 };
        standing.sets.insert("blocked_ports".to_owned(), plain);
        standing.sets.insert("foreign".to_owned(), plain);
        standing.sets.insert("__set0".to_owned(), SetShape { flags: 3, ..plain });
        standing.chains.insert("input".to_owned(), ChainShape { hook: None, flags: 0 });
        standing.chains.insert("foreign".to_owned(), ChainShape { hook: None, flags: 0 });
        standing.ports.remove("in_counters");
        standing.counters.insert("foreign".to_owned());
        assert_snapshot!(whole(&Script::of(&Layout::of(&ruleset), &standing)));
    }

    #[test]
    fn a_long_script_can_be_cut_between_its_steps() {
        let layout = Layout::of(&metered(&["1-1000", "2001-3000", "3001-4000"]));
        let script = Script::of(&layout, &NOTHING);
        let parts: Vec<String> = script.parts().map(|part| text(&part)).collect();
        assert_eq!(parts.concat(), whole(&script));
        assert!(parts.len() > 3);
        assert!(parts.iter().all(|part| part.matches(',').count() <= STEP * 3));
    }
}
