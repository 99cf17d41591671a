//! `pm update`: a newer release in place of this one, and back.

use std::io::{self, IsTerminal as _, Write as _};

use pm_monitor::run;
use serde_json::json;

use super::{Session, print, print_data};
use crate::ask;
use crate::text::fill;
use crate::update::{self, Update};

impl Session<'_> {
    pub(super) fn update(&self, rollback: bool) -> anyhow::Result<bool> {
        if rollback { self.roll_back() } else { self.install_newer() }
    }

    fn install_newer(&self) -> anyhow::Result<bool> {
        let texts = &self.texts.update;
        let update = Update::of(&self.machine, &self.view()?.snapshot.config.update)?;
        self.note(&fill(texts.present, &[&update::present().to_string()]));
        self.note(&fill(texts.asking, &[update.host()]));
        let Some(release) = self.runtime.block_on(update.newer())? else {
            return self.told(false, &update::present().to_string(), texts.newest);
        };
        if !(self.common.quiet || self.common.json) {
            print(&update::offer(&release, texts))?;
        }
        if !ask::confirm(texts.ask, self.common.yes)? {
            self.note(self.texts.cancelled);
            return Ok(true);
        }
        // Lines that overwrite each other are for eyes alone.
        let draws = io::stderr().is_terminal() && !self.common.quiet;
        let mut progress = |name: &str, percent: u64| {
            if draws {
                let line = fill(texts.downloading, &[name, &percent.to_string()]);
                let _ = write!(io::stderr(), "\r{line}{}", if percent == 100 { "\n" } else { "" });
            }
        };
        self.runtime.block_on(update.install(&release, &mut progress))?;
        self.restart_service();
        let version = release.version.to_string();
        self.told(true, &version, &fill(texts.done, &[&version]))
    }

    fn roll_back(&self) -> anyhow::Result<bool> {
        let texts = &self.texts.update;
        if !ask::confirm(texts.ask_back, self.common.yes)? {
            self.note(self.texts.cancelled);
            return Ok(true);
        }
        let version = self.runtime.block_on(update::roll_back(&self.machine))?;
        self.restart_service();
        self.told(true, &version, &fill(texts.back, &[&version]))
    }

    /// After other programs were put in place. They are installed, whatever comes of it.
    pub(super) fn restart_service(&self) {
        if let Err(error) = update::restart(&self.site()) {
            run::say(&fill(self.texts.update.not_restarted, &[&run::whole(&error)]));
        }
    }

    fn told(&self, updated: bool, version: &str, sentence: &str) -> anyhow::Result<bool> {
        if self.common.json {
            print_data(&json!({ "version": version, "updated": updated }).to_string())?;
        } else if !self.common.quiet {
            print(&format!("{sentence}\n"))?;
        }
        Ok(true)
    }
}
