//! pm as it is installed: into a folder, and onto a machine whose own files are hidden behind empty ones.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pm_tests::machine::{Machine, binary, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::process::{Background, Finished, must, run, until};
use pm_tests::traffic::{send_udp, udp_sink};

const PATIENCE: Duration = Duration::from_secs(30);
/// IPv4 bytes of one datagram of the traffic here.
const DATAGRAM: u64 = 1000 + 28;
const LINE: &str = "* * * * * /usr/local/bin/pm --monitor >/dev/null 2>&1\n";

/// Hides everything that an installation could touch, and puts a `crontab` and a `systemctl` there that only take notes.
fn own_system(host: &Namespace, systemd: bool) {
    host.bash(
        "for folder in /etc /run /usr/local /var/spool; do mount -t tmpfs -o mode=0755 tmpfs $folder; done
         mkdir -p /usr/local/bin /usr/local/sbin /var/spool/fake
         cat > /usr/local/sbin/crontab <<'END'
#!/bin/sh
case $1 in
  -l) cat /var/spool/fake/crontab 2>/dev/null || { echo 'no crontab for root' >&2; exit 1; } ;;
  -)  cat > /var/spool/fake/crontab ;;
  -r) rm /var/spool/fake/crontab ;;
esac
END
         printf '#!/bin/sh\\n[ $1 = is-active ] || echo \"$*\" >> /var/spool/fake/systemctl\\n' > /usr/local/sbin/systemctl
         chmod +x /usr/local/sbin/*",
    );
    if systemd {
        host.bash("mkdir -p /run/systemd/system");
    }
}

/// Runs a program as it is, with the machine's own paths.
#[track_caller]
fn try_run(host: &Namespace, program: &Path, words: &str) -> Finished {
    let mut command = host.command(program);
    command.args(words.split_whitespace()).env("PM_LANG", "en").env_remove("PM_ROOT").env_remove("PM_NOW");
    run(command, Duration::from_secs(30))
}

/// The command line of a unit, run with nothing but the right that the unit leaves.
#[track_caller]
fn as_unit(host: &Namespace, unit: &str, key: &str) {
    let unit = host.read(&format!("/etc/systemd/system/{unit}"));
    assert!(unit.contains("CapabilityBoundingSet=CAP_NET_ADMIN") && unit.contains("NoNewPrivileges=yes"));
    let line = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let line = line.trim_start_matches(['=', '-']);
    // All that is read-only to the unit is so here, and its one right is the only one.
    host.bash(&format!(
        "set -e; unshare --mount --propagation private sh -ec '
           mkdir /run/writable && mount --bind /etc/port_monitor /run/writable
           for place in / /etc /usr/local /var/spool; do mount -o remount,ro,bind $place; done
           mount --bind /run/writable /etc/port_monitor
           ! touch /etc/forbidden /usr/local/bin/forbidden 2>/dev/null
           setpriv --bounding-set=-all,+net_admin --inh-caps=-all --no-new-privs -- {line}'
         rmdir /run/writable"
    ));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn what_systemd_runs_meters_restores_and_settles_with_one_right_alone() {
    let Pair { host, client } = Pair::new();
    own_system(&host, true);
    let installed = try_run(&host, &binary("pm"), "install").success();
    assert!(
        installed.stdout.contains("/usr/local/bin/pm-monitor") && installed.stdout.contains("type pm"),
        "{installed}"
    );
    assert_eq!(
        host.read("/var/spool/fake/systemctl"),
        "daemon-reload\nstart pm-boot.service\nrestart pm-monitor.timer"
    );
    let again = try_run(&host, Path::new("/usr/local/bin/pm"), "install").success();
    assert!(again.stdout.contains("nothing was changed"), "{again}");
    assert_eq!(host.read("/var/spool/fake/systemctl").lines().count(), 3);

    let pm = |words: &str| try_run(&host, Path::new("/usr/local/bin/pm"), words).success();
    pm("add 10086 --quota 1");
    pm("add 10087 --quota 20KB");
    let (_open, _closed) = (udp_sink(&host, 10086), udp_sink(&host, 10087));
    let send = |port, count| send_udp(&client, Family::V4.host(), port, 1000, count);
    send(10086, 100);
    send(10087, 30);
    as_unit(&host, "pm-monitor.service", "ExecStart");
    // The last minute before the end, then a machine without a single rule, then the boot.
    send(10086, 11);
    as_unit(&host, "pm-boot.service", "ExecStop");
    host.nft("delete table inet port_monitor");
    as_unit(&host, "pm-boot.service", "ExecStart");
    let shown = |port: &str| serde_json::from_str(&pm(&format!("show {port} --json")).stdout).unwrap();
    let (open, closed): (serde_json::Value, serde_json::Value) = (shown("10086"), shown("10087"));
    assert_eq!(number(&open, "in_bytes"), 111 * DATAGRAM, "a planned restart loses no byte");
    assert_eq!(closed["blocked"], true);
    assert!(host.table("port_monitor").contains("elements = { 10087 }"), "{}", host.table("port_monitor"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn cron_gets_our_line_and_keeps_every_other_byte() {
    let Pair { host, client: _client } = Pair::new();
    own_system(&host, false);
    let others = "# pm --monitor\r\nMAILTO=admin\n0 3 * * * /usr/local/bin/pm --monitor | mail admin\n";
    host.bash(&format!("printf %s '{others}' > /var/spool/fake/crontab"));
    let installed = try_run(&host, &binary("pm"), "install");
    // No cron daemon runs in here.
    assert_eq!(installed.code, Some(1), "{installed}");
    assert!(installed.stderr.contains("cron") && installed.stderr.contains("start"), "{installed}");
    let table = host.bash("cat /var/spool/fake/crontab");
    assert!(table.starts_with(others) && table.contains(LINE.trim()), "{table:?}");
    assert!(table.contains("@reboot /usr/local/bin/pm --monitor"), "{table:?}");
    assert!(host.bash("ls /etc").lines().eq(["port_monitor"]), "nothing of systemd where it does not run");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_scripts_of_sysvinit_and_openrc_restore_and_settle() {
    for openrc in [false, true] {
        let Pair { host, client } = Pair::new();
        own_system(&host, false);
        host.bash(
            "mkdir -p /etc/init.d /etc/rc0.d; touch /etc/inittab
             printf '#!/bin/sh\\necho \"$*\" >> /var/spool/fake/init\\n' > /usr/local/sbin/update-rc.d
             chmod +x /usr/local/sbin/update-rc.d",
        );
        // What OpenRC gives a script before it calls one of its functions.
        let (act, told) = if openrc {
            host.bash("cp /usr/local/sbin/update-rc.d /usr/local/sbin/rc-update");
            ("ebegin() { :; }; eend() { return $1; }; . /etc/init.d/pm;", "add pm default")
        } else {
            ("set -e; /etc/init.d/pm", "pm defaults")
        };
        let installed = try_run(&host, &binary("pm"), "install");
        assert!(installed.stdout.contains("/etc/init.d/pm"), "{installed}");
        assert_eq!(host.read("/var/spool/fake/init"), told);
        assert!(!host.bash("cat /var/spool/fake/crontab").contains("@reboot"));

        try_run(&host, Path::new("/usr/local/bin/pm"), "add 10086 --quota 1").success();
        let _sink = udp_sink(&host, 10086);
        send_udp(&client, Family::V4.host(), 10086, 1000, 11);
        host.bash(&format!("unset PM_ROOT PM_NOW; {act} stop"));
        host.nft("delete table inet port_monitor");
        host.bash(&format!("unset PM_ROOT PM_NOW; {act} start"));
        assert!(host.table("port_monitor").contains("10086"), "{}", host.table("port_monitor"));
        let shown = try_run(&host, Path::new("/usr/local/bin/pm"), "show 10086 --json").success().stdout;
        assert_eq!(number(&serde_json::from_str(&shown).unwrap(), "in_bytes"), 11 * DATAGRAM);
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn below_a_root_an_installation_is_files_alone_and_only_root_may_make_another() {
    let Pair { host, client: _client } = Pair::new();
    own_system(&host, true);
    let machine = Machine::new(&host);
    machine.pm("install");
    let table = std::fs::read_to_string(machine.root().join("var/spool/cron/crontabs/root")).unwrap();
    assert!(table.starts_with(LINE), "{table}");
    let bytes = |path: &Path| std::fs::read(path).unwrap();
    assert_eq!(bytes(&machine.root().join("usr/local/bin/pm")), bytes(&binary("pm")));
    assert_eq!(host.bash("ls -A /etc /var/spool/fake /usr/local/bin | grep -v :"), "\n\n");

    let mut nobody = host.command("setpriv");
    nobody.args(["--reuid=65534", "--clear-groups", "--"]).arg(binary("pm")).arg("install");
    let refused = run(nobody, Duration::from_secs(30));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("root"), "{refused}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn after_an_uninstall_the_machine_is_as_it_was_and_strangers_are_untouched() {
    let Pair { host, client } = Pair::new();
    own_system(&host, true);
    host.bash("mkdir -p /usr/local/bin; echo '0 1 * * * /a' > /var/spool/fake/crontab; touch /etc/other");
    host.nft("add table inet somebody; add chain inet somebody port_monitor { type filter hook input priority 0; }");
    host.bash("tc qdisc add dev eth0 root handle 7: pfifo limit 77");
    let seen = || {
        let ruleset = host.run(&["nft", "--stateless", "list", "ruleset"]);
        let files =
            host.bash("find /etc /run /usr/local /var/spool -type f | sort; cat /var/spool/fake/crontab");
        let files: Vec<&str> = files.lines().filter(|line| !line.ends_with("fake/systemctl")).collect();
        (ruleset, files.join("\n"), host.bash("tc qdisc show dev eth0"))
    };
    let before = seen();

    try_run(&host, &binary("pm"), "install").success();
    let pm = |words: &str| try_run(&host, Path::new("/usr/local/bin/pm"), words);
    pm("add 10086 --quota 1 --limit 50").success();
    assert!(host.bash("tc qdisc show dev eth0").contains("htb 1: root"));
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 7);
    assert_eq!(pm("uninstall").code, Some(1), "nobody agreed");
    assert!(pm("show 10086").code == Some(0));

    // With the data kept, the last seven packets are in them.
    let gone = pm("uninstall --keep-data --yes").success();
    assert!(gone.stdout.contains("kept /etc/port_monitor") && gone.stdout.contains("uninstalled"), "{gone}");
    assert_eq!((seen().0, seen().2), (before.0.clone(), before.2.clone()));
    let kept: serde_json::Value = serde_json::from_str(&host.read("/etc/port_monitor/config.json")).unwrap();
    assert_eq!(kept["ports"]["10086"]["stats"]["acc_in"], 7 * DATAGRAM);

    let installed = try_run(&host, &binary("pm"), "install --json").success().stdout;
    let installed: serde_json::Value = serde_json::from_str(&installed).unwrap();
    assert_eq!((&installed["changed"], &installed["in_force"]), (&true.into(), &true.into()));
    let shown = pm("show 10086 --json").success().stdout;
    assert_eq!(number(&serde_json::from_str(&shown).unwrap(), "in_bytes"), 7 * DATAGRAM);
    let gone: serde_json::Value =
        serde_json::from_str(&pm("uninstall --yes --json").success().stdout).unwrap();
    assert!(gone["removed"].as_array().is_some_and(|parts| parts.contains(&"rules".into())), "{gone}");
    assert_eq!((&gone["kept"], &gone["faults"]), (&serde_json::Value::Null, &serde_json::json!([])));
    assert_eq!(seen(), before);
    // There is nothing to uninstall, which is no failure.
    try_run(&host, &binary("pm"), "uninstall --yes").success();
    assert_eq!(seen(), before);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_first_menu_on_a_terminal_offers_to_install_and_an_installed_one_does_not() {
    let Pair { host, client: _client } = Pair::new();
    own_system(&host, true);
    let pm = binary("pm");
    // A terminal keeps what is typed until it is read.
    let typed = |pm: &Path, keys: &str| {
        let line = format!("printf '{keys}' | PM_LANG=en script -qec {} /dev/null", pm.display());
        host.bash(&format!("export TERM=xterm; unset PM_ROOT PM_NOW; {line}"))
    };
    let shown = typed(&pm, "n\\n0\\n");
    assert!(shown.contains("Install it now?") && shown.contains("Your choice"), "{shown}");
    assert_eq!(host.bash("ls /usr/local/bin"), "", "a no changes nothing");
    let shown = typed(&pm, "y\\n0\\n");
    assert!(shown.contains("/usr/local/bin/pm-monitor") && shown.contains("Your choice"), "{shown}");
    assert_eq!(host.bash("ls /usr/local/bin"), "pm\npm-monitor\n");
    let shown = typed(Path::new("/usr/local/bin/pm"), "0\\n");
    assert!(!shown.contains("Install it now?") && shown.contains("Your choice"), "{shown}");
    // A pipe is nobody to be asked.
    host.bash("rm /usr/local/bin/pm-monitor");
    let piped = host.bash(&format!("unset PM_ROOT PM_NOW; echo 0 | PM_LANG=en {}", pm.display()));
    assert!(!piped.contains("Install it now?") && piped.contains("Your choice"), "{piped}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_configuration_that_somebody_makes_during_an_installation_is_kept() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    let (run, folder) = (machine.root().join("var/run"), machine.root().join("etc/port_monitor"));
    must(fs::create_dir_all(&run), run.display());
    let lock = must(fs::File::create(run.join("pm.lock")), "the lock");
    must(lock.lock(), "the lock");
    let mut install = Background::spawn(machine.command("pm", None, &["install"]));
    // There was no configuration when it looked; it waits for the lock to make one.
    until("the folder is made", PATIENCE, || folder.exists().then_some(()));
    machine.write_config(r#"{ "ports": { "10086": { "quota_gb": 1, "comment": "somebody's" } } }"#);
    drop(lock);
    let installed = install.wait(PATIENCE).map(Finished::success);
    assert!(installed.is_some(), "it does not end");
    assert_eq!(machine.config()["ports"]["10086"]["comment"], "somebody's");
}
