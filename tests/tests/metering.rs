//! What other programs sent is what `pm show --json` says, to the byte.

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::traffic::{
    Iperf, fetch_tcp, iperf_server, retransmissions, send_tcp, send_udp, send_udp_from, tcp_sink, tcp_source,
    udp_sink,
};
use pm_tests::witness::{AFTER, BEFORE, Point, Witness};

/// What pm says about a port, inbound and outbound.
fn metered(machine: &Machine<'_>, port: &str) -> (u64, u64) {
    let shown = machine.show(port);
    let (inward, outward) = (number(&shown, "in_bytes"), number(&shown, "out_bytes"));
    assert_eq!(number(&shown, "used_bytes"), inward + outward);
    (inward, outward)
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn udp_is_metered_to_the_byte_in_both_families_and_directions() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    let (_here, _there) = (udp_sink(&host, 10086), udp_sink(&client, 9000));
    let witness = Witness::of_port(&host, 10086);
    let mut expected = (0, 0);
    for family in Family::BOTH {
        send_udp(&client, family.host(), 10086, 1000, 500);
        send_udp_from(&host, 10086, family.client(), 9000, 700, 300);
        expected.0 += 500 * (1000 + 8 + family.header());
        expected.1 += 300 * (700 + 8 + family.header());
        assert_eq!((witness.settled("in").bytes, witness.settled("out").bytes), expected, "{family:?}");
        assert_eq!(metered(&machine, "10086"), expected, "live, {family:?}");
        machine.minute();
        assert_eq!(metered(&machine, "10086"), expected, "settled, {family:?}");
    }
    let stats = &machine.config()["ports"]["10086"]["stats"];
    assert_eq!((stats["acc_in"].as_u64(), stats["acc_out"].as_u64()), (Some(expected.0), Some(expected.1)));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn tcp_is_metered_to_the_byte_in_both_families_and_directions() {
    const PAYLOAD: u64 = 5_000_000;
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    machine.pm("add 10087 --quota unlimited");
    let (_sink, _source) = (tcp_sink(&host, 10086), tcp_source(&host, 10087, Some(PAYLOAD)));
    for family in Family::BOTH {
        let uploads = Segments::watch(&host, "input", "dport 10086", family);
        send_tcp(&client, family.host(), 10086, PAYLOAD).success();
        let (bytes, payload) = uploads.settled();
        assert!(payload == PAYLOAD || payload > PAYLOAD && retransmissions(&client) > 0, "{payload}");
        assert_eq!(metered(&machine, "10086").0, bytes, "{family:?}");
        uploads.end();

        let downloads = Segments::watch(&host, "output", "sport 10087", family);
        assert_eq!(fetch_tcp(&client, family.host(), 10087), PAYLOAD);
        let (bytes, payload) = downloads.settled();
        assert!(payload == PAYLOAD || payload > PAYLOAD && retransmissions(&host) > 0, "{payload}");
        assert_eq!(metered(&machine, "10087").1, bytes, "{family:?}");
        downloads.end();
        machine.pm("reset 10086 10087 --yes");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn what_iperf3_sends_and_receives_is_what_pm_says() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    let point = |name, hook, packets| Point { name, hook, priority: BEFORE, packets };
    let witness = Witness::new(
        &host,
        &[
            point("in", "input", "th dport 10086"),
            point("out", "output", "th sport 10086"),
            point("udp_in", "input", "udp dport 10086"),
            point("udp_out", "output", "udp sport 10086"),
        ],
    );
    // More than the buffers between the two programs hold: an iperf3 that has sent all takes leave without waiting for it
    // to be read, and what is not read is not received.
    let transports =
        [(Family::V4, "--bytes 64M"), (Family::V6, "--bytes 8M --udp --bitrate 200M --length 1200")];
    for (family, transport) in transports {
        for (direction, datagrams) in [("", "udp_in"), ("--reverse", "udp_out")] {
            let _server = iperf_server(&host, 10086);
            let words = format!("{transport} {direction}");
            let (shown_before, seen_before) = (metered(&machine, "10086"), witness.read(datagrams));
            let report = Iperf::run(&client, family.host(), 10086, &words);
            let shown = metered(&machine, "10086");
            assert_eq!(shown, (witness.settled("in").bytes, witness.settled("out").bytes), "{words}");
            let more = if direction.is_empty() { shown.0 - shown_before.0 } else { shown.1 - shown_before.1 };
            assert!(
                (1..more).contains(&report.received()),
                "{words}: {more}, received {}",
                report.received()
            );
            if transport.contains("--udp") {
                // One more: the greeting that opens iperf3's data stream.
                let seen = witness.read(datagrams).packets - seen_before.packets;
                assert_eq!(seen, report.datagrams() + 1, "{words}");
            }
        }
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn only_the_metered_port_is_metered() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    let _sinks = [10085, 10086, 10087].map(|port| udp_sink(&host, port));
    for port in [10085, 10086, 10087] {
        send_udp(&client, Family::V4.host(), port, 100, 10);
    }
    // A connection of the host's own to somebody else's port of that number is not ours.
    let _elsewhere = udp_sink(&client, 10086);
    send_udp(&host, Family::V4.client(), 10086, 100, 10);
    assert_eq!(metered(&machine, "10086"), (10 * 128, 0));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_range_of_101_ports_is_one_entry() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 20000-20100 --quota 1");
    // The first, one in the middle, the last; and the neighbours on either side.
    for port in [20000, 20050, 20100, 19999, 20101] {
        let _sink = udp_sink(&host, port);
        send_udp(&client, Family::V6.host(), port, 1000, 10);
    }
    machine.minute();
    assert_eq!(metered(&machine, "20000-20100"), (30 * 1048, 0));
    assert_eq!(machine.list()["ports"].as_array().map(Vec::len), Some(1));
    let counters = host.run(&["nft", "list", "counters", "table", "inet", "port_monitor"]);
    assert_eq!(counters.matches("counter cnt_").count(), 2, "{counters}");
    assert!(counters.contains("cnt_in_20000_20100") && counters.contains("cnt_out_20000_20100"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_port_past_four_gigabytes_and_a_quota_of_a_hundred_terabytes_work() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 100TB");
    machine.minute();
    // A counter that has been counting for a month.
    let month = 5_000_000_000_000;
    host.nft("delete table inet port_monitor");
    host.nft(&format!(
        "table inet port_monitor {{ counter cnt_in_10086 {{ packets 5000000000 bytes {month}; }}; }}"
    ));
    machine.minute();
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 10);
    assert_eq!(metered(&machine, "10086"), (month + 10 * 1028, 0));
    machine.minute();
    assert_eq!(metered(&machine, "10086"), (month + 10 * 1028, 0));
    assert_eq!(number(&machine.show("10086"), "quota_bytes"), 100 << 40);
}

/// Tells the payload of TCP from its headers, by the length that each segment says its header has.
struct Segments<'a> {
    namespace: &'a Namespace,
    witness: Witness<'a>,
    family: Family,
}

/// Lengths of a TCP header, in words of four bytes: five, and up to ten words of options.
const HEADER_WORDS: std::ops::RangeInclusive<u64> = 5..=15;

impl<'a> Segments<'a> {
    fn watch(namespace: &'a Namespace, hook: &str, port: &str, family: Family) -> Self {
        let of_length = |words: u64| {
            let packets = format!("meta nfproto {} tcp {port} tcp doff {words}", family.nft());
            (format!("words_{words}"), packets)
        };
        let texts: Vec<(String, String)> = HEADER_WORDS.map(of_length).collect();
        let point = |(name, packets)| Point { name, hook, priority: AFTER, packets };
        let points: Vec<Point<'_>> =
            texts.iter().map(|(name, packets)| point((name.as_str(), packets.as_str()))).collect();
        Self { namespace, witness: Witness::new(namespace, &points), family }
    }

    /// All bytes, and those of them that are payload.
    fn settled(&self) -> (u64, u64) {
        // Eight words: the segments that have a timestamp and no other option, so nearly all.
        self.witness.settled("words_8");
        HEADER_WORDS.fold((0, 0), |(bytes, payload), words| {
            let seen = self.witness.read(&format!("words_{words}"));
            let headers = seen.packets * (self.family.header() + 4 * words);
            (bytes + seen.bytes, payload + seen.bytes - headers)
        })
    }

    fn end(self) {
        self.namespace.nft("delete table inet witness");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn all_65535_ports_can_be_one_entry() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 1-65535 --quota 1");
    for port in [1, 1024, 65_534, 65_535] {
        let _sink = udp_sink(&host, port);
        send_udp(&client, Family::V4.host(), port, 1000, 10);
    }
    machine.minute();
    assert_eq!(metered(&machine, "1-65535"), (40 * 1028, 0));
    machine.pm("set 1-65535 --limit 100 --quota 45KB");
    let classes = host.run(&["tc", "class", "show", "dev", "eth0"]);
    assert!(classes.contains("1:1 "), "{classes}");
    let _sink = udp_sink(&host, 40_000);
    send_udp(&client, Family::V6.host(), 40_000, 1000, 10);
    machine.minute();
    let shown = machine.show("1-65535");
    assert_eq!(shown["blocked"].as_bool(), Some(true), "{shown}");
    assert!((44 << 10..=45 << 10).contains(&number(&shown, "used_bytes")), "{shown}");
}
