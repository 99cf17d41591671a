//! Item 2: the page of a port, with what can be changed about it.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use jiff::Zoned;
use pm_core::config::{GroupId, PortConfig};
use pm_core::edit::{Edit, MOST_COMMENT, Settings};
use pm_core::port::PortRange;
use pm_core::quota::Mode;
use pm_core::reset::ResetDay;
use pm_core::units::{Bytes, Rate};
use pm_core::view::PortView;

use crate::arguments::{Day, Quota, Speed};
use crate::explain;
use crate::forecast;
use crate::menu::Menu;
use crate::menu::input::Input;
use crate::menu::prompt::{Leave, with_present};
use crate::page::{self, LiveRate};
use crate::panel;
use crate::text::{Texts, fill};

/// The rate on the page is that of this time.
const SECOND: Duration = Duration::from_secs(1);

pub(super) const LIMIT: &str = "3";
pub(super) const RESET: &str = "6";
/// What takes a value away where a blank answer keeps it.
const NOTHING: &str = "-";

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn configure(&mut self) -> Result<(), Leave> {
        let texts = self.texts();
        self.screen.line(texts.menu.ask_configure)?;
        let ports = self.select(texts.menu.id_prompt)?;
        match ports.as_slice() {
            [port] => self.configure_port(*port),
            ports => self.configure_several(ports),
        }
    }

    fn configure_port(&mut self, port: PortRange) -> Result<(), Leave> {
        let texts = self.texts();
        loop {
            let mut speedometer = Speedometer::default();
            let choice =
                self.watch(SECOND, texts.menu.choose, |menu| menu.port_page(port, &mut speedometer))?;
            if matches!(choice.as_str(), "0" | "b" | "B") {
                return Ok(());
            }
            let view = self.view_now()?;
            let Ok(config) = view.snapshot.config.entry(port) else { return self.gone(port) };
            match choice.as_str() {
                "1" => self.change_quota(port, config)?,
                "2" => self.change_mode(port, config)?,
                LIMIT => self.change_limit(port, config)?,
                "4" => self.change_penalty(port, config)?,
                "5" => self.change_remark(port, config)?,
                RESET => self.clear(port)?,
                "7" => self.change_reset_day(port, config)?,
                "8" => self.change_group(port, config)?,
                _ => {}
            }
        }
    }

    fn gone(&mut self, port: PortRange) -> Result<(), Leave> {
        self.say(&fill(self.texts().menu.gone, &[&port.to_string()]))?;
        Err(Leave::Back)
    }

    /// The page, the speed since it was last drawn, and the items.
    fn port_page(&mut self, port: PortRange, speedometer: &mut Speedometer) -> Result<String, Leave> {
        let now = (self.around.clock)();
        let view = self.view(&now)?;
        let (Some(entry), Ok(config)) = (view.overview.port(port), view.snapshot.config.entry(port)) else {
            self.gone(port)?;
            return Err(Leave::Back);
        };
        let rate = if self.screen.redraws() { speedometer.read(entry, &now) } else { LiveRate::Unmeasured };
        let forecast = forecast::of(entry, forecast::cycle_began(&view.snapshot, port), &now);
        let texts = self.texts();
        let rule = "=".repeat(self.screen.columns().clamp(1, panel::NARROWEST));
        let events = page::newest(&view, port);
        let mut page = format!("{rule}\n{}", page::draw(entry, config, events, forecast, rate, &now, texts));
        if let Some(note) = explain::stale(&view, texts) {
            let _ = writeln!(page, " {note}");
        }
        let _ = writeln!(page, "{rule}");
        for (number, item) in texts.menu.port_items.iter().enumerate() {
            let _ = writeln!(page, " {}. {item}", number + 1);
        }
        let _ = writeln!(page, " 0. {}", texts.menu.back);
        Ok(page)
    }

    fn change_quota(&mut self, port: PortRange, config: &PortConfig) -> Result<(), Leave> {
        let texts = self.texts();
        let present = config.quota.map_or_else(|| texts.unlimited_quota.to_owned(), Bytes::exact);
        let prompt = with_present(texts.menu.ask_quota, &present);
        self.change(
            |menu| menu.ask(&prompt, |answer| quota(answer, texts)),
            |quota| Edit::Set(port, Settings { quota: Some(quota.0), ..Settings::default() }),
        )
    }

    fn change_mode(&mut self, port: PortRange, config: &PortConfig) -> Result<(), Leave> {
        let texts = self.texts();
        self.screen.line(texts.menu.modes)?;
        let prompt =
            with_present(texts.menu.ask_mode, panel::mode(config.mode, texts).trim_matches(['[', ']']));
        self.change(
            |menu| menu.ask(&prompt, |answer| mode(answer, texts)),
            |mode| Edit::Set(port, Settings { mode: Some(mode), ..Settings::default() }),
        )
    }

    fn change_limit(&mut self, port: PortRange, config: &PortConfig) -> Result<(), Leave> {
        let texts = self.texts();
        let present =
            config.limit.map_or_else(|| texts.unlimited_speed.to_owned(), |limit| limit.to_string());
        let prompt = with_present(texts.menu.ask_limit, &present);
        self.change(
            |menu| menu.ask(&prompt, |answer| limit(answer, texts)),
            |limit| Edit::Set(port, Settings { limit: Some(limit.0), ..Settings::default() }),
        )
    }

    fn change_reset_day(&mut self, port: PortRange, config: &PortConfig) -> Result<(), Leave> {
        let texts = self.texts();
        let present = config.reset_day.map_or(0, ResetDay::day).to_string();
        let prompt = with_present(texts.menu.ask_reset_day, &present);
        self.change(
            |menu| menu.ask(&prompt, |answer| day(answer, texts)),
            |day| Edit::Set(port, Settings { reset_day: Some(day.0), ..Settings::default() }),
        )
    }

    fn change_remark(&mut self, port: PortRange, config: &PortConfig) -> Result<(), Leave> {
        let texts = self.texts();
        let prompt = match config.comment.as_str() {
            "" => texts.menu.ask_remark.to_owned(),
            present => with_present(&with_present(texts.menu.ask_remark, present), texts.menu.clears),
        };
        let read = |answer: &str| match answer {
            "" => Ok(None),
            NOTHING => Ok(Some(String::new())),
            answer => remark(answer, texts).map(Some),
        };
        self.change(
            |menu| menu.ask_text(&prompt, read),
            |comment| Edit::Set(port, Settings { comment: Some(comment), ..Settings::default() }),
        )
    }

    fn change_group(&mut self, port: PortRange, config: &PortConfig) -> Result<(), Leave> {
        let texts = self.texts();
        let prompt = match &config.group {
            None => with_present(texts.menu.ask_group, texts.menu.none),
            Some(group) => {
                with_present(&with_present(texts.menu.ask_group, group.as_str()), texts.menu.leaves)
            }
        };
        let read = |answer: &str| match answer {
            "" => Ok(None),
            NOTHING => Ok(Some(None)),
            name => GroupId::new(name)
                .map(|group| Some(Some(group)))
                .map_err(|_| texts.menu.wrong_group.to_owned()),
        };
        self.change(
            |menu| menu.ask_text(&prompt, read),
            |group| Edit::Set(port, Settings { group: Some(group), ..Settings::default() }),
        )
    }

    fn clear(&mut self, port: PortRange) -> Result<(), Leave> {
        let texts = self.texts();
        if !self.confirm(texts.menu.ask_clear)? {
            return self.say(texts.cancelled);
        }
        self.edit_and_say(&Edit::Reset(vec![port]), texts.was_reset)
    }
}

