//! The rate penalty, minute by minute: strikes, the penalty in the kernel, its end, and every other way out of it.

use pm_tests::machine::{Machine, messages, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, OUTSIDE, Pair};
use pm_tests::process::Background;
use pm_tests::traffic::{send_tcp, tcp_sink};
use serde_json::json;

/// A moment of the first hours of a day in March.
fn at(minute: u64) -> String {
    format!("2026-03-10T{:02}:{:02}:00+08:00", minute / 60, minute % 60)
}

/// The rate of a class in the kernel, as tc prints it; none when there is no such class.
fn class_rate(host: &Namespace, class: &str) -> Option<String> {
    let shown = host.run(&["tc", "class", "show", "dev", OUTSIDE]);
    let line = shown.lines().find(|line| line.split_whitespace().nth(2) == Some(class))?;
    line.split_whitespace().skip_while(|word| *word != "rate").nth(1).map(str::to_owned)
}

/// The class of port 10086.
const CLASS: &str = "1:2766";

/// A port that strikes above 1 Mbps, and is slowed down to 5 Mbps for ten minutes by the third strike in a row.
struct Suspect<'a> {
    machine: Machine<'a>,
    host: &'a Namespace,
    client: &'a Namespace,
    minute: u64,
    _sink: Background,
}

impl<'a> Suspect<'a> {
    fn new(Pair { host, client }: &'a Pair, limit: &str) -> Self {
        let machine = Machine::new(host);
        machine.pm_at(&at(0), &format!("add 10086 --quota unlimited --limit {limit}"));
        machine.pm_at(&at(0), "dynqos 10086 on --trigger 1 --minutes 3 --penalty 5 --duration 10");
        machine.minute_at(&at(0));
        Self { machine, host, client, minute: 0, _sink: tcp_sink(host, 10086) }
    }

    /// One minute with 8.4 MB of traffic, which is more than 1 Mbps; returns what was told.
    fn busy_minute(&mut self) -> Vec<String> {
        send_tcp(self.client, Family::V4.host(), 10086, 8_400_000).success();
        self.calm_minute()
    }

    /// One minute without any traffic; returns what was told.
    fn calm_minute(&mut self) -> Vec<String> {
        self.minute += 1;
        let minute = self.machine.minute_at(&at(self.minute));
        messages(&minute).into_iter().map(str::to_owned).collect()
    }

    fn punished(pair: &'a Pair, limit: &str) -> Self {
        let mut suspect = Self::new(pair, limit);
        for _ in 0..3 {
            suspect.busy_minute();
        }
        assert_eq!(suspect.rate(), Some("5Mbit".to_owned()));
        suspect
    }

    fn pm(&self, words: &str) {
        self.machine.pm_at(&at(self.minute), words);
    }

    fn rate(&self) -> Option<String> {
        class_rate(self.host, CLASS)
    }

