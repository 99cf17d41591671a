//! Whatever happens to the table, nothing is counted twice, nothing that the kernel still knew is lost, and the next minute
//! has the rules back.

use std::time::Duration;

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::pace::patience;
use pm_tests::process::{Background, until};
use pm_tests::traffic::{send_udp, udp_sink};
use pm_tests::witness::{BEFORE, Point, Witness};

/// IPv4 bytes of one datagram of the traffic here.
const DATAGRAM: u64 = 1000 + 28;

fn send(client: &Namespace, port: u16, count: u64) {
    send_udp(client, Family::V4.host(), port, 1000, count);
}

fn metered(machine: &Machine<'_>, port: &str) -> u64 {
    number(&machine.show(port), "in_bytes")
}

/// Every object, map, set and chain of ours, but for what they have counted and how far the quotas are armed.
fn rules(host: &Namespace) -> Vec<String> {
    let table = host.table("port_monitor");
    let table = table.trim().trim_start_matches("table inet port_monitor {").trim_end_matches('}');
    let mut objects: Vec<String> = table
        .split("\n\n")
        .map(|object| {
            object.lines().filter(|line| !line.trim().starts_with("over ")).map(str::trim).collect()
        })
        .collect();
    objects.sort();
    objects
}

/// A machine with a port that is metered and one that is blocked.
fn machine_with_a_blocked_port<'a>(host: &'a Namespace, client: &Namespace) -> Machine<'a> {
    let machine = Machine::new(host);
    machine.pm("add 10086 --quota 1 --comment open");
    machine.pm("add 10087 --quota 20KB --comment closed");
    let _sink = udp_sink(host, 10087);
    send(client, 10087, 30);
    machine.minute();
    assert_eq!(machine.show("10087")["blocked"].as_bool(), Some(true));
    machine
}

