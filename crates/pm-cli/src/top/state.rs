//! What `pm top` knows and what its keys do: pure, fed with readings and keys.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Zoned;
use pm_core::chronicle::Happening;
use pm_core::config::PortConfig;
use pm_core::port::PortRange;
use pm_core::view::{Overview, PortView};
use pm_monitor::machine::View;
use pm_monitor::watch::Look;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::rates::{Rates, Speedometer};
use crate::forecast::{self, Forecast};
use crate::panel::{is_overdue, monitor};
use crate::text::Texts;
use crate::{explain, page};

/// The lines of the screen that are no ports: the head, the names of the columns, the foot.
const FRAME: usize = 3;
/// As long as a remark, which is the longest thing to look for.
const LONGEST_FILTER: usize = 200;

/// What a second brought.
pub(crate) struct Reading {
    /// The time that passed since some beginning.
    pub(crate) at: Duration,
    /// By the clock on the wall.
    pub(crate) now: Zoned,
    /// What there was to see, or why there was nothing.
    pub(crate) look: Result<Look, String>,
}

/// By what the ports are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Port,
    Rate,
    Used,
    Percent,
}

/// What is on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// All ports.
    Table,
    /// All ports, and what is typed goes into the filter.
    Filter,
    /// One port.
    Page(PortRange),
}

/// What comes after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Step {
    Stay,
    Leave,
    Suspend,
}

/// Everything that is drawn.
pub(crate) struct TopState {
    view: View,
    now: Zoned,
    /// Why there was nothing to see.
    fault: Option<String>,
    meters: BTreeMap<PortRange, Speedometer>,
    place: Place,
    key: Key,
    backwards: bool,
    filter: String,
    /// The ports that pass the filter, sorted.
    order: Vec<PortRange>,
    /// None while nobody chose: then it is whichever comes first.
    chosen: Option<PortRange>,
    /// How many ports are above the screen.
    above: usize,
    /// How many ports fit on it.
    rows: usize,
}

impl TopState {
    /// A screen with what was seen first.
    pub(crate) fn new(first: Reading) -> Self {
        let nothing = View {
            snapshot: pm_core::wire::Snapshot::default(),
            overview: Overview {
                ports: Vec::new(),
                monitor: pm_core::view::MonitorView { last_run_ts: None },
            },
            warnings: Vec::new(),
            shared: Vec::new(),
            unread: None,
        };
        let mut state = Self {
            view: nothing,
            now: first.now.clone(),
            fault: None,
            meters: BTreeMap::new(),
            place: Place::Table,
            key: Key::Port,
            backwards: false,
            filter: String::new(),
            order: Vec::new(),
            chosen: None,
            above: 0,
            rows: 1,
        };
        state.update(first);
        state
    }

    /// A second passed.
    pub(crate) fn update(&mut self, reading: Reading) {
        let Reading { at, now, look } = reading;
        self.now = now;
        match look {
            Ok(Look { view, readings }) => {
                self.fault = None;
                self.meters.retain(|&port, _| view.overview.port(port).is_some());
                for port in view.overview.ports.iter().map(|view| view.port) {
                    let counters = readings.as_ref().and_then(|readings| readings.counters.get(&port));
                    self.meters.entry(port).or_default().advance(counters.copied(), at);
                }
                self.view = view;
            }
            Err(error) => {
                // The last figures stay on the screen, but they are not of now.
                for meter in self.meters.values_mut() {
                    meter.advance(None, at);
                }
                self.fault = Some(error);
            }
        }
        if let Place::Page(port) = self.place
            && self.view.overview.port(port).is_none()
        {
            self.place = Place::Table;
        }
        self.sort();
    }

    /// Somebody pressed a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Step {
        if key.kind == KeyEventKind::Release {
            return Step::Stay;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (self.place, key.code) {
            (_, KeyCode::Char('c' | 'C')) if control => return Step::Leave,
            (_, KeyCode::Char('z' | 'Z')) if control => return Step::Suspend,
            (_, KeyCode::Char(_)) if control || key.modifiers.contains(KeyModifiers::ALT) => {}
            (Place::Filter, code) => self.type_into_filter(code),
            (_, KeyCode::Char('q' | 'Q')) => return Step::Leave,
            (Place::Page(_), KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Left) => {
                self.place = Place::Table;
            }
            (Place::Page(_), code) => {
                // From one page to the next, in the order of the table.
                self.choose(code);
                self.open();
            }
            (Place::Table, KeyCode::Esc) if self.filter.is_empty() => return Step::Leave,
            (Place::Table, KeyCode::Esc) => {
                self.filter.clear();
                self.sort();
            }
            (Place::Table, KeyCode::Enter | KeyCode::Right) => self.open(),
            // A Chinese keyboard types the wide one.
            (Place::Table, KeyCode::Char('/' | '／')) => self.place = Place::Filter,
            (Place::Table, KeyCode::Char('p')) => self.sort_by(Key::Port),
            (Place::Table, KeyCode::Char('r')) => self.sort_by(Key::Rate),
            (Place::Table, KeyCode::Char('u')) => self.sort_by(Key::Used),
            (Place::Table, KeyCode::Char('%' | '％')) => self.sort_by(Key::Percent),
            (Place::Table, code) => self.choose(code),
        }
        Step::Stay
    }

    /// The screen has so many lines.
    pub(crate) fn fit(&mut self, lines: usize) {
        self.rows = lines.saturating_sub(FRAME + usize::from(self.has_notice())).max(1);
        let chosen = self.index();
        self.above = self.above.min(chosen).max((chosen + 1).saturating_sub(self.rows));
        self.above = self.above.min(self.order.len().saturating_sub(self.rows));
    }

