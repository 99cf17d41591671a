//! What a quiet minute allocates, held to a bound. This file has one test, since allocations are counted for all threads.

#[path = "../benches/minute/tenants.rs"]
mod tenants;

use dhat::{HeapStats, Profiler};
use pm_core::desired::{Desired, Host};
use pm_core::tick::{Minute, tick};
use pm_core::wire::{Snapshot, decode, encode};

use crate::tenants::Tenants;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const PORTS: u16 = 1_000;
/// For each port: its remark, and the members of its quota.
const BLOCKS: u64 = 3;
/// For each port, three and a half times what its entry takes in the file: it is taken apart, in maps, and written.
const BYTES: u64 = 3_600;

#[test]
fn a_quiet_minute_allocates_little_more_than_it_keeps() {
    let Tenants { file, snapshot: before, readings, now } = Tenants::new(PORTS);
    let profiler = Profiler::builder().testing().build();
    let Snapshot { config, state, extras } = decode(&file).unwrap().snapshot;
    let Minute { state, events, alarms } = tick(&config, state, &readings, &now);
    let snapshot = Snapshot { config, state, extras };
    let written = encode(&snapshot);
    let desired = Desired::of(&snapshot.config, &snapshot.state, &readings, &Host::default());
    let stats = HeapStats::get();
    drop(profiler);

    assert!(events.is_empty() && alarms.is_empty(), "{events:?} {alarms:?}");
    assert_eq!(desired.ruleset.quotas.len(), usize::from(PORTS));
    assert!(snapshot.config == before.config && written.len() == file.len());
    let (blocks, bytes) = (stats.total_blocks / u64::from(PORTS), stats.total_bytes / u64::from(PORTS));
    assert!(blocks < BLOCKS && bytes < BYTES, "for each port {blocks} blocks and {bytes} bytes");
}
