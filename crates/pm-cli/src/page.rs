//! The page of one port.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use pm_core::chronicle::{Chronicle, Happening, What};
use pm_core::config::PortConfig;
use pm_core::port::PortRange;
use pm_core::units::{Bytes, Rate, escaped};
use pm_core::view::PortView;
use pm_monitor::machine::View;

use crate::forecast::Forecast;
use crate::panel::{cell, compact, mode};
use crate::text::{Texts, fill};

const NAME: usize = 12;

/// How fast a port is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiveRate {
    /// Nobody looked twice.
    Unmeasured,
    /// It takes a second look.
    Measuring,
    /// Between two looks.
    Measured {
        /// Towards the port.
        inbound: Rate,
        /// From the port.
        outbound: Rate,
    },
}

/// Draws the page: the basics, then the rate penalty, then what happened, newest first.
pub(crate) fn draw(
    view: &PortView,
    config: &PortConfig,
    events: &[Happening],
    forecast: Option<Forecast>,
    rate: LiveRate,
    now: &Zoned,
    texts: &Texts,
) -> String {
    let mut page = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(page, "  {}{value}", cell(name, NAME));
    };
    let remark = escaped(&view.comment);
    line(texts.port, &format!("{}  {remark}", view.port));
    if let Some(group) = &view.group {
        line(texts.group, &escaped(group));
    }
    line("", texts.basics);
    let quota = view.quota_bytes.map_or_else(|| texts.unlimited_quota.to_owned(), Bytes::exact);
    line(texts.quota, &quota);
    line(texts.billing, mode(view.mode, texts));
    let share = view.percent.map_or_else(String::new, |percent| format!(" ({percent})"));
    let blocked = if view.blocked { format!(" {}", texts.blocked) } else { String::new() };
    line(texts.used, &format!("{}{share}{blocked}", view.used_bytes));
    line(texts.inbound, &view.in_bytes.to_string());
    line(texts.outbound, &view.out_bytes.to_string());
    match rate {
        LiveRate::Unmeasured => {}
        LiveRate::Measuring => line(texts.rate, texts.measuring),
        LiveRate::Measured { inbound, outbound } => {
            let rates = [texts.inbound, &inbound.measured(), texts.outbound, &outbound.measured()].join(" ");
            line(texts.rate, &rates);
        }
    }
    let limit = view.limit.map_or_else(|| texts.unlimited_speed.to_owned(), |limit| limit.to_string());
    line(texts.base_limit, &limit);
    let reset = match view.next_reset_ts {
        Some(next) => {
            format!(
                "{} {} ({} {})",
                texts.reset_monthly,
                view.reset_day,
                texts.next_reset,
                local(next, now.time_zone())
            )
        }
        None => texts.reset_by_hand.to_owned(),
    };
    line(texts.auto_reset, &reset);
    if let Some(forecast) = forecast {
        line(texts.forecast, &foreseen(forecast, now.time_zone(), texts));
    }

    line("", texts.dynqos);
    let dynqos = &config.dynqos;
    line(texts.policy, if dynqos.enabled { texts.enabled } else { texts.disabled });
    if let Some(policy) = dynqos.policy.filter(|_| dynqos.enabled) {
        let [name, rule] = texts.rule;
        let minutes = policy.minutes.to_string();
        line(name, &fill(rule, &[&compact(policy.trigger), &minutes, &compact(policy.penalty)]));
        let [name, watching] = texts.watching;
        if view.punished {
            line(name, &format!("{} {}", texts.punished_until, local(view.punish_end_ts, now.time_zone())));
        } else {
            line(name, &fill(watching, &[&view.strikes.to_string(), &minutes]));
        }
    }
    let names = std::iter::once(texts.events).chain(std::iter::repeat(""));
    for (name, event) in names.zip(events.iter().rev()) {
        let at = local(event.at.as_second(), now.time_zone());
        line(name, &format!("{at} {}", happened(event.what, texts)));
    }
    page
}

fn happened(what: What, texts: &Texts) -> String {
    match what {
        What::Reset => texts.began.to_owned(),
        What::Warning { level } => fill(texts.warned, &[&level.to_string()]),
        What::Blocked => texts.was_blocked.to_owned(),
        What::Punished { penalty, minutes } => {
            fill(texts.was_punished, &[&penalty.to_string(), &minutes.to_string()])
        }
        What::Recovered => texts.recovered.to_owned(),
    }
}

/// What happened last, for a page that has to leave room for other things.
pub(crate) fn newest(view: &View, port: PortRange) -> &[Happening] {
    const FEW: usize = 5;
    let events = view.snapshot.state.chronicles.get(&port).map_or(&[][..], Chronicle::happenings);
    &events[events.len().saturating_sub(FEW)..]
}

fn foreseen(forecast: Forecast, zone: &TimeZone, texts: &Texts) -> String {
    match forecast {
        Forecast::RunsOut(moment) => {
            let day = moment.to_zoned(zone.clone()).strftime("%Y-%m-%d").to_string();
            fill(texts.runs_out, &[&day])
        }
        Forecast::LastsUntilReset => texts.lasts_until_reset.to_owned(),
        Forecast::LastsAYear => texts.lasts_a_year.to_owned(),
    }
}

fn local(seconds: i64, zone: &TimeZone) -> String {
    let moment = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    moment.strftime("%Y-%m-%d %H:%M").to_string()
}
