//! What is missing on a machine is named, with what still works and what to do.

use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, OUTSIDE, Pair};
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
fn without_nft_ports_are_metered_and_cut_off_all_the_same() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    hide(&host, "nft");
    machine.pm("add 10086 --quota 1MiB");
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 1200);
    machine.minute();
    let shown = machine.show("10086");
    assert!(number(&shown, "in_bytes") > (1 << 20) - 1028 && shown["blocked"] == true, "{shown}");
    machine.pm("set 10086 --quota 2MiB");
    assert_eq!(machine.show("10086")["blocked"], false);
    machine.pm("rm 10086 --yes");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_tc_ports_are_limited_all_the_same() {
    let Pair { host, client: _client } = Pair::new();
    let machine = Machine::new(&host);
    // The program under another name, out of reach of pm, for this test to look with.
    let folder = host.bash("folder=$(mktemp -d) && cp $(command -v tc) $folder/shown && echo $folder");
    let classes = || host.bash(&format!("{}/shown class show dev {OUTSIDE}", folder.trim()));
    hide(&host, "tc");
    machine.pm("add 10086 --quota 1MiB --limit 50");
    assert!(
        classes().contains("class htb 1:2766 root") && classes().contains("rate 50Mbit"),
        "{}",
        classes()
    );
    machine.pm("set 10086 --limit 20");
    assert!(classes().contains("rate 20Mbit"), "{}", classes());
    host.bash(&format!("{}/shown qdisc del dev {OUTSIDE} root", folder.trim()));
    machine.minute();
    assert!(classes().contains("rate 20Mbit"), "{}", classes());
    machine.pm("set 10086 --limit 0");
    assert_eq!(classes(), "");
    host.bash(&format!("rm -r {}", folder.trim()));
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
