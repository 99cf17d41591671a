//! Item 5: a newer release.

use std::io::Write;

use pm_release::{Release, ReleaseError};

use crate::explain;
use crate::menu::Menu;
use crate::menu::input::Input;
use crate::menu::prompt::Leave;
use crate::text::fill;
use crate::update::{self, Update};

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn update(&mut self) -> Result<(), Leave> {
        let texts = &self.texts().update;
        self.screen.line(&fill(texts.present, &[&update::present().to_string()]))?;
        let configured = self.view_now()?.snapshot.config.update;
        let update = match Update::of(self.around.machine, &configured) {
            Ok(update) => update,
            Err(error) => return self.not_updated(&error),
        };
        self.screen.line(&fill(texts.asking, &[update.host()]))?;
        match self.around.runtime.block_on(update.newer()) {
            Ok(None) => self.say(texts.newest),
            Ok(Some(release)) => self.install(&update, &release),
            Err(error) => self.not_updated(&error),
        }
    }

    fn install(&mut self, update: &Update, release: &Release) -> Result<(), Leave> {
        let texts = &self.texts().update;
        self.screen.write(&update::offer(release, texts))?;
        if !self.confirm(texts.ask)? {
            return Ok(());
        }
        let screen = &mut self.screen;
        let mut progress = |name: &str, percent: u64| {
            if screen.redraws() {
                let line = fill(texts.downloading, &[name, &percent.to_string()]);
                // A picture of the progress that cannot be drawn is none of the download's business.
                let _ = screen.write(&format!("\r{line}{}", if percent == 100 { "\n" } else { "" }));
            }
        };
        match self.around.runtime.block_on(update.install(release, &mut progress)) {
            Ok(()) => {
                self.screen.line(&fill(texts.done, &[&release.version.to_string()]))?;
                self.screen.line(texts.reloading)?;
                Err(Leave::Updated)
            }
            Err(error) => self.not_updated(&error),
        }
    }

    fn not_updated(&mut self, error: &ReleaseError) -> Result<(), Leave> {
        let texts = self.texts();
        self.say(&fill(texts.update.failed, &[&explain::release(error, texts)]))
    }
}
