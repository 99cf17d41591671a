//! An update, for whoever asks for it: `pm update` and item 5 of the menu.

use anyhow::Context as _;
use pm_core::config::UpdateSource;
use pm_monitor::Machine;
use pm_monitor::ownership::{self, Shared};
use pm_release::source::{BUILT_IN, Patience};
use pm_release::{Installation, Release, ReleaseError, Source, target};
use pm_setup::schedule::Schedule;
use pm_setup::{SetupError, Site};
use semver::Version;

use crate::text::{UpdateTexts, fill};

/// Where releases come from, and what they would replace.
pub(crate) struct Update {
    source: Source,
    installation: Installation,
}

/// A step of a download, in percent.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(&str, u64);

impl Update {
    /// The address and the key are those of config.json, or else those that the program was built with.
    pub(crate) fn of(machine: &Machine, configured: &UpdateSource) -> Result<Self, ReleaseError> {
        let (url, key) = BUILT_IN;
        if configured != &UpdateSource::default()
            && let Some(Shared { path, .. }) = ownership::shared(machine.paths()).into_iter().next()
        {
            return Err(ReleaseError::Shared { path });
        }
        let url = configured.url.as_deref().or(url).ok_or(ReleaseError::NoSource)?;
        let key = configured.public_key.as_deref().or(key).ok_or(ReleaseError::NoSource)?;
        Ok(Self {
            source: Source::new(url, key, Patience::USUAL)?,
            installation: Installation::at(machine.paths().programs())?,
        })
    }

    /// Who is asked.
    pub(crate) fn host(&self) -> &str {
        self.source.host()
    }

    /// The release that is newer than this program, if there is one.
    pub(crate) async fn newer(&self) -> Result<Option<Release>, ReleaseError> {
        let release = self.source.latest().await?;
        Ok(release.is_newer_than(&present())?.then_some(release))
    }

    /// Puts it in place of the installed programs.
    pub(crate) async fn install(
        &self,
        release: &Release,
        progress: Progress<'_>,
    ) -> Result<(), ReleaseError> {
        let programs = release.programs(&target())?;
        self.installation.make_sure_of_room(programs.iter().map(|(_, program)| program.size).sum())?;
        let mut new = Vec::new();
        for (name, program) in programs {
            let mut percent = |done: u64, of: u64| progress(name, done * 100 / of.max(1));
            new.push((name, self.source.download(release, name, program, &mut percent).await?));
        }
        let staged = self.installation.stage(new, &release.version).await?;
        self.installation.replace(staged)
    }
}

/// The version of this program.
pub(crate) fn present() -> Version {
    // Cargo has read it before us.
    env!("CARGO_PKG_VERSION").parse().unwrap_or(Version::new(0, 0, 0))
}

/// Puts the programs before the last update back, and says which version they are.
pub(crate) async fn roll_back(machine: &Machine) -> anyhow::Result<String> {
    let installation = Installation::at(machine.paths().programs())?;
    installation.roll_back().await.context("cannot go back to the program before")
}

/// Starts the service anew, where the monitor stays running: it is still the program before.
pub(crate) fn restart(site: &Site<'_>) -> Result<(), SetupError> {
    match Schedule::present(site)? {
        Some(service @ Schedule::Service(_)) => service.apply(site, true).map(drop),
        Some(Schedule::Timer(_) | Schedule::Cron) | None => Ok(()),
    }
}

/// What is offered, for a person to decide.
pub(crate) fn offer(release: &Release, texts: &UpdateTexts) -> String {
    let notes = release.notes_in(texts.language).into_iter().map(|line| format!("  {line}\n"));
    fill(texts.newer, &[&release.version.to_string()]) + "\n" + &notes.collect::<String>()
}
