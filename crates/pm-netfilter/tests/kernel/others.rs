//! What others left or did to the table: other programs, other versions, the script.

use std::fs;

use pm_core::backend::{Applied, Firewall};
use pm_core::units::Bytes;
use serde_json::Value;

use crate::lab::*;

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn whatever_others_do_to_the_table_is_healed() {
    const DAMAGE: [&str; 26] = [
        "delete table inet port_monitor",
        "flush ruleset",
        "flush chain inet port_monitor input",
        "flush table inet port_monitor",
        "insert rule inet port_monitor input accept",
        "add rule inet port_monitor output tcp sport 443 drop",
        "flush chain inet port_monitor input; add rule inet port_monitor input meta l4proto != { tcp, icmp } return",
        "delete element inet port_monitor in_counters { 443 }",
        "delete element inet port_monitor both_quotas { 20001 }; add element inet port_monitor both_quotas { 20001 : \"quota_443\" }",
        "add element inet port_monitor blocked_ports { 443 }",
        "flush set inet port_monitor blocked_ports",
        "delete element inet port_monitor shape_class { 443 }; add element inet port_monitor shape_class { 443 : 1:1 }",
        "delete element inet port_monitor in_counter_ranges { 30000-40000 }",
        "add quota inet port_monitor quota_443 { over 17 bytes }",
        "add quota inet port_monitor quota_443 { until 17 bytes }",
        "flush map inet port_monitor out_quotas; delete quota inet port_monitor quota_443",
        "flush map inet port_monitor in_counters; delete counter inet port_monitor cnt_in_443",
        "flush table inet port_monitor; delete map inet port_monitor in_counters; \
         add map inet port_monitor in_counters { type ipv4_addr : counter; }",
        "flush table inet port_monitor; delete set inet port_monitor blocked_ports; \
         add set inet port_monitor blocked_ports { type inet_service; flags interval; elements = { 1-65535 }; }",
        "flush table inet port_monitor; delete map inet port_monitor both_quotas; \
         add map inet port_monitor both_quotas { type inet_service : counter; }",
        "flush table inet port_monitor; delete chain inet port_monitor input; \
         add chain inet port_monitor input { type filter hook input priority 7; }",
        "flush table inet port_monitor; delete chain inet port_monitor output; \
         add chain inet port_monitor output; add rule inet port_monitor output tcp sport 1 drop",
        "add chain inet port_monitor input { policy drop; }",
        "add chain inet port_monitor other { type filter hook input priority -300; policy drop; }; \
         add chain inet port_monitor more; add rule inet port_monitor other jump more",
        "add counter inet port_monitor cnt_in_9; add set inet port_monitor more { type ipv4_addr; elements = { 1.2.3.4 }; }; \
         add rule inet port_monitor input ip saddr @more counter name cnt_in_9 drop",
        "add table inet port_monitor { flags dormant; }",
    ];
    let bench = Bench::new();
    let ruleset = rich();
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let sound = standing();
    for damage in DAMAGE {
        let lines: String =
            damage.replace("}; ", "}\n").replace("; add", "\nadd").replace("; delete", "\ndelete");
        shell(&format!("nft -f - <<'END'\n{lines}\nEND"));
        assert_ne!(standing(), sound, "{damage}");
        assert_eq!(bench.apply(&ruleset), Applied::Changed, "{damage}");
        assert_eq!(sorted(&standing()), sorted(&sound), "{damage}");
        assert_eq!(bench.apply(&ruleset), Applied::Unchanged, "{damage}");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn damage_that_leaves_the_counters_alone_costs_no_byte() {
    let bench = Bench::new();
    let ruleset = rich();
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    send(3000, 443);
    let before = bench.read();
    for damage in [
        "flush table inet port_monitor",
        "flush table inet port_monitor\ndelete map inet port_monitor in_counters",
        "flush table inet port_monitor\ndelete chain inet port_monitor input",
        "delete set inet port_monitor x\n",
    ] {
        let damage = damage
            .replace("delete set inet port_monitor x\n", "add set inet port_monitor x { type ipv4_addr; }");
        shell(&format!("nft -f - <<'END'\n{damage}\nEND"));
        assert_eq!(bench.apply(&ruleset), Applied::Changed, "{damage}");
        assert_eq!(bench.read(), before, "{damage}");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_lost_or_foreign_record_costs_one_apply() {
    let bench = Bench::new();
    let ruleset = rich();
    assert_eq!(bench.apply(&ruleset), Applied::Changed);
    let before = (bench.read(), standing());
    fs::write(record_in(bench.folder.path()), "not ours").unwrap();
    let next = firewall_in(bench.folder.path());
    let apply = || bench.runtime.block_on(next.apply(&ruleset)).unwrap();
    assert_eq!(apply(), Applied::Changed);
    // What stands is recognised as what should stand, and keeps what it counted and who it is.
    assert_eq!((bench.read(), standing()), before);
    assert_eq!(apply(), Applied::Unchanged);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn what_another_version_wrote_is_looked_at_before_it_is_changed() {
    // Once nothing is to be changed, once a limit.
    for more in [0, 1] {
        let bench = Bench::new();
        let mut ruleset = rich();
        assert_eq!(bench.apply(&ruleset), Applied::Changed);
        let (sound, counters) = (standing(), bench.read().counters);
        // As if the other version kept these quotas in another map, and had noted that.
        shell(
            "nft -f - <<'END'
flush map inet port_monitor out_quotas
add map inet port_monitor old_quotas { type inet_service : quota; elements = { 443 : \"quota_443\" }; }
END",
        );
        let path = record_in(bench.folder.path());
        let note = fs::read_to_string(&path).unwrap();
        let (record, lines) = note.split_once('\n').unwrap();
        let mut record: Value = serde_json::from_str(record).unwrap();
        record["generation"] = (record["generation"].as_u64().unwrap() + 1).into();
        let (place, _) = record["place"].as_str().unwrap().rsplit_once('-').unwrap();
        record["place"] = format!("{place}-1").into();
        fs::write(&path, format!("{record}\n{lines}")).unwrap();

        ruleset.quotas.get_mut(&range("443")).unwrap().over.0 += more;
        let firewall = firewall_in(bench.folder.path());
        assert_eq!(bench.runtime.block_on(firewall.apply(&ruleset)).unwrap(), Applied::Changed);
        let told = standing().replace("over 1099511627777 bytes", "over 1048576 mbytes");
        assert_eq!(sorted(&told), sorted(&sound), "{more}");
        assert_eq!(bench.read().counters, counters);
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_tables_of_the_script_are_taken_over_with_their_counters() {
    let bench = Bench::new();
    shell(
        "nft -f - <<'END'
add table inet port_monitor
add set inet port_monitor blocked_ports { type inet_service; }
add chain inet port_monitor input { type filter hook input priority -5; }
add chain inet port_monitor output { type filter hook output priority -5; }
add rule inet port_monitor input tcp dport @blocked_ports drop
add rule inet port_monitor input udp dport @blocked_ports drop
add rule inet port_monitor output tcp sport @blocked_ports drop
add rule inet port_monitor output udp sport @blocked_ports drop
add counter inet port_monitor cnt_in_443
add counter inet port_monitor cnt_out_443
add counter inet port_monitor cnt_in_9
add counter inet port_monitor cnt_out_9
add rule inet port_monitor input tcp dport 443 counter name cnt_in_443
add rule inet port_monitor input udp dport 443 counter name cnt_in_443
add rule inet port_monitor output tcp sport 443 counter name cnt_out_443 meta mark set 443
add rule inet port_monitor input udp dport 9 counter name cnt_in_9
add element inet port_monitor blocked_ports { 9 }
END",
    );
    send(3000, 443);
    let before = bench.read();
    assert_eq!(before.counters[&range("443")].inbound.unwrap().bytes, Bytes(3 * (1000 + HEADERS)));
    assert_eq!(bench.apply(&metered(&["443"])), Applied::Changed);
    let after = bench.read();
    assert_eq!(after.counters[&range("443")], before.counters[&range("443")]);
    assert_eq!(after.counters.len(), 1);
    send(1000, 443);
    assert_eq!(bench.traffic("443").inbound, Bytes(4 * (1000 + HEADERS)));
    assert!(!standing().contains("mark"));
}
