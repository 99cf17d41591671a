//! `pm install` and `pm uninstall`: what is done to the machine, and each thing that is done is said.

use std::path::PathBuf;

use anyhow::Context;
use jiff::Zoned;
use pm_monitor::outcome::SHAPING_WAITS;
use pm_monitor::run;
use pm_setup::install::{self, Listener, Request, Step};
use pm_setup::packages::Installation;
use pm_setup::schedule::{Runner, Schedule, Wish};
use pm_setup::system::Programs;
use pm_setup::takeover::TakenOver;
use pm_setup::uninstall::{Farewell, Removed, uninstall};
use pm_setup::{SetupError, Site};
use serde_json::json;

use super::{Session, print, print_data};
use crate::arguments::{Common, Period, RunnerArguments};
use crate::ask;
use crate::text::{SetupTexts, fill};

impl Session<'_> {
    pub(super) fn install(&self, runner: RunnerArguments, every: Option<Period>) -> anyhow::Result<bool> {
        self.needs_root()?;
        let runner = match runner {
            RunnerArguments { cron: true, .. } => Some(Runner::Cron),
            RunnerArguments { systemd: true, .. } => Some(Runner::Timer),
            RunnerArguments { service: true, .. } => Some(Runner::Service),
            RunnerArguments { cron: false, systemd: false, service: false } => None,
        };
        let wish = Wish { runner, every: every.map(|period| period.0) };
        let request = Request { from: own_folder()?, wish, now: self.now.clone() };
        let mut teller = Teller::of(self);
        self.runtime.block_on(install::install(&self.site(), &self.machine, &request, &mut teller))?;
        let Teller { in_force, changed, taken_over, .. } = teller;
        if self.common.json {
            let done = json!({ "changed": changed, "in_force": in_force, "taken_over": taken_over });
            print_data(&done.to_string())?;
            return Ok(in_force);
        }
        if taken_over && !self.common.quiet {
            self.list()?;
        }
        if changed && !self.common.quiet {
            print(&format!("{}\n", self.texts.setup.installed))?;
        }
        Ok(in_force)
    }

    /// Asks whoever starts the menu of a pm that is not installed. A no opens the menu all the same.
    pub(super) fn offer_installation(&self) -> anyhow::Result<()> {
        if install::is_installed(&self.site()) || !ask::confirm(self.texts.setup.offer, self.common.yes)? {
            return Ok(());
        }
        // What is installed but not in force was said, and is shown by the menu.
        let anybody = RunnerArguments { cron: false, systemd: false, service: false };
        self.install(anybody, None).map(drop)
    }

    /// What an installation would do, and one minute: it brings back whatever is missing.
    pub(super) fn repair(&self) -> anyhow::Result<()> {
        self.needs_root()?;
        let from = own_folder()?;
        let request = Request { from, wish: Wish::default(), now: self.now.clone() };
        let mut teller = Teller::of(self);
        self.runtime.block_on(install::install(&self.site(), &self.machine, &request, &mut teller))?;
        if !teller.changed {
            self.runtime.block_on(self.machine.minute(&self.now))?;
        }
        Ok(())
    }

    pub(super) fn uninstall(&self, keep_data: bool) -> anyhow::Result<bool> {
        self.needs_root()?;
        let texts = &self.texts.setup;
        let warning = if keep_data { texts.warning_kept } else { texts.warning };
        let question = format!("{warning}\n{}", texts.ask_uninstall);
        if !ask::insist(&question, self.common.yes)? {
            self.note(self.texts.cancelled);
            return Ok(true);
        }
        let farewell = self.farewell(&self.now, keep_data);
        for fault in &farewell.faults {
            run::say(&fill(texts.not_removed, &[&run::whole(fault)]));
        }
        if self.common.json {
            print_data(&data(&farewell))?;
        } else if !self.common.quiet {
            let lines: Vec<String> = farewell.removed.iter().map(|removed| line(removed, texts)).collect();
            let end = if farewell.faults.is_empty() { texts.uninstalled } else { texts.partly_uninstalled };
            print(&format!("{}\n{end}\n", lines.join("\n")))?;
        }
        Ok(farewell.faults.is_empty())
    }

    /// Uninstalls, and says what became of it in lines.
    pub(super) fn uninstall_from_menu(&self, now: &Zoned) -> Vec<String> {
        let texts = &self.texts.setup;
        let Farewell { removed, faults } = self.farewell(now, false);
        let removed = removed.iter().map(|removed| line(removed, texts));
        let end = if faults.is_empty() { texts.uninstalled } else { texts.partly_uninstalled };
        let faults = faults.iter().map(|fault| fill(texts.not_removed, &[&run::whole(fault)]));
        removed.chain(faults).chain([end.to_owned()]).collect()
    }

    fn farewell(&self, now: &Zoned, keep_data: bool) -> Farewell {
        self.runtime.block_on(uninstall(&self.site(), &self.machine, now, keep_data))
    }

    /// What is installed where these commands work.
    pub(super) fn site(&self) -> Site<'static> {
        Site { paths: self.paths(), live: self.common.root.is_none(), system: &Programs }
    }

    fn needs_root(&self) -> Result<(), SetupError> {
        let allowed = self.common.root.is_some() || rustix::process::geteuid().is_root();
        if allowed { Ok(()) } else { Err(SetupError::NotRoot) }
    }
}