/// What a page that is drawn again and again knows of the speed.
#[derive(Default)]
struct Speedometer {
    last: Option<(Zoned, Bytes, Bytes)>,
}

impl Speedometer {
    fn read(&mut self, view: &PortView, now: &Zoned) -> LiveRate {
        let last = self.last.replace((now.clone(), view.in_bytes, view.out_bytes));
        let Some((at, inbound, outbound)) = last else { return LiveRate::Measuring };
        let passed = now.timestamp().as_millisecond() - at.timestamp().as_millisecond();
        match u64::try_from(passed) {
            Ok(passed @ 1..) => LiveRate::Measured {
                inbound: Rate::over(view.in_bytes.saturating_sub(inbound), passed),
                outbound: Rate::over(view.out_bytes.saturating_sub(outbound), passed),
            },
            // A clock that stands still or goes back measures nothing.
            _ => LiveRate::Measuring,
        }
    }
}

/// A quota; none for a blank answer.
pub(super) fn quota(answer: &str, texts: &Texts) -> Result<Option<Quota>, String> {
    match answer {
        "" => Ok(None),
        answer if answer == texts.unlimited_quota => Ok(Some(Quota(None))),
        answer => answer
            .parse()
            .map(Some)
            .map_err(|_| format!("{}\n{}", texts.menu.wrong_quota, texts.menu.quota_forms)),
    }
}

/// What counts; none for a blank answer.
pub(super) fn mode(answer: &str, texts: &Texts) -> Result<Option<Mode>, String> {
    match answer {
        "" => Ok(None),
        "1" => Ok(Some(Mode::Both)),
        "2" => Ok(Some(Mode::OutOnly)),
        _ => Err(texts.menu.wrong_mode.to_owned()),
    }
}

/// A speed limit; none for a blank answer.
pub(super) fn limit(answer: &str, texts: &Texts) -> Result<Option<Speed>, String> {
    match answer {
        "" => Ok(None),
        answer => answer
            .parse()
            .map(Some)
            .map_err(|_| format!("{}\n{}", texts.menu.wrong_limit, texts.menu.limit_forms)),
    }
}

/// A day of the month; none for a blank answer.
pub(super) fn day(answer: &str, texts: &Texts) -> Result<Option<Day>, String> {
    match answer {
        "" => Ok(None),
        answer => answer.parse().map(Some).map_err(|_| texts.menu.wrong_reset_day.to_owned()),
    }
}

/// A remark.
pub(super) fn remark(answer: &str, texts: &Texts) -> Result<String, String> {
    if answer.chars().count() > MOST_COMMENT {
        return Err(texts.menu.long_remark.to_owned());
    }
    Ok(answer.to_owned())
}
