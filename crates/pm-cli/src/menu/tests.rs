//! Conversations with the menu on a machine in memory.

mod conversations;
mod leaving;
mod pages;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use pm_core::desired::Host;
use pm_core::edit::{Edit, Settings};
use pm_core::fake::{Direction, FakeKernel};
use pm_core::port::PortRange;
use pm_core::units::Bytes;
use pm_core::wire::Snapshot;
use pm_monitor::scan::{Protocol, Service};
use pm_monitor::{Machine, Paths};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::input::{Input, Typed};
use super::screen::{Abilities, Screen, Size};
use super::{Menu, Surroundings};
use crate::text::Language;

/// What a person does.
#[derive(Clone)]
enum Step {
    /// Types a line.
    Line(Vec<u8>),
    /// Does nothing until the page is drawn anew.
    Wait,
    /// While nothing is typed, packets pass.
    Packets(PortRange, Direction, u64),
    /// While nothing is typed, somebody else changes something.
    Meanwhile(Edit),
}

impl From<&str> for Step {
    fn from(line: &str) -> Self {
        Self::Line(line.as_bytes().to_vec())
    }
}

fn lines(lines: &[&str]) -> Vec<Step> {
    lines.iter().copied().map(Step::from).collect()
}

/// A person who does all steps, and then is gone.
struct Person<'a> {
    steps: VecDeque<Step>,
    bench: &'a Bench,
    /// Nobody may be asked again after the end.
    gone: bool,
}

impl Input for Person<'_> {
    fn hide(&mut self, hidden: bool) {
        *self.bench.secrets.borrow_mut() += usize::from(hidden);
    }

    fn read(&mut self, patience: Option<Duration>) -> io::Result<Typed> {
        assert!(!self.gone, "somebody who is gone was asked again");
        loop {
            match self.steps.pop_front() {
                Some(Step::Line(line)) => return Ok(Typed::Line(line)),
                Some(Step::Packets(port, direction, bytes)) => {
                    self.bench.kernel.packet(port, direction, bytes);
                }
                Some(Step::Meanwhile(edit)) => self.bench.edit(&edit),
                Some(Step::Wait) => {
                    self.bench.passes(patience.unwrap());
                    return Ok(Typed::Nothing);
                }
                None => {
                    self.gone = true;
                    return Ok(Typed::End);
                }
            }
        }
    }
}

const PIPE: Abilities =
    Abilities { redraws: false, echoes: false, colours: false, size: || Size { columns: 89, rows: 24 } };
const NARROW: Abilities =
    Abilities { redraws: false, echoes: false, colours: false, size: || Size { columns: 80, rows: 24 } };
const WIDE: Abilities =
    Abilities { redraws: false, echoes: false, colours: false, size: || Size { columns: 120, rows: 40 } };
const TERMINAL: Abilities =
    Abilities { redraws: true, echoes: true, colours: true, size: || Size { columns: 80, rows: 40 } };

/// A machine with two ports, of which the second shares its quota with whoever joins.
struct Bench {
    folder: TempDir,
    kernel: FakeKernel,
    machine: Machine,
    runtime: Runtime,
    now: RefCell<Zoned>,
    services: Vec<Service>,
    /// How often something was read unseen.
    secrets: RefCell<usize>,
    /// How often everything was taken away.
    uninstalled: RefCell<usize>,
}

