//! The monthly reset, on the calendar of the machine's zone; `PM_NOW` moves the clock.

use std::time::Duration;

use pm_tests::machine::{Machine, messages, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, Pair};
use pm_tests::process::{must, until};
use pm_tests::traffic::{send_udp, udp_sink};
use serde_json::json;

/// A port with a reset day, added at a moment of our choice, that has used something.
struct Tenant<'a> {
    machine: Machine<'a>,
    client: &'a Namespace,
}

impl<'a> Tenant<'a> {
    fn new(Pair { host, client }: &'a Pair, reset_day: u32, added: &str) -> Self {
        let machine = Machine::new(host);
        machine.pm_at(added, &format!("add 10086 --quota 10 --reset-day {reset_day}"));
        let tenant = Self { machine, client };
        tenant.uses();
        tenant
    }

    fn uses(&self) {
        send_udp(self.client, Family::V4.host(), 10086, 1000, 10);
    }

    /// Runs a minute and returns whether it began a new cycle: told once, and from zero.
    fn is_reset_at(&self, now: &str) -> bool {
        let before = self.used(now);
        let minute = self.machine.minute_at(now);
        let told = messages(&minute);
        let after = self.used(now);
        assert!(told.len() <= 1, "{minute}");
        if told.is_empty() {
            assert_eq!(before, after, "nothing is cleared in silence, at {now}");
        } else {
            assert!(told[0].contains("10086"), "{told:?}");
            assert_eq!(after, 0, "at {now}");
        }
        !told.is_empty()
    }

    fn used(&self, now: &str) -> u64 {
        number(&self.machine.show_at(now, "10086"), "used_bytes")
    }

    /// When the next cycle is promised to begin, in seconds since 1970.
    fn next_reset(&self, now: &str) -> u64 {
        number(&self.machine.show_at(now, "10086"), "next_reset_ts")
    }
}

