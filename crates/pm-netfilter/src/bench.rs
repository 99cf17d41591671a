//! What the benchmarks measure: lists as the kernel writes them, read; and the whole table, rendered.

use pm_core::accounting::{BootId, Readings};
use pm_core::backend::Ruleset;
use pm_kernel::netlink::{Message, Replies};

use crate::layout::{COUNTER_IN, COUNTER_OUT, Layout, QUOTA};
use crate::script::Script;
use crate::{NetfilterError, dump, reading, render};

/// The lists of counters and quotas of so many ports.
#[derive(Debug)]
pub struct Lists {
    counters: Replies,
    quotas: Replies,
}

impl Lists {
    /// Those of the ports from `first` on.
    pub fn of(first: u16, ports: u16) -> Self {
        let replies = |messages: &mut dyn Iterator<Item = Message>| {
            Replies::from_bytes(messages.flat_map(|message| message.as_reply()).collect::<Vec<u8>>())
        };
        let numbers = || first..first.saturating_add(ports);
        let mut counters = [COUNTER_IN, COUNTER_OUT].into_iter().flat_map(|direction| {
            numbers().map(move |port| dump::listed_counter(&format!("{direction}{port}"), 1 << 40))
        });
        let mut quotas = numbers().map(|port| dump::listed_quota(&format!("{QUOTA}{port}"), 1 << 40));
        Self { counters: replies(&mut counters), quotas: replies(&mut quotas) }
    }

    /// Reads them as a minute does, the quotas twice.
    pub fn read(&self) -> Result<Readings, NetfilterError> {
        let quotas = || -> Result<_, NetfilterError> {
            self.quotas.iter().filter_map(|reply| dump::quota(reply).transpose()).collect()
        };
        let counters = self.counters.iter().filter_map(|reply| dump::counter(reply).transpose());
        let counters: Result<_, NetfilterError> = counters.collect();
        Ok(reading::readings(BootId { kernel: 1, init: 1 }, 1, quotas()?, counters?, quotas()?))
    }
}

/// The transaction that makes the whole table, as text for nft.
pub fn render(ruleset: &Ruleset) -> String {
    let layout = Layout::of(ruleset);
    render::text(&Script::anew(&layout).whole())
}
