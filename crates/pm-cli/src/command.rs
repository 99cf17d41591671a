//! The commands: what was typed becomes an edit or a view of the machine.

mod doctor;
mod gap;
mod setup;
mod telegram;
mod transfer;
mod update;

use std::io::IsTerminal;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context, anyhow};
use jiff::Zoned;
use pm_core::chronicle::Chronicle;
use pm_core::config::EntryError;
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::{Edit, InterfaceChoice};
use pm_core::port::PortRange;
use pm_core::units::Rate;
use pm_core::view::PortDetails;
use pm_monitor::outcome::{Outcome, SHAPING_WAITS};
use pm_monitor::run::Telling;
use pm_monitor::{Machine, Paths, clock, host, run, scan};
use tokio::runtime::Runtime;

use crate::arguments::{Arguments, Command, Common, SettingArguments, Switch};
use crate::menu::keyboard::Keyboard;
use crate::menu::screen::{Abilities, Screen, Size};
use crate::menu::{End, Menu, Surroundings};
use crate::output::{print, print_data};
use crate::page::LiveRate;
use crate::text::Texts;
use crate::{ask, completions, forecast, page, panel, top};

/// Carries out what was typed. False when it was saved but is not in force.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let common = &arguments.common;
    let moved = std::env::var(clock::VARIABLE).ok();
    let session = Session {
        now: clock::now(moved.as_deref(), common.root.is_some())?,
        machine: Machine::real(paths(common)),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        texts: common.lang.texts(),
        common,
    };
    if arguments.monitor {
        let machine = session.machine.on_interface(common.interface.clone());
        let done = session.runtime.block_on(run::minute(&machine, &session.now, common.quiet, Telling::Now));
        // A name that is still being resolved keeps nobody waiting.
        session.runtime.shutdown_background();
        return Ok(done?);
    }
    match &arguments.command {
        None if !common.json => session.menu(moved.as_deref()),
        None | Some(Command::List) => session.list(),
        Some(Command::Show { port }) => session.show(*port),
        Some(Command::Add { port, settings }) => session.add(*port, settings),
        Some(Command::Set { port, settings, no_group, take_over }) => {
            session.set(*port, settings, *no_group, *take_over)
        }
        Some(Command::Rm { ports }) => session.remove(ports),
        Some(Command::Reset { ports }) => session.reset(ports),
        Some(Command::Dynqos { port, switch, trigger, minutes, penalty, duration }) => {
            let figures =
                (trigger.and_then(|speed| speed.0), *minutes, penalty.and_then(|speed| speed.0), *duration);
            session.dynqos(*port, *switch, figures)
        }
        Some(Command::Telegram { command }) => session.telegram(command),
        Some(Command::Report { send }) => session.print_report(*send),
        Some(Command::Top) => session.top(moved.as_deref()),
        Some(Command::Export { file }) => session.export(file.as_deref()),
        Some(Command::Import { file, from }) => session.import(file, *from),
        Some(Command::Install { runner, every }) => session.install(*runner, *every),
        Some(Command::Update { rollback }) => session.update(*rollback),
        Some(Command::Doctor { fix }) => session.doctor(*fix),
        Some(Command::Uninstall { keep_data }) => session.uninstall(*keep_data),
        Some(Command::Completions { shell }) => print(&completions::script(*shell)).map(|()| true),
        Some(Command::Manual { folder }) => {
            completions::write_manual(folder)
                .with_context(|| format!("cannot write the manual into {}", folder.display()))?;
            Ok(true)
        }
    }
}

fn paths(common: &Common) -> Paths {
    common.root.as_ref().map_or_else(Paths::default, Paths::under)
}

/// Trigger, minutes, penalty, duration.
type PenaltyFigures = (Option<Rate>, Option<u32>, Option<Rate>, Option<u32>);

struct Session<'a> {
    now: Zoned,
    machine: Machine,
    runtime: Runtime,
    texts: &'static Texts,
    common: &'a Common,
}

