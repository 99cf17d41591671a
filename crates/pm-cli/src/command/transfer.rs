//! `pm export` and `pm import`: everything, for another machine, and the ports of other programs.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context;
use pm_core::port::PortRange;
use pm_core::units::{Bytes, escaped};
use pm_core::view::PortView;
use pm_kernel::file;
use pm_monitor::outcome::SHAPING_WAITS;
use pm_monitor::run;
use pm_monitor::transfer::rival::Rival;
use pm_monitor::transfer::{Change, DocumentError, Import, Imported, Plan};

use super::{Session, gap, print, print_data};
use crate::arguments::Origin;
use crate::ask;
use crate::panel::{cell, compact, mode};
use crate::text::{Texts, fill};

/// As much as a configuration may take.
const LARGEST: u64 = 256 << 20;

impl Session<'_> {
    pub(super) fn export(&self, file: Option<&Path>) -> anyhow::Result<bool> {
        let export = self.runtime.block_on(self.machine.export(&self.now))?;
        for note in &export.notes {
            self.note(note);
        }
        let texts = &self.texts.transfer;
        match file.filter(|file| !is_stream(file)) {
            None => print_data(&String::from_utf8_lossy(&export.text))?,
            Some(file) => {
                export.save(file, self.common.yes)?;
                self.note(&fill(texts.exported, &[&file.display().to_string()]));
            }
        }
        if export.has_secrets {
            self.note(texts.secrets);
        }
        Ok(true)
    }

    pub(super) fn import(&self, file: &Path, from: Origin) -> anyhow::Result<bool> {
        let rival = match from {
            Origin::Pm => None,
            Origin::PortTrafficDog => Some(Rival::PortTrafficDog),
            Origin::TrafficCop => Some(Rival::TrafficCop),
        };
        let texts = &self.texts.transfer;
        let import = match rival {
            None => Import::read(&read(file)?).with_context(|| refused(file))?,
            Some(rival) => self.read_rival(rival, file)?,
        };
        let plan = self.runtime.block_on(self.machine.plan(import, &self.now))?;
        for note in &plan.notes {
            self.note(&note.to_string());
        }
        if self.common.json {
            for gap in &plan.gaps {
                self.note(&gap::line(gap, texts));
            }
        } else if !self.common.quiet {
            print(&comparison(&plan, self.texts))?;
        }
        if rival.is_some() && plan.changes.is_empty() && !plan.notifications {
            self.note(texts.nothing_to_add);
            return self.report(false, &[], texts.imported).map(|_| true);
        }
        let question = if rival.is_some() { texts.ask_add } else { texts.ask };
        if !ask::confirm(question, self.common.yes)? {
            self.note(self.texts.cancelled);
            return Ok(true);
        }
        let Imported { outcome, backup } = self.runtime.block_on(self.machine.import(&plan, &self.now))?;
        if let Some(backup) = backup {
            self.note(&fill(texts.backup, &[&backup.display().to_string()]));
        }
        if outcome.shaping_waits {
            run::say(SHAPING_WAITS);
        }
        if let Some(rival) = rival {
            self.note(&fill(texts.still_acts, &[rival.name()]));
        }
        let ports: Vec<PortRange> =
            plan.changes.iter().filter(|change| change.after.is_some()).map(|change| change.port).collect();
        self.report(!outcome.shaping_waits, &ports, texts.imported)
    }

    /// Reads a file of another program, and the one beside it that holds the usage.
    fn read_rival(&self, rival: Rival, file: &Path) -> anyhow::Result<Import> {
        let text = read(file)?;
        let beside = rival.usage_file().filter(|_| !is_stream(file)).map(|name| file.with_file_name(name));
        let beside = beside.filter(|usage| usage != file && usage.symlink_metadata().is_ok());
        let usage = beside.as_deref().map(|usage| read_beside(usage, file)).transpose()?;
        let import =
            Import::of_rival(rival, &text, usage.as_deref()).map_err(|error| match (error, &beside) {
                (DocumentError::Usage(error), Some(usage)) => {
                    anyhow::Error::new(DocumentError::Usage(error)).context(refused(usage))
                }
                (error, _) => anyhow::Error::new(error).context(refused(file)),
            })?;
        if let Some(usage) = beside {
            self.note(&fill(self.texts.transfer.usage_from, &[&usage.display().to_string()]));
        }
        Ok(import)
    }
}

fn is_stream(file: &Path) -> bool {
    file == Path::new("-")
}

fn refused(file: &Path) -> String {
    let name = if is_stream(file) { "standard input".to_owned() } else { file.display().to_string() };
    format!("cannot import {name}")
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = if is_stream(path) { whole(io::stdin().lock()) } else { file::open(path).and_then(whole) };
    text.with_context(|| refused(path))
}

/// Reads a file that nobody has named. It is no link, and is believed where it belongs to root, or to whoever has the one
/// that was named.
fn read_beside(path: &Path, named: &Path) -> anyhow::Result<Vec<u8>> {
    let checked = |file: File| {
        let owner = file.metadata()?.uid();
        if file::is_trusted(owner) || std::fs::metadata(named)?.uid() == owner {
            return Ok(file);
        }
        let named = named.display();
        Err(io::Error::other(format!(
            "it belongs to another user ({owner}) than {named}: look at it, and give it to root or move it away"
        )))
    };
    file::open_own(path).and_then(checked).and_then(whole).with_context(|| refused(path))
}

fn whole(input: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    input.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// What would change, a line for each entry.
fn comparison(plan: &Plan, texts: &Texts) -> String {
    let words = &texts.transfer;
    let mut lines = String::new();
    for Change { port, before, after } in &plan.changes {
        let (word, text) = match (before, after) {
            (None, Some(after)) => (words.added, summary(after, texts)),
            (Some(before), None) => (words.removed, summary(before, texts)),
            (Some(before), Some(after)) => {
                let (before, after) = (summary(before, texts), summary(after, texts));
                // What is not in a summary, such as a rate penalty, can differ as well.
                let text = if before == after { after } else { format!("{before} -> {after}") };
                (words.changed, text)
            }
            (None, None) => continue,
        };
        let _ = writeln!(lines, " {}{}{text}", cell(word, 7), cell(&port.to_string(), 13));
    }
    for gap in &plan.gaps {
        let _ = writeln!(lines, " {}{}", cell(words.gap, 7), gap::line(gap, words));
    }
    if plan.notifications {
        let word = if plan.adds() { words.telegram_taken } else { words.notifications };
        let _ = writeln!(lines, " {word}");
    }
    match plan.unchanged {
        0 => {}
        unchanged => {
            let _ = writeln!(lines, " {}", fill(words.unchanged, &[&unchanged.to_string()]));
        }
    }
    if plan.changes.is_empty() && !plan.notifications && !plan.adds() {
        let _ = writeln!(lines, " {}", words.nothing_changes);
    }
    lines
}

fn summary(view: &PortView, texts: &Texts) -> String {
    let quota = view.quota_bytes.map_or_else(|| texts.unlimited_quota.to_owned(), Bytes::exact);
    let mut summary = format!("{} {} / {quota}", mode(view.mode, texts), view.used_bytes);
    if view.reset_day > 0 {
        let _ = write!(summary, " [R{}]", view.reset_day);
    }
    if let Some(limit) = view.limit {
        let _ = write!(summary, " {}", compact(limit));
    }
    for text in [Some(view.comment.as_str()), view.group.as_deref()].into_iter().flatten() {
        let _ = write!(summary, " {}", escaped(text));
    }
    summary.trim_end().to_owned()
}

#[cfg(test)]
mod tests;