    /// Strikes, the limit in force, and whether it is a punishment, as pm shows them.
    fn shown(&self) -> (u64, String, bool) {
        let shown = self.machine.show_at(&at(self.minute), "10086");
        (number(&shown, "strikes"), shown["effective_limit_mbps"].to_string(), shown["punished"] == true)
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn three_busy_minutes_in_a_row_are_punished_and_forgiven_ten_minutes_later() {
    let pair = Pair::new();
    let mut suspect = Suspect::new(&pair, "100");
    assert_eq!(suspect.rate(), Some("100Mbit".to_owned()));
    for strikes in 1..=2 {
        assert_eq!(suspect.busy_minute(), [""; 0]);
        assert_eq!(suspect.shown(), (strikes, "100".to_owned(), false));
    }
    let told = suspect.busy_minute();
    assert!(told.len() == 1 && told[0].contains("10086"), "{told:?}");
    assert_eq!(suspect.shown(), (0, "5".to_owned(), true));
    assert_eq!(suspect.rate(), Some("5Mbit".to_owned()));

    // Nothing is judged meanwhile.
    for _ in 0..9 {
        assert_eq!(suspect.busy_minute(), [""; 0]);
        assert_eq!(suspect.rate(), Some("5Mbit".to_owned()));
    }
    let told = suspect.busy_minute();
    assert!(told.len() == 1 && told[0].contains("10086"), "{told:?}");
    assert_eq!(suspect.shown(), (0, "100".to_owned(), false));
    assert_eq!(suspect.rate(), Some("100Mbit".to_owned()));

    // It stands on the page of the port: 00:03 and 00:13 in China.
    let expected = json!([
        {"ts": 1_773_072_180, "type": "punished", "penalty_mbps": 5, "minutes": 10},
        {"ts": 1_773_072_780, "type": "recovered"},
    ]);
    assert_eq!(suspect.machine.show_at(&at(suspect.minute), "10086")["events"], expected);
    let page = suspect.machine.pm_at(&at(suspect.minute), "show 10086").stdout;
    assert!(page.contains("2026-03-10 00:03 触发惩罚, 限速 5 Mbps, 10 分钟"), "{page}");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_calm_minute_wipes_the_strikes() {
    let pair = Pair::new();
    let mut suspect = Suspect::new(&pair, "100");
    for _ in 0..2 {
        suspect.busy_minute();
    }
    suspect.calm_minute();
    assert_eq!(suspect.shown().0, 0);
    for _ in 0..2 {
        assert_eq!(suspect.busy_minute(), [""; 0]);
    }
    assert_eq!(suspect.shown(), (2, "100".to_owned(), false));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_reset_forgives_in_the_kernel_at_once() {
    let pair = Pair::new();
    let suspect = Suspect::punished(&pair, "100");
    suspect.pm("reset 10086 --yes");
    assert_eq!(suspect.shown(), (0, "100".to_owned(), false));
    assert_eq!(suspect.rate(), Some("100Mbit".to_owned()));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_monthly_reset_forgives_in_the_kernel_too() {
    let pair = Pair::new();
    let suspect = Suspect::punished(&pair, "100");
    suspect.pm("set 10086 --reset-day 11");
    assert_eq!(suspect.rate(), Some("5Mbit".to_owned()));
    suspect.machine.minute_at("2026-03-11T00:00:00+08:00");
    assert_eq!(suspect.rate(), Some("100Mbit".to_owned()));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn switching_it_off_forgives_in_the_kernel_at_once() {
    let pair = Pair::new();
    let mut suspect = Suspect::punished(&pair, "100");
    suspect.pm("dynqos 10086 off");
    assert_eq!(suspect.shown(), (0, "100".to_owned(), false));
    assert_eq!(suspect.rate(), Some("100Mbit".to_owned()));
    // Switched on again it begins with a clean record.
    suspect.pm("dynqos 10086 on --trigger 1 --minutes 3 --penalty 5 --duration 10");
    assert_eq!(suspect.rate(), Some("100Mbit".to_owned()));
    suspect.busy_minute();
    assert_eq!(suspect.shown(), (1, "100".to_owned(), false));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn deleting_the_port_takes_its_penalty_along() {
    let pair = Pair::new();
    let before = pair.host.run(&["tc", "qdisc", "show", "dev", OUTSIDE]);
    let suspect = Suspect::punished(&pair, "100");
    suspect.pm("rm 10086 --yes");
    assert_eq!(suspect.rate(), None);
    assert_eq!(
        pair.host.run(&["tc", "qdisc", "show", "dev", OUTSIDE]),
        before,
        "the machine has its root back"
    );
    suspect.pm("add 10086 --quota 1 --limit 30");
    assert_eq!(suspect.rate(), Some("30Mbit".to_owned()));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_port_without_a_limit_of_its_own_is_free_again_afterwards() {
    let pair = Pair::new();
    let before = pair.host.run(&["tc", "qdisc", "show", "dev", OUTSIDE]);
    let mut suspect = Suspect::punished(&pair, "0");
    for _ in 0..10 {
        suspect.calm_minute();
    }
    assert_eq!(suspect.shown(), (0, "0".to_owned(), false));
    assert_eq!(suspect.rate(), None);
    assert_eq!(pair.host.run(&["tc", "qdisc", "show", "dev", OUTSIDE]), before);
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_gap_counts_the_minutes_it_covers_at_their_average() {
    let pair = Pair::new();
    let mut suspect = Suspect::new(&pair, "100");
    // Ten minutes at a tenth of what ten busy minutes would carry: nobody hogged anything.
    send_tcp(&pair.client, Family::V4.host(), 10086, 8_400_000).success();
    suspect.minute += 9;
    assert_eq!(suspect.calm_minute(), [""; 0]);
    assert_eq!(suspect.shown(), (0, "100".to_owned(), false));
    // Four minutes of which each was busy on average.
    send_tcp(&pair.client, Family::V4.host(), 10086, 4 * 8_400_000).success();
    suspect.minute += 3;
    assert_eq!(suspect.calm_minute().len(), 1);
    assert_eq!(suspect.rate(), Some("5Mbit".to_owned()));
}
