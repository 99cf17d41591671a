//! `pm import --from`: ports of another program are metered, limited and cut off from the first packet on.

use std::fs;

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, OUTSIDE, Pair};
use pm_tests::process::must;
use pm_tests::traffic::{send_udp, udp_sink};
use pm_tests::witness::{AFTER, Point, Witness};

const CONFIG: &[u8] = include_bytes!("../fixtures/port-traffic-dog/present/config.json");
const USAGE: &[u8] = include_bytes!("../fixtures/port-traffic-dog/present/traffic_data.json");

fn classes(host: &Namespace) -> String {
    host.run(&["tc", "class", "show", "dev", OUTSIDE])
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn ports_of_port_traffic_dog_are_metered_limited_and_cut_off_as_they_were() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 9999 --quota 5MB --comment mine");
    let folder = machine.root().join("etc/port-traffic-dog");
    must(fs::create_dir_all(&folder), "cannot make a folder");
    must(fs::write(folder.join("config.json"), CONFIG), "cannot write config.json");
    must(fs::write(folder.join("traffic_data.json"), USAGE), "cannot write traffic_data.json");
    let file = folder.join("config.json").display().to_string();

    let before = machine.config_bytes();
    let refused = machine.try_pm(&format!("import --from port-traffic-dog {file}"));
    assert!(refused.stderr.contains("add --yes") && refused.stdout.contains("2096,5000-5100"), "{refused:?}");
    assert_eq!(machine.config_bytes(), before, "nobody agreed");
    // The other program shapes this interface, too.
    host.run(&["tc", "qdisc", "add", "dev", OUTSIDE, "root", "handle", "1:", "htb", "default", "30"]);
    let undone = machine.try_pm(&format!("import --from port-traffic-dog {file} --yes"));
    assert!(undone.stderr.contains("--take-over"), "{undone:?}");
    assert_eq!(machine.config_bytes(), before, "all or nothing");
    machine.pm("set --take-over");
    let imported = machine.pm(&format!("import --from port-traffic-dog {file} --yes --lang en"));
    assert!(imported.stderr.contains("remove it when all is well here"), "{imported:?}");
    assert_eq!(machine.show("9999")["comment"], "mine");

    // Metered: what the other program counted, and what passes from now on.
    assert_eq!(number(&machine.show("443"), "in_bytes"), 2 << 30);
    let after_pm = |name, packets| Point { name, hook: "input", priority: AFTER, packets };
    let witness = Witness::new(&host, &[after_pm("open", "th dport 443"), after_pm("shut", "th dport 8443")]);
    let _sinks = [udp_sink(&host, 443), udp_sink(&host, 8443)];
    send_udp(&client, Family::V4.host(), 443, 1000, 50);
    let passed = witness.settled("open").bytes;
    assert!(passed > 0);
    assert_eq!(number(&machine.show("443"), "in_bytes"), (2 << 30) + passed);

    // Limited.
    let limited = |class: &str, rate: &str| {
        let of_class = |line: &&str| line.contains(&format!("htb {class} "));
        let shown = classes(&host);
        shown.lines().find(of_class).is_some_and(|line| line.contains(&format!("rate {rate} ")))
    };
    assert!(limited("1:1bb", "100Mbit") && limited("1:1388", "50Mbit"), "{}", classes(&host));

    // Cut off, because its quota was used up there.
    assert_eq!(machine.show("8443")["blocked"], true);
    send_udp(&client, Family::V4.host(), 8443, 1000, 50);
    assert_eq!(witness.settled("shut").bytes, 0);

    // A second time, there is nothing to add.
    let before = machine.config_bytes();
    let again = machine.pm(&format!("import --from port-traffic-dog {file} --lang en"));
    assert!(again.stderr.contains("nothing was changed"), "{again:?}");
    assert_eq!(machine.config_bytes(), before);
}
