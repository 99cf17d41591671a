//! The files of port-traffic-dog: config.json, and `traffic_data.json`, into which it saves its counters.
//!
//! The file does not say which of the program's editions wrote it, and they count differently: see [`Edition`].

use jiff::Timestamp;
use pm_core::accounting::Traffic;
use pm_core::config::Secret;
use pm_core::edit::telegram::{MOST_HOURS, TelegramSettings};
use pm_core::quota::Mode;
use pm_core::reset::ResetDay;
use pm_core::units::{Bytes, Rate, shown};
use pm_core::wire;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::figure::{Figure, Named};
use super::{Cycle, Gap, Reason, Rival, Takeover, Unit, ports};
use crate::transfer::DocumentError;

/// The entry that stands for the whole machine.
const MACHINE: &str = "00";

#[derive(Deserialize)]
struct Document {
    global: Option<Global>,
    ports: Named<Port>,
    notifications: Option<Notifications>,
}

#[derive(Default, Deserialize)]
struct Global {
    billing_mode: Option<Figure>,
    traffic_accounting_model: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Port {
    billing_mode: Option<Figure>,
    bandwidth_limit: Option<Limit>,
    quota: Option<Quota>,
    remark: Option<Figure>,
    counter_key: Option<IgnoredAny>,
    expiry: Option<Expiry>,
    expiration_date: Option<Figure>,
}

#[derive(Deserialize)]
struct Limit {
    enabled: Option<Figure>,
    rate: Option<Figure>,
}

#[derive(Default, Deserialize)]
struct Quota {
    enabled: Option<Figure>,
    monthly_limit: Option<Figure>,
    reset_day: Option<Figure>,
    reset_policy: Option<Policy>,
}

#[derive(Deserialize)]
struct Policy {
    #[serde(rename = "type")]
    kind: Option<Figure>,
    day: Option<Figure>,
    every: Option<Figure>,
    date: Option<Figure>,
}

#[derive(Deserialize)]
struct Expiry {
    expire_date: Option<Figure>,
}

#[derive(Default, Deserialize)]
struct Notifications {
    telegram: Option<Telegram>,
    wecom: Option<Channel>,
    webhook: Option<Channel>,
    email: Option<Channel>,
}

#[derive(Deserialize)]
struct Telegram {
    enabled: Option<Figure>,
    bot_token: Option<Figure>,
    chat_id: Option<Figure>,
    api_host: Option<Figure>,
    api_route: Option<Figure>,
    custom_api_base: Option<Figure>,
    status_notifications: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    enabled: Option<Figure>,
    interval: Option<Figure>,
}

#[derive(Deserialize)]
struct Channel {
    enabled: Option<Figure>,
    platform: Option<Figure>,
    resend_api_key: Option<IgnoredAny>,
}

/// What a port's counters stood at.
#[derive(Deserialize)]
struct Saved {
    input: Option<Figure>,
    output: Option<Figure>,
    #[serde(alias = "time")]
    backup_time: Option<Figure>,
}

/// What counts in a port's mode.
struct Counting {
    mode: Mode,
    /// How often a byte counts towards the quota.
    times: u64,
    /// How often the counters themselves count it.
    counted: u64,
}

/// The editions, told apart by fields that only one of them writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edition {
    /// Up to 1.2.4: `double` counts each byte once, `relay` twice.
    Early,
    /// Later: `double` counts each byte twice, by counting rules that are there twice.
    Present,
    /// duya07's: as the present one, but `single` counts both directions once.
    Duya,
    /// Eric86777's: everything counts twice, by arithmetic.
    Eric,
}

impl Edition {
    fn of(document: &Document) -> Self {
        let ports = || document.ports.0.values();
        let global = document.global.as_ref();
        let notifications = document.notifications.as_ref();
        let telegram = notifications.and_then(|all| all.telegram.as_ref());
        let email = notifications.and_then(|all| all.email.as_ref());
        let has_policy = |port: &Port| port.quota.as_ref().is_some_and(|quota| quota.reset_policy.is_some());
        if global.is_some_and(|global| global.traffic_accounting_model.is_some())
            || telegram.is_some_and(|telegram| telegram.api_route.is_some())
            || ports().any(has_policy)
        {
            Self::Duya
        } else if email.is_some_and(|email| email.resend_api_key.is_some())
            || ports().any(|port| port.expiration_date.is_some())
        {
            Self::Eric
        } else if global
            .and_then(|global| global.billing_mode.as_ref())
            .is_some_and(|mode| mode.text() == "single")
            && !ports().any(|port| port.counter_key.is_some())
        {
            Self::Early
        } else {
            Self::Present
        }
    }

