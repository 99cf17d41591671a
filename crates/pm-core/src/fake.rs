//! A machine in memory: a firewall and a shaper that behave as the kernel does, for tests.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::accounting::{BootId, CounterId, CounterReading, QuotaReading, Reading, Readings};
use crate::backend::{Applied, BackendError, Fault, Firewall, Ruleset, Shaper, Shaping};
use crate::port::{ClassId, PortRange};
use crate::quota::Mode;
use crate::units::{Bytes, Rate};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Towards the port.
    In,
    /// From the port.
    Out,
}

/// A kernel in memory. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub struct FakeKernel(Arc<Mutex<Kernel>>);

#[derive(Debug, Default)]
struct Kernel {
    boots: u64,
    handles: u64,
    table: Option<Table>,
    shaping: Shaping,
    broken: bool,
    applies: u64,
}

#[derive(Debug)]
struct Table {
    handle: u64,
    ruleset: Ruleset,
    counters: BTreeMap<PortRange, [Counter; 2]>,
    used: BTreeMap<PortRange, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    handle: u64,
    bytes: u64,
}

impl FakeKernel {
    fn lock(&self) -> MutexGuard<'_, Kernel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet to or from one of the entry's ports. True when it passed.
    pub fn packet(&self, port: PortRange, direction: Direction, bytes: u64) -> bool {
        let mut kernel = self.lock();
        let Some(table) = &mut kernel.table else { return true };
        if table.ruleset.blocked.contains(&port) {
            return false;
        }
        for (lead, rule) in &table.ruleset.quotas {
            let counts = rule.mode == Mode::Both || direction == Direction::Out;
            if counts && rule.members.contains(&port) {
                let used = table.used.entry(*lead).or_default();
                *used = used.saturating_add(bytes);
                if *used >= rule.over.0 {
                    return false;
                }
            }
        }
        if let Some(counters) = table.counters.get_mut(&port) {
            let counter = &mut counters[usize::from(direction == Direction::Out)];
            counter.bytes = counter.bytes.saturating_add(bytes);
        }
        true
    }

    /// The table is gone, as after `nft flush ruleset`.
    pub fn flush(&self) {
        self.lock().table = None;
    }

    /// Everything is gone, and the next run has another identity.
    pub fn reboot(&self) {
        let mut kernel = self.lock();
        kernel.table = None;
        kernel.shaping = Shaping::default();
        kernel.boots += 1;
        kernel.handles = 0;
    }

    /// Somebody resets all counters, as `nft reset counters` does.
    pub fn reset_counters(&self) {
        let mut kernel = self.lock();
        for counter in kernel.table.iter_mut().flat_map(|table| table.counters.values_mut()).flatten() {
            counter.bytes = 0;
        }
    }

    /// From now on every call fails, or works again.
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
    }

    /// The entries that are closed.
    pub fn blocked(&self) -> alloc::vec::Vec<PortRange> {
        let kernel = self.lock();
        kernel.table.iter().flat_map(|table| table.ruleset.blocked.iter().copied()).collect()
    }

    /// The classes and their rates.
    pub fn classes(&self) -> BTreeMap<ClassId, Rate> {
        self.lock().shaping.classes.clone()
    }

    /// How often a changed ruleset was applied.
    pub fn applies(&self) -> u64 {
        self.lock().applies
    }
}

impl Kernel {
    fn check(&self) -> Result<(), BackendError> {
        if self.broken {
            Err(BackendError::new(Fault::Failed, "the kernel in memory is broken"))
        } else {
            Ok(())
        }
    }

    fn next_handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles
    }
}

#[async_trait]
impl Firewall for FakeKernel {
    async fn read(&self) -> Result<Readings, BackendError> {
        let kernel = self.lock();
        kernel.check()?;
        let Some(table) = &kernel.table else { return Ok(Readings::default()) };
        let boot = BootId { kernel: u128::from(kernel.boots), init: 1 };
        let reading = |counter: &Counter| CounterReading {
            bytes: Bytes(counter.bytes),
            origin: CounterId { boot, table: table.handle, counter: counter.handle },
        };
        let counters = table.counters.iter().map(|(&port, [inbound, outbound])| {
            (port, Reading { inbound: Some(reading(inbound)), outbound: Some(reading(outbound)) })
        });
        let quotas = table.ruleset.quotas.iter().map(|(&lead, rule)| {
            let used = Bytes(table.used.get(&lead).copied().unwrap_or_default());
            (lead, QuotaReading { over: rule.over, used_before: used, used_after: used })
        });
        Ok(Readings { counters: counters.collect(), quotas: quotas.collect() })
    }

    async fn apply(&self, ruleset: &Ruleset) -> Result<Applied, BackendError> {
        let mut kernel = self.lock();
        kernel.check()?;
        if kernel.table.as_ref().is_some_and(|table| table.ruleset == *ruleset) {
            return Ok(Applied::Unchanged);
        }
        let mut table = match kernel.table.take() {
            Some(table) => table,
            None => Table {
                handle: kernel.next_handle(),
                ruleset: Ruleset::default(),
                counters: BTreeMap::new(),
                used: BTreeMap::new(),
            },
        };
        table.counters.retain(|port, _| ruleset.metered.contains(port));
        for &port in &ruleset.metered {
            let fresh = [0; 2].map(|bytes| Counter { handle: kernel.next_handle(), bytes });
            table.counters.entry(port).or_insert(fresh);
        }
        table.used.retain(|lead, _| ruleset.quotas.contains_key(lead));
        table.ruleset = ruleset.clone();
        kernel.table = Some(table);
        kernel.applies += 1;
        Ok(Applied::Changed)
    }

    async fn stands(&self, ruleset: &Ruleset) -> Result<bool, BackendError> {
        let kernel = self.lock();
        kernel.check()?;
        let standing = kernel.table.as_ref().map(|table| &table.ruleset);
        Ok(standing.map_or_else(|| ruleset.metered.is_empty(), |standing| standing == ruleset))
    }

    async fn remove(&self) -> Result<(), BackendError> {
        self.lock().check()?;
        self.flush();
        Ok(())
    }
}

#[async_trait]
impl Shaper for FakeKernel {
    async fn apply(&self, shaping: &Shaping) -> Result<Applied, BackendError> {
        let mut kernel = self.lock();
        kernel.check()?;
        if kernel.shaping == *shaping {
            return Ok(Applied::Unchanged);
        }
        kernel.shaping = shaping.clone();
        Ok(Applied::Changed)
    }

    async fn stands(&self, shaping: &Shaping) -> Result<bool, BackendError> {
        let kernel = self.lock();
        kernel.check()?;
        Ok(kernel.shaping == *shaping)
    }

    async fn remove(&self) -> Result<(), BackendError> {
        let mut kernel = self.lock();
        kernel.check()?;
        kernel.shaping = Shaping::default();
        Ok(())
    }
}
