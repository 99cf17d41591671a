//! One run with its injury, the next minute, and what must hold then.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use pm_tests::machine::number;
use pm_tests::process::Finished;
use serde_json::Value;

use super::injury::{Injury, Watcher};
use super::scenario::{Billed, Scenario};
use super::site::{PORTS, Site, leftovers};

/// The last packet before a quota may be a segment of this size.
const SEGMENT: u64 = 64 << 10;

/// So many bytes may pass uncounted while nft makes the sets anew: two datagrams.
const PASSING: u64 = 2 * 1028;

/// What there is in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// config.json, but for what depends on the moment.
    config: Value,
    in_force: Vec<String>,
}

/// The two ends of a scenario, each with what was told: its command was carried out, or it never ran.
pub(super) struct Ends {
    pub(super) done: (End, Vec<String>),
    pub(super) undone: (End, Vec<String>),
}

/// What a run came to.
pub(super) struct Trial {
    pub(super) end: End,
    pub(super) told: Vec<String>,
    pub(super) compared: u64,
    pub(super) finished: Option<Finished>,
    pub(super) watcher: Watcher,
}

/// Sets everything up, lets it happen, lets the next minute run, and compares what pm says with what was seen.
pub(super) fn run(site: &Site, scenario: &Scenario, injury: &Injury) -> Result<Trial> {
    let told_before = site.bot.texts().len();
    let machine = scenario.set_up(site)?;
    let begin = site.seen()?;
    scenario.prepare(site, &machine)?;
    let flood = scenario.flooded.then(|| site.flood());
    let (program, words) = scenario.command(&machine);
    let (injured, next) = scenario.times;
    let (finished, watcher) =
        site.injured(&machine, (&program, Some(injured), &words), (injury, scenario.always))?;
    drop(flood);
    let text = String::from_utf8(machine.config_bytes()).context("config.json is no text")?;
    ensure!(serde_json::from_str::<Value>(&text).is_ok(), "config.json is not whole: {text}");

    (scenario.afterwards)(&machine)?;
    let after_run = at_rest(site)?;
    if scenario.flooded {
        site.send(7);
    }
    let minute = machine.minute_at(next);
    ensure!(minute.stderr.is_empty(), "the next minute complains: {minute}");
    let after_minute = at_rest(site)?;
    site.send(5);
    let end = at_rest(site)?;

    let listed: Value = serde_json::from_str(&machine.pm_at(next, "list --json").stdout)?;
    let ports = listed["ports"].as_array().context("no ports are listed")?;
    let mut compared = 0;
    for port in PORTS {
        let since = |moment: &BTreeMap<u16, u64>| {
            end.get(&port).copied().unwrap_or_default() - moment.get(&port).copied().unwrap_or_default()
        };
        let name = port.to_string();
        let shown = ports.iter().find(|shown| shown["port"] == name.as_str());
        let Some(billed) = shown.map(|shown| number(shown, "in_bytes")) else { continue };
        let allowed = match scenario.billed(port) {
            Billed::All => vec![since(&begin)],
            Billed::AllOrSince => vec![since(&begin), since(&after_run)],
            Billed::Since | Billed::Late => vec![since(&after_run), since(&after_minute)],
        };
        // nft makes all sets anew. Who is just passing then may look for his counter in one that is leaving.
        let passing = if watcher.saw_nft() && scenario.flooded { PASSING } else { 0 };
        ensure!(
            allowed.iter().any(|allowed| (allowed.saturating_sub(passing)..=*allowed).contains(&billed)),
            "port {port}: {billed} bytes are billed, and {allowed:?} were seen"
        );
        compared += billed;
    }
    quotas_are_armed(site, ports)?;
    let left = leftovers(
        machine.root(),
        &["etc/port_monitor", "var/run"],
        &[
            "config.json",
            "config.json.bak",
            "config.json.before-import-*",
            // What the script had.
            "before-pm-*",
            "pm.lock",
            "pm_cron.lock",
            "pm_tell.lock",
            "pm_nft.json",
            "pm_tc.json",
        ],
    )?;
    ensure!(left.is_empty(), "left over: {left:?}");
    let config = settled(machine.config());
    let told = site.bot.texts().split_off(told_before).iter().map(|text| about(text)).collect();
    Ok(Trial { end: End { config, in_force: site.in_force() }, told, compared, finished, watcher })
}