impl Bench {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = FakeKernel::default();
        let host = || Host { default_interface: Some("eth0".into()), forwards: false };
        let machine = Machine::new(
            Paths::under(folder.path()),
            Box::new(kernel.clone()),
            Box::new(kernel.clone()),
            Box::new(host),
        );
        let now: Timestamp = "2026-02-10T04:00:00Z".parse().unwrap();
        let now = now.to_zoned(TimeZone::posix("CST-8").unwrap());
        Self {
            folder,
            kernel,
            machine,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            now: RefCell::new(now),
            services: services(),
            secrets: RefCell::default(),
            uninstalled: RefCell::default(),
        }
    }

    fn new() -> Self {
        let bench = Self::empty();
        let quota = Some(Some(Bytes(10 << 30)));
        let snell = Settings { quota, comment: Some("Snell".into()), ..Settings::default() };
        bench.edit(&Edit::Add(port("10086"), snell));
        let group = Some(Some(pm_core::config::GroupId::new("家庭").unwrap()));
        bench.edit(&Edit::Add(port("20000-20100"), Settings { quota, group, ..Settings::default() }));
        bench
    }

    /// The same machine before its first minute: made faster, for hundreds of conversations.
    fn asleep() -> Self {
        static FILE: OnceLock<Vec<u8>> = OnceLock::new();
        let bench = Self::empty();
        let path = Paths::under(bench.folder.path()).config();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, FILE.get_or_init(|| Self::new().file())).unwrap();
        bench
    }

    fn edit(&self, edit: &Edit) {
        let now = self.now.borrow().clone();
        self.runtime.block_on(self.machine.edit(edit, &now)).unwrap();
    }

    /// The monitor runs.
    fn minute(&self) {
        let now = self.now.borrow().clone();
        let _ = self.runtime.block_on(self.machine.minute(&now)).unwrap();
    }

    /// Time passes.
    fn passes(&self, time: Duration) {
        let later = self.now.borrow().checked_add(time).unwrap();
        *self.now.borrow_mut() = later;
    }

    fn snapshot(&self) -> Snapshot {
        let now = self.now.borrow().clone();
        self.runtime.block_on(self.machine.view(&now)).unwrap().snapshot
    }

    /// The file, byte by byte.
    fn file(&self) -> Vec<u8> {
        std::fs::read(Paths::under(self.folder.path()).config()).unwrap_or_default()
    }

    /// Does something with a menu whose person does these steps. Returns what was shown as well.
    fn with_menu<T>(
        &self,
        language: Language,
        abilities: Abilities,
        steps: Vec<Step>,
        act: impl FnOnce(&mut Menu<'_, Person<'_>, &mut Vec<u8>>) -> T,
    ) -> (T, String) {
        let clock = || self.now.borrow().clone();
        let services = || self.services.clone();
        let around = Surroundings {
            machine: &self.machine,
            runtime: &self.runtime,
            clock: &clock,
            services: &services,
            uninstall: &|| {
                *self.uninstalled.borrow_mut() += 1;
                vec![" gone".to_owned(), "the end".to_owned()]
            },
            texts: language.texts(),
        };
        let person = Person { steps: steps.into(), bench: self, gone: false };
        let mut shown = Vec::new();
        let mut menu = Menu::new(around, person, Screen::new(&mut shown, abilities));
        let result = act(&mut menu);
        (result, String::from_utf8(shown).unwrap())
    }

    /// The whole conversation, as a pipe sees it.
    fn talk(&self, steps: Vec<Step>) -> String {
        let (result, shown) = self.with_menu(Language::Zh, PIPE, steps, through);
        result.unwrap();
        shown
    }
}

fn port(text: &str) -> PortRange {
    text.parse().unwrap()
}

fn services() -> Vec<Service> {
    let service =
        |port: &str, process: Option<&str>, leads_to: Option<&str>, protocols: &[Protocol]| Service {
            port: port.parse().unwrap(),
            process: process.map(str::to_owned),
            leads_to: leads_to.map(str::to_owned),
            protocols: protocols.iter().copied().collect(),
        };
    vec![
        service("443", Some("nginx"), None, &[Protocol::Tcp, Protocol::Udp]),
        service("8080", Some("docker-proxy"), Some("172.17.0.2:80"), &[Protocol::Tcp]),
        service("10086", Some("snell-server"), None, &[Protocol::Tcp, Protocol::Udp]),
        service("20050", None, None, &[Protocol::Udp]),
        service(
            "30000-30010",
            Some("docker"),
            Some("[fd00:0:0:0:1234:5678:9abc:def0]:30000"),
            &[Protocol::Udp],
        ),
    ]
}

/// The whole conversation.
fn through(menu: &mut Menu<'_, Person<'_>, &mut Vec<u8>>) -> anyhow::Result<()> {
    menu.run().map(drop)
}
