//! The play: who lives on the machine, what they do, and when.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pm_tests::machine::{Machine, messages, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, INSIDE, OUTSIDE, Relay};
use pm_tests::traffic::{Iperf, drain_tcp, iperf_server, tcp_source};
use pm_tests::witness::{AFTER, Point, Witness};

use super::screen::{Screen, language};
use super::verdict::{self, Row, grouped};

/// Published by the host, served by a container.
const WEB: u16 = 10086;
/// Has a small quota.
const SNELL: u16 = 20000;
/// Hogs the line.
const VMESS: u16 = 30000;
const QUOTA: u64 = 20 << 20;

/// A simulated minute takes this long.
const MINUTE: Duration = Duration::from_secs(1);
/// Minutes of the clock at which it jumps to the end of the month.
const LAST: u64 = 29;

/// Plays it and judges it.
pub(super) fn play() -> Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("something broke");
        eprintln!("\nthe demonstration cannot go on: {text}");
    }));
    let relay = Relay::new(WEB);
    // On this wire, as on a real one, every segment is a frame with headers of its own.
    relay.host.run(&["ip", "link", "set", OUTSIDE, "gso_max_segs", "1"]);
    relay.container.run(&["ip", "link", "set", OUTSIDE, "gso_max_segs", "1"]);
    let mut play = Play {
        machine: Machine::new(&relay.host),
        witness: witness(&relay.host),
        screen: Screen::new(),
        minute: 0,
    };
    play.prologue();
    let rows = play.acts(&relay);
    ensure!(verdict::print(&rows), "what was measured is not what was asked for");
    println!("\nEverything that ran here, ran in namespaces that are gone now.");
    Ok(())
}

struct Play<'a> {
    machine: Machine<'a>,
    witness: Witness<'a>,
    screen: Screen,
    minute: u64,
}

