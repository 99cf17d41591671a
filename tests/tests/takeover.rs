//! The bash script's machine becomes pm's while traffic flows: its table, its speed limits, its crontab line, its figures.

#![expect(clippy::unwrap_used, reason = "a failure in a test is told by its place")]

use std::fs;
use std::time::Duration;

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, OUTSIDE, Pair};
use pm_tests::process::until;
use pm_tests::traffic::{flood_tcp, send_udp, tcp_sink, udp_sink};
use pm_tests::witness::Witness;

/// IPv4 bytes of one datagram of the traffic here.
const DATAGRAM: u64 = 1000 + 28;

/// The rules of two ports as the script's document lays them out, the second one closed.
const TABLE: &str = "
add table inet port_monitor
add set inet port_monitor blocked_ports { type inet_service; }
add chain inet port_monitor input { type filter hook input priority -5; }
add chain inet port_monitor output { type filter hook output priority -5; }
add rule inet port_monitor input tcp dport @blocked_ports drop
add rule inet port_monitor input udp dport @blocked_ports drop
add rule inet port_monitor output tcp sport @blocked_ports drop
add rule inet port_monitor output udp sport @blocked_ports drop
add counter inet port_monitor cnt_in_10086
add counter inet port_monitor cnt_out_10086
add counter inet port_monitor cnt_in_10087
add counter inet port_monitor cnt_out_10087
add rule inet port_monitor input tcp dport 10086 counter name cnt_in_10086
add rule inet port_monitor input udp dport 10086 counter name cnt_in_10086
add rule inet port_monitor output tcp sport 10086 counter name cnt_out_10086 meta mark set 10086
add rule inet port_monitor output udp sport 10086 counter name cnt_out_10086 meta mark set 10086
add rule inet port_monitor input tcp dport 10087 counter name cnt_in_10087
add rule inet port_monitor input udp dport 10087 counter name cnt_in_10087
add rule inet port_monitor output tcp sport 10087 counter name cnt_out_10087 meta mark set 10087
add rule inet port_monitor output udp sport 10087 counter name cnt_out_10087 meta mark set 10087
add element inet port_monitor blocked_ports { 10087 }
";

