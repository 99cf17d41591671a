//! The laboratory measures rightly: its senders, its sinks and its witnesses agree with each other, with no pm in between.

use std::time::Duration;

use pm_tests::network::{Family, OUTSIDE, Pair, Relay};
use pm_tests::process::{Signal, until};
use pm_tests::traffic::{
    Iperf, drain_tcp, fetch_tcp, flood_tcp, iperf_server, retransmissions, send_tcp, send_udp, send_udp_from,
    tcp_sink, tcp_source, udp_sink,
};
use pm_tests::witness::{AFTER, Point, Witness, interface_bytes};

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn known_datagrams_are_seen_to_the_byte() {
    let Pair { host, client } = Pair::new();
    let (_here, _there) = (udp_sink(&host, 10086), udp_sink(&client, 9000));
    let point = |name, hook, packets| Point { name, hook, priority: AFTER, packets };
    let witness = Witness::new(
        &host,
        &[
            point("in_ipv4", "input", "meta nfproto ipv4 th dport 10086"),
            point("in_ipv6", "input", "meta nfproto ipv6 th dport 10086"),
            point("out_ipv4", "output", "meta nfproto ipv4 th sport 10086"),
            point("out_ipv6", "output", "meta nfproto ipv6 th sport 10086"),
        ],
    );
    for family in Family::BOTH {
        send_udp(&client, family.host(), 10086, 1000, 500);
        send_udp_from(&host, 10086, family.client(), 9000, 700, 300);
        let (inward, outward) = (format!("in_{}", family.nft()), format!("out_{}", family.nft()));
        assert_eq!(witness.settled(&inward).bytes, 500 * (1000 + 8 + family.header()));
        assert_eq!(witness.settled(&outward).bytes, 300 * (700 + 8 + family.header()));
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_tcp_transfer_is_its_payload_and_its_headers() {
    let Pair { host, client } = Pair::new();
    let witness = Witness::of_port(&host, 10086);
    let sink = tcp_sink(&host, 10086);
    send_tcp(&client, Family::V6.host(), 10086, 5_000_000).success();
    let seen = witness.settled("in");
    let headers = seen.bytes - 5_000_000;
    // A busy machine may send a segment twice.
    let is_plain = headers <= 80 * seen.packets || retransmissions(&client) > 0;
    assert!(60 * seen.packets <= headers && is_plain, "{seen:?}");
    drop(sink);

    let _source = tcp_source(&host, 10086, Some(3_000_000));
    assert_eq!(fetch_tcp(&client, Family::V4.host(), 10086), 3_000_000);
    assert!(witness.settled("out").bytes > 3_000_000);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn iperf3_reports_what_it_sent() {
    let Pair { host, client } = Pair::new();
    let witness = Witness::of_port(&host, 10086);
    let _server = iperf_server(&host, 10086);
    let report = Iperf::run(&client, Family::V4.host(), 10086, "--bytes 4M --interval 0.1");
    let seen = witness.settled("in").bytes;
    // At the end iperf3 discards what it has not sent yet, so that only the receiver's figure is about the wire.
    assert!(0 < report.received() && report.received() < seen, "{seen}");
    assert!(!report.intervals().is_empty());
    let report =
        Iperf::run(&client, Family::V6.host(), 10086, "--udp --bitrate 20M --length 1000 --bytes 1M");
    // How many more, depends on how often it looks at its clock.
    assert!(report.datagrams() >= 1000, "{}", report.datagrams());
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn streams_without_end_stop_when_they_are_dropped() {
    let Pair { host, client } = Pair::new();
    let (_sink, _source) = (tcp_sink(&host, 10086), tcp_source(&host, 10087, None));
    let before = interface_bytes(&host, OUTSIDE);
    let flood = flood_tcp(&client, Family::V4.host(), 10086);
    let mut drain = drain_tcp(&client, Family::V6.host(), 10087);
    until("ten megabytes each way", Duration::from_secs(10), || {
        let now = interface_bytes(&host, OUTSIDE);
        (now.0 - before.0 > 10_000_000 && now.1 - before.1 > 10_000_000).then_some(())
    });
    drain.signal(Signal::TERM);
    assert!(drain.wait(Duration::from_secs(5)).is_some());
    drop(flood);
    until("silence", Duration::from_secs(10), || {
        let earlier = interface_bytes(&host, OUTSIDE);
        std::thread::sleep(Duration::from_millis(100));
        (interface_bytes(&host, OUTSIDE) == earlier).then_some(())
    });
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_published_port_leads_to_the_container() {
    let Relay { host: _host, client, container } = Relay::new(10086);
    let _sink = udp_sink(&container, 80);
    let point = |name, packets| Point { name, hook: "input", priority: AFTER, packets };
    let witness = Witness::new(
        &container,
        &[point("ipv4", "meta nfproto ipv4 th dport 80"), point("ipv6", "meta nfproto ipv6 th dport 80")],
    );
    for family in Family::BOTH {
        send_udp(&client, family.host(), 10086, 100, 10);
        assert_eq!(witness.settled(family.nft()).bytes, 10 * (100 + 8 + family.header()));
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_machine_can_be_made_to_believe_that_it_booted() {
    let Pair { host, client } = Pair::new();
    let folder = tempfile::tempdir().unwrap();
    host.pretend_boot("11111111-2222-3333-4444-555555555555", &folder.path().join("boot"));
    assert_eq!(host.read("/proc/sys/kernel/random/boot_id"), "11111111-2222-3333-4444-555555555555");
    assert_ne!(client.read("/proc/sys/kernel/random/boot_id"), host.read("/proc/sys/kernel/random/boot_id"));
}
