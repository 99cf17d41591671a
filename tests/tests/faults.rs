//! A disk that is full, read-only or broken, a kernel that has no room or was interrupted, an nft that hangs or talks
//! nonsense: it is told, no byte is lost, and the next minute needs nobody's help.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pm_tests::machine::{Machine, binary, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::process::{Finished, PATH, must, run};
use pm_tests::publisher::install;
use pm_tests::traffic::{send_udp, udp_sink};
use serde_json::Value;

/// IPv4 bytes of one datagram of the traffic here.
const DATAGRAM: u64 = 1000 + 28;
/// One that hangs is given twenty seconds.
const PATIENCE: Duration = Duration::from_mins(1);
const FOLDER: &str = "etc/port_monitor";

/// Runs a program of ours under strace, which injects faults, and says whether it did.
fn injured(host: &Namespace, machine: &Machine<'_>, faults: &[&str], words: &str) -> (Finished, bool) {
    injured_with(host, machine, PATH, faults, words)
}

fn injured_with(
    host: &Namespace,
    machine: &Machine<'_>,
    path: &str,
    faults: &[&str],
    words: &str,
) -> (Finished, bool) {
    let trace = machine.root().join("trace");
    let mut command = host.command("strace");
    command.args(["-qq", "-e", "signal=none", "-o"]).arg(&trace).args(faults).arg("--");
    let (program, words) = words.split_once(' ').unwrap_or((words, ""));
    command.arg(binary(program)).arg("--root").arg(machine.root()).args(words.split_whitespace());
    command.env("PATH", path).env("PM_LANG", "en").env_remove("PM_ROOT").env_remove("PM_NOW");
    let mut finished = run(command, PATIENCE);
    // Older ones of strace complain of messages that they do not know.
    let ours = finished.stderr.lines().filter(|line| !line.starts_with("strace: "));
    finished.stderr = ours.map(|line| line.to_owned() + "\n").collect();
    let struck = fs::read_to_string(trace).unwrap_or_default().contains("INJECTED");
    (finished, struck)
}

#[track_caller]
fn says(ended: &Finished, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in it: {ended}");
    }
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

/// config.json and the names beside it, as a process on the machine sees them.
fn files(host: &Namespace, machine: &Machine<'_>) -> String {
    host.bash(&format!("cd {}/{FOLDER} && cat config.json && ls -A", machine.root().display()))
}

/// Runs a program of ours, whatever comes of it, in the language that is looked for here.
fn try_in_english(machine: &Machine<'_>, program: &str, words: &[&str]) -> Finished {
    let mut command = machine.command(program, None, words);
    command.env("PM_LANG", "en");
    run(command, PATIENCE)
}