/// Lets the script's rules, root and files stand, with this configuration.
fn script_runs(host: &Namespace, machine: &Machine<'_>, version: &str, config: &str) {
    host.nft(TABLE);
    host.bash(&format!(
        "tc qdisc add dev {OUTSIDE} root handle 1: htb default 0xfffe
         tc class add dev {OUTSIDE} parent 1: classid 1:fffe htb rate 1000mbit quantum 60000
         tc class add dev {OUTSIDE} parent 1: classid 1:2766 htb rate 100mbit quantum 60000
         tc filter add dev {OUTSIDE} protocol ip parent 1: prio 1 u32 match ip sport 10086 0xffff flowid 1:2766"
    ));
    machine.write_config(config);
    let put = |path: &str, text: &str| {
        let path = machine.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("usr/local/bin/pm", &format!("#!/bin/bash\nSCRIPT_VERSION=\"{version}\"\n# /etc/port_monitor\n"));
    put("var/spool/cron/crontabs/root", "0 3 * * * /a\n* * * * * /usr/local/bin/pm --monitor\n");
}

/// The configuration of both ports, of which the first used so much when the script last looked, and its counter showed
/// so much.
fn config(used: u64, counter: u64) -> String {
    let port = |stats: String| {
        format!(
            r#"{{"quota_gb": 10, "quota_mode": "both", "limit_mbps": 100, "reset_day": 0, "last_reset_ts": 1, "comment": "", "stats": {stats}}}"#
        )
    };
    let first = port(format!(
        r#"{{"acc_in": {used}, "acc_out": 0, "last_kernel_in": {counter}, "last_kernel_out": 0}}"#
    ));
    let spent = port(
        r#"{"acc_in": 10737418241, "acc_out": 0, "last_kernel_in": 0, "last_kernel_out": 0}"#.to_owned(),
    );
    format!(r#"{{"interface": "{OUTSIDE}", "ports": {{"10086": {first}, "10087": {spent}}}}}"#)
}

/// Waits until so many bytes have come in.
fn arrives(witness: &Witness<'_>, bytes: u64) {
    until("traffic", Duration::from_secs(30), || (witness.bytes("in") >= bytes).then_some(()));
}

fn crontab(machine: &Machine<'_>) -> String {
    fs::read_to_string(machine.root().join("var/spool/cron/crontabs/root")).unwrap()
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn not_one_byte_is_lost_while_the_script_is_replaced_under_traffic() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    // The script had settled a million bytes of earlier days, and forty datagrams of today.
    script_runs(&host, &machine, "4.3", &config(1_000_000 + 40 * DATAGRAM, 40 * DATAGRAM));
    let witness = Witness::of_port(&host, 10086);
    let _sinks = (udp_sink(&host, 10086), tcp_sink(&host, 10086));
    send_udp(&client, Family::V4.host(), 10086, 1000, 100);
    let flood = flood_tcp(&client, Family::V4.host(), 10086);
    arrives(&witness, 2_000_000);

    let installed = machine.pm("install --lang en");
    let at_end = witness.bytes("in");
    arrives(&witness, at_end + 2_000_000);
    flood.stop();
    let (inward, outward) = (witness.settled("in").bytes, witness.settled("out").bytes);
    machine.minute();
    let shown = machine.show("10086");
    assert_eq!(number(&shown, "in_bytes"), 1_000_000 + inward);
    assert_eq!(number(&shown, "out_bytes"), outward);

    assert!(installed.stdout.contains("v4.3") && installed.stdout.contains("2 ports"), "{installed}");
    assert!(installed.stdout.contains("10086"), "the summary shows the ports: {installed}");
    assert_eq!(machine.show("10087")["blocked"], true);
    let table = host.table("port_monitor");
    assert!(!table.contains("mark") && table.contains("map in_counters"), "{table}");
    assert!(host.bash(&format!("tc filter show dev {OUTSIDE}")).is_empty());
    let classes = host.bash(&format!("tc class show dev {OUTSIDE}"));
    assert!(classes.contains("1:2766") && !classes.contains("1:fffe"), "{classes}");
    assert_eq!(
        crontab(&machine),
        "0 3 * * * /a\n* * * * * /usr/local/bin/pm --monitor\n@reboot /usr/local/bin/pm --monitor >/dev/null 2>&1\n"
    );

    // Everything as it was is kept; uninstalling puts back what stood before the script, which is nothing.
    let folder = machine.config_path().parent().unwrap().to_owned();
    let backup = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("before-pm-"));
    let kept = fs::read_to_string(backup.unwrap().path().join("pm")).unwrap();
    assert!(kept.starts_with("#!/bin/bash"));
    machine.pm("uninstall --yes");
    assert!(
        !host.bash(&format!("tc qdisc show dev {OUTSIDE}")).contains("htb")
            && host.table("port_monitor").is_empty()
    );
    assert_eq!(crontab(&machine), "0 3 * * * /a\n");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn figures_in_files_of_their_own_are_the_ones_that_count() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    // What config.json says of the traffic is long out of date.
    script_runs(&host, &machine, "5.4.0", &config(5, 5).replacen('{', "{\"config_version\": 3, ", 1));
    let state = machine.config_path().with_file_name("state");
    fs::create_dir(&state).unwrap();
    let trap = machine.root().join("trap");
    let figures = format!(
        "s_acc_in={}\ns_acc_out=9\ns_last_k_in={}\ns_last_k_out=0\ns_last_alert_ips=\ntouch {}\n",
        1_000_000 + 40 * DATAGRAM,
        40 * DATAGRAM,
        trap.display()
    );
    fs::write(state.join("10086.txt"), figures).unwrap();
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 100);
    machine.pm("install");
    send_udp(&client, Family::V4.host(), 10086, 1000, 11);
    let shown = machine.show("10086");
    assert_eq!(number(&shown, "in_bytes"), 1_000_000 + 111 * DATAGRAM);
    assert_eq!(number(&shown, "out_bytes"), 9);
    assert!(!trap.exists() && !state.exists());
    assert_eq!(machine.config()["config_version"], 3);
}
