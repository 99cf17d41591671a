//! The menu that people live in: the panel, its items, and one file per item.
//!
//! Every change is one `Machine::edit`, made when its last question was answered. Nothing is held while a person thinks.

mod add;
mod configure;
mod delete;
pub(crate) mod input;
pub(crate) mod keyboard;
mod penalty;
mod prompt;
pub(crate) mod screen;
mod selection;
mod several;
mod telegram;
#[cfg(test)]
mod tests;
mod uninstall;
mod update;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::anyhow;
use jiff::Zoned;
use pm_core::edit::Edit;
use pm_core::port::PortRange;
use pm_monitor::Machine;
use pm_monitor::machine::{MachineError, View};
use pm_monitor::outcome::Outcome;
use pm_monitor::scan::Service;
use tokio::runtime::Runtime;

use crate::menu::input::Input;
use crate::menu::prompt::Leave;
use crate::menu::screen::Screen;
use crate::text::{Texts, fill};
use crate::{explain, panel};

/// How often the panel is drawn anew while it waits.
const REFRESH: Duration = Duration::from_secs(2);

/// What the menu stands on.
pub(crate) struct Surroundings<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) runtime: &'a Runtime,
    pub(crate) clock: &'a dyn Fn() -> Zoned,
    pub(crate) services: &'a dyn Fn() -> Vec<Service>,
    /// Takes pm off the machine, and says in lines what became of it.
    pub(crate) uninstall: &'a dyn Fn() -> Vec<String>,
    pub(crate) texts: &'static Texts,
}

/// The menu, its input and its output.
pub(crate) struct Menu<'a, I, W> {
    around: Surroundings<'a>,
    input: I,
    screen: Screen<W>,
    /// The ports of the panel as it was last shown: an ID means the port that stood there.
    listed: Vec<PortRange>,
}

/// How the menu ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody left.
    Left,
    /// Another program stands in place of this one.
    Updated,
}

/// What became of a change.
enum Change {
    /// It is saved.
    Done,
    /// It is not possible, and why.
    Refused(String),
}

impl<'a, I: Input, W: Write> Menu<'a, I, W> {
    pub(crate) const fn new(around: Surroundings<'a>, input: I, screen: Screen<W>) -> Self {
        Self { around, input, screen, listed: Vec::new() }
    }

    /// Until somebody leaves, or the program is no longer the installed one.
    pub(crate) fn run(&mut self) -> anyhow::Result<End> {
        loop {
            match self.turn() {
                Ok(()) | Err(Leave::Back) => {}
                Err(Leave::Quit) => return Ok(End::Left),
                Err(Leave::Updated) => return Ok(End::Updated),
                Err(Leave::Failed(error)) if reader_left(&error) => return Ok(End::Left),
                Err(Leave::Failed(error)) => {
                    return Err(match error.downcast_ref() {
                        Some(error) => anyhow!(explain::machine(error, self.texts())),
                        None => error,
                    });
                }
            }
        }
    }

    fn turn(&mut self) -> Result<(), Leave> {
        let prompt = self.texts().menu.choose;
        let choice = self.watch(REFRESH, prompt, Self::main_page)?;
        match choice.as_str() {
            "1" => self.add(),
            "2" => self.configure(),
            "3" => self.delete(),
            "4" => self.telegram(),
            "5" => self.update(),
            "6" => self.uninstall(),
            "0" => Err(Leave::Quit),
            _ => Ok(()),
        }
    }

    /// The panel and the items.
    fn main_page(&mut self) -> Result<String, Leave> {
        let now = (self.around.clock)();
        let view = self.view(&now)?;
        let texts = self.texts();
        let width = self.screen.columns();
        self.listed = view.overview.ports.iter().map(|port| port.port).collect();
        let mut page = panel::draw(&view.overview, now.timestamp(), width, texts);
        let warnings = view.warnings.iter().map(|warning| explain::warning(warning, texts));
        let shared = view.shared.iter().map(|shared| explain::shared(shared, texts));
        for note in warnings.chain(shared).chain(explain::stale(&view, texts)) {
            let _ = writeln!(page, " {note}");
        }
        let telegram = view.snapshot.config.telegram.enable;
        let state = if telegram { texts.menu.telegram_on } else { texts.menu.telegram_off };
        for (number, item) in texts.menu.items.iter().enumerate() {
            let state = if number == 3 { format!(" {state}") } else { String::new() };
            let _ = writeln!(page, " {}. {item}{state}", number + 1);
        }
        let _ = writeln!(page, " 0. {}", texts.menu.exit);
        Ok(page)
    }