/// What must hold of a run that was injured.
pub(super) fn judge(trial: &Trial, scenario: &Scenario, ends: &Ends, injury: &Injury) -> Result<()> {
    let finished = trial.finished.as_ref().context("it did not run")?;
    ensure!(!finished.stderr.contains("panicked"), "it panicked: {finished}");
    let is = |expected: &(End, Vec<String>)| is_end(trial, expected);
    let is_done = is(&ends.done);
    if let (Err(not_done), Err(not_undone)) = (&is_done, is(&ends.undone)) {
        bail!("it is not done, since {not_done:#}; and not as before, since {not_undone:#}");
    }
    if !injury.kills_us() {
        let code = finished.code;
        ensure!(code == Some(0) || !finished.stderr.is_empty(), "it failed without a word: {finished}");
        // What a minute could not tell is told by the next one, and is no failure.
        ensure!(
            code != Some(0) || is_done.is_ok() || scenario.is_a_minute(),
            "it said that it had done it: {finished}"
        );
    }
    Ok(())
}

/// Whether a run ended like this: the same configuration, the same in force, no message lost and at most one repeated.
fn is_end(trial: &Trial, (expected, expected_told): &(End, Vec<String>)) -> Result<()> {
    let Trial { end, told, .. } = trial;
    let mut differences = Vec::new();
    differ("config.json", &end.config, &expected.config, &mut differences);
    ensure!(differences.is_empty(), "{}", differences.join(", "));
    let (here, there) = (&end.in_force, &expected.in_force);
    let only = |some: &[String], others: &[String]| {
        some.iter().filter(|object| !others.contains(object)).cloned().collect::<Vec<_>>()
    };
    ensure!(here == there, "{:#?} are in force in place of {:#?}", only(here, there), only(there, here));
    let count = |texts: &[String], text: &String| texts.iter().filter(|other| *other == text).count();
    for text in expected_told {
        ensure!(count(told, text) >= count(expected_told, text), "a message was lost: {text} of {told:?}");
    }
    ensure!(told.iter().all(|text| expected_told.contains(text)), "told without a reason: {told:?}");
    ensure!(told.len() <= expected_told.len() + 1, "more than one message was repeated: {told:?}");
    Ok(())
}

/// Where two values differ, and in what.
fn differ(path: &str, here: &Value, there: &Value, found: &mut Vec<String>) {
    match (here, there) {
        (Value::Object(fields), Value::Object(others)) => {
            for name in fields.keys().chain(others.keys().filter(|name| !fields.contains_key(*name))) {
                differ(&format!("{path}.{name}"), &here[name], &there[name], found);
            }
        }
        _ if here == there => {}
        _ => found.push(format!("{path} is {here} in place of {there}")),
    }
}

/// What was seen, once nothing more comes.
fn at_rest(site: &Site) -> Result<BTreeMap<u16, u64>> {
    let mut last = site.seen()?;
    for _ in 0..1000 {
        let now = site.seen()?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    bail!("the traffic does not end")
}

/// The kernel lets pass what is left, and no more; up to a packet less.
fn quotas_are_armed(site: &Site, ports: &[Value]) -> Result<()> {
    let armed = site.quotas()?;
    for shown in ports {
        let name = format!("quota_{}", shown["port"].as_str().unwrap_or_default());
        let (Some(quota), Some(armed)) = (shown["quota_bytes"].as_u64(), armed.get(&name)) else { continue };
        if !shown["group"].is_null() || shown["blocked"] == true {
            continue;
        }
        let used = number(shown, "used_bytes");
        let left = quota.saturating_sub(used);
        ensure!(
            (left.saturating_sub(SEGMENT)..=left).contains(armed),
            "{name} lets {armed} bytes pass, and {left} are left"
        );
    }
    Ok(())
}

/// What a message is about: its kind and its port.
fn about(text: &str) -> String {
    let port = text.lines().find(|line| line.contains("端口:")).unwrap_or_default();
    format!("{} {port}", text.lines().next().unwrap_or_default())
}

/// A configuration without what depends on the moment.
fn settled(mut config: Value) -> Value {
    const OF_THE_MOMENT: &[&str] = &[
        // Each site has a publisher of its own.
        "public_key",
        "stats",
        "window",
        "ts",
        "cut_off",
        "punish_end_ts",
        "last_report_ts",
        "last_reset_ts",
        "done_ts",
        "monitor",
        "progress",
        "channels",
        "recent_ts",
    ];
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !OF_THE_MOMENT.contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    strip(&mut config);
    config
}
