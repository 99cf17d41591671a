//! config.json as it is written: from what the rest of the crate works with straight to text.

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;

use serde::Serialize;
use serde_json::{Map, Value};

use super::delivery;
use super::document::{CONFIG_VERSION, MonitorDocument, TelegramDocument, UpdateDocument, is_default};
use super::entry::{Boots, EntryDocument};
use super::form::{self, Hand, Whose};
use super::pen::{Pen, Plain};
use super::{PortExtras, Snapshot};
use crate::account::AccountId;
use crate::walk::Walk;

/// An entry with a quota, a limit, a rate penalty and a remark, and a little more.
const BYTES_OF_AN_ENTRY: usize = 1200;
/// All that is no entry, with a few messages in the queue.
const BYTES_OF_THE_REST: usize = 8 << 10;

/// Writes a whole file.
pub(super) fn document(snapshot: &Snapshot, paper: Vec<u8>) -> Vec<u8> {
    let Snapshot { config, state, extras } = snapshot;
    let mut pen = Pen::on(paper, BYTES_OF_THE_REST + config.ports.len() * BYTES_OF_AN_ENTRY);
    pen.object(|pen| {
        match &extras.config_version {
            Some(version) => pen.field("config_version").value(version),
            None => pen.field("config_version").plain(CONFIG_VERSION),
        }
        pen.field("interface").plain(config.interface.as_deref().unwrap_or_default());
        if config.take_over_qdisc {
            pen.field("take_over_qdisc").plain(&true);
        }
        if !is_default(&config.forward) {
            pen.field("forward").value(&config.forward);
        }
        pen.field("ports").object(|pen| entries(pen, snapshot));
        let telegram = TelegramDocument::of(&config.telegram, state.last_report, extras.telegram.clone());
        pen.field("telegram").value(&telegram);
        if !config.channels.is_empty() {
            pen.field("channels").value(&delivery::channel_documents(&config.channels));
        }
        let update = UpdateDocument::of(&config.update, extras.update.clone());
        if !is_default(&update) {
            pen.field("update").value(&update);
        }
        let monitor = MonitorDocument::of(state.last_run, &state.outbox, extras.monitor.clone());
        pen.field("monitor").value(&monitor);
        pen.field("outbox").value(&state.outbox.messages);
        if !state.outbox.progress.is_empty() {
            pen.field("delivery").value(&delivery::progress_documents(&state.outbox.progress));
        }
        unknown(pen, &extras.top);
    });
    pen.finish()
}

/// What nobody here knows, as it came.
fn unknown(pen: &mut Pen, fields: &Map<String, Value>) {
    for (name, value) in fields {
        pen.named(name.as_str()).value(value);
    }
}

fn entries(pen: &mut Pen, snapshot: &Snapshot) {
    let Snapshot { config, state, extras } = snapshot;
    let nothing_more = PortExtras::default();
    let mut boots = Boots::default();
    let mut states = Walk::through(&state.ports);
    let mut accounts = Walk::through(&state.accounts);
    let mut chronicles = Walk::through(&state.chronicles);
    let mut extras = Walk::through(&extras.ports);
    for (&port, settings) in &config.ports {
        let port_state = states.at(&port).copied().unwrap_or_default();
        let account = accounts.at(&AccountId::of(port, settings)).copied().unwrap_or_default();
        let extras = extras.at(&port).unwrap_or(&nothing_more);
        let events = chronicles.at(&port);
        let mut entry = EntryDocument::of(settings, &port_state, &account, events, extras, &mut boots);
        pen.named(&port);
        let Ok(()) = form::entry(&mut Filling { pen, extras }, &mut entry);
    }
}

/// A pen that fills in the form of an entry.
struct Filling<'a> {
    pen: &'a mut Pen,
    extras: &'a PortExtras,
}

/// How many braces are open where the fields of an entry stand.
const DEPTH_OF_ENTRY: usize = 3;

impl Hand<'_> for Filling<'_> {
    type Error = Infallible;

    #[inline]
    fn text(&mut self, text: &'static str) -> Result<(), Infallible> {
        self.pen.as_it_is(text);
        Ok(())
    }

    #[inline]
    fn field<T: Plain>(&mut self, lead: &'static str, value: &mut T) -> Result<(), Infallible> {
        self.pen.as_it_is(lead);
        self.pen.plain(value);
        Ok(())
    }

    #[inline]
    fn option<T: Plain>(&mut self, lead: &'static str, value: &mut Option<T>) -> Result<(), Infallible> {
        if let Some(value) = value {
            self.pen.as_it_is(lead);
            self.pen.plain(value);
        }
        Ok(())
    }

    #[inline]
    fn object<T: Default>(
        &mut self,
        lead: &'static str,
        value: &mut Option<T>,
        form: impl FnOnce(&mut Self, &mut T) -> Result<(), Infallible>,
    ) -> Result<(), Infallible> {
        let Some(value) = value else { return Ok(()) };
        self.pen.as_it_is(lead);
        form(self, value)
    }

    fn lines<T: Serialize>(&mut self, lead: &'static str, value: &mut Option<T>) -> Result<(), Infallible> {
        if let Some(value) = value {
            self.pen.as_it_is(lead);
            self.pen.at(DEPTH_OF_ENTRY, |pen| pen.value(value));
        }
        Ok(())
    }

    #[inline]
    fn unknown(&mut self, whose: Whose) -> Result<(), Infallible> {
        let (fields, depth) = match whose {
            Whose::Entry => (&self.extras.port, DEPTH_OF_ENTRY),
            Whose::Stats => (&self.extras.stats, DEPTH_OF_ENTRY + 1),
            Whose::DynLimit => (&self.extras.dyn_limit, DEPTH_OF_ENTRY + 1),
            Whose::NotifyState => (&self.extras.notify_state, DEPTH_OF_ENTRY + 1),
        };
        if !fields.is_empty() {
            self.pen.at(depth, |pen| unknown(pen, fields));
        }
        Ok(())
    }
}