/// Puts pm's files on a disk of their own, spoils that, and lets a minute and an edit fail on it.
fn survives_a_disk(spoil: &str, mend: &str, told: &str) {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1 --comment before");
    machine.pm("add 10087 --quota 20KB");
    let (_open, _closed) = (udp_sink(&host, 10086), udp_sink(&host, 10087));
    let folder = machine.root().join(FOLDER).display().to_string();
    host.bash(&format!(
        "set -e; cd {folder}; held=$(mktemp -d); cp -a . $held
         mount -t tmpfs -o size=64k,mode=700 tmpfs {folder}; cd {folder}; cp -a $held/. .; rm -r $held"
    ));
    machine.minute();
    host.bash(&format!("cd {folder}; {spoil}"));
    let before = files(&host, &machine);
    send_udp(&client, Family::V4.host(), 10086, 1000, 100);
    send_udp(&client, Family::V4.host(), 10087, 1000, 100);
    for (program, words) in [("pm-monitor", &[][..]), ("pm", &["set", "10086", "--comment", "after"][..])] {
        let failed = try_in_english(&machine, program, words);
        assert_eq!(failed.code, Some(1), "{failed}");
        says(&failed, &["config.json", told]);
        assert_eq!(files(&host, &machine), before, "{failed}");
    }
    let shown = machine.show("10086");
    assert_eq!(number(&shown, "in_bytes"), 100 * DATAGRAM, "what cannot be saved is shown all the same");
    host.bash(&format!("cd {folder}; {mend}"));
    machine.minute();
    assert_eq!(number(&machine.show("10086"), "in_bytes"), 100 * DATAGRAM);
    let closed = machine.show("10087");
    assert!(
        closed["blocked"] == true && number(&closed, "in_bytes") <= 20_000,
        "the kernel cut it off: {closed}"
    );
    machine.pm("set 10086 --comment after");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_full_disk_loses_nothing_and_the_kernel_cuts_off_all_the_same() {
    survives_a_disk("cat /dev/zero > ballast 2>/dev/null || true", "rm ballast", "free some space");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_read_only_disk_loses_nothing_and_the_kernel_cuts_off_all_the_same() {
    survives_a_disk("mount -o remount,ro $PWD", "mount -o remount,rw $PWD", "the file system is read-only");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_broken_disk_is_told_and_what_is_saved_is_told_apart_from_what_is_not() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1 --comment before");
    let before = files(&host, &machine);
    let config = machine.config_path().display().to_string();
    // Static programs open a file by the older call.
    for fault in ["open,openat:error=EIO", "read:error=EIO"] {
        for words in ["pm-monitor", "pm set 10086 --comment after"] {
            let inject = format!("inject={fault}");
            let (failed, struck) = injured(&host, &machine, &["-P", &config, "-e", &inject], words);
            assert!(struck && failed.code == Some(1), "{failed}");
            says(&failed, &["config.json"]);
            assert_eq!(files(&host, &machine), before, "{failed}");
        }
    }
    // The file does not reach the disk: it is none. Its name does not, after it has been put there: that is another thing.
    let set = |comment: &str, inject: &str| {
        injured(&host, &machine, &["-e", inject], &format!("pm set 10086 --comment {comment}")).0
    };
    let unsaved = set("after", "inject=fsync:error=EIO:when=1");
    says(&unsaved, &["nothing was changed"]);
    assert_eq!((unsaved.code, files(&host, &machine)), (Some(1), before));
    let unconfirmed = set("after", "inject=fsync:error=EIO:when=2");
    says(&unconfirmed, &["is saved, but the disk does not confirm it", "run this once more"]);
    assert_eq!(unconfirmed.code, Some(1), "{unconfirmed}");
    assert_eq!(machine.config()["ports"]["10086"]["comment"], "after");
}

/// A machine with a metered port, and traffic that no minute has seen.
fn metered<'a>(host: &'a Namespace, client: &Namespace) -> Machine<'a> {
    let machine = Machine::new(host);
    machine.pm("add 10086 --quota 1");
    machine.pm("add 10087 --quota 2 --limit 20");
    send_udp(client, Family::V4.host(), 10086, 1000, 100);
    machine
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_answer_that_was_lost_or_interrupted_is_asked_for_again() {
    let Pair { host, client } = Pair::new();
    let _sink = udp_sink(&host, 10086);
    let machine = metered(&host, &client);
    let watched = ["-X", "raw", "-e", "trace=sendto,recvfrom"];
    let watch = |faults: &[&str]| {
        let (minute, struck) = injured(&host, &machine, &[&watched, faults].concat(), "pm-monitor");
        assert!(minute.code == Some(0) && minute.stderr.is_empty(), "{faults:?}: {minute}");
        (struck, must(fs::read_to_string(machine.root().join("trace")), "what strace saw"))
    };
    let questions = |trace: &str| trace.lines().filter(|line| line.starts_with("sendto")).count();
    let (_, quiet) = watch(&[]);
    let answers: Vec<&str> = quiet.lines().filter(|line| line.starts_with("recvfrom")).collect();
    assert!(answers.len() >= 10, "{quiet}");
    let can_poke =
        host.try_run(&["strace", "-e", "inject=recvfrom:poke_exit=@arg2=00", "true"]).code == Some(0);
    let mut sent = 100;
    for (number, answer) in answers.iter().enumerate() {
        let mut faults = vec![("error=EINTR".to_owned(), 0), ("error=ENOBUFS".to_owned(), 1)];
        // Older ones of strace do not change what was received.
        if can_poke {
            faults.push((format!("poke_exit=@arg2={}", interrupted(answer)), 1));
        }
        for (fault, more) in faults {
            send_udp(&client, Family::V4.host(), 10086, 1000, 3);
            sent += 3;
            let inject = format!("inject=recvfrom:{fault}:when={}", number + 1);
            let (struck, trace) = watch(&["-e", &inject]);
            assert!(struck, "{inject}: {trace}");
            assert_eq!(questions(&trace), questions(&quiet) + more, "{inject} of {answer}: {trace}");
            assert_eq!(self::number(&machine.show("10086"), "in_bytes"), sent * DATAGRAM, "{inject}");
        }
    }
}

/// The first eight bytes of an answer, as strace shows it in numbers, with the flag of a list that was interrupted.
fn interrupted(answer: &str) -> String {
    let field = |name: &str| {
        let rest = answer.split_once(name).map_or("", |(_, rest)| rest);
        let end = rest.find([',', '}', ' ']).unwrap_or(rest.len());
        rest[..end].split("<<8|").map(numeral).fold(0, |above, part| (above << 8) | part)
    };
    let head: u64 = field("nlmsg_len=") | field("nlmsg_type=") << 32 | (field("nlmsg_flags=") | 0x10) << 48;
    format!("{:016x}", u64::from_be_bytes(head.to_le_bytes()))
}

fn numeral(text: &str) -> u64 {
    let parsed =
        text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    must(parsed, format_args!("no number: {text}"))
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_kernel_without_room_is_told_or_gone_around() {
    let Pair { host, client } = Pair::new();
    let _sink = udp_sink(&host, 10086);
    let machine = metered(&host, &client);
    let mut sent = 100;
    for error in ["ENOBUFS", "E2BIG", "ENOMEM"] {
        let mut quota = 2;
        for call in 1.. {
            quota += 1;
            send_udp(&client, Family::V4.host(), 10086, 1000, 3);
            sent += 3;
            let inject = format!("inject=sendto:error={error}:when={call}");
            let words = format!("pm set 10087 --quota {quota} --limit {quota}");
            let (edit, struck) = injured(&host, &machine, &["-e", &inject], &words);
            says(&edit, &[]);
            assert!(edit.code == Some(0) || !edit.stderr.is_empty(), "{inject}: {edit}");
            let minute = machine.minute();
            assert_eq!(minute.stderr, "", "{inject}");
            assert_eq!(number(&machine.show("10086"), "in_bytes"), sent * DATAGRAM, "{inject}");
            let limit = &machine.config()["ports"]["10087"]["limit_mbps"];
            let classes = host.run(&["tc", "class", "show", "dev", "eth0"]);
            assert!(classes.contains(&format!("rate {limit}Mbit")), "{inject}: {limit} and {classes}");
            if !struck {
                assert!(call > 10, "{inject}");
                break;
            }
        }
    }
}

/// A machine whose netlink does not work for the firewall, with this in the place of nft. It is told what that says, and
/// nothing is counted or changed until it is over.
fn survives_an_nft(script: &str, told: &[&str]) -> Duration {
    let Pair { host, client } = Pair::new();
    let _sink = udp_sink(&host, 10086);
    let machine = metered(&host, &client);
    let programs = machine.root().join("programs");
    install(&programs.join("nft"), format!("#!/bin/sh\n{script}\n").as_bytes());
    let path = format!("{}:{PATH}", programs.display());
    send_udp(&client, Family::V4.host(), 10086, 1000, 7);
    let before = machine.config_bytes();
    let begin = Instant::now();
    let faults = ["-e", "inject=socket:error=EPROTONOSUPPORT:when=1..2"];
    let (minute, struck) = injured_with(&host, &machine, &path, &faults, "pm-monitor");
    let took = begin.elapsed();
    assert!(struck && minute.code == Some(1), "{minute}");
    says(&minute, told);
    says(&minute, &["nothing was changed", "netlink"]);
    assert_eq!(machine.config_bytes(), before, "{minute}");
    let left = host.bash(&format!("grep -l {} /proc/[0-9]*/cmdline 2>/dev/null || true", programs.display()));
    let left: Vec<&str> = left.lines().filter(|process| is_of_nft(Path::new(process))).collect();
    assert!(left.is_empty(), "it still runs: {left:?}");
    assert_eq!(machine.minute().stderr, "");
    assert_eq!(number(&machine.show("10086"), "in_bytes"), 107 * DATAGRAM);
    took
}

fn is_of_nft(process: &Path) -> bool {
    fs::read_to_string(process).is_ok_and(|words| words.contains("/nft\0"))
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_nft_that_hangs_is_stopped_and_told() {
    let took = survives_an_nft("exec sleep 3600", &["`nft` did not end within 20 seconds and was stopped"]);
    assert!(took < Duration::from_secs(40), "{took:?}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_nft_that_fails_or_talks_nonsense_is_told() {
    survives_an_nft("echo 'out of order' >&2; exit 3", &["`nft` failed", "out of order"]);
    for nonsense in ["echo garbage", "true", "echo '{\"nftables\": 7}'", "head -c 9999 /dev/urandom"] {
        survives_an_nft(nonsense, &["`nft -j` printed cannot be understood"]);
    }
    // A list that breaks off.
    let cut = format!("export PATH={PATH}; nft \"$@\" | head -c 150");
    survives_an_nft(&cut, &["`nft -j` printed cannot be understood"]);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_netlink_nft_reads_and_writes_to_the_byte() {
    let Pair { host, client } = Pair::new();
    let _sink = udp_sink(&host, 10086);
    let machine = metered(&host, &client);
    send_udp(&client, Family::V4.host(), 10086, 1000, 7);
    let faults = ["-e", "inject=socket:error=EPROTONOSUPPORT:when=1..2"];
    let (set, struck) = injured(&host, &machine, &faults, "pm set 10086 --quota 50KB");
    assert!(struck && set.code == Some(0) && set.stderr.is_empty(), "{set}");
    let shown: Value = machine.show("10086");
    assert_eq!((number(&shown, "in_bytes"), &shown["blocked"]), (107 * DATAGRAM, &Value::Bool(true)));
    send_udp(&client, Family::V4.host(), 10086, 1000, 7);
    machine.minute();
    assert_eq!(number(&machine.show("10086"), "in_bytes"), 107 * DATAGRAM, "nft has blocked it");
}
