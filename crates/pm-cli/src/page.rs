//! The page of one port.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use pm_core::config::PortConfig;
use pm_core::units::{Bytes, Rate, escaped};
use pm_core::view::PortView;

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

/// Draws the page: the basics, then the rate penalty.
pub(crate) fn draw(
    view: &PortView,
    config: &PortConfig,
    forecast: Option<Forecast>,
    rate: LiveRate,
    now: &Zoned,
    texts: &Texts,
) -> String {
    let mut page = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(page, "  {}{value}", cell(name, NAME));
    };
    let remark: String = view.comment.chars().flat_map(escaped).collect();
    line(texts.port, &format!("{}  {remark}", view.port));
    if let Some(group) = &view.group {
        line(texts.group, &group.chars().flat_map(escaped).collect::<String>());
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
    page
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