impl Session<'_> {
    /// The menu, on a terminal or on a pipe. `moved` is the clock of a trial, which stands still.
    fn menu(&self, moved: Option<&str>) -> anyhow::Result<bool> {
        if self.common.root.is_none() && !rustix::process::geteuid().is_root() {
            return Err(anyhow!(self.texts.menu.not_root));
        }
        let (input, output) = (std::io::stdin(), std::io::stdout());
        let is_person = input.is_terminal() && output.is_terminal();
        if is_person && self.common.root.is_none() {
            self.offer_installation()?;
        }
        let clock = || clock::now(moved, true).unwrap_or_else(|_| self.now.clone());
        let services = || self.runtime.block_on(scan::services());
        let around = Surroundings {
            machine: &self.machine,
            runtime: &self.runtime,
            clock: &clock,
            services: &services,
            uninstall: &|| self.uninstall_from_menu(&clock()),
            texts: self.texts,
        };
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let abilities = Abilities {
            redraws: is_person && !dumb,
            echoes: is_person,
            colours: anstream::AutoStream::choice(&output) != anstream::ColorChoice::Never,
            size: terminal_size,
        };
        let screen = Screen::new(output, abilities);
        let end = Menu::new(around, Keyboard::new()?, screen).run()?;
        match end {
            End::Left => Ok(true),
            End::Updated => {
                self.restart_service();
                let mut pm = std::process::Command::new(self.machine.paths().programs().join("pm"));
                // Returns only when it fails.
                Err(pm.args(std::env::args_os().skip(1)).exec())
                    .context("the new program cannot be started: start pm again")
            }
        }
    }

    /// The live view. `moved` is the clock of a trial, which stands still.
    fn top(&self, moved: Option<&str>) -> anyhow::Result<bool> {
        if self.common.json {
            usage("pm top is for eyes: pm list --json prints the same figures as data");
        }
        let clock = || clock::now(moved, true).unwrap_or_else(|_| self.now.clone());
        self.runtime.block_on(top::watch(&self.machine, &clock, self.texts))?;
        Ok(true)
    }

    fn list(&self) -> anyhow::Result<bool> {
        let view = self.view()?;
        if self.common.json {
            print_data(&serde_json::to_string(&view.overview)?)?;
        } else {
            print(&panel::draw(&view.overview, self.now.timestamp(), terminal_width(), self.texts))?;
        }
        Ok(true)
    }

    fn show(&self, port: PortRange) -> anyhow::Result<bool> {
        let view = self.view()?;
        let config = view.snapshot.config.entry(port)?;
        let Some(entry) = view.overview.port(port) else { return Err(EntryError::Unknown(port).into()) };
        let nothing = Chronicle::default();
        let events = view.snapshot.state.chronicles.get(&port).unwrap_or(&nothing);
        if !self.common.json {
            let forecast = forecast::of(entry, forecast::cycle_began(&view.snapshot, port), &self.now);
            let (events, rate) = (events.happenings(), LiveRate::Unmeasured);
            print(&page::draw(entry, config, events, forecast, rate, &self.now, self.texts))?;
            return Ok(true);
        }
        let details = PortDetails { view: entry, dynqos: config.dynqos.into(), events };
        print_data(&serde_json::to_string(&details)?)?;
        Ok(true)
    }

    fn add(&self, port: PortRange, settings: &SettingArguments) -> anyhow::Result<bool> {
        self.choose_interface(false)?;
        let done = self.edit(
            &Edit::Add(port, settings.settings(false)),
            settings.limit.is_some_and(|l| l.0.is_some()),
        )?;
        if let Some(note) = host::outgoing(port) {
            self.note(&note.to_string());
        }
        self.report(done, &[port], self.texts.added)
    }

    fn set(
        &self,
        port: Option<PortRange>,
        settings: &SettingArguments,
        no_group: bool,
        take_over: bool,
    ) -> anyhow::Result<bool> {
        let settings_given = settings.settings(no_group);
        let nothing_given = settings_given == pm_core::edit::Settings::default();
        let machine_given = self.common.interface.is_some() || take_over;
        match port {
            None if !machine_given || !nothing_given => usage(
                "name the port that is changed, such as pm set 10086 --quota 20; only --interface and --take-over go without one",
            ),
            Some(port) if nothing_given && !machine_given => usage(&format!(
                "say what is changed, such as pm set {port} --quota 20: pm set --help lists the settings"
            )),
            _ => {}
        }
        let chosen = self.choose_interface(take_over)?;
        let Some(port) = port.filter(|_| !nothing_given) else {
            return self.report(chosen, &[], self.texts.saved);
        };
        let limits = settings.limit.is_some_and(|limit| limit.0.is_some());
        let done = self.edit(&Edit::Set(port, settings_given), limits)?;
        self.report(done && chosen, &[port], self.texts.saved)
    }

    fn remove(&self, ports: &[PortRange]) -> anyhow::Result<bool> {
        if !self.agreed(self.texts.ask_remove, ports)? {
            return Ok(true);
        }
        let done = self.edit(&Edit::Remove(ports.to_vec()), false)?;
        self.report(done, &[], self.texts.removed)
    }

    fn reset(&self, ports: &[PortRange]) -> anyhow::Result<bool> {
        if !self.agreed(self.texts.ask_reset, ports)? {
            return Ok(true);
        }
        let done = self.edit(&Edit::Reset(ports.to_vec()), false)?;
        self.report(done, ports, self.texts.was_reset)
    }

    fn dynqos(&self, port: PortRange, switch: Switch, figures: PenaltyFigures) -> anyhow::Result<bool> {
        let (trigger, minutes, penalty, duration) = figures;
        let policy = (switch == Switch::On).then(|| DynQosPolicy {
            trigger: trigger.unwrap_or_default(),
            minutes: minutes.unwrap_or_default(),
            penalty: penalty.unwrap_or_default(),
            duration: duration.unwrap_or_default(),
        });
        let done = self.edit(&Edit::DynQos(port, policy), policy.is_some())?;
        self.report(done, &[port], self.texts.saved)
    }

    /// `--interface` with a change is a change of its own.
    fn choose_interface(&self, take_over: bool) -> anyhow::Result<bool> {
        if self.common.interface.is_none() && !take_over {
            return Ok(true);
        }
        let name = self.common.interface.clone().map(|name| Some(name).filter(|name| name != "auto"));
        let choice = InterfaceChoice { name, take_over: take_over.then_some(true) };
        self.edit(&Edit::Interface(choice), true)
    }

    /// True when everything is in force.
    fn edit(&self, edit: &Edit, needs_shaping: bool) -> anyhow::Result<bool> {
        let Outcome { notes, shaping_waits, faults, .. } =
            self.runtime.block_on(self.machine.edit(edit, &self.now))?;
        for note in &notes {
            self.note(&note.to_string());
        }
        if shaping_waits && needs_shaping {
            run::say(SHAPING_WAITS);
        }
        for fault in &faults {
            run::say(&format!("saved, but not in force: {fault}"));
        }
        Ok(faults.is_empty() && !(shaping_waits && needs_shaping))
    }

    /// After a change: the entries as data, or a word.
    fn report(&self, done: bool, ports: &[PortRange], word: &str) -> anyhow::Result<bool> {
        if self.common.json {
            let view = self.view()?;
            let entries: Vec<_> = ports.iter().filter_map(|&port| view.overview.port(port)).collect();
            print_data(&serde_json::to_string(&serde_json::json!({ "ports": entries }))?)?;
        } else if !self.common.quiet && done {
            print(&format!("{word}\n"))?;
        }
        Ok(done)
    }

    /// Asks about ports that are there; whether one is missing is said before anybody is asked.
    fn agreed(&self, question: &str, ports: &[PortRange]) -> anyhow::Result<bool> {
        let config = self.view()?.snapshot.config;
        if let Some(error) = ports.iter().find_map(|&port| config.entry(port).err()) {
            return Err(error.into());
        }
        let names: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let agreed = ask::confirm(&question.replace("{}", &names.join(", ")), self.common.yes)?;
        if !agreed {
            self.note(self.texts.cancelled);
        }
        Ok(agreed)
    }

    fn view(&self) -> anyhow::Result<pm_monitor::machine::View> {
        let view = self.runtime.block_on(self.machine.view(&self.now))?;
        for warning in &view.warnings {
            self.note(&warning.to_string());
        }
        for shared in &view.shared {
            self.note(&shared.to_string());
        }
        if let Some(note) = view.stale_note() {
            self.note(&note);
        }
        Ok(view)
    }

    fn paths(&self) -> Paths {
        paths(self.common)
    }

    fn note(&self, sentence: &str) {
        if !self.common.quiet {
            run::say(sentence);
        }
    }
}

/// The width of the terminal, or of the script's panel where there is none.
fn terminal_width() -> usize {
    terminal_size().columns
}

fn terminal_size() -> Size {
    /// Of the terminals that people sat at before they could be resized.
    const ROWS: usize = 24;
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let or = |cells: Option<u16>, usual| cells.map(usize::from).filter(|&cells| cells > 0).unwrap_or(usual);
    Size {
        columns: or(size.map(|size| size.ws_col), panel::USUAL),
        rows: or(size.map(|size| size.ws_row), ROWS),
    }
}

/// What was typed makes no sense: one sentence, exit status 2.
fn usage(sentence: &str) -> ! {
    run::say(sentence);
    std::process::exit(2)
}