    fn counting(self, mode: Option<&Figure>) -> Counting {
        let usual = if self == Self::Early { "single" } else { "double" };
        let (mode, times, counted) = match (mode.map_or(usual, Figure::text), self) {
            ("double", Self::Present | Self::Duya) => (Mode::Both, 2, 2),
            ("double", Self::Eric) | ("relay", _) => (Mode::Both, 2, 1),
            ("double", Self::Early) | (_, Self::Duya) => (Mode::Both, 1, 1),
            (_, Self::Eric) => (Mode::OutOnly, 2, 1),
            (_, Self::Early | Self::Present) => (Mode::OutOnly, 1, 1),
        };
        Counting { mode, times, counted }
    }
}

pub(super) fn read(text: &[u8], usage: Option<&[u8]>) -> Result<Takeover, DocumentError> {
    let document: Document = wire::read(text).map_err(DocumentError::Unreadable)?;
    let saved: Option<Named<Saved>> = usage.map(wire::read).transpose().map_err(DocumentError::Usage)?;
    let edition = Edition::of(&document);
    let mut takeover = Takeover::default();
    if saved.is_none() {
        takeover.gaps.push(Gap { subject: String::new(), reason: Reason::NoUsage(Rival::PortTrafficDog) });
    }
    for (name, port) in &document.ports.0 {
        let refused = |reason| Gap { subject: shown(name), reason };
        let unit = if name == MACHINE {
            Err(Reason::WholeMachine)
        } else {
            let saved = saved.as_ref().and_then(|saved| saved.0.get(name));
            ports(name)
                .ok_or(Reason::NotAPort)
                .and_then(|ports| unit(Unit::new(name, ports), port, edition, saved))
        };
        match unit {
            Ok(unit) => takeover.units.push(unit),
            Err(reason) => takeover.gaps.push(refused(reason)),
        }
    }
    takeover.units.sort_by(|a, b| a.ports.cmp(&b.ports));
    if edition == Edition::Present && takeover.units.iter().any(|unit| unit.settings.limit.is_some()) {
        takeover.gaps.push(Gap { subject: String::new(), reason: Reason::Uploads });
    }
    notifications(document.notifications.unwrap_or_default(), &mut takeover);
    Ok(takeover)
}

fn unit(mut unit: Unit, port: &Port, edition: Edition, saved: Option<&Saved>) -> Result<Unit, Reason> {
    let counting = edition.counting(port.billing_mode.as_ref());
    unit.settings.mode = counting.mode;
    unit.comment(port.remark.as_ref().map_or("", Figure::text));
    if let Some(limit) = &port.bandwidth_limit {
        set_limit(&mut unit, limit);
    }
    if let Some(quota) = &port.quota {
        set_quota(&mut unit, quota, counting.times)?;
        if unit.settings.quota.is_some() {
            set_cycle(&mut unit, quota);
        }
    }
    let end =
        port.expiry.as_ref().and_then(|expiry| expiry.expire_date.as_ref()).or(port.expiration_date.as_ref());
    unit.reasons.extend(end.filter(|end| !end.text().is_empty()).map(|end| Reason::Ends(end.shown())));
    if let Some(saved) = saved {
        set_usage(&mut unit, saved, counting.counted);
    }
    Ok(unit)
}

fn set_limit(unit: &mut Unit, limit: &Limit) {
    let rate = limit.rate.as_ref().filter(|rate| rate.text() != "unlimited" && !rate.text().is_empty());
    let (Some(rate), true) = (rate, limit.enabled.as_ref().is_some_and(Figure::is_on)) else { return };
    match Rate::parse_limit(rate.text()) {
        Ok(rate) => unit.settings.limit = rate,
        Err(_) => unit.reasons.push(Reason::Limit(rate.shown())),
    }
    unit.fit_limit();
}

fn set_quota(unit: &mut Unit, quota: &Quota, times: u64) -> Result<(), Reason> {
    let Some(limit) = quota.monthly_limit.as_ref().filter(|limit| !matches!(limit.text(), "unlimited" | "0"))
    else {
        return Ok(());
    };
    if quota.enabled.as_ref().is_some_and(|enabled| !enabled.is_on()) {
        unit.reasons.push(Reason::QuotaOff(limit.shown()));
        return Ok(());
    }
    let there: Bytes = limit.text().parse().map_err(|_| Reason::Quota(limit.shown()))?;
    let here = Bytes((there.0 / times).max(1));
    if times > 1 {
        unit.reasons.push(Reason::CountedTwice { there, here });
    }
    unit.settings.quota = Some(here);
    Ok(())
}

