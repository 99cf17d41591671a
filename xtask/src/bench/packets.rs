//! Packets: every layout in namespaces of its own, all of them in turn, many times.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use pm_tests::namespace::Namespace;
use pm_tests::network::Relay;

use super::flood::Way;
use super::layout::{FIRST, Layout};
use super::median;
use super::row::{Figure, Row, Versus, ratio};
use super::sender::Sender;
use crate::demo::grouped;

/// With 10,000 ports a packet may cost so many thousandths of what it costs with one.
const MOST_WITH_MANY: u64 = 1_100;

/// Measures every way with so many ports, in interleaved rounds. The figures are medians of the rounds.
pub(super) fn measure(rounds: usize, sizes: &[u16]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for forwarded in [false, true] {
        let stands = stands(forwarded, sizes)?;
        for way in Way::TABLES.into_iter().filter(|way| way.is_forwarded() == forwarded) {
            let mut senders = stands.iter().map(|stand| stand.sender(way)).collect::<Result<Vec<_>>>()?;
            let rounds = Rounds::of(way, &mut senders, rounds)?;
            rows.extend(sizes.iter().filter_map(|ports| rounds.row(way, *ports)));
        }
    }
    Ok(rows)
}

/// Layouts, each in a namespace or at a relay.
fn stands(forwarded: bool, sizes: &[u16]) -> Result<Vec<Stand>> {
    let layouts = |ports: &u16| {
        [Layout::Maps(*ports), Layout::Linear(*ports), Layout::Eight(*ports), Layout::TwentyFour(*ports)]
    };
    let all = [Layout::Nothing].into_iter().chain(sizes.iter().flat_map(layouts));
    // The specification's rules know nothing of what is forwarded.
    let all = all.filter(|layout| !(forwarded && matches!(layout, Layout::Linear(_))));
    all.map(|layout| Stand::new(layout, forwarded)).collect()
}

/// A layout, and where it stands.
struct Stand {
    layout: Layout,
    place: Place,
}

enum Place {
    Alone(Namespace),
    Between(Relay),
}

impl Stand {
    fn new(layout: Layout, forwarded: bool) -> Result<Self> {
        println!("setting up {layout:?}{}", if forwarded { " at a relay" } else { "" });
        let place = if forwarded {
            let relay = Relay::new(format_args!("{FIRST}-{}", FIRST + layout.ports() - 1));
            layout.stand_in(&relay.host)?;
            Place::Between(relay)
        } else {
            let namespace = Namespace::new("packets");
            // So that a frame of TCP is one of 1,500 bytes, as outside.
            namespace.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
            layout.stand_in(&namespace)?;
            Place::Alone(namespace)
        };
        Ok(Self { layout, place })
    }

    fn sender(&self, way: Way) -> Result<(Layout, Sender)> {
        let (namespace, container) = match &self.place {
            Place::Alone(namespace) => (namespace, None),
            Place::Between(relay) => (&relay.client, Some(&relay.container)),
        };
        Ok((self.layout, Sender::new(namespace, way, FIRST, self.layout.ports(), container)?))
    }
}

/// Nanoseconds that a packet took under each layout, round by round.
struct Rounds(BTreeMap<Layout, Vec<u64>>);

impl Rounds {
    fn of(way: Way, senders: &mut [(Layout, Sender)], rounds: usize) -> Result<Self> {
        let mut table: BTreeMap<Layout, Vec<u64>> = BTreeMap::new();
        for round in 0..rounds {
            if round % 10 == 0 {
                println!("{}: round {} of {rounds}", way.word(), round + 1);
            }
            // Each round begins with another layout, so that none always follows the same one.
            for turn in 0..senders.len() {
                let place = (turn + round) % senders.len();
                let (layout, sender) = &mut senders[place];
                table.entry(*layout).or_default().push(sender.slice()?);
            }
        }
        Ok(Self(table))
    }

    fn row(&self, way: Way, ports: u16) -> Option<Row> {
        let maps = Layout::Maps(ports);
        let what = format!(
            "packet, {}, {} port{}",
            match way {
                Way::LocalUdp => "UDP of 64 bytes, out and in",
                Way::LocalTcp => "TCP of 1,500 bytes, out and in",
                Way::ForwardUdp => "UDP of 64 bytes, forwarded",
                Way::ForwardTcp => "TCP of 1,500 bytes, forwarded",
                Way::Wire => "UDP of 64 bytes, out",
            },
            grouped(ports.into()),
            if ports == 1 { "" } else { "s" }
        );
        let mut row =
            Row::new(what, self.figure(maps)?).floor(self.versus("no table", maps, Layout::Nothing)?);
        for (who, rival) in [
            ("4 rules a port", Layout::Linear(ports)),
            ("8 rules", Layout::Eight(ports)),
            ("24 rules", Layout::TwentyFour(ports)),
        ] {
            row.rivals.extend(self.versus(who, maps, rival));
        }
        let against_one = self.permille(maps, Layout::Maps(1))?;
        let Some(added) = self.added(ports) else {
            return Some(row.goal(
                format!("at most {} × one port: {}", ratio(MOST_WITH_MANY), ratio(against_one)),
                against_one <= MOST_WITH_MANY,
            ));
        };
        Some(row.goal(
            format!(
                "at most {} × one port: {}; adds at most what one port of 4 rules does: {}",
                ratio(MOST_WITH_MANY),
                ratio(against_one),
                ratio(added)
            ),
            against_one <= MOST_WITH_MANY && added <= 1_000,
        ))
    }

    fn figure(&self, layout: Layout) -> Option<Figure> {
        Some(Figure::Time(Duration::from_nanos(median(self.0.get(&layout)?.clone()))))
    }

    fn versus(&self, who: &str, ours: Layout, theirs: Layout) -> Option<Versus> {
        Some(Versus::new(who, self.figure(theirs)?, self.permille(ours, theirs)?))
    }

    /// Thousandths of theirs that ours is, the median of the rounds.
    fn permille(&self, ours: Layout, theirs: Layout) -> Option<u64> {
        let pairs = self.0.get(&ours)?.iter().zip(self.0.get(&theirs)?);
        Some(median(pairs.map(|(ours, theirs)| ours * 1000 / theirs.max(&1)).collect()))
    }

    /// What our table adds to a packet, in thousandths of what one port in four rules adds to it.
    fn added(&self, ports: u16) -> Option<u64> {
        let added = |layout: Layout| {
            let pairs = self.0.get(&layout)?.iter().zip(self.0.get(&Layout::Nothing)?);
            Some(median(pairs.map(|(with, without)| with.saturating_sub(*without)).collect()))
        };
        Some(added(Layout::Maps(ports))? * 1000 / added(Layout::Linear(1))?.max(1))
    }
}