/// What must hold whenever the rules vanish: `vanish` destroys them.
fn survives(vanish: impl Fn(&Namespace)) {
    let Pair { host, client } = Pair::new();
    let machine = machine_with_a_blocked_port(&host, &client);
    let (_open, _closed) = (udp_sink(&host, 10086), udp_sink(&host, 10087));
    let closed = metered(&machine, "10087");
    let standing = rules(&host);
    assert!(standing.len() >= 13, "{standing:?}");

    send(&client, 10086, 500);
    machine.minute();
    assert_eq!(metered(&machine, "10086"), 500 * DATAGRAM);
    vanish(&host);
    assert_eq!(metered(&machine, "10086"), 500 * DATAGRAM, "shown before the next minute, too");
    send(&client, 10086, 100);
    machine.minute();
    assert_eq!(metered(&machine, "10086"), 500 * DATAGRAM, "nobody counted those hundred");
    assert_eq!(rules(&host), standing, "the rules are back");
    assert_eq!(machine.show("10087")["blocked"].as_bool(), Some(true));
    send(&client, 10087, 10);
    assert_eq!(metered(&machine, "10087"), closed, "the blocked port is blocked again");

    // The new counter passes the old one's value before anybody looks.
    send(&client, 10086, 800);
    machine.minute();
    assert_eq!(metered(&machine, "10086"), 1300 * DATAGRAM);
    vanish(&host);
    machine.minute();
    // And now it stays below it.
    send(&client, 10086, 50);
    machine.minute();
    assert_eq!(metered(&machine, "10086"), 1350 * DATAGRAM);
    assert_eq!(number(&machine.show("10086"), "used_bytes"), 1350 * DATAGRAM);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_flushed_ruleset_costs_no_byte_that_the_kernel_knew() {
    survives(|host| drop(host.nft("flush ruleset")));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_deleted_table_costs_no_byte_that_the_kernel_knew() {
    survives(|host| drop(host.nft("delete table inet port_monitor")));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_reboot_costs_no_byte_that_the_kernel_knew() {
    let folder = tempfile::tempdir().unwrap();
    let boots = std::cell::Cell::new(0);
    survives(|host| {
        boots.set(boots.get() + 1);
        let boot_id = format!("00000000-0000-4000-8000-{:012}", boots.get());
        host.pretend_boot(&boot_id, &folder.path().join(&boot_id));
        host.nft("delete table inet port_monitor");
    });
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn after_a_reboot_a_counter_may_have_the_very_handle_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = Pair::new();
    let machine = Machine::new(&first.host);
    machine.pm("add 10086 --quota 1");
    let _sink = udp_sink(&first.host, 10086);
    send(&first.client, 10086, 500);
    machine.minute();

    // A new kernel counts its handles from one again, so only the name of the boot tells the counters apart.
    let second = Pair::new();
    second.host.pretend_boot("00000000-0000-4000-8000-000000000001", &folder.path().join("boot"));
    let machine = machine.moved_to(&second.host);
    machine.minute();
    assert_eq!(metered(&machine, "10086"), 500 * DATAGRAM);
    let _sink = udp_sink(&second.host, 10086);
    send(&second.client, 10086, 700);
    assert_eq!(metered(&machine, "10086"), 1200 * DATAGRAM);
    machine.minute();
    assert_eq!(metered(&machine, "10086"), 1200 * DATAGRAM);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn counters_that_somebody_reset_are_not_billed_and_go_on_from_there() {
    let Pair { host, client } = Pair::new();
    let machine = machine_with_a_blocked_port(&host, &client);
    let _sink = udp_sink(&host, 10086);
    send(&client, 10086, 500);
    machine.minute();
    host.nft("reset counters table inet port_monitor");
    send(&client, 10086, 100);
    let minute = machine.minute();
    assert!(minute.stderr.contains("10086") && minute.stderr.lines().count() <= 2, "{minute}");
    assert_eq!(metered(&machine, "10086"), 500 * DATAGRAM, "a counter that went back adds nothing");
    send(&client, 10086, 200);
    machine.minute();
    assert_eq!(metered(&machine, "10086"), 700 * DATAGRAM);
    assert_eq!(machine.show("10087")["blocked"].as_bool(), Some(true));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn whatever_part_of_the_table_is_missing_comes_back_without_a_loss() {
    let Pair { host, client } = Pair::new();
    let machine = machine_with_a_blocked_port(&host, &client);
    let _sink = udp_sink(&host, 10086);
    let standing = rules(&host);
    let mut sent = 0;
    for damage in [
        "flush chain inet port_monitor input",
        "flush chain inet port_monitor output; delete chain inet port_monitor output",
        "flush set inet port_monitor blocked_ports",
        "flush map inet port_monitor in_counters",
        "flush map inet port_monitor both_quotas",
        "flush map inet port_monitor out_counters; delete counter inet port_monitor cnt_out_10086",
        "add element inet port_monitor blocked_ports { 10086 }",
        "add rule inet port_monitor input udp dport 10086 drop",
        "add table inet port_monitor { flags dormant; }",
    ] {
        send(&client, 10086, 100);
        sent += 100;
        host.nft(damage);
        machine.minute();
        assert_eq!(metered(&machine, "10086"), sent * DATAGRAM, "what the counter knew, after `{damage}`");
        assert_eq!(rules(&host), standing, "after `{damage}`");
        send(&client, 10086, 10);
        sent += 10;
        assert_eq!(metered(&machine, "10086"), sent * DATAGRAM, "what came after `{damage}`");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn in_the_middle_of_traffic_nothing_is_counted_twice_and_nothing_known_is_lost() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota unlimited");
    let _sink = udp_sink(&host, 10086);
    // The witness stands at the sender, out of reach of what happens on the host.
    let sent = Point { name: "sent", hook: "output", priority: BEFORE, packets: "udp dport 10086" };
    let witness = Witness::new(&client, &[sent]);
    let stream = endless_stream(&client);

    let folder = tempfile::tempdir().unwrap();
    let events: [&dyn Fn(); 4] = [
        &|| drop(host.nft("flush ruleset")),
        &|| drop(host.nft("delete table inet port_monitor")),
        &|| drop(host.nft("reset counters table inet port_monitor")),
        &|| {
            host.pretend_boot("00000000-0000-4000-8000-000000000001", &folder.path().join("boot"));
            host.nft("delete table inet port_monitor");
        },
    ];
    let mut certain = 0;
    let mut healed = 0;
    for event in events {
        for _ in 0..2 {
            // What passes while a minute runs is uncertain, so more has to pass where a minute takes longer.
            std::thread::sleep(patience(Duration::from_millis(200)));
            let before = seen_by_the_host(&witness);
            machine.minute();
            certain += before - healed;
            healed = before;
        }
        event();
        machine.minute();
        healed = witness.bytes("sent");
    }
    std::thread::sleep(Duration::from_millis(200));
    drop(stream);
    let all = witness.settled("sent").bytes;
    machine.minute();
    certain += all - healed;
    let metered = metered(&machine, "10086");
    assert!(
        (certain..=all).contains(&metered),
        "{metered} of {all}, of which {certain} were certainly counted"
    );
    assert!(certain > all / 2, "the test is about most of the traffic: {certain} of {all}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_monitor_that_stays_heals_a_flush_at_once_not_at_its_next_minute() {
    let Pair { host, client } = Pair::new();
    let machine = machine_with_a_blocked_port(&host, &client);
    let (_open, _closed) = (udp_sink(&host, 10086), udp_sink(&host, 10087));
    let standing = rules(&host);
    let monitor = machine.monitor("--every 1h");
    // Its one minute heals the first, if it comes after it.
    for loss in ["flush ruleset", "delete table inet port_monitor", "flush ruleset; add table inet other"] {
        send(&client, 10086, 100);
        machine.minute();
        let known = metered(&machine, "10086");
        host.nft(loss);
        until(format_args!("the rules after `{loss}`"), Duration::from_secs(15), || {
            (rules(&host) == standing).then_some(())
        });
        send(&client, 10086, 100);
        assert_eq!(metered(&machine, "10086"), known + 100 * DATAGRAM, "after `{loss}`");
    }
    assert_eq!(machine.show("10087")["blocked"].as_bool(), Some(true));
    drop(monitor);
}

/// What the witness at the sender had counted a moment ago, so that the host has counted it too by now.
fn seen_by_the_host(witness: &Witness<'_>) -> u64 {
    let sent = witness.bytes("sent");
    std::thread::sleep(patience(Duration::from_millis(20)));
    sent
}

/// Datagrams to port 10086, a hundred at a time, until it is dropped.
fn endless_stream(client: &Namespace) -> Background {
    let line = "while dd if=/dev/zero bs=1000 count=100 status=none > /dev/udp/10.77.0.1/10086; do :; done";
    client.spawn(&["bash", "-c", line])
}