fn set_cycle(unit: &mut Unit, quota: &Quota) {
    let policy = quota.reset_policy.as_ref();
    let kind = policy.and_then(|policy| policy.kind.as_ref()).map(Figure::text);
    let day = policy.and_then(|policy| policy.day.as_ref()).or(quota.reset_day.as_ref());
    let text = |figure: Option<&Figure>| figure.map_or_else(String::new, Figure::shown);
    let every = policy.and_then(|policy| policy.every.as_ref());
    match kind {
        Some("none") => {}
        None if day.is_none() => {}
        Some("monthly") if day.is_none() => unit.settings.reset_day = ResetDay::new(1),
        Some("interval_months") if day.is_none() || every.and_then(Figure::whole) != Some(1) => {
            unit.reasons.push(Reason::Cycle(Cycle::Months(text(every))));
        }
        None | Some("monthly" | "interval_months") => match day.and_then(Figure::day) {
            Some(day) => unit.settings.reset_day = ResetDay::new(day),
            None => unit.reasons.push(Reason::ResetDay(text(day))),
        },
        Some("interval_days") => unit.reasons.push(Reason::Cycle(Cycle::Days(text(every)))),
        Some("yearly") => unit.reasons.push(Reason::Cycle(Cycle::Year)),
        Some("fixed_date") => {
            let date = text(policy.and_then(|policy| policy.date.as_ref()));
            unit.reasons.push(Reason::Cycle(Cycle::Once(date)));
        }
        Some(other) => unit.reasons.push(Reason::ResetDay(shown(other))),
    }
}

fn set_usage(unit: &mut Unit, saved: &Saved, counted: u64) {
    let mut bytes = |figure: Option<&Figure>| {
        let Some(figure) = figure else { return Bytes(0) };
        let whole = figure.whole();
        if whole.is_none() {
            unit.reasons.push(Reason::Usage(figure.shown()));
        }
        Bytes(whole.unwrap_or(0) / counted)
    };
    let used = Traffic { inbound: bytes(saved.input.as_ref()), outbound: bytes(saved.output.as_ref()) };
    unit.used = used;
    unit.as_of = saved.backup_time.as_ref().and_then(|time| time.text().parse::<Timestamp>().ok());
}

fn notifications(all: Notifications, takeover: &mut Takeover) {
    let mut gap = |reason| takeover.gaps.push(Gap { subject: String::new(), reason });
    let channels = [("wecom", all.wecom), ("webhook", all.webhook), ("email", all.email)];
    for (name, channel) in channels {
        let Some(channel) = channel.filter(|channel| channel.enabled.as_ref().is_some_and(Figure::is_on))
        else {
            continue;
        };
        gap(Reason::Channel(channel.platform.map_or_else(|| name.to_owned(), |platform| platform.shown())));
    }
    let Some(telegram) = all.telegram else { return };
    let text = |figure: Option<Figure>| figure.map_or_else(String::new, |figure| figure.text().to_owned());
    let (token, chat) = (text(telegram.bot_token), text(telegram.chat_id));
    if token.is_empty() || chat.is_empty() {
        return;
    }
    let route = telegram.api_route.as_ref().map(Figure::text);
    let api = match route {
        Some("custom") => text(telegram.custom_api_base),
        _ => text(telegram.api_host),
    };
    let status =
        telegram.status_notifications.filter(|status| status.enabled.as_ref().is_some_and(Figure::is_on));
    let hours = status.and_then(|status| status.interval).map(|interval| {
        let hours = interval.text().strip_suffix('h').and_then(|hours| hours.parse().ok());
        hours.filter(|hours| (1..=MOST_HOURS).contains(hours)).unwrap_or_else(|| {
            gap(Reason::Interval(interval.shown()));
            1
        })
    });
    let settings = TelegramSettings {
        enable: Some(telegram.enabled.as_ref().is_some_and(Figure::is_on)),
        bot_token: Some(Secret::new(token)),
        chat_id: Some(chat),
        api_url: Some(api),
        report_interval_hours: hours,
        ..TelegramSettings::default()
    };
    takeover.telegram = Some(settings);
}
