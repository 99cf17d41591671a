//! Adding, editing and deleting one port in the middle of traffic on another: the other loses no byte and does not stall.

use std::time::Duration;

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::pace::{holds, patience};
use pm_tests::traffic::{Iperf, IperfReport, iperf_server};
use pm_tests::witness::Witness;

/// Everything that an operator can do to other ports than 10086.
const EDITS: &[&str] = &[
    "add 20000 --quota 1 --comment other",
    "add 30000-30100 --quota 500MB --mode out_only",
    "set 20000 --quota 20MiB --limit 50",
    "set 30000-30100 --limit 7.5",
    "dynqos 20000 on --trigger 10 --minutes 2 --penalty 1 --duration 5",
    "set 20000 --limit 80 --reset-day 31",
    "set 20000 --group pair",
    "add 20001 --group pair",
    "reset 20000 --yes",
    "dynqos 20000 off",
    "set 20000 --no-group --limit 0",
    "rm 20001 --yes",
    "rm 20000 30000-30100 --yes",
];

/// How long a flow lasts, in whole seconds as iperf3 has it, and in which parts of it a byte has to pass.
const DURATION: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(100);

/// Edits other ports while iperf3 runs through port 10086, and returns what iperf3 saw of it.
fn edits_during(
    machine: &Machine<'_>,
    host: &Namespace,
    client: &Namespace,
    family: Family,
    direction: &str,
) -> IperfReport {
    let [whole, part] = [DURATION, MOMENT].map(|time| patience(time).as_secs_f32());
    let words = format!("--time {whole} --interval {part} {direction}");
    let _server = iperf_server(host, 10086);
    let witness = Witness::of_port(host, 10086);
    let before = machine.show("10086");
    let iperf = Iperf::start(client, family.host(), 10086, &words);
    std::thread::sleep(Duration::from_millis(500));
    for edit in EDITS {
        machine.pm(edit);
        machine.minute();
    }
    let report = iperf.report();
    let (inward, outward) = (witness.settled("in").bytes, witness.settled("out").bytes);
    let after = machine.show("10086");
    let gained = |field| number(&after, field) - number(&before, field);
    assert_eq!((gained("in_bytes"), gained("out_bytes")), (inward, outward), "{words}");
    host.nft("delete table inet witness");
    report
}

fn never_stalls(report: &IperfReport, direction: &str) {
    let intervals = report.intervals();
    assert!(intervals.len() >= 20, "{direction}: {intervals:?}");
    // The last one may be cut short.
    let whole = &intervals[..intervals.len() - 1];
    assert!(whole.iter().all(|&bytes| bytes > 0), "{direction}: a moment without a byte: {intervals:?}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_flow_without_a_limit_loses_no_byte_and_does_not_stall() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    for (family, direction) in [(Family::V4, ""), (Family::V6, "--reverse")] {
        never_stalls(&edits_during(&machine, &host, &client, family, direction), direction);
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_limited_flow_loses_no_byte_and_does_not_stall() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 10 --limit 50");
    let report = edits_during(&machine, &host, &client, Family::V4, "--reverse");
    never_stalls(&report, "--reverse");
    let mbps = report.received() * 8 / patience(DURATION).as_secs() / 1_000_000;
    assert!(holds(mbps.into(), 40..=55), "{mbps} Mbps of payload at a limit of 50");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn editing_the_port_itself_loses_no_byte_of_it() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    let (witness, _server) = (Witness::of_port(&host, 10086), iperf_server(&host, 10086));
    let words = "--udp --bitrate 50M --length 1000 --time 3";
    let iperf = Iperf::start(&client, Family::V4.host(), 10086, words);
    for edit in [
        "set 10086 --quota 10",
        "set 10086 --mode out_only --comment renamed",
        "set 10086 --quota 1TB --mode both --reset-day 15",
        "set 10086 --limit 100",
        "set 10086 --group alone --limit 0",
        "dynqos 10086 on --trigger 900 --minutes 2 --penalty 1 --duration 5",
        "set 10086 --no-group --quota unlimited",
    ] {
        machine.pm(edit);
    }
    iperf.report();
    let seen = (witness.settled("in").bytes, witness.settled("out").bytes);
    let shown = machine.show("10086");
    assert_eq!((number(&shown, "in_bytes"), number(&shown, "out_bytes")), seen);
    assert!(seen.0 > 15_000_000);
}
