//! Item 1: a port is added, chosen from the services that listen or typed.

use std::fmt::Write as _;
use std::io::Write;

use pm_core::config::{Config, GroupId};
use pm_core::edit::{Edit, Settings};
use pm_core::port::PortRange;
use pm_monitor::host;
use pm_monitor::scan::Service;

use crate::arguments::Quota;
use crate::explain;
use crate::menu::configure::{day, limit, mode, quota, remark};
use crate::menu::input::Input;
use crate::menu::prompt::Leave;
use crate::menu::{Change, Menu};
use crate::panel::{cell, fitted};
use crate::text::{Texts, fill};

/// Column widths in terminal cells; the state takes what is left.
const ID: usize = 6;
const PORT: usize = 20;
const PROCESS: usize = 38;

/// What was answered to the question for the quota.
enum QuotaAnswer {
    Own(Quota),
    /// A group, and the quota of a new one.
    Group(GroupId, Option<Quota>),
}

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn add(&mut self) -> Result<(), Leave> {
        let texts = self.texts();
        let config = self.view_now()?.snapshot.config;
        let services = (self.around.services)();
        let port = self.choose_service(&services, &config)?;
        self.screen.line(&fill(texts.menu.configuring, &[&port.to_string()]))?;
        self.screen.line(texts.menu.ways_out)?;
        let settings = self.ask_settings(&config)?;
        match self.edit(&Edit::Add(port, settings))? {
            Change::Done => {
                self.say(texts.added)?;
                host::outgoing(port).map_or(Ok(()), |note| self.say(&explain::outgoing(&note, texts)))
            }
            Change::Refused(why) => self.say(&why),
        }
    }

    fn choose_service(&mut self, services: &[Service], config: &Config) -> Result<PortRange, Leave> {
        let texts = self.texts();
        self.screen.page(&services_page(services, config, texts), "")?;
        let count = services.len();
        let chosen = self.ask(texts.menu.choose_service, |answer| {
            match answer {
                "0" => return Ok(Choice::Back),
                "m" | "M" => return Ok(Choice::ByHand),
                _ => {}
            }
            let plain = answer.bytes().all(|byte| byte.is_ascii_digit());
            let id = answer.parse::<usize>().ok().filter(|id| plain && (1..=count).contains(id));
            let service = id.map(|id| &services[id - 1]).ok_or(texts.menu.wrong_service)?;
            free(service.port, config, texts).map(Choice::Port)
        })?;
        match chosen {
            Choice::Back => Err(Leave::Back),
            Choice::Port(port) => Ok(port),
            Choice::ByHand => self.ask(texts.menu.ask_port, |answer| {
                let wrong = || format!("{}\n{}", texts.menu.wrong_port, texts.menu.port_forms);
                answer.parse().map_err(|_| wrong()).and_then(|port| free(port, config, texts))
            }),
        }
    }

    /// The questions of the script, in its order.
    fn ask_settings(&mut self, config: &Config) -> Result<Settings, Leave> {
        let texts = self.texts();
        let answer = self.ask(texts.menu.ask_quota, |answer| quota_or_group(answer, config, texts))?;
        let mut settings = Settings::default();
        let joins = match answer {
            QuotaAnswer::Own(quota) => {
                settings.quota = Some(quota.0);
                false
            }
            QuotaAnswer::Group(group, quota) => {
                let joins = quota.is_none();
                if joins {
                    self.screen.line(&fill(texts.menu.joins, &[group.as_str()]))?;
                }
                settings.quota = quota.map(|quota| quota.0);
                settings.group = Some(Some(group));
                joins
            }
        };
        if !joins {
            self.screen.line(texts.menu.modes)?;
            settings.mode =
                Some(self.ask(texts.menu.ask_mode, |answer| mode(answer, texts))?.unwrap_or_default());
        }
        let asked = self.ask(texts.menu.ask_limit, |answer| limit(answer, texts))?;
        settings.limit = Some(asked.and_then(|limit| limit.0));
        if !joins {
            let asked = self.ask(texts.menu.ask_reset_day, |answer| day(answer, texts))?;
            settings.reset_day = Some(asked.and_then(|day| day.0));
        }
        settings.comment = Some(self.ask_text(texts.menu.ask_remark, |answer| remark(answer, texts))?);
        Ok(settings)
    }
}

enum Choice {
    Back,
    ByHand,
    Port(PortRange),
}

/// The port, when nothing meters it yet.
fn free(port: PortRange, config: &Config, texts: &Texts) -> Result<PortRange, String> {
    if config.ports.contains_key(&port) {
        return Err(texts.menu.port_exists.to_owned());
    }
    match config.overlapping(port).map(|other| other.to_string()) {
        None => Ok(port),
        Some(other) => Err(fill(texts.menu.port_overlaps, &[&other, &other])),
    }
}

/// `@NAME` names a group that there is, `@NAME 100` a new one with its quota.
fn quota_or_group(answer: &str, config: &Config, texts: &Texts) -> Result<QuotaAnswer, String> {
    let Some(name) = answer.strip_prefix('@') else {
        let forms = |error: String| format!("{error}\n{}", texts.menu.group_forms);
        return quota(answer, texts).map_err(forms)?.map(QuotaAnswer::Own).ok_or_else(|| wrong_quota(texts));
    };
    let group = |name: &str| GroupId::new(name).map_err(|_| texts.menu.wrong_group.to_owned());
    let is_there = |group: &GroupId| config.ports.values().any(|port| port.group.as_ref() == Some(group));
    let whole = group(name)?;
    if is_there(&whole) {
        return Ok(QuotaAnswer::Group(whole, None));
    }
    let Some((name, own)) = name.rsplit_once(' ') else {
        return Err(fill(texts.menu.new_group, &[name, name]));
    };
    let new = group(name.trim_end())?;
    let own = quota(own, texts)?.ok_or_else(|| wrong_quota(texts))?;
    Ok(QuotaAnswer::Group(new, Some(own)))
}

fn wrong_quota(texts: &Texts) -> String {
    format!("{}\n{}\n{}", texts.menu.wrong_quota, texts.menu.quota_forms, texts.menu.group_forms)
}

fn services_page(services: &[Service], config: &Config, texts: &Texts) -> String {
    let [id, port, process, state] = texts.menu.service_columns;
    let mut page = format!("{}\n", texts.menu.services);
    let _ = writeln!(page, " {}{}{}{state}", cell(id, ID), cell(port, PORT), cell(process, PROCESS));
    for (number, service) in services.iter().enumerate() {
        let protocols: Vec<&str> = service.protocols.iter().map(|protocol| protocol.name()).collect();
        let port = format!("{}/{}", service.port, protocols.join("+"));
        let name = service.process.as_deref().unwrap_or(texts.menu.unknown_process);
        let process = match &service.leads_to {
            Some(leads_to) => format!("{name} -> {leads_to}"),
            None => name.to_owned(),
        };
        let taken = config.overlapping(service.port).is_some();
        let state = if taken { texts.menu.taken } else { texts.menu.free };
        let id = format!("[{}]", number + 1);
        let process = fitted(&process, PROCESS - 1);
        let _ = writeln!(page, " {}{}{}{state}", cell(&id, ID), cell(&port, PORT), cell(&process, PROCESS));
    }
    if services.is_empty() {
        let _ = writeln!(page, " {}", texts.menu.no_services);
    }
    let _ =
        writeln!(page, " {}{}\n {}{}", cell("[M]", ID), texts.menu.by_hand, cell("[0]", ID), texts.menu.back);
    page
}
