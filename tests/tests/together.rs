//! Several of our programs at once, and programs that are stopped in the middle: no change is lost, config.json is always
//! whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pm_tests::machine::{Machine, messages, number};
use pm_tests::network::{Family, Pair};
use pm_tests::process::{Background, Signal, until};
use pm_tests::traffic::{send_udp, udp_sink};
use pm_tests::witness::Witness;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until the monitor has run a minute after the one that `config.json` knows of.
fn another_minute(machine: &Machine<'_>) {
    let last_run = || machine.list()["monitor"]["last_run_ts"].as_u64();
    let before = last_run();
    until("another minute of the monitor", PATIENCE, || (last_run() > before).then_some(()));
}

/// Reads config.json again and again while `work` goes on, and fails if it is ever anything but whole.
fn always_whole(machine: &Machine<'_>, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let path = machine.config_path();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !over.load(Ordering::Relaxed) {
                let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
                let config: Value = serde_json::from_slice(&bytes).map_err(|error| {
                    format!("not whole after {reads} reads: {error}: {}", String::from_utf8_lossy(&bytes))
                })?;
                if !config["ports"].is_object() {
                    return Err(format!("no ports in {config}"));
                }
                reads += 1;
            }
            Ok(reads)
        });
        // A panic of the work must not leave the reader running.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        let read = reader.join().unwrap_or_else(|_| Err("the reader panicked".to_owned()));
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
        assert!(read.as_ref().is_ok_and(|reads| *reads > 10), "{read:?}");
    });
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn ctrl_c_and_sigterm_end_the_monitor_after_the_minute_it_is_in() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1");
    let _sink = udp_sink(&host, 10086);
    for (round, signal) in [Signal::INT, Signal::TERM].into_iter().enumerate() {
        let mut monitor = machine.monitor("--every 1s");
        another_minute(&machine);
        send_udp(&client, Family::V4.host(), 10086, 1000, 10);
        another_minute(&machine);
        monitor.signal(signal);
        let Some(ended) = monitor.wait(PATIENCE) else { panic!("{signal:?} does not end the monitor") };
        assert_eq!(ended.code, Some(0), "{signal:?}: {ended}");
        let sent = u64::try_from(round + 1).unwrap_or_default() * 10 * 1028;
        assert_eq!(machine.config()["ports"]["10086"]["stats"]["acc_in"].as_u64(), Some(sent));
    }
    machine.minute();
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn two_edits_at_once_against_a_running_monitor_lose_nothing() {
    const ROUNDS: u64 = 12;
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 100");
    machine.pm("add 10087 --quota 100");
    let (_sink, witness) = (udp_sink(&host, 10086), Witness::of_port(&host, 10086));
    let monitor = machine.monitor("--every 1s");
    always_whole(&machine, || {
        for round in 1..=ROUNDS {
            // Three hands at once: two on one port, one on another; and traffic.
            thread::scope(|scope| {
                scope.spawn(|| machine.pm(&format!("set 10086 --comment round-{round}")));
                scope.spawn(|| machine.pm(&format!("set 10086 --reset-day {round}")));
                scope.spawn(|| machine.pm(&format!("set 10087 --quota {round}")));
                scope.spawn(|| send_udp(&client, Family::V4.host(), 10086, 1000, 50));
            });
            let config = machine.config();
            let (first, second) = (&config["ports"]["10086"], &config["ports"]["10087"]);
            assert_eq!(first["comment"], format!("round-{round}"));
            assert_eq!(first["reset_day"].as_u64(), Some(round));
            assert_eq!(number(&machine.show("10087"), "quota_bytes"), round << 30, "{second}");
        }
        another_minute(&machine);
    });
    drop(monitor);
    assert_eq!(witness.settled("in").bytes, ROUNDS * 50 * 1028);
    assert_eq!(number(&machine.show("10086"), "in_bytes"), ROUNDS * 50 * 1028);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_program_that_is_killed_at_any_moment_leaves_a_whole_file_and_a_right_account() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 100");
    let _sink = udp_sink(&host, 10086);
    always_whole(&machine, || {
        for round in 0..40 {
            send_udp(&client, Family::V4.host(), 10086, 1000, 5);
            let words = format!("set 10086 --comment killed-{round}");
            let words: Vec<&str> = words.split(' ').collect();
            let doomed = if round % 2 == 0 {
                machine.monitor("")
            } else {
                Background::spawn(machine.command("pm", None, &words))
            };
            thread::sleep(Duration::from_micros(600 * round));
            doomed.signal(if round % 3 == 0 { Signal::INT } else { Signal::KILL });
            drop(doomed);
        }
    });
    machine.minute();
    assert_eq!(number(&machine.show("10086"), "in_bytes"), 200 * 1028);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn many_ports_added_at_once_are_all_there() {
    let Pair { host, client: _client } = Pair::new();
    let machine = Machine::new(&host);
    thread::scope(|scope| {
        for port in 20000..20012 {
            let machine = &machine;
            scope.spawn(move || machine.pm(&format!("add {port} --quota 1")));
        }
    });
    assert_eq!(machine.list()["ports"].as_array().map(Vec::len), Some(12));
    assert!((20000..20012).all(|port| host.table("port_monitor").contains(&format!("cnt_in_{port} "))));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn two_monitors_at_once_count_and_tell_everything_once() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 20KB");
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 30);
    let mut monitors: Vec<Background> = (0..4).map(|_| machine.monitor("")).collect();
    let ended: Vec<_> = monitors.iter_mut().filter_map(|monitor| monitor.wait(PATIENCE)).collect();
    assert!(ended.len() == 4 && ended.iter().all(|minute| minute.code == Some(0)), "{ended:?}");
    let told: Vec<&str> = ended.iter().flat_map(messages).collect();
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_crontab_line_of_the_script_still_runs_a_minute() {
    let Pair { host, client } = Pair::new();
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 20KB");
    let _sink = udp_sink(&host, 10086);
    send_udp(&client, Family::V4.host(), 10086, 1000, 30);
    let minute = machine.pm("--monitor");
    assert_eq!(messages(&minute).len(), 2, "{minute}");
    assert_eq!(machine.show("10086")["blocked"].as_bool(), Some(true));
}
