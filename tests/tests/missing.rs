//! What is missing on a machine is named, with what still works and what to do.

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::process::{Finished, run};
use pm_tests::traffic::{send_udp, udp_sink};

/// Hides one program of the machine from everything that is started in this namespace from now on.
fn hide(host: &Namespace, program: &str) {
    // The folder is replaced by one of links to what it held, but for that one.
    host.bash(&format!(
        "for folder in /usr/sbin /usr/bin /usr/local/sbin /usr/local/bin /sbin /bin; do
           [ -e $folder/{program} ] || continue
           held=$(mktemp -d) links=$(mktemp -d)
           mount --bind $folder $held && ln -s $held/* $links/ && rm $links/{program}
           mount --bind $links $folder
         done"
    ));
    assert_eq!(host.bash(&format!("command -v {program} || echo hidden")), "hidden\n");
}

#[track_caller]
fn says(ended: &Finished, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in it: {ended}");
    }
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_nft_nothing_is_pretended() {
    let Pair { host, client: _client } = Pair::new();
    let machine = Machine::new(&host);
    hide(&host, "nft");
    let added = machine.try_pm("add 10086 --quota 1");
    assert_eq!(added.code, Some(1), "{added}");
    says(&added, &["nft", "apt"]);
    let minute = machine.try_minute();
    assert_eq!(minute.code, Some(1), "{minute}");
    says(&minute, &["nft", "apt"]);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_tc_metering_and_quota_go_on() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    hide(&host, "tc");
    machine.pm("add 10087 --quota 1");
    let added = machine.try_pm("add 10086 --quota 1MiB --limit 50");
    assert_eq!(added.code, Some(1), "{added}");
    says(&added, &["tc", "iproute2"]);
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 1200);
    let minute = machine.try_minute();
    assert_eq!(minute.code, Some(1), "a limit that is not in force is a failure: {minute}");
    says(&minute, &["tc"]);
    let shown = machine.show("10086");
    assert!(number(&shown, "in_bytes") > (1 << 20) - 1028 && shown["blocked"] == true, "{shown}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_the_right_to_do_it_nothing_is_changed_and_what_can_be_read_is_shown() {
    let Pair { host, client: _client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1 --comment before");
    let config = machine.config_bytes();
    // The same user without a single capability: no file is out of reach, but the kernel is.
    let powerless = |words: &[&str]| {
        let mut command = host.command("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]);
        command.arg(pm_tests::machine::binary(words[0])).arg("--root").arg(machine.root()).args(&words[1..]);
        run(command, std::time::Duration::from_secs(20))
    };
    let set = powerless(&["pm", "set", "10086", "--comment", "after"]);
    assert_eq!(set.code, Some(1), "{set}");
    says(&set, &["root"]);
    assert_eq!(machine.config_bytes(), config);
    let minute = powerless(&["pm-monitor"]);
    assert_eq!(minute.code, Some(1), "{minute}");
    says(&minute, &["root"]);
    assert_eq!(machine.config_bytes(), config, "a failed read is no reading");
    let list = powerless(&["pm", "list"]);
    assert_eq!(list.code, Some(0), "{list}");
    assert!(list.stdout.contains("10086"), "{list}");
    says(&list, &["root"]);
}