/// Seconds since 1970 of a moment, by a program that is not ours.
fn seconds(host: &Namespace, moment: &str) -> u64 {
    must(host.run(&["date", "--date", moment, "+%s"]).trim().parse(), "date")
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn day_31_is_the_last_day_of_february_and_of_every_shorter_month() {
    let pair = Pair::new();
    let _sink = udp_sink(&pair.host, 10086);
    let tenant = Tenant::new(&pair, 31, "2026-02-10T12:00:00+08:00");
    assert_eq!(
        tenant.next_reset("2026-02-10T12:00:00+08:00"),
        seconds(&pair.host, "2026-02-28T00:00:00+08:00")
    );
    assert!(!tenant.is_reset_at("2026-02-27T23:59:59+08:00"));
    assert!(tenant.is_reset_at("2026-02-28T00:00:00+08:00"));
    tenant.uses();
    assert!(!tenant.is_reset_at("2026-02-28T00:01:00+08:00"));
    assert!(!tenant.is_reset_at("2026-03-30T23:59:00+08:00"));
    assert!(tenant.is_reset_at("2026-03-31T00:00:30+08:00"));
    tenant.uses();
    assert!(tenant.is_reset_at("2026-04-30T00:00:00+08:00"));
    // And on the 29th in a leap year.
    tenant.uses();
    assert!(tenant.is_reset_at("2028-02-29T00:00:00+08:00"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_midnight_that_the_clock_skips_resets_when_the_day_begins() {
    // In Beirut the clock goes from 23:59:59 on March 28th to 01:00 on the 29th.
    let pair = Pair::new();
    let _sink = udp_sink(&pair.host, 10086);
    let tenant = Tenant::new(&pair, 29, "2026-03-10T12:00:00+02:00[Asia/Beirut]");
    assert!(!tenant.is_reset_at("2026-03-28T23:59:59+02:00[Asia/Beirut]"));
    assert!(tenant.is_reset_at("2026-03-29T01:00:00+03:00[Asia/Beirut]"));
    tenant.uses();
    assert!(!tenant.is_reset_at("2026-03-29T01:01:00+03:00[Asia/Beirut]"));
    assert!(!tenant.is_reset_at("2026-03-30T00:00:00+03:00[Asia/Beirut]"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_midnight_that_the_clock_meets_twice_resets_once() {
    // In Beirut the clock goes back from midnight of October 25th to 23:00 on the 24th.
    let pair = Pair::new();
    let _sink = udp_sink(&pair.host, 10086);
    let tenant = Tenant::new(&pair, 25, "2026-10-10T12:00:00+03:00[Asia/Beirut]");
    assert!(!tenant.is_reset_at("2026-10-24T23:59:00+03:00[Asia/Beirut]"));
    assert!(!tenant.is_reset_at("2026-10-24T23:00:00+02:00[Asia/Beirut]"));
    assert!(!tenant.is_reset_at("2026-10-24T23:59:00+02:00[Asia/Beirut]"));
    assert!(tenant.is_reset_at("2026-10-25T00:00:00+02:00[Asia/Beirut]"));
    tenant.uses();
    assert!(!tenant.is_reset_at("2026-10-25T00:01:00+02:00[Asia/Beirut]"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn after_two_months_of_downtime_the_missed_reset_is_made_up_for_once() {
    let pair = Pair::new();
    let _sink = udp_sink(&pair.host, 10086);
    let tenant = Tenant::new(&pair, 15, "2026-01-20T12:00:00+08:00");
    assert!(!tenant.is_reset_at("2026-01-20T12:01:00+08:00"));
    assert!(tenant.is_reset_at("2026-03-20T09:30:00+08:00"));
    tenant.uses();
    assert!(!tenant.is_reset_at("2026-03-20T09:31:00+08:00"));
    assert!(!tenant.is_reset_at("2026-04-14T23:59:00+08:00"));
    assert!(tenant.is_reset_at("2026-04-15T00:00:00+08:00"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_clock_that_goes_back_resets_nothing_and_repeats_nothing() {
    let pair = Pair::new();
    let _sink = udp_sink(&pair.host, 10086);
    let tenant = Tenant::new(&pair, 1, "2026-02-20T12:00:00+08:00");
    assert!(tenant.is_reset_at("2026-03-01T00:00:00+08:00"));
    tenant.uses();
    assert!(!tenant.is_reset_at("2026-03-05T00:00:00+08:00"));
    for earlier in ["2026-03-04T23:00:00+08:00", "2026-02-28T12:00:00+08:00", "2026-02-01T00:00:00+08:00"] {
        assert!(!tenant.is_reset_at(earlier), "{earlier}");
    }
    assert!(!tenant.is_reset_at("2026-03-01T00:00:00+08:00"), "that one was carried out");
    assert!(!tenant.is_reset_at("2026-03-05T00:01:00+08:00"));
    assert!(tenant.is_reset_at("2026-04-01T00:00:00+08:00"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn setting_a_reset_day_that_has_passed_resets_nothing_before_next_month() {
    let pair = Pair::new();
    let _sink = udp_sink(&pair.host, 10086);
    let tenant = Tenant::new(&pair, 0, "2026-01-20T12:00:00+08:00");
    assert!(!tenant.is_reset_at("2026-03-20T12:00:00+08:00"));
    tenant.machine.pm_at("2026-03-20T12:00:00+08:00", "set 10086 --reset-day 10");
    assert!(!tenant.is_reset_at("2026-03-20T12:01:00+08:00"));
    assert!(!tenant.is_reset_at("2026-04-09T23:59:00+08:00"));
    assert!(tenant.is_reset_at("2026-04-10T00:00:00+08:00"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_reset_opens_a_blocked_port_in_the_kernel() {
    let pair = Pair::new();
    let _sink = udp_sink(&pair.host, 10086);
    let machine = Machine::new(&pair.host);
    machine.pm_at("2026-02-20T12:00:00+08:00", "add 10086 --quota 20KB --reset-day 1");
    send_udp(&pair.client, Family::V4.host(), 10086, 1000, 30);
    machine.minute_at("2026-02-20T12:01:00+08:00");
    let set = || pair.host.nft("list set inet port_monitor blocked_ports");
    assert!(set().contains("10086"));
    let minute = machine.minute_at("2026-03-01T00:00:00+08:00");
    assert_eq!(messages(&minute).len(), 1, "{minute}");
    assert!(!set().contains("10086"));
    send_udp(&pair.client, Family::V4.host(), 10086, 1000, 10);
    let shown = machine.show_at("2026-03-01T00:00:30+08:00", "10086");
    assert_eq!(number(&shown, "used_bytes"), 10 * 1028);
    assert_eq!(shown["blocked"].as_bool(), Some(false));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_zone_that_is_changed_under_a_running_monitor_counts_from_the_next_minute() {
    // There is never a moment at which it is the same day in both.
    let (west, east) = ("Etc/GMT+12", "Etc/GMT-14");
    let Pair { host, client: _client } = Pair::new();
    let machine = Machine::new(&host);
    let etc = must(tempfile::tempdir(), "cannot make a folder");
    let etc = etc.path().to_string_lossy();
    host.bash(&format!("cp -a /etc/. {etc} && mount --bind {etc} /etc"));
    let travel =
        |zone: &str| host.run(&["ln", "-sfn", &format!("/usr/share/zoneinfo/{zone}"), "/etc/localtime"]);
    travel(west);

    let date = |zone: &str, format: &str| host.bash(&format!("TZ={zone} date {format}")).trim().to_owned();
    let number = |text: String| must(text.parse::<u64>(), "date");
    let (today, now) = (number(date(east, "+%-d")), number(date(east, "+%s")));
    let mark = json!({ "day": today, "done_ts": now - 25 * 3600 });
    let port = json!({ "quota_gb": 1, "reset_day": today, "reset_mark": mark, "stats": { "acc_in": 5 } });
    machine.write_config(&json!({ "ports": { "10086": port } }).to_string());
    let monitor = machine.monitor("--every 1s");
    let runs = || machine.config()["monitor"]["last_run_ts"].as_u64();
    let begun = until("the monitor's first minute", Duration::from_secs(15), runs);
    until("another minute", Duration::from_secs(15), || (runs() > Some(begun)).then_some(()));
    assert_eq!(machine.config()["ports"]["10086"]["stats"]["acc_in"].as_u64(), Some(5), "the day is to come");
    travel(east);
    until("the reset of a day that has begun", Duration::from_secs(15), || {
        (machine.config()["ports"]["10086"]["stats"]["acc_in"].as_u64() == Some(0)).then_some(())
    });
    drop(monitor);
}
