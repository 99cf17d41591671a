//! Counters that lie: at the end of their range, going round, going back, put there by somebody else under our names.

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::traffic::{send_udp, udp_sink};

/// IPv4 bytes of one datagram of the traffic here.
const DATAGRAM: u64 = 1000 + 28;

fn send(client: &Namespace, count: u64) {
    send_udp(client, Family::V4.host(), 10086, 1000, count);
}

fn metered(machine: &Machine<'_>) -> u64 {
    number(&machine.show("10086"), "in_bytes")
}

/// Replaces our table by one that somebody else wrote, with a counter of our name that stands there.
fn foreign(host: &Namespace, bytes: u64) {
    host.nft(&format!(
        "delete table inet port_monitor; table inet port_monitor {{
           counter cnt_in_10086 {{ packets 1 bytes {bytes} }}
           chain input {{ type filter hook input priority -5; udp dport 10086 counter name cnt_in_10086; }}
         }}"
    ));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_counter_at_the_end_of_its_range_goes_round_and_is_not_billed_for_it() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    let _sink = udp_sink(&host, 10086);
    // Ten datagrams before the end: two to the 64th less ten of them, less one.
    let near = u64::MAX - 10 * DATAGRAM;
    foreign(&host, near);
    machine.minute();
    assert_eq!(metered(&machine), near, "a counter that is new to us began at zero");
    machine.pm("reset 10086 --yes");
    send(&client, 10);
    assert_eq!(metered(&machine), 10 * DATAGRAM, "up to the last number");
    machine.minute();
    // The kernel goes on at zero, which looks like a reset by somebody else: nothing is added, and it is said.
    send(&client, 20);
    let minute = machine.minute();
    assert!(minute.stderr.contains("went back"), "{minute}");
    assert_eq!(metered(&machine), 10 * DATAGRAM);
    send(&client, 5);
    machine.minute();
    assert_eq!(metered(&machine), 15 * DATAGRAM, "and from there it counts");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_account_at_the_end_of_its_range_stays_there_and_is_cut_off() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1");
    let _sink = udp_sink(&host, 10086);
    for _ in 0..2 {
        foreign(&host, u64::MAX);
        machine.minute();
        assert_eq!(metered(&machine), u64::MAX);
        let shown = machine.show("10086");
        assert_eq!(shown["blocked"].as_bool(), Some(true), "{shown}");
    }
    machine.pm("reset 10086 --yes");
    // The next byte takes the counter round.
    send(&client, 1);
    let minute = machine.minute();
    assert!(minute.stderr.contains("went back"), "{minute}");
    send(&client, 10);
    machine.minute();
    assert_eq!(metered(&machine), 10 * DATAGRAM);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn counters_of_our_names_that_somebody_else_made_are_not_billed_to_a_new_port() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    host.nft(
        "table inet port_monitor {
           counter cnt_in_10086 { packets 9 bytes 900000000000 }
           counter cnt_out_10086 { packets 9 bytes 900000000000 }
           quota quota_10086 { over 5 bytes used 5 bytes }
           counter cnt_in_nonsense { packets 1 bytes 1 }
           counter theirs { packets 1 bytes 1 }
         }",
    );
    machine.pm("add 10086 --quota 1");
    let _sink = udp_sink(&host, 10086);
    assert_eq!(metered(&machine), 0);
    send(&client, 10);
    machine.minute();
    assert_eq!(metered(&machine), 10 * DATAGRAM);
    let table = host.table("port_monitor");
    assert!(!table.contains("theirs") && !table.contains("nonsense"), "{table}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_counter_that_goes_back_with_its_table_in_place_costs_what_it_had_and_nothing_else() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1");
    machine.pm("add 10087 --quota 1");
    let _sinks = [10086, 10087].map(|port| udp_sink(&host, port));
    send(&client, 100);
    machine.minute();
    send_udp(&client, Family::V4.host(), 10087, 1000, 50);
    send(&client, 7);
    host.nft("reset counter inet port_monitor cnt_in_10086");
    send(&client, 10);
    let minute = machine.minute();
    assert_eq!(minute.stderr.matches("went back").count(), 1, "{minute}");
    assert_eq!(metered(&machine), 100 * DATAGRAM);
    assert_eq!(number(&machine.show("10087"), "in_bytes"), 50 * DATAGRAM);
    send(&client, 3);
    let minute = machine.minute();
    assert_eq!((minute.stderr.as_str(), metered(&machine)), ("", 103 * DATAGRAM));
}
