//! The firewall against a real kernel, in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "a failure in a test is told by its place")]

mod lab;
mod others;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::*;
use pm_core::accounting::Readings;
use pm_core::backend::{Applied, Fault, Firewall, Ruleset};
use pm_core::port::ClassId;
use pm_core::quota::Mode;
use pm_core::units::Bytes;
use pm_kernel::netlink::{Message, Protocol, Socket};
use pm_kernel::tool::Tool;
use pm_kernel::transaction::{Request, TransactionError};
use pm_netfilter::Netfilter;
use tokio::runtime::Builder;

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn counters_and_quotas_keep_what_they_counted_over_an_apply() {
    let bench = Bench::new();
    let mut ruleset = metered(&["443"]);
    ruleset.quotas.insert(range("443"), quota(1 << 40, Mode::Both, &["443"]));
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    send(5000, 443);
    let before = bench.read();
    let expected = Bytes(5000 + 5 * HEADERS);
    assert_eq!(before.counters[&range("443")].inbound.unwrap().bytes, expected);
    assert_eq!(before.quotas[&range("443")].used_before, expected);

    ruleset.metered.insert(range("8080"));
    ruleset.blocked.insert(range("8080"));
    ruleset.quotas.get_mut(&range("443")).unwrap().over = Bytes(100 << 40);
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let after = bench.read();
    assert_eq!(after.counters[&range("443")], before.counters[&range("443")]);
    let quota = after.quotas[&range("443")];
    assert_eq!((quota.over, quota.used_before, quota.used_after), (Bytes(100 << 40), expected, expected));
    send(1000, 443);
    assert_eq!(bench.traffic("443").inbound, Bytes(expected.0 + 1000 + HEADERS));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn both_directions_are_counted_for_udp_and_tcp_over_both_protocols() {
    let bench = Bench::new();
    assert_eq!(bench.apply(&metered(&["5201", "6000-6003"])), Applied::Changed);
    shell(
        "socat -u TCP6-LISTEN:5201,ipv6only=0,reuseaddr OPEN:/dev/null & sleep 0.3
         head -c 1000000 /dev/zero | socat -u - TCP6:[::1]:5201; wait",
    );
    let tcp = bench.traffic("5201");
    assert!(tcp.inbound.0 > 1_000_000 && tcp.inbound.0 < 1_100_000, "{tcp:?}");
    assert!(tcp.outbound.0 > 100 && tcp.outbound.0 < 100_000, "{tcp:?}");
    send(100, 6000);
    send(100, 6003);
    send(100, 6004);
    assert_eq!(bench.traffic("6000-6003").inbound, Bytes(2 * (100 + HEADERS)));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_quota_stops_its_members_at_once_and_a_higher_limit_lets_them_go_on() {
    let bench = Bench::new();
    let mut ruleset = metered(&["443", "8080"]);
    ruleset.quotas.insert(range("443"), quota(3 * (1000 + HEADERS) + 1, Mode::Both, &["443", "8080"]));
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    send(2000, 443);
    send(9000, 8080);
    assert_eq!(bench.traffic("443").inbound, Bytes(2 * (1000 + HEADERS)));
    assert_eq!(bench.traffic("8080").inbound, Bytes(1000 + HEADERS));
    let stopped = bench.read().quotas[&range("443")];
    assert!(stopped.exhausted(), "{stopped:?}");

    // Far less than what was dropped, of which the kernel tells nothing.
    let room = 2 * (1000 + HEADERS) + 1;
    ruleset.quotas.get_mut(&range("443")).unwrap().over = stopped.used_after.saturating_add(Bytes(room));
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    send(1000, 443);
    send(3000, 8080);
    assert_eq!(bench.traffic("443").inbound, Bytes(3 * (1000 + HEADERS)));
    assert_eq!(bench.traffic("8080").inbound, Bytes(2 * (1000 + HEADERS)));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_quota_of_outbound_traffic_does_not_see_what_comes_in() {
    let bench = Bench::new();
    let mut ruleset = metered(&["443"]);
    ruleset.quotas.insert(range("443"), quota(10, Mode::OutOnly, &["443"]));
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    send(2000, 443);
    assert_eq!(bench.traffic("443").inbound, Bytes(2 * (1000 + HEADERS)));
    assert_eq!(bench.read().quotas[&range("443")].used_after, Bytes(0));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_blocked_entry_is_closed_and_opened_again() {
    let bench = Bench::new();
    let mut ruleset = metered(&["443", "30000-40000"]);
    ruleset.blocked.extend([range("443"), range("30000-40000")]);
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    send(1000, 443);
    send(1000, 35_000);
    assert_eq!(bench.traffic("443").total(), Bytes(0));
    assert_eq!(bench.traffic("30000-40000").total(), Bytes(0));
    ruleset.blocked.clear();
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    send(1000, 443);
    send(1000, 35_000);
    assert_eq!(bench.traffic("443").inbound, Bytes(1000 + HEADERS));
    assert_eq!(bench.traffic("30000-40000").inbound, Bytes(1000 + HEADERS));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_apply_with_nothing_to_do_starts_no_process() {
    let bench = Bench::new();
    for ruleset in [metered(&["443"]), rich()] {
        assert_eq!(bench.apply(&ruleset), Applied::Changed);
        let starts = bench.starts();
        assert_eq!(bench.apply(&ruleset), Applied::Unchanged);
        let _ = bench.read();
        // Not even for the next run of the program, nor when others change tables of theirs.
        let next = firewall_in(bench.folder.path());
        assert_eq!(bench.runtime.block_on(next.apply(&ruleset)).unwrap(), Applied::Unchanged);
        shell("nft add table inet somebody; nft delete table inet somebody");
        assert_eq!(bench.apply(&ruleset), Applied::Unchanged);
        assert_eq!(bench.apply(&ruleset), Applied::Unchanged);
        assert_eq!(bench.starts(), starts);
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn any_ruleset_can_follow_any_other() {
    let bench = Bench::new();
    let fresh_folder = tempfile::tempdir().unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    // Knuth's linear congruential generator: the same rulesets in every run.
    let mut numbers = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..60 {
        let ruleset = arbitrary(&mut numbers);
        let before = bench.read();
        let _ = bench.apply(&ruleset);
        let after = bench.read();
        for (entry, reading) in &after.counters {
            assert_eq!(
                Some(reading),
                before.counters.get(entry).or(Some(reading)),
                "{entry} in round {round}"
            );
        }
        for (lead, quota) in &after.quotas {
            let kept = before.quotas.get(lead).map_or(Bytes(0), |before| before.used_after.min(quota.over));
            assert_eq!(quota.used_before, kept, "{lead} in round {round}");
        }
        let changed = standing();
        assert_eq!(bench.apply(&ruleset), Applied::Unchanged, "round {round}");

        for port in [80, 443, 7002, 9500, 25_000, 31_999] {
            send(60, port);
        }
        // What stands is read before the next change in every third round, and known by the note in the others.
        if round % 3 != 2 {
            continue;
        }
        // The same ruleset where nothing stood, by the hand of nft; then what stood is put back.
        let shell = |script: &str| shell_with(script, fresh_folder.path());
        shell("echo flush ruleset > $PM/ruleset; nft list ruleset >> $PM/ruleset; nft flush ruleset");
        let fresh = firewall_in(fresh_folder.path());
        if !ruleset.metered.is_empty() {
            let _ = bench.runtime.block_on(fresh.apply_with_nft(&ruleset)).unwrap();
        }
        assert_eq!(sorted(&standing()), sorted(&changed), "round {round}: {ruleset:?}");
        shell("nft -f $PM/ruleset");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_counter_made_anew_has_another_identity() {
    let bench = Bench::new();
    let ruleset = metered(&["443"]);
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let origin = |bench: &Bench| bench.read().counters[&range("443")].inbound.unwrap().origin;
    let first = origin(&bench);
    shell("nft delete table inet port_monitor");
    assert_eq!(bench.read(), Readings::default());
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let second = origin(&bench);
    assert_ne!(first, second);
    assert_eq!(first.boot, second.boot);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn figures_beyond_32_bits_are_read_whole_by_netlink_and_by_nft() {
    let bench = Bench::new();
    shell(
        "nft -f - <<'END'
add table inet port_monitor
add counter inet port_monitor cnt_in_1 { packets 1 bytes 99999999999 }
add counter inet port_monitor cnt_out_1 { packets 7 bytes 9223372036854775807 }
add quota inet port_monitor quota_1 { over 100000000000000 bytes used 5000000000 bytes }
add counter inet port_monitor cnt_in_20000_20100 { packets 1 bytes 3 }
add counter inet port_monitor somebody { packets 1 bytes 4 }
add limit inet port_monitor cnt_in_2 { rate 1/second }
add table ip port_monitor
add counter ip port_monitor cnt_in_3 { packets 1 bytes 5 }
END",
    );
    let readings = bench.read();
    let one = readings.counters[&range("1")];
    assert_eq!(one.inbound.unwrap().bytes, Bytes(99_999_999_999));
    assert_eq!(one.outbound.unwrap().bytes, Bytes(i64::MAX.unsigned_abs()));
    let quota = readings.quotas[&range("1")];
    assert_eq!((quota.over, quota.used_before), (Bytes(100_000_000_000_000), Bytes(5_000_000_000)));
    assert_eq!(readings.counters.len(), 2);
    assert_eq!(bench.runtime.block_on(bench.firewall.read_with_nft()).unwrap(), readings);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn nft_alone_applies_the_same_table_and_keeps_what_was_counted() {
    let bench = Bench::new();
    let mut ruleset = rich();
    ruleset.forward = true;
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let sound = standing();
    send(3000, 443);
    let before = bench.read();
    let apply = || bench.runtime.block_on(bench.firewall.apply_with_nft(&ruleset)).unwrap();
    assert_eq!(apply(), Applied::Changed);
    assert_eq!(sorted(&standing()), sorted(&sound));
    assert_eq!(bench.read(), before);
    shell("nft delete table inet port_monitor");
    assert_eq!(apply(), Applied::Changed);
    assert_eq!(sorted(&standing()), sorted(&sound));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_rights_the_errors_ask_for_root() {
    const INNER: &str = "PM_TEST_WITHOUT_RIGHTS";
    let name = "without_rights_the_errors_ask_for_root";
    if std::env::var_os(INNER).is_none() {
        let _ = Bench::new();
        let inner = Command::new("setpriv")
            .args(["--bounding-set=-all", "--inh-caps=-all"])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", name])
            .env(INNER, "1")
            .output()
            .unwrap();
        assert!(inner.status.success(), "{}", String::from_utf8_lossy(&inner.stdout));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let firewall = Netfilter::new(record_in(folder.path()));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for ruleset in [metered(&["443"]), Ruleset::default()] {
        let error = runtime.block_on(firewall.apply(&ruleset)).unwrap_err();
        assert_eq!(error.fault, Fault::Permission);
    }
    let error = runtime.block_on(firewall.read()).unwrap_err();
    assert_eq!(error.fault, Fault::Permission);
    let sentence = "only root may read the firewall's counters: run this as root, for example with sudo";
    assert!(error.to_string().starts_with(sentence), "{error}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn where_nothing_stands_there_are_no_readings() {
    let bench = Bench::new();
    assert_eq!(bench.read(), Readings::default());
    assert_eq!(bench.runtime.block_on(bench.firewall.read_with_nft()).unwrap(), Readings::default());
    shell("nft add table inet port_monitor");
    assert_eq!(bench.read(), Readings::default());
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn no_set_or_map_has_a_word_of_nft_for_a_name() {
    let bench = Bench::new();
    let mut ruleset = rich();
    ruleset.metered.insert(range("50000-60000"));
    ruleset.blocked.insert(range("50000-60000"));
    ruleset.quotas.insert(range("50000-60000"), quota(1 << 40, Mode::OutOnly, &["50000-60000"]));
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let standing = standing();
    let declared = standing.lines().filter_map(|line| line.trim().strip_suffix(" {"));
    let named: Vec<_> =
        declared.filter(|line| line.starts_with("set ") || line.starts_with("map ")).collect();
    assert_eq!(named.len(), 12, "{named:?}");
    for named in named {
        let (kind, name) = named.split_once(' ').unwrap();
        shell(&format!("nft list {kind} inet port_monitor {name}"));
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_wide_range_has_its_own_maps_only_while_it_is_there() {
    let bench = Bench::new();
    let narrow = metered(&["443", "20000-21023"]);
    assert_eq!(bench.apply(&narrow), Applied::Changed);
    let without = standing();
    let mut wide = narrow.clone();
    wide.metered.insert(range("30000-40000"));
    wide.metered.insert(range("40001-65535"));
    wide.quotas.insert(range("30000-40000"), quota(2000, Mode::Both, &["30000-40000"]));
    assert_eq!(bench.apply(&wide), Applied::Changed);
    assert!(standing().contains("in_counter_ranges") && standing().contains("map both_quota_ranges"));
    send(1000, 30_000);
    send(1000, 40_000);
    send(1000, 40_001);
    send(1000, 65_535);
    send(1000, 21_023);
    assert_eq!(bench.traffic("30000-40000").inbound, Bytes(1000 + HEADERS));
    assert_eq!(bench.traffic("40001-65535").inbound, Bytes(2 * (1000 + HEADERS)));
    assert_eq!(bench.traffic("20000-21023").inbound, Bytes(1000 + HEADERS));
    assert_eq!(bench.apply(&narrow), Applied::Changed);
    assert_eq!(standing(), without);
    assert_eq!(bench.traffic("20000-21023").inbound, Bytes(1000 + HEADERS));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn forwarded_traffic_is_metered_and_connection_tracking_goes_with_its_chain() {
    // Clients in `client`, servers in `server`, this machine between them with a published port 8080.
    let bench = Bench::new();
    let shell = |script: &str| shell_with(script, bench.folder.path());
    let client = "nsenter --net=/proc/$(cat $PM/client)/ns/net";
    shell(
        "for side in client server; do
           unshare --net sleep 300 & echo $! > $PM/$side; sleep 0.2
           ip link add pm-$side type veth peer name eth0 netns $(cat $PM/$side)
           ip link set pm-$side up
           nsenter --net=/proc/$(cat $PM/$side)/ns/net ip link set eth0 up
         done > /dev/null 2>&1
         ip address add 10.1.0.1/24 dev pm-client; ip address add 10.2.0.1/24 dev pm-server
         nsenter --net=/proc/$(cat $PM/client)/ns/net ip address add 10.1.0.2/24 dev eth0
         nsenter --net=/proc/$(cat $PM/server)/ns/net ip address add 10.2.0.2/24 dev eth0
         nsenter --net=/proc/$(cat $PM/client)/ns/net ip route add default via 10.1.0.1
         nsenter --net=/proc/$(cat $PM/server)/ns/net ip route add default via 10.2.0.1
         echo 1 > /proc/sys/net/ipv4/ip_forward",
    );
    let tracked = || -> u64 {
        fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap().trim().parse().unwrap()
    };
    let mut ruleset = metered(&["8080", "80", "30000-40000"]);
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    // Entries of flows of another test may still be there.
    let count = tracked();
    for port in 1..=20 {
        send(10, port);
    }
    assert!(tracked() <= count, "connection tracking runs without a reason");

    ruleset.forward = true;
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    assert_eq!(bench.apply(&ruleset), Applied::Unchanged);
    shell(
        "nft -f - <<'END'
add table ip nat
add chain ip nat prerouting { type nat hook prerouting priority -100; }
add rule ip nat prerouting iifname pm-client tcp dport { 8080, 33333 } dnat to 10.2.0.2:80
END",
    );
    let server = "nsenter --net=/proc/$(cat $PM/server)/ns/net socat TCP-LISTEN:80,reuseaddr EXEC:'head -c 1000000 /dev/zero'";
    let download = |port: u16| {
        shell(&format!("({server}) & sleep 0.3; {client} socat -u TCP:10.1.0.1:{port} - | wc -c; wait"))
            .trim()
            .to_owned()
    };
    assert_eq!(download(8080), "1000000");
    let traffic = bench.traffic("8080");
    assert!(traffic.outbound.0 > 1_000_000 && traffic.outbound.0 < 1_100_000, "{traffic:?}");
    assert!(traffic.inbound.0 > 100 && traffic.inbound.0 < 100_000, "{traffic:?}");
    assert_eq!(download(33_333), "1000000");
    assert!(bench.traffic("30000-40000").outbound.0 > 1_000_000);
    // A connection through the machine to a port 80 elsewhere is nobody's.
    shell(&format!("({server}) & sleep 0.3; {client} socat -u TCP:10.2.0.2:80 - > /dev/null; wait"));
    assert_eq!(bench.traffic("80").total(), Bytes(0));

    ruleset.blocked.insert(range("8080"));
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let before = bench.traffic("8080");
    shell(&format!("! timeout 1 {client} socat -u TCP:10.1.0.1:8080 - "));
    assert_eq!(bench.traffic("8080"), before);

    shell("nft delete table ip nat");
    ruleset.forward = false;
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    // The kernel lets go of the old rules some milliseconds later, and nobody waits for it.
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut ports = 1..;
    let mut still_tracks = || {
        let count = tracked();
        ports.by_ref().take(20).for_each(|port| send(10, port));
        tracked() > count
    };
    while still_tracks() {
        assert!(Instant::now() < deadline, "connection tracking still runs");
    }
    assert_eq!(bench.traffic("8080"), before);
    shell("kill $(cat $PM/client $PM/server); rm $PM/client $PM/server");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn packets_are_put_into_their_class() {
    let bench = Bench::new();
    let mut ruleset = metered(&["5555"]);
    ruleset.classes.insert(range("5555"), ClassId::of(range("5555")).unwrap());
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    shell(
        "nft -f - <<'END'
add table inet probe
add counter inet probe classified
add chain inet probe after { type filter hook output priority 10; }
add rule inet probe after meta priority 1:15b3 counter name classified
END
         echo x | socat -u - UDP:127.0.0.1:9,sourceport=5555",
    );
    let counted = shell("nft list counter inet probe classified");
    assert!(counted.contains("packets 1 "), "{counted}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn with_nothing_metered_there_is_no_table() {
    let bench = Bench::new();
    assert_eq!(bench.apply(&Ruleset::default()), Applied::Unchanged);
    assert_eq!(bench.starts(), 0);
    assert_eq!(bench.apply(&rich()), Applied::Changed);
    assert_eq!(bench.apply(&Ruleset::default()), Applied::Changed);
    assert_eq!(standing(), "");
    assert_eq!(bench.apply(&rich()), Applied::Changed);
    bench.remove();
    assert_eq!(standing(), "");
    let starts = bench.starts();
    bench.remove();
    assert_eq!(bench.starts(), starts);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_nft_everything_works() {
    let bench = Bench::new();
    let missing = Netfilter::with_nft(record_in(bench.folder.path()), Tool::new("pm-no-nft", "nftables"));
    for ruleset in [metered(&["443"]), rich(), metered(&["80"])] {
        assert_eq!(bench.runtime.block_on(missing.apply(&ruleset)).unwrap(), Applied::Changed);
        assert_eq!(bench.runtime.block_on(missing.read()).unwrap(), bench.read());
    }
    bench.runtime.block_on(missing.remove()).unwrap();
    assert_eq!(standing(), "");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_transaction_is_made_as_a_whole_and_only_in_its_generation() {
    const HEADER: [u8; 4] = [1, 0, 0, 0];
    const GENERATION: u16 = 0xa0f;
    let _bench = Bench::new();
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let generation = |socket: &mut Socket| {
        let replies = socket.request(&Message::new(GENERATION + 1, &[0; 4])).unwrap();
        let reply = replies.iter().find(|reply| reply.kind == GENERATION).unwrap();
        reply.attributes(4).find(1).unwrap().be32().unwrap()
    };
    let add = |name| Request::create(Message::new(0xa00, &HEADER).text(1, name));
    let delete = |name| Request::delete(Message::new(0xa02, &HEADER).text(1, name));

    let now = generation(&mut socket);
    socket.transact(now, &[add("one")]).unwrap();
    assert_eq!(standing(), "table inet one {\n}\n");
    // Somebody was faster.
    let error = socket.transact(now, &[add("two")]).unwrap_err();
    assert!(matches!(error, TransactionError::Overtaken), "{error:?}");
    // Two of these four cannot be done; the first of them is told.
    let requests = [add("two"), delete("absent"), add("three"), delete("nobody")];
    let now = generation(&mut socket);
    let error = socket.transact(now, &requests).unwrap_err();
    assert!(matches!(error, TransactionError::Refused { place: 1, .. }), "{error:?}");
    assert_eq!(standing(), "table inet one {\n}\n");
    // What the kernel said about them is not taken for an answer to the next one.
    socket.transact(now, &[delete("one"), add("two")]).unwrap();
    assert_eq!(generation(&mut socket), now + 1);
    assert_eq!(standing(), "table inet two {\n}\n");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_apply_gets_through_while_others_change_tables_of_theirs_all_the_time() {
    let bench = Bench::new();
    let mut others = Command::new("bash")
        .args(["-c", "while :; do nft add table inet o; nft delete table inet o; done"])
        .spawn()
        .unwrap();
    for round in 0..50 {
        let ruleset = if round % 2 == 0 { rich() } else { metered(&["443"]) };
        assert_eq!(bench.apply(&ruleset), Applied::Changed);
        assert_eq!(bench.read().counters.len(), ruleset.metered.len());
        // A note of what others made meanwhile would hide what they break.
        shell("nft flush chain inet port_monitor input");
        assert_eq!(bench.apply(&ruleset), Applied::Changed);
        assert!(shell("nft list chain inet port_monitor input").contains("@in_counters"));
    }
    others.kill().unwrap();
    others.wait().unwrap();
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn what_the_kernel_counts_while_the_rules_are_replaced_is_not_lost() {
    let bench = Bench::new();
    let mut ruleset = metered(&["443"]);
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    shell(
        "nft -f - <<'END'
add table inet probe
add counter inet probe seen
add chain inet probe before { type filter hook input priority -400; }
add rule inet probe before udp dport 443 counter name seen
END",
    );
    let mut sink = Command::new("socat").args(["-u", "UDP-RECV:443", "OPEN:/dev/null"]).spawn().unwrap();
    let mut flood = Command::new("bash")
        .args(["-c", "sleep 0.3; exec 3>/dev/udp/127.0.0.1/443; dd if=/dev/zero bs=100 count=400000 >&3"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut applied = 0;
    while flood.try_wait().unwrap().is_none() {
        let other = range("8080");
        if !ruleset.metered.remove(&other) {
            ruleset.metered.insert(other);
        }
        assert_eq!(bench.apply(&ruleset), Applied::Changed);
        applied += 1;
    }
    sink.kill().unwrap();
    sink.wait().unwrap();
    let all = shell("nft -j list counter inet probe seen");
    let all = all
        .split("\"bytes\": ")
        .nth(1)
        .unwrap()
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(bench.traffic("443").inbound.0.to_string(), all, "after {applied} applies");
    println!("{applied} applies under a flood, {all} bytes seen by both");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn maps_hold_whatever_comes_also_those_of_an_older_version() {
    // As known by the note, and as looked up where there is none; an older version's maps grow.
    for (noted, grow) in [(true, false), (false, false), (false, true)] {
        let bench = Bench::new();
        assert_eq!(bench.apply(&many(10)), Applied::Changed);
        if grow {
            let saved = bench.folder.path().join("saved");
            let saved = saved.display();
            shell(&format!(
                "nft list ruleset | sed '/size 65535/d' > {saved}; nft flush ruleset; nft -f {saved}"
            ));
        }
        assert_eq!(standing().matches("size 65535").count(), if grow { 0 } else { 3 });
        for ports in [5_000, 600, 10] {
            let mut ruleset = many(ports);
            if !noted {
                let _ = fs::remove_file(record_in(bench.folder.path()));
            }
            assert_eq!(bench.apply(&ruleset), Applied::Changed);
            let last = 10_000 + ports - 1;
            let entry = last.to_string();
            let before = bench.traffic(&entry).inbound;
            send(1000, last);
            let counted = bench.traffic(&entry).inbound;
            assert_eq!(counted.0 - before.0, 1000 + HEADERS, "{ports} {noted} {grow}");
            ruleset.quotas.get_mut(&range(&entry)).unwrap().over = Bytes(1);
            assert_eq!(bench.apply(&ruleset), Applied::Changed);
            send(1000, last);
            assert_eq!(bench.traffic(&entry).inbound, counted, "{ports} {noted} {grow}");
        }
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn thousands_of_ports_are_loaded_and_read() {
    for ports in [10, 1_000, 10_000] {
        let bench = Bench::new();
        // What can be repeated is told by its fastest run: others share the machine.
        let timed = |what: &str, times: u32, run: &mut dyn FnMut()| {
            let once = |_| {
                let start = Instant::now();
                run();
                start.elapsed()
            };
            println!("{ports} ports, {what}: {:?}", (0..times).map(once).min().unwrap());
        };
        let mut ruleset = many(ports);
        timed("first apply", 1, &mut || assert_eq!(bench.apply(&ruleset), Applied::Changed));
        timed("quiet apply", 3, &mut || assert_eq!(bench.apply(&ruleset), Applied::Unchanged));
        shell("nft add table inet somebody");
        timed("verified apply", 1, &mut || assert_eq!(bench.apply(&ruleset), Applied::Unchanged));
        ruleset.blocked.insert(range("10005"));
        timed("one port blocked", 1, &mut || assert_eq!(bench.apply(&ruleset), Applied::Changed));
        timed("read", 3, &mut || assert_eq!(bench.read().counters.len(), usize::from(ports)));
        timed("remove", 1, &mut || bench.remove());
    }
}