    /// The ports on the screen, with whether each is the chosen one.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (&PortView, Rates, &Speedometer, bool)> {
        let chosen = self.index();
        let ports = self.order.iter().enumerate().skip(self.above).take(self.rows);
        ports.filter_map(move |(place, port)| {
            let (view, meter) = (self.view.overview.port(*port)?, self.meters.get(port)?);
            Some((view, meter.rates(), meter, place == chosen))
        })
    }

    /// What the page of a port shows.
    pub(crate) fn page(
        &self,
        port: PortRange,
    ) -> Option<(&PortView, &PortConfig, &Speedometer, Option<Forecast>)> {
        let view = self.view.overview.port(port)?;
        let began = forecast::cycle_began(&self.view.snapshot, port);
        let config = self.view.snapshot.config.ports.get(&port)?;
        Some((view, config, self.meters.get(&port)?, forecast::of(view, began, &self.now)))
    }

    /// What happened last to a port.
    pub(crate) fn events(&self, port: PortRange) -> &[Happening] {
        page::newest(&self.view, port)
    }

    /// All ports together, whatever the filter says.
    pub(crate) fn total(&self) -> Rates {
        let all = |direction: fn(Rates) -> Option<pm_core::units::Rate>| {
            let mut known = self.meters.values().filter_map(|meter| direction(meter.rates())).peekable();
            known.peek().is_some().then(|| Rates::sum(known))
        };
        Rates { inbound: all(|rates| rates.inbound), outbound: all(|rates| rates.outbound) }
    }

    /// How many ports pass the filter, and how many there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.order.len(), self.view.overview.ports.len())
    }

    /// Whether something is wrong, which takes a line.
    pub(crate) fn has_notice(&self) -> bool {
        self.fault.is_some()
            || self.view.unread.is_some()
            || is_overdue(self.view.overview.monitor.last_run_ts, self.now.timestamp())
    }

    /// Why the figures are not of now; or that nobody resets and punishes.
    pub(crate) fn notice(&self, texts: &Texts) -> String {
        let last_run = self.view.overview.monitor.last_run_ts;
        self.fault.clone().or_else(|| explain::stale(&self.view, texts)).unwrap_or_else(|| {
            let red = monitor(last_run, self.now.timestamp(), texts);
            anstream::adapter::strip_str(&red).to_string()
        })
    }

    pub(crate) const fn now(&self) -> &Zoned {
        &self.now
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// By what the ports are sorted, and whether the highest comes first.
    pub(crate) fn sorted_by(&self) -> (Key, bool) {
        (self.key, (self.key == Key::Port) == self.backwards)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has many keys that mean nothing here")]
    fn type_into_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(character) if !character.is_control() => {
                if self.filter.chars().count() < LONGEST_FILTER {
                    self.filter.push(character);
                }
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Enter => self.place = Place::Table,
            KeyCode::Esc => {
                self.filter.clear();
                self.place = Place::Table;
            }
            other => self.choose(other),
        }
        self.sort();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has many keys that mean nothing here")]
    fn choose(&mut self, code: KeyCode) {
        let last = self.order.len().saturating_sub(1);
        let (here, page) = (self.index(), self.rows.max(1));
        let there = match code {
            KeyCode::Up | KeyCode::Char('k') => here.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => here + 1,
            KeyCode::PageUp => here.saturating_sub(page),
            KeyCode::PageDown => here + page,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => return,
        };
        self.chosen = self.order.get(there.min(last)).copied().filter(|_| there > 0);
    }

    /// Shows the page of the chosen port, and keeps it chosen.
    fn open(&mut self) {
        if let Some(&port) = self.order.get(self.index()) {
            self.chosen = Some(port);
            self.place = Place::Page(port);
        }
    }

    /// Where the chosen port stands; the first one while none is.
    fn index(&self) -> usize {
        self.order.iter().position(|port| Some(*port) == self.chosen).unwrap_or(0)
    }

    fn sort_by(&mut self, key: Key) {
        self.backwards = self.key == key && !self.backwards;
        self.key = key;
        // Whoever sorts wants to see who comes first.
        self.chosen = None;
        self.sort();
    }

    /// Filters and sorts. The chosen port stays chosen wherever it moves; when it is gone, the one in its place is.
    fn sort(&mut self) {
        let place = self.index();
        let mut views: Vec<&PortView> =
            self.view.overview.ports.iter().filter(|view| passes(view, &self.filter)).collect();
        let rate = |view: &PortView| self.meters.get(&view.port).map(|meter| meter.rates().total());
        views.sort_by(|one, other| {
            let order = match self.key {
                Key::Port => one.port.cmp(&other.port),
                Key::Rate => Reverse(rate(one)).cmp(&Reverse(rate(other))),
                Key::Used => Reverse(one.used_bytes).cmp(&Reverse(other.used_bytes)),
                Key::Percent => Reverse(one.percent).cmp(&Reverse(other.percent)),
            };
            let order = if self.backwards { order.reverse() } else { order };
            order.then_with(|| one.port.cmp(&other.port))
        });
        self.order = views.iter().map(|view| view.port).collect();
        if self.chosen.is_some_and(|chosen| !self.order.contains(&chosen)) {
            self.chosen = self.order.get(place.min(self.order.len().saturating_sub(1))).copied();
        }
    }
}

/// Whether the port, the remark or the group contains what is looked for.
fn passes(view: &PortView, filter: &str) -> bool {
    let filter = filter.trim().to_lowercase();
    let port = view.port.to_string();
    filter.is_empty()
        || [port.as_str(), &view.comment, view.group.as_deref().unwrap_or_default()]
            .iter()
            .any(|text| text.to_lowercase().contains(&filter))
}
