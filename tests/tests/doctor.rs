//! What is broken on a real machine is found by the one check that is meant to find it, and repaired where it can be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure in a test is told by its place")]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use pm_tests::machine::{Machine, number};
use pm_tests::network::{Family, OUTSIDE, Pair};
use pm_tests::traffic::{send_udp, udp_sink};
use serde_json::Value;

/// The verdict and the case of a check, by its name.
fn found(machine: &Machine<'_>, words: &str, check: &str) -> (String, String) {
    let printed = machine.try_pm(&format!("doctor --json {words}")).stdout;
    let data: Value = serde_json::from_str(&printed).unwrap();
    let one = data["checks"].as_array().unwrap().iter().find(|one| one["check"] == check);
    let Some(one) = one else { panic!("{check} is not in {printed}") };
    let text = |field: &str| one[field].as_str().unwrap().to_owned();
    (text("verdict"), text("case"))
}

fn is(verdict: &str, case: &str) -> (String, String) {
    (verdict.to_owned(), case.to_owned())
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn what_is_lost_is_found_and_fix_brings_it_back_without_losing_a_byte() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    assert_eq!(found(&machine, "", "programs"), is("bad", "programs_missing"));
    assert_eq!(found(&machine, "", "configuration"), is("warning", "configuration_none"));
    machine.pm("install");
    machine.pm("add 10086 --quota 1 --limit 50");
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 10);
    for check in
        ["rights", "programs", "nft", "configuration", "rules", "limits", "interface", "last_run", "locks"]
    {
        assert_eq!(found(&machine, "", check).0, "good", "{check}");
    }
    // No cron runs in here, so the page as a whole is a fault.
    assert_eq!(found(&machine, "", "schedule"), is("bad", "cron_stopped"));
    assert_eq!(machine.try_pm("doctor").code, Some(1));

    machine.minute();
    host.nft("delete table inet port_monitor");
    host.bash(&format!("tc qdisc del dev {OUTSIDE} root"));
    fs::remove_file(machine.root().join("var/spool/cron/crontabs/root")).unwrap();
    fs::set_permissions(machine.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let before = machine.config_bytes();
    for (check, case) in [("rules", "not_in_force"), ("limits", "not_in_force"), ("schedule", "unscheduled")]
    {
        assert_eq!(found(&machine, "", check), is("bad", case));
    }
    assert_eq!(found(&machine, "", "configuration"), is("warning", "configuration_open"));
    assert!(
        machine.config_bytes() == before && host.table("port_monitor").is_empty(),
        "looking changes nothing"
    );

    machine.try_pm("doctor --fix");
    for check in ["rules", "limits", "configuration"] {
        assert_eq!(found(&machine, "", check).0, "good", "{check}");
    }
    assert_eq!(found(&machine, "", "schedule"), is("bad", "cron_stopped"));
    assert_eq!(number(&machine.show("10086"), "in_bytes"), 10 * 1028);

    // Somebody flushes everything while the installation itself is whole.
    host.nft("flush ruleset");
    assert_eq!(found(&machine, "--fix", "rules"), is("good", "in_force"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_held_lock_a_broken_file_and_offloaded_packets_are_found() {
    let Pair { host, client: _client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1");
    let lock = File::options().write(true).open(machine.root().join("var/run/pm.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(found(&machine, "", "locks"), is("warning", "lock_held"));
    drop(lock);
    assert_eq!(found(&machine, "", "locks"), is("good", "locks_free"));

    assert_eq!(found(&machine, "", "offload"), is("good", "no_offload"));
    if host.try_run(&["nft", &format!("add table inet o; add flowtable inet o f {{ hook ingress priority 0; devices = {{ {OUTSIDE} }}; }}")]).code == Some(0) {
        assert_eq!(found(&machine, "", "offload"), is("warning", "offload"));
    }

    machine.write_config("{\"ports\": 5}");
    assert_eq!(found(&machine, "", "configuration"), is("bad", "configuration_unusable"));
    let page = machine.try_pm("doctor --lang en");
    assert!(page.code == Some(1) && page.stdout.contains("line 1"), "{page}");
    let fix = machine.try_pm("doctor --fix");
    assert_eq!(fix.code, Some(1), "{fix}");
    assert_eq!(machine.config_bytes(), b"{\"ports\": 5}", "a file that cannot be read is never replaced");
}
