//! What a quiet minute is made of, by the number of ports: `cargo bench --package pm-core`.

mod tenants;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use pm_core::desired::{Desired, Host};
use pm_core::tick;
use pm_core::view::Overview;
use pm_core::wire;

use crate::tenants::Tenants;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const PORTS: [u16; 4] = [10, 100, 1_000, 10_000];

fn main() {
    divan::main();
}

#[divan::bench(args = PORTS)]
fn decode(bencher: Bencher<'_, '_>, ports: u16) {
    let tenants = Tenants::new(ports);
    bencher.counter(BytesCount::of_slice(&tenants.file)).bench(|| wire::decode(&tenants.file));
}

#[divan::bench(args = PORTS)]
fn encode(bencher: Bencher<'_, '_>, ports: u16) {
    let tenants = Tenants::new(ports);
    bencher.counter(BytesCount::of_slice(&tenants.file)).bench(|| wire::encode(&tenants.snapshot));
}

#[divan::bench(args = PORTS)]
fn tick(bencher: Bencher<'_, '_>, ports: u16) {
    let Tenants { snapshot, readings, now, .. } = Tenants::new(ports);
    bencher
        .with_inputs(|| snapshot.state.clone())
        .bench_values(|state| tick::tick(&snapshot.config, state, &readings, &now));
}

#[divan::bench(args = PORTS)]
fn desired(bencher: Bencher<'_, '_>, ports: u16) {
    let Tenants { snapshot, readings, .. } = Tenants::new(ports);
    let host = Host::default();
    bencher.bench(|| Desired::of(&snapshot.config, &snapshot.state, &readings, &host));
}

/// What `pm list` shows.
#[divan::bench(args = PORTS)]
fn overview(bencher: Bencher<'_, '_>, ports: u16) {
    let Tenants { snapshot, now, .. } = Tenants::new(ports);
    bencher.bench(|| Overview::of(&snapshot.config, &snapshot.state, &now));
}
