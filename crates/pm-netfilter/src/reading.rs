//! From the objects that were listed to readings, the same for netlink and for `nft -j`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pm_core::accounting::{BootId, CounterId, CounterReading, QuotaReading, Reading, Readings};
use pm_core::port::PortRange;
use pm_core::units::Bytes;

use crate::layout::{COUNTER_IN, COUNTER_OUT, QUOTA};

/// A counter as it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counter<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) handle: u64,
    pub(crate) bytes: u64,
}

/// A quota as it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) over: u64,
    /// Whether it matches beyond its limit.
    pub(crate) beyond: bool,
    pub(crate) used: u64,
}

impl Quota<'_> {
    /// Whether it lets nothing more pass.
    ///
    /// Then its true figure is not known: the kernel goes on counting what it drops, but tells no more than the limit.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.used >= self.over
    }
}

/// The readings of one moment. Objects that do not have our names are nobody's.
pub(crate) fn readings(
    boot: BootId,
    table: u64,
    quotas_before: &[Quota<'_>],
    counters: &[Counter<'_>],
    quotas_after: &[Quota<'_>],
) -> Readings {
    let figure = |counter: &Counter<'_>| {
        let origin = CounterId { boot, table, counter: counter.handle };
        Some(CounterReading { bytes: Bytes(counter.bytes), origin })
    };
    // A map is filled many times faster at once than one by one. The kernel lists one direction after the other.
    let inbound = counters.iter().filter_map(|counter| {
        let entry = entry_of(COUNTER_IN, &counter.name)?;
        Some((entry, Reading { inbound: figure(counter), outbound: None }))
    });
    let mut readings = Readings { counters: inbound.collect(), quotas: BTreeMap::new() };
    for counter in counters {
        if let Some(entry) = entry_of(COUNTER_OUT, &counter.name) {
            readings.counters.entry(entry).or_default().outbound = figure(counter);
        }
    }
    let before = quotas_before.iter().filter_map(|quota| {
        let (over, used) = (Bytes(quota.over), Bytes(quota.used));
        let reading = QuotaReading { over, used_before: used, used_after: used };
        Some((entry_of(QUOTA, &quota.name)?, reading))
    });
    readings.quotas = before.collect();
    for quota in quotas_after {
        let lead = entry_of(QUOTA, &quota.name);
        if let Some(reading) = lead.and_then(|lead| readings.quotas.get_mut(&lead)) {
            reading.used_after = Bytes(quota.used);
        }
    }
    readings
}

fn entry_of(prefix: &str, name: &str) -> Option<PortRange> {
    name.strip_prefix(prefix).and_then(PortRange::from_kernel_suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_entries_and_foreign_ones_are_left_out() {
        let counter =
            |name: &str, handle| Counter { name: name.to_owned().into(), handle, bytes: 100 + handle };
        let quota = |name: &str, used| Quota { name: name.to_owned().into(), over: 9, beyond: true, used };
        let boot = BootId { kernel: 1, init: 2 };
        let counters = [
            counter("cnt_in_443", 1),
            counter("cnt_out_443", 2),
            counter("cnt_out_20000_20100", 3),
            counter("cnt_in_0443", 4),
            counter("cnt_in_", 5),
            counter("somebody", 6),
        ];
        let before = [quota("quota_443", 3), quota("quota_x", 1)];
        let after = [quota("quota_443", 4), quota("quota_8080", 1)];
        let readings = readings(boot, 7, &before, &counters, &after);

        let figure = |bytes, handle| {
            Some(CounterReading {
                bytes: Bytes(bytes),
                origin: CounterId { boot, table: 7, counter: handle },
            })
        };
        let one = readings.counters[&"443".parse().unwrap()];
        assert_eq!((one.inbound, one.outbound), (figure(101, 1), figure(102, 2)));
        let range = readings.counters[&"20000-20100".parse().unwrap()];
        assert_eq!((range.inbound, range.outbound), (None, figure(103, 3)));
        assert_eq!(readings.counters.len(), 2);
        let quota = QuotaReading { over: Bytes(9), used_before: Bytes(3), used_after: Bytes(4) };
        assert_eq!(readings.quotas, [("443".parse().unwrap(), quota)].into());
    }
}