fn line(removed: &Removed, texts: &SetupTexts) -> String {
    let line = match removed {
        Removed::Schedule => texts.schedule_removed.to_owned(),
        Removed::Rules => texts.rules_removed.to_owned(),
        Removed::File(path) => fill(texts.file_removed, &[&path.display().to_string()]),
        Removed::Kept(path) => fill(texts.kept, &[&path.display().to_string()]),
    };
    format!(" {line}")
}

fn data(farewell: &Farewell) -> String {
    let mut kept = None;
    let mut removed = Vec::new();
    for part in &farewell.removed {
        match part {
            Removed::Schedule => removed.push("schedule".to_owned()),
            Removed::Rules => removed.push("rules".to_owned()),
            Removed::File(path) => removed.push(path.display().to_string()),
            Removed::Kept(path) => kept = Some(path.display().to_string()),
        }
    }
    let faults: Vec<String> = farewell.faults.iter().map(|fault| run::whole(fault)).collect();
    json!({ "removed": removed, "kept": kept, "faults": faults }).to_string()
}

/// The folder that this program was started from; its pair is there too.
fn own_folder() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context(
        "cannot tell where this program is, so it cannot be installed: start it by its whole path",
    )?;
    path.parent().map(ToOwned::to_owned).context("this program is in no folder")
}

/// Says what is done, in the language of the session.
struct Teller<'a> {
    session: &'a Session<'a>,
    texts: &'static SetupTexts,
    in_force: bool,
    changed: bool,
    taken_over: bool,
}

impl<'a> Teller<'a> {
    const fn of(session: &'a Session<'a>) -> Self {
        let texts = &session.texts.setup;
        Self { session, texts, in_force: true, changed: true, taken_over: false }
    }

    fn say(&self, text: &str, value: &str) {
        let Common { quiet, json, .. } = self.session.common;
        if !(*quiet || *json) {
            // Whoever reads it went away, which is no reason to stop half way.
            let _ = print(&format!(" {}\n", fill(text, &[value])));
        }
    }
}

impl Listener for Teller<'_> {
    fn tell(&mut self, step: Step) {
        let texts = self.texts;
        match step {
            Step::Installing(command) => self.say(texts.installing, &command),
            Step::Program(path) => self.say(texts.program, &path.display().to_string()),
            Step::Folder(path) => self.say(texts.folder, &path.display().to_string()),
            Step::Configuration(path) => self.say(texts.configuration, &path.display().to_string()),
            Step::Scheduled(Schedule::Timer(every)) => self.say(texts.timer, &format!("{every:#}")),
            Step::Scheduled(Schedule::Service(every)) => self.say(texts.service, &format!("{every:#}")),
            Step::Scheduled(Schedule::Cron) => self.say(texts.cron, ""),
            Step::InitScript(path) => self.say(texts.init_script, &path.display().to_string()),
            Step::InForce(outcome) => {
                outcome.notes.iter().for_each(|note| self.session.note(&note.to_string()));
                if outcome.shaping_waits {
                    self.session.note(SHAPING_WAITS);
                }
                for fault in &outcome.faults {
                    run::say(&format!("installed, but not in force: {fault}"));
                    self.in_force = false;
                }
                if outcome.faults.is_empty() {
                    self.say(texts.in_force, "");
                }
            }
            Step::NoCron(start) => {
                run::say(&fill(texts.no_cron, &[start]));
                self.in_force = false;
            }
            Step::Missing(installation) => {
                self.session.note(&fill(texts.missing, &[&installation.packages.join(", ")]));
            }
            Step::TakenOver(TakenOver { version, ports, states, backup, menu_open }) => {
                self.taken_over = true;
                let version = version.unwrap_or_else(|| "?".to_owned());
                let values = [version, ports.to_string(), states.to_string(), backup.display().to_string()];
                self.say(&fill(texts.taken_over, &values.each_ref().map(String::as_str)), "");
                if menu_open {
                    self.session.note(texts.menu_open);
                }
            }
            Step::NothingToDo => {
                self.changed = false;
                self.say(texts.nothing_to_do, "");
            }
        }
    }

    fn agree(&mut self, installation: &Installation) -> bool {
        self.say(self.texts.packages, &installation.packages.join(", "));
        let question = fill(self.texts.ask_packages, &[&installation.shown()]);
        // Where nobody can be asked, nobody agreed.
        ask::confirm(&question, self.session.common.yes).unwrap_or(false)
    }
}
