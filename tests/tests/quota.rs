//! A quota cuts at the packet, by the kernel alone; the next minute records it and tells it once.

use std::time::Duration;

use pm_tests::machine::{Machine, messages, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::process::until;
use pm_tests::traffic::{drain_tcp, flood_tcp, send_udp, send_udp_from, tcp_sink, tcp_source, udp_sink};
use pm_tests::witness::{AFTER, Point, Witness};

const QUOTA: u64 = 20 << 20;
/// The last packet may be a super-packet of GSO, which passes whole or not at all.
const SHORTEST: u64 = QUOTA - (64 << 10);

/// The members of a set of ours, as nft prints them.
fn blocked_ports(host: &Namespace) -> String {
    host.nft("list set inet port_monitor blocked_ports")
}

/// Waits until the port passes nothing more, and returns what it passed in both directions.
fn passed(witness: &Witness<'_>) -> u64 {
    until("traffic in both directions", Duration::from_secs(10), || {
        (witness.bytes("in") > 0 && witness.bytes("out") > 0).then_some(())
    });
    witness.settled("in").bytes + witness.settled("out").bytes
}

fn percent(port: &serde_json::Value) -> String {
    port["percent"].as_f64().map(|percent| format!("{percent:.1}")).unwrap_or_default()
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_upload_at_full_speed_is_cut_off_at_the_byte_with_no_monitor_running() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 20MiB --mode both");
    let (witness, _sink) = (Witness::of_port(&host, 10086), tcp_sink(&host, 10086));
    let _flood = flood_tcp(&client, Family::V4.host(), 10086);
    let passed = passed(&witness);
    assert!((SHORTEST..=QUOTA).contains(&passed), "{passed} of {QUOTA}");
    let shown = machine.show("10086");
    assert_eq!(number(&shown, "in_bytes") + number(&shown, "out_bytes"), passed);

    let first = machine.minute();
    let told = messages(&first);
    assert_eq!(told.len(), 2, "a warning and the block: {told:?}");
    assert!(told.iter().all(|line| line.contains("10086")), "{told:?}");
    assert!(blocked_ports(&host).contains("10086"));
    let shown = machine.show("10086");
    assert_eq!((shown["blocked"].as_bool(), percent(&shown).as_str()), (Some(true), "100.0"));
    for _ in 0..2 {
        let next = machine.minute();
        assert_eq!(messages(&next), [""; 0], "everything was told already");
    }
    assert_eq!(machine.config()["outbox"].as_array().map_or(0, Vec::len), 0);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_download_at_full_speed_is_cut_off_at_the_byte_with_no_monitor_running() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 20MiB");
    let (witness, _source) = (Witness::of_port(&host, 10086), tcp_source(&host, 10086, None));
    let _drain = drain_tcp(&client, Family::V6.host(), 10086);
    let passed = passed(&witness);
    assert!((SHORTEST..=QUOTA).contains(&passed), "{passed} of {QUOTA}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_flood_of_datagrams_is_cut_off_less_than_one_of_them_early() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 2MiB");
    let (witness, _sink) = (Witness::of_port(&host, 10086), udp_sink(&host, 10086));
    send_udp(&client, Family::V4.host(), 10086, 1000, 4000);
    let passed = witness.settled("in").bytes;
    assert!(((2 << 20) - 1028..=2 << 20).contains(&passed), "{passed}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn out_only_counts_outbound_alone() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1MiB --mode out_only");
    let (_here, _there) = (udp_sink(&host, 10086), udp_sink(&client, 9000));
    let witness = Witness::of_port(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 2000);
    send_udp_from(&host, 10086, Family::V4.client(), 9000, 1000, 500);
    assert_eq!(witness.settled("in").bytes, 2000 * 1028);
    let shown = machine.show("10086");
    assert_eq!(number(&shown, "in_bytes"), 2000 * 1028);
    assert_eq!(number(&shown, "used_bytes"), 500 * 1028);
    assert_eq!(shown["blocked"].as_bool(), Some(false));

    // Dropping in `output` is an error to the sender, as it would be with any firewall.
    host.bash(&format!(
        "socat -u -b 1000 OPEN:/dev/zero,readbytes=1000000 UDP-SENDTO:{}:9000,sourceport=10086,reuseaddr || true",
        Family::V4.client()
    ));
    let passed = witness.settled("out").bytes;
    assert!(((1 << 20) - 1028..=1 << 20).contains(&passed), "{passed}");
    machine.minute();
    send_udp(&client, Family::V4.host(), 10086, 1000, 100);
    assert_eq!(witness.settled("in").bytes, 2000 * 1028, "the set closes both directions");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn three_ports_of_a_group_share_one_quota() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    let ports = [10086, 10087, 20000];
    for port in ports {
        machine.pm(&format!("add {port} --quota 3MiB --group family"));
    }
    let seen = ports.map(|port| (format!("seen_{port}"), format!("th dport {port}")));
    let points =
        seen.each_ref().map(|(name, packets)| Point { name, hook: "input", priority: AFTER, packets });
    let witness = Witness::new(&host, &points);
    let _sinks = ports.map(|port| udp_sink(&host, port));
    let sum = || seen.iter().map(|(name, _)| witness.settled(name).bytes).sum::<u64>();

    for port in ports {
        send_udp(&client, Family::V4.host(), port, 1000, 900);
    }
    assert_eq!(sum(), 2700 * 1028, "still below the quota together");
    for port in ports {
        assert_eq!(number(&machine.show(&port.to_string()), "used_bytes"), 2700 * 1028);
        assert_eq!(number(&machine.show(&port.to_string()), "in_bytes"), 900 * 1028);
    }
    for port in ports {
        send_udp(&client, Family::V4.host(), port, 1000, 900);
    }
    let passed = sum();
    assert!(((3 << 20) - 1028..=3 << 20).contains(&passed), "{passed}");

    let minute = machine.minute();
    assert_eq!(messages(&minute).len(), 2, "told once for the group: {}", minute.stdout);
    for port in ports {
        assert!(blocked_ports(&host).contains(&port.to_string()));
        assert_eq!(machine.show(&port.to_string())["blocked"].as_bool(), Some(true));
    }
    assert_eq!(messages(&machine.minute()), [""; 0]);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_range_is_cut_off_as_one() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 20000-20100 --quota 1MiB");
    let range = "th dport 20000-20100";
    let witness =
        Witness::new(&host, &[Point { name: "in", hook: "input", priority: AFTER, packets: range }]);
    for port in [20000, 20050, 20100] {
        let _sink = udp_sink(&host, port);
        send_udp(&client, Family::V6.host(), port, 1000, 500);
    }
    let passed = witness.settled("in").bytes;
    assert!(((1 << 20) - 1048..=1 << 20).contains(&passed), "{passed}");
    machine.minute();
    assert!(blocked_ports(&host).contains("20100"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn raising_the_quota_opens_the_port_at_once_and_arms_the_rest_of_it() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1MiB");
    let (witness, _sink) = (Witness::of_port(&host, 10086), udp_sink(&host, 10086));
    send_udp(&client, Family::V4.host(), 10086, 1000, 1500);
    machine.minute();
    machine.pm("set 10086 --quota 3MiB");
    assert_eq!(machine.show("10086")["blocked"].as_bool(), Some(false));
    assert!(!blocked_ports(&host).contains("10086"));
    send_udp(&client, Family::V4.host(), 10086, 1000, 4000);
    let passed = witness.settled("in").bytes;
    assert!(((3 << 20) - 2 * 1028..=3 << 20).contains(&passed), "{passed}");
    let minute = machine.minute();
    assert_eq!(messages(&minute).len(), 2, "a new crossing is told again: {}", minute.stdout);
    machine.pm("reset 10086 --yes");
    send_udp(&client, Family::V4.host(), 10086, 1000, 100);
    assert_eq!(witness.settled("in").bytes, passed + 100 * 1028);
    assert_eq!(number(&machine.show("10086"), "used_bytes"), 100 * 1028);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_quota_that_was_spent_when_the_machine_starts_lets_not_one_packet_pass() {
    let pair = Pair::new();
    let folder = tempfile::tempdir().unwrap();
    // Used exactly, and used beyond it; blocked before the machine went down, and not yet.
    for (boot, used, told) in [(1, QUOTA, true), (2, QUOTA + 5, false), (3, 9 * QUOTA, true)] {
        let machine = Machine::new(&pair.host);
        let boot_id = format!("00000000-0000-4000-8000-{boot:012}");
        pair.host.pretend_boot(&boot_id, &folder.path().join(&boot_id));
        let gigabytes = f64::from(20) / 1024.0;
        machine.write_config(
            &serde_json::json!({ "ports": { "10086": {
                "quota_gb": gigabytes, "quota_mode": "both", "reset_day": 0,
                "stats": { "acc_in": used, "acc_out": 0, "last_kernel_in": used, "last_kernel_out": 0 },
                "notify_state": { "quota_level": if told { 100 } else { 80 } },
            } } })
            .to_string(),
        );
        machine.minute();
        let (witness, _sink) = (Witness::of_port(&pair.host, 10086), udp_sink(&pair.host, 10086));
        send_udp(&pair.client, Family::V4.host(), 10086, 1, 20);
        assert_eq!(witness.settled("in").packets, 0, "{used} of {QUOTA}");
        assert!(
            machine.show("10086")["blocked"].as_bool() == Some(true)
                && blocked_ports(&pair.host).contains("10086")
        );
        assert_eq!(number(&machine.show("10086"), "used_bytes"), used);
        pair.host.nft("delete table inet witness; delete table inet port_monitor");
    }
}