impl Play<'_> {
    fn now(&self) -> String {
        match self.minute {
            early @ ..=LAST => format!("2026-01-31T23:{:02}:00+08:00", 30 + early),
            late => format!("2026-02-01T00:{:02}:00+08:00", late - LAST - 1),
        }
    }

    /// Date and time as a person reads them.
    fn clock(&self) -> String {
        self.now()[..16].replace('T', " ")
    }

    fn pm(&self, words: &str) {
        self.machine.pm_at(&self.now(), &format!("{words} --quiet"));
    }

    fn tell(&mut self, text: &str) {
        let clock = self.clock();
        self.screen.tell(&clock, text);
    }

    fn draw(&mut self) {
        let panel = self.machine.pm_at(&self.now(), &format!("list --lang {}", language())).stdout;
        let clock = self.clock();
        self.screen.draw(&clock, &panel);
    }

    /// What pm says about a port now.
    fn shown(&self, port: u16) -> serde_json::Value {
        self.machine.show_at(&self.now(), &port.to_string())
    }

    fn used(&self, port: u16) -> u64 {
        number(&self.shown(port), "used_bytes")
    }

    /// Lets one minute pass on the clock, and the monitor run at its end.
    fn pass_a_minute(&mut self) {
        let start = Instant::now();
        while start.elapsed() < MINUTE {
            thread::sleep(MINUTE / 4);
            self.draw();
        }
        self.run_the_monitor();
    }

    fn run_the_monitor(&mut self) {
        self.minute += 1;
        let minute = self.machine.minute_at(&self.now());
        for message in messages(&minute) {
            // The moment stands in front of it already.
            self.tell(message.split_once(' ').map_or(message, |(_, text)| text));
        }
        self.draw();
    }

    fn prologue(&mut self) {
        self.pm(&format!("add {WEB} --quota 10 --reset-day 1 --comment Web"));
        self.pm(&format!("add {SNELL} --quota 20MiB --reset-day 1 --comment Snell"));
        self.pm(&format!("add {VMESS} --quota 100 --limit 50 --reset-day 1 --comment VMess"));
        // The clock runs sixty times as fast as the traffic, so that its averages are a sixtieth.
        self.pm(&format!("dynqos {VMESS} on --trigger 0.5 --minutes 4 --penalty 5 --duration 8"));
        self.screen.clear();
        self.tell(&format!(
            "{WEB} leads to a container; {SNELL} has 20 MiB; {VMESS} may hog the line for 4 min"
        ));
        self.run_the_monitor();
    }

    fn acts(&mut self, Relay { host, client, container }: &Relay) -> Vec<Row> {
        let _servers =
            [iperf_server(container, 80), iperf_server(host, VMESS), tcp_source(host, SNELL, None)];
        let web = download(client, WEB, "--bitrate 20M");
        let hog = download(client, VMESS, "--parallel 4");
        self.pass_a_minute();

        let mut rows = vec![self.cut_off(client)];
        rows.extend(self.penalise());
        drop(hog);
        self.tell(&format!("{VMESS} has had enough"));
        self.pass_a_minute();
        drop(web);
        rows.extend(self.compare());
        rows.push(self.turn_of_the_month(client));
        rows
    }

    /// Snell's line fills up between two minutes of the monitor.
    fn cut_off(&mut self, client: &Namespace) -> Row {
        self.tell(&format!("{SNELL} starts to download as fast as the line goes; no monitor runs meanwhile"));
        let _drain = drain_tcp(client, Family::V4.host(), SNELL);
        let start = Instant::now();
        while self.witness.bytes("snell_out") == 0 && start.elapsed() < MINUTE {
            thread::sleep(Duration::from_millis(5));
        }
        let passed = self.witness.settled("snell_out").bytes + self.witness.settled("snell_in").bytes;
        self.tell(&format!("the kernel let {} bytes of {SNELL} pass, and nothing since", grouped(passed)));
        self.draw();
        self.run_the_monitor();
        Row::quota(&format!("{SNELL}: quota"), QUOTA, passed)
    }

    /// `VMess` strikes, is slowed down, and is forgiven.
    fn penalise(&mut self) -> Vec<Row> {
        let punished = |play: &Self| play.shown(VMESS)["punished"] == true;
        let mut rows = Vec::new();
        self.pass_minutes_until(punished);
        thread::sleep(MINUTE / 2);
        let (bytes, elapsed) = self.measure(5);
        rows.push(Row::rate(&format!("{VMESS}: penalty"), 5, bytes, elapsed));
        self.pass_minutes_until(|play| !punished(play));
        thread::sleep(MINUTE / 2);
        // Fewer than the four minutes after which it would be punished again.
        let (bytes, elapsed) = self.measure(3);
        rows.push(Row::rate(&format!("{VMESS}: forgiven, limit"), 50, bytes, elapsed));
        rows
    }

    fn pass_minutes_until(&mut self, over: impl Fn(&Self) -> bool) {
        while !over(self) && self.minute < LAST {
            self.pass_a_minute();
        }
    }

    /// Bytes on the wire from `VMess`, frames included, while minutes pass.
    fn measure(&mut self, minutes: u32) -> (u64, Duration) {
        /// Source and destination address, and type.
        const FRAME: u64 = 14;
        let (start, before) = (Instant::now(), self.witness.read("vmess_out"));
        for _ in 0..minutes {
            self.pass_a_minute();
        }
        let (after, elapsed) = (self.witness.read("vmess_out"), start.elapsed());
        let packets = after.packets - before.packets;
        (after.bytes - before.bytes + packets * FRAME, elapsed)
    }

    /// Everybody is silent; pm and the witness say what they saw.
    fn compare(&mut self) -> Vec<Row> {
        let names = [(WEB, "web", ", through the DNAT"), (SNELL, "snell", ""), (VMESS, "vmess", "")];
        let row = |(port, name, how): (u16, &str, &str)| {
            let seen = ["in", "out"].map(|side| self.witness.settled(&format!("{name}_{side}")).bytes);
            Row::metered(&format!("{port}{how}"), self.used(port), seen.iter().sum())
        };
        names.into_iter().map(row).collect()
    }

    fn turn_of_the_month(&mut self, client: &Namespace) -> Row {
        self.tell("the evening goes by");
        self.minute = LAST - 1;
        self.run_the_monitor();
        let before = self.used(SNELL);
        self.run_the_monitor();
        let after = [WEB, SNELL, VMESS].map(|port| self.used(port));
        let passed = self.witness.bytes("snell_out");
        let drain = drain_tcp(client, Family::V4.host(), SNELL);
        let start = Instant::now();
        while self.witness.bytes("snell_out") == passed && start.elapsed() < 5 * MINUTE {
            thread::sleep(Duration::from_millis(20));
        }
        drop(drain);
        let open = self.witness.bytes("snell_out") > passed;
        self.draw();
        Row::new(
            format!("{SNELL}: open again on the 1st at 00:00"),
            format!(
                "{} bytes used at 23:59, {} at 00:00, {}",
                grouped(before),
                grouped(after[1]),
                if open { "traffic passes" } else { "nothing passes" }
            ),
            before > 0 && after == [0; 3] && open,
        )
    }
}

/// A client of iperf3 that downloads from a port of the host until it is dropped.
fn download(client: &Namespace, port: u16, arguments: &str) -> Iperf {
    Iperf::start(client, Family::V4.host(), port, &format!("--reverse --time 120 {arguments}"))
}

/// Counters that pm does not know of, behind pm's own.
fn witness(host: &Namespace) -> Witness<'_> {
    let point = |name, hook, packets| Point { name, hook, priority: AFTER, packets };
    let (from_web, to_web) =
        (format!("iifname {INSIDE} th sport 80"), format!("oifname {INSIDE} th dport 80"));
    let [(from_snell, to_snell), (from_vmess, to_vmess)] =
        [SNELL, VMESS].map(|port| (format!("th sport {port}"), format!("th dport {port}")));
    Witness::new(
        host,
        &[
            point("web_out", "forward", &from_web),
            point("web_in", "forward", &to_web),
            point("snell_out", "output", &from_snell),
            point("snell_in", "input", &to_snell),
            point("vmess_out", "output", &from_vmess),
            point("vmess_in", "input", &to_vmess),
        ],
    )
}
