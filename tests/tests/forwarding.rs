//! A published port is metered, limited and cut off by the number that the client dialled, and nothing else of the container.

use std::time::{Duration, Instant};

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, INSIDE, OUTSIDE, Pair, Relay};
use pm_tests::pace::holds;
use pm_tests::traffic::{drain_tcp, fetch_tcp, send_udp, tcp_source, udp_sink};
use pm_tests::witness::{AFTER, Point, Witness, interface_bytes};

/// Connections that the kernel tracks in a namespace; none when it does not know how.
fn tracked(namespace: &Namespace) -> u64 {
    let count = "cat /proc/sys/net/netfilter/nf_conntrack_count 2> /dev/null || echo 0";
    namespace.bash(count).trim().parse().unwrap_or_default()
}

/// What passes between the client and the container, by the container's own address and port.
fn witness(host: &Namespace) -> Witness<'_> {
    let point = |name, packets| Point { name, hook: "forward", priority: AFTER, packets };
    let (inward, outward) =
        (format!("oifname {INSIDE} th dport 80"), format!("iifname {INSIDE} th sport 80"));
    Witness::new(host, &[point("in", inward.as_str()), point("out", outward.as_str())])
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_published_port_is_metered_to_the_byte() {
    let Relay { host, client, container } = Relay::new(10086);
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    let witness = witness(&host);
    let (_sink, _source) = (udp_sink(&container, 80), tcp_source(&container, 80, Some(3_000_000)));
    for family in Family::BOTH {
        let before = number(&machine.show("10086"), "in_bytes");
        send_udp(&client, family.host(), 10086, 1000, 500);
        witness.settled("in");
        let shown = machine.show("10086");
        assert_eq!(number(&shown, "in_bytes") - before, 500 * (1008 + family.header()), "{family:?}");

        assert_eq!(fetch_tcp(&client, family.host(), 10086), 3_000_000);
        let seen = (witness.settled("in").bytes, witness.settled("out").bytes);
        machine.minute();
        let shown = machine.show("10086");
        assert_eq!((number(&shown, "in_bytes"), number(&shown, "out_bytes")), seen, "{family:?}");
        assert!(seen.1 > 3_000_000);
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_published_port_is_limited() {
    const MBPS: u64 = 20;
    let Relay { host, client, container } = Relay::new(10086);
    let machine = Machine::new(&host);
    machine.pm(&format!("add 10086 --quota unlimited --limit {MBPS}"));
    let _source = tcp_source(&container, 80, None);
    let _drain = drain_tcp(&client, Family::V4.host(), 10086);
    // The bucket is full at first.
    std::thread::sleep(Duration::from_secs(1));
    let (start, before) = (Instant::now(), interface_bytes(&host, OUTSIDE).1);
    std::thread::sleep(Duration::from_secs(3));
    let bytes = interface_bytes(&host, OUTSIDE).1 - before;
    let micros = u64::try_from(start.elapsed().as_micros()).unwrap();
    let percent = bytes * 8 * 100 / (micros * MBPS);
    assert!(holds(percent.into(), 95..=103), "{percent} % of {MBPS} Mbps");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_published_port_is_cut_off_and_the_containers_own_connections_are_not() {
    let Relay { host, client, container } = Relay::new(10086);
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1MiB");
    let witness = witness(&host);
    let (_sink, _elsewhere) = (udp_sink(&container, 80), udp_sink(&client, 10086));

    // The container dials port 10086 of somebody else: not our port 10086.
    send_udp(&container, Family::V4.client(), 10086, 1000, 100);
    send_udp(&container, Family::V6.client(), 10086, 1000, 100);
    let shown = machine.show("10086");
    assert_eq!((number(&shown, "in_bytes"), number(&shown, "out_bytes")), (0, 0));

    send_udp(&client, Family::V4.host(), 10086, 1000, 2000);
    let passed = witness.settled("in").bytes;
    assert!(((1 << 20) - 1028..=1 << 20).contains(&passed), "{passed}");
    machine.minute();
    assert_eq!(machine.show("10086")["blocked"].as_bool(), Some(true));
    send_udp(&client, Family::V4.host(), 10086, 1000, 10);
    assert_eq!(witness.settled("in").bytes, passed);

    let outside = Witness::new(
        &client,
        &[Point { name: "dialled", hook: "input", priority: AFTER, packets: "th dport 10086" }],
    );
    send_udp(&container, Family::V4.client(), 10086, 1000, 100);
    assert_eq!(outside.settled("dialled").bytes, 100 * 1028, "blocked is the host's port alone");
    assert_eq!(number(&machine.show("10086"), "used_bytes"), passed);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_port_of_the_host_itself_is_metered_on_a_machine_that_forwards() {
    let Relay { host, client, container: _container } = Relay::new(10086);
    let machine = Machine::new(&host);
    machine.pm("add 443 --quota unlimited");
    let _sink = udp_sink(&host, 443);
    send_udp(&client, Family::V4.host(), 443, 1000, 50);
    assert_eq!(number(&machine.show("443"), "in_bytes"), 50 * 1028);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn on_a_machine_that_does_not_forward_no_connection_is_tracked_because_of_us() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1 --limit 100");
    machine.minute();
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 100, 10);
    assert_eq!(tracked(&host), 0);
    assert!(!host.table("port_monitor").contains("ct "));

    // It begins to forward: the next minute meters that too, at the price of tracking.
    host.sysctl("net/ipv4/ip_forward", "1");
    machine.minute();
    assert!(host.table("port_monitor").contains("hook forward"));
    send_udp(&client, Family::V4.host(), 10086, 100, 10);
    assert!(tracked(&host) > 0, "this test can see tracking");

    // And stops again.
    host.sysctl("net/ipv4/ip_forward", "0");
    machine.minute();
    assert!(!host.table("port_monitor").contains("ct "));
    let before = tracked(&host);
    for _ in 0..5 {
        send_udp(&client, Family::V6.host(), 10086, 100, 10);
    }
    assert!(tracked(&host) <= before, "new flows are no longer tracked");
    assert_eq!(number(&machine.show("10086"), "in_bytes"), 20 * 128 + 50 * 148);
}