    /// Shows a page until something is chosen on it. On a terminal it is drawn anew this often.
    fn watch(
        &mut self,
        every: Duration,
        prompt: &str,
        mut draw: impl FnMut(&mut Self) -> Result<String, Leave>,
    ) -> Result<String, Leave> {
        let page = draw(self)?;
        self.screen.page(&page, prompt)?;
        let patience = self.screen.redraws().then_some(every);
        loop {
            let typed = self.input.read(patience)?;
            if let Some(choice) = self.choice(typed)? {
                return Ok(choice);
            }
            // A file that cannot be read just now may be readable when it matters.
            if let Ok(page) = draw(self) {
                self.screen.refresh(&page, prompt)?;
            }
        }
    }

    const fn texts(&self) -> &'static Texts {
        self.around.texts
    }

    fn view(&self, now: &Zoned) -> Result<View, MachineError> {
        self.around.runtime.block_on(self.around.machine.view(now))
    }

    fn view_now(&self) -> Result<View, MachineError> {
        self.view(&(self.around.clock)())
    }

    fn say(&mut self, sentence: &str) -> Result<(), Leave> {
        Ok(self.screen.say(sentence)?)
    }

    /// One change. What there is to know about it is said, but for whether it was made.
    fn edit(&mut self, edit: &Edit) -> Result<Change, Leave> {
        let texts = self.texts();
        let now = (self.around.clock)();
        let Outcome { notes, shaping_waits, faults, .. } =
            match self.around.runtime.block_on(self.around.machine.edit(edit, &now)) {
                Ok(outcome) => outcome,
                Err(MachineError::Edit(error)) => {
                    return Ok(Change::Refused(explain::refusal(&error, &texts.menu)));
                }
                Err(error) => {
                    self.say(&fill(texts.menu.failed, &[&explain::machine(&error, texts)]))?;
                    return Err(Leave::Back);
                }
            };
        for note in &notes {
            self.say(&explain::note(note, texts))?;
        }
        if shaping_waits && needs_shaping(edit) {
            self.say(texts.menu.shaping_waits)?;
        }
        for fault in &faults {
            self.say(&fill(texts.menu.not_in_force, &[&explain::backend(fault, texts)]))?;
        }
        Ok(Change::Done)
    }

    /// One change, and a word about what became of it.
    fn edit_and_say(&mut self, edit: &Edit, done: &str) -> Result<(), Leave> {
        match self.edit(edit)? {
            Change::Done => self.say(done),
            Change::Refused(why) => self.say(&why),
        }
    }

    /// Asks for a value until it can be read and kept.
    fn change<T>(
        &mut self,
        ask: impl Fn(&mut Self) -> Result<Option<T>, Leave>,
        edit: impl Fn(T) -> Edit,
    ) -> Result<(), Leave> {
        // Nothing given keeps what there is.
        while let Some(value) = ask(self)? {
            match self.edit(&edit(value))? {
                Change::Done => return self.say(self.texts().saved),
                Change::Refused(why) => self.explain(&why)?,
            }
        }
        Ok(())
    }
}

/// Whether the change is about speeds, which need an interface.
fn needs_shaping(edit: &Edit) -> bool {
    match edit {
        Edit::Add(_, settings) | Edit::Set(_, settings) => {
            settings.limit.is_some_and(|limit| limit.is_some())
        }
        Edit::DynQos(_, policy) => policy.is_some(),
        Edit::Interface(_) => true,
        Edit::Remove(_) | Edit::Reset(_) | Edit::Telegram(_) => false,
    }
}

/// Whoever read the output went away, which is no failure.
fn reader_left(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
