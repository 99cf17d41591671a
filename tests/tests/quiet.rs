//! A minute in which nothing changed, by the number of ports: what it asks of the kernel, as strace counts it.

use std::collections::BTreeMap;
use std::time::Duration;

use pm_tests::machine::{Machine, binary};
use pm_tests::namespace::Namespace;
use pm_tests::process::{must, run};
use serde_json::{Map, Value, json};

/// strace slows a minute down a hundred times.
const PATIENCE: Duration = Duration::from_secs(30);

/// System calls by name.
type Calls = BTreeMap<String, u64>;

/// A list of objects takes more messages when there are more of them.
const LISTS: [&str; 1] = ["recvfrom"];
/// What holds the entries takes more memory.
const MEMORY: [&str; 4] = ["brk", "mmap", "mremap", "munmap"];
/// The clock is read without asking the kernel, but where the processor has no steady one.
const CLOCK: &str = "clock_gettime";
/// By these, programs and threads are started.
const STARTS: [&str; 4] = ["clone", "clone3", "fork", "vfork"];

/// A machine with so many ports, in its third minute.
fn quiet_minute(ports: u16) -> Calls {
    let namespace = Namespace::new("quiet");
    let machine = Machine::new(&namespace);
    let entry = |port: u16| (port.to_string(), json!({ "quota_gb": 10_000, "reset_day": 1 }));
    let entries: Map<String, Value> = (10_000..10_000 + ports).map(entry).collect();
    machine.write_config(&json!({ "ports": entries }).to_string());
    machine.minute();
    machine.minute();

    let list = machine.root().join("calls");
    let mut strace = namespace.command("strace");
    strace.args(["-f", "-c", "-o"]).arg(&list).arg(binary("pm-monitor")).arg("--root").arg(machine.root());
    run(strace, PATIENCE).success();
    // Percent, seconds, microseconds a call, calls, perhaps errors, name.
    let text = must(std::fs::read_to_string(list), "no counts of strace");
    let call = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(((*words.last()?).to_owned(), words.get(3)?.parse().ok()?))
    };
    text.lines().filter_map(call).filter(|(name, _)| name != "total" && name != CLOCK).collect()
}

fn of(calls: &Calls, names: &[&str]) -> u64 {
    names.iter().filter_map(|&name| calls.get(name)).sum()
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_system_calls_of_a_quiet_minute_grow_with_the_messages_of_its_lists_alone_and_no_program_is_started() {
    let (few, many) = (quiet_minute(10), quiet_minute(1_000));
    for calls in [&few, &many] {
        assert_eq!((of(calls, &STARTS), of(calls, &["execve"])), (0, 1), "{calls:?}");
    }
    // Two counters and twice a quota for each port, 120 bytes each; the kernel sends up to 32 KiB at once, and half of
    // that where its memory is in pieces.
    let messages = 1_000 * 4 * 120 / (16 << 10);
    assert!(of(&many, &LISTS) - of(&few, &LISTS) <= messages, "{few:?} {many:?}");
    // Some 30 with glibc; musl takes less memory at once.
    assert!(of(&many, &MEMORY) - of(&few, &MEMORY) <= 110, "{few:?} {many:?}");
    let others = |calls: &Calls| calls.values().sum::<u64>() - of(calls, &LISTS) - of(calls, &MEMORY);
    // How long the kernel may still take is told to a socket once a second.
    assert!(others(&many) <= others(&few) + 3, "{few:?} {many:?}");
}
