//! `pm export` and `pm import`: everything, for another machine.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use pm_core::port::PortRange;
use pm_core::units::{Bytes, escaped};
use pm_core::view::PortView;
use pm_monitor::outcome::SHAPING_WAITS;
use pm_monitor::run;
use pm_monitor::transfer::{Change, Import, Imported, Plan};

use super::{Session, print, usage};
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
            None => print(&String::from_utf8_lossy(&export.text))?,
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
        match from {
            Origin::Pm => {}
            Origin::PortTrafficDog | Origin::TrafficCop => usage(
                "only exports of pm can be imported so far: add the ports with pm add, or leave --from away for an export of pm",
            ),
        }
        let name = if is_stream(file) { "standard input".to_owned() } else { file.display().to_string() };
        let refused = || format!("cannot import {name}");
        let text = read(file).with_context(refused)?;
        let import = Import::read(&text).with_context(refused)?;
        let plan = self.runtime.block_on(self.machine.plan(import, &self.now))?;
        for note in &plan.notes {
            self.note(&note.to_string());
        }
        if !(self.common.quiet || self.common.json) {
            print(&comparison(&plan, self.texts))?;
        }
        let texts = &self.texts.transfer;
        if !ask::confirm(texts.ask, self.common.yes)? {
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
        let ports: Vec<PortRange> =
            plan.changes.iter().filter(|change| change.after.is_some()).map(|change| change.port).collect();
        self.report(!outcome.shaping_waits, &ports, texts.imported)
    }
}

fn is_stream(file: &Path) -> bool {
    file == Path::new("-")
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if is_stream(file) {
        io::stdin().lock().take(LARGEST).read_to_end(&mut text)?;
    } else {
        File::open(file)?.take(LARGEST).read_to_end(&mut text)?;
    }
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
    if plan.notifications {
        let _ = writeln!(lines, " {}", words.notifications);
    }
    match plan.unchanged {
        0 => {}
        unchanged => {
            let _ = writeln!(lines, " {}", fill(words.unchanged, &[&unchanged.to_string()]));
        }
    }
    if plan.changes.is_empty() && !plan.notifications {
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
        let text: String = text.chars().flat_map(escaped).collect();
        let _ = write!(summary, " {text}");
    }
    summary.trim_end().to_owned()
}
