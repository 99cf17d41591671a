//! The table by the number of ports: `cargo bench --package pm-netfilter --features bench`.

use std::collections::BTreeMap;

use divan::{AllocProfiler, Bencher};
use pm_core::backend::{QuotaRule, Ruleset};
use pm_core::port::{Port, PortRange};
use pm_core::quota::Mode;
use pm_core::units::Bytes;
use pm_netfilter::bench::{self, Lists};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const FIRST: u16 = 10_000;
const PORTS: [u16; 4] = [10, 100, 1_000, 10_000];

fn main() {
    divan::main();
}

/// The dumps of one minute.
#[divan::bench(args = PORTS)]
fn read(bencher: Bencher<'_, '_>, ports: u16) {
    let lists = Lists::of(FIRST, ports);
    bencher.bench(|| lists.read());
}

/// The whole table, as a first minute makes it.
#[divan::bench(args = PORTS)]
fn render(bencher: Bencher<'_, '_>, ports: u16) {
    let entries = || (FIRST..FIRST + ports).filter_map(Port::new).map(PortRange::from);
    let rule = |entry| QuotaRule { over: Bytes::GB, mode: Mode::Both, members: [entry].into() };
    let quotas: BTreeMap<_, _> = entries().map(|entry| (entry, rule(entry))).collect();
    let ruleset = Ruleset { metered: entries().collect(), quotas, ..Ruleset::default() };
    bencher.bench(|| bench::render(&ruleset));
}
