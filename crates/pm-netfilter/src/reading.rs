//! From the objects that were listed to readings, the same for netlink and for `nft -j`.

use std::borrow::Cow;
use std::iter::{self, Peekable};

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

/// The counters of a list that have our names, by direction. What has another is nobody's.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    inbound: Vec<Figure>,
    outbound: Vec<Figure>,
}

#[derive(Clone, Copy, Debug)]
struct Figure {
    entry: PortRange,
    handle: u64,
    bytes: Bytes,
}

impl Counters {
    pub(crate) fn take(&mut self, Counter { name, handle, bytes }: Counter<'_>) {
        let figure = |entry| Figure { entry, handle, bytes: Bytes(bytes) };
        if let Some(entry) = entry_of(COUNTER_IN, &name) {
            self.inbound.push(figure(entry));
        } else if let Some(entry) = entry_of(COUNTER_OUT, &name) {
            self.outbound.push(figure(entry));
        }
    }
}

impl<'a> FromIterator<Counter<'a>> for Counters {
    fn from_iter<I: IntoIterator<Item = Counter<'a>>>(listed: I) -> Self {
        let mut counters = Self::default();
        listed.into_iter().for_each(|counter| counters.take(counter));
        counters
    }
}

/// The quotas of a list that have our names.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Vec<(PortRange, QuotaReading)>);

impl Quotas {
    pub(crate) fn take(&mut self, Quota { name, over, used, .. }: Quota<'_>) {
        let (over, used) = (Bytes(over), Bytes(used));
        let reading = QuotaReading { over, used_before: used, used_after: used };
        self.0.extend(entry_of(QUOTA, &name).map(|lead| (lead, reading)));
    }
}

impl<'a> FromIterator<Quota<'a>> for Quotas {
    fn from_iter<I: IntoIterator<Item = Quota<'a>>>(listed: I) -> Self {
        let mut quotas = Self::default();
        listed.into_iter().for_each(|quota| quotas.take(quota));
        quotas
    }
}

/// The readings of one moment.
///
/// The kernel lists its objects in the order in which they were made, which nearly is that of the entries: lists are put
/// in order and walked side by side: no entry is looked up.
pub(crate) fn readings(
    boot: BootId,
    table: u64,
    Quotas(mut before): Quotas,
    Counters { mut inbound, mut outbound }: Counters,
    Quotas(mut after): Quotas,
) -> Readings {
    for figures in [&mut inbound, &mut outbound] {
        figures.sort_unstable_by_key(|figure| figure.entry);
    }
    for quotas in [&mut before, &mut after] {
        quotas.sort_unstable_by_key(|(lead, _)| *lead);
    }
    let reading = |figure: Figure| CounterReading {
        bytes: figure.bytes,
        origin: CounterId { boot, table, counter: figure.handle },
    };
    let (mut inbound, mut outbound) = (inbound.into_iter().peekable(), outbound.into_iter().peekable());
    let counters = iter::from_fn(|| {
        let next = [&mut inbound, &mut outbound].map(|figures| figures.peek().map(|figure| figure.entry));
        let entry = next.into_iter().flatten().min()?;
        let of_entry = |figures: &mut Peekable<_>| figures.next_if(|figure: &Figure| figure.entry == entry);
        let inbound = of_entry(&mut inbound).map(reading);
        Some((entry, Reading { inbound, outbound: of_entry(&mut outbound).map(reading) }))
    });
    let mut after = after.into_iter().peekable();
    let quotas = before.into_iter().map(|(lead, reading)| {
        while after.next_if(|(other, _)| *other < lead).is_some() {}
        let used_after = after
            .next_if(|(other, _)| *other == lead)
            .map_or(reading.used_after, |(_, after)| after.used_after);
        (lead, QuotaReading { used_after, ..reading })
    });
    Readings { counters: counters.collect(), quotas: quotas.collect() }
}

fn entry_of(prefix: &str, name: &str) -> Option<PortRange> {
    name.strip_prefix(prefix).and_then(PortRange::from_kernel_suffix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COUNTERS: [(&str, u64); 7] = [
        ("cnt_in_443", 1),
        ("cnt_out_443", 2),
        ("cnt_out_20000_20100", 3),
        ("cnt_in_0443", 4),
        ("cnt_in_", 5),
        ("somebody", 6),
        ("cnt_in_8080", 7),
    ];
    const QUOTAS_BEFORE: [(&str, u64); 3] = [("quota_443", 3), ("quota_8080", 5), ("quota_x", 1)];
    const QUOTAS_AFTER: [(&str, u64); 4] =
        [("quota_80", 1), ("quota_443", 4), ("quota_500", 2), ("quota_9000", 1)];

    proptest! {
        #[test]
        fn names_lead_back_to_entries_in_any_order_and_foreign_ones_are_left_out(
            listed in Just(COUNTERS.to_vec()).prop_shuffle(),
            before in Just(QUOTAS_BEFORE.to_vec()).prop_shuffle(),
            after in Just(QUOTAS_AFTER.to_vec()).prop_shuffle(),
        ) {
            let boot = BootId { kernel: 1, init: 2 };
            let counter = |(name, handle): (&'static str, u64)| {
                Counter { name: name.into(), handle, bytes: 100 + handle }
            };
            let quota = |(name, used): (&'static str, u64)| {
                Quota { name: name.into(), over: 9, beyond: true, used }
            };
            let quotas = |listed: Vec<_>| listed.into_iter().map(quota).collect();
            let counters = listed.into_iter().map(counter).collect();
            let readings = readings(boot, 7, quotas(before), counters, quotas(after));

            let entry = |name: &str| name.parse::<PortRange>().unwrap();
            let figure = |handle| {
                let origin = CounterId { boot, table: 7, counter: handle };
                Some(CounterReading { bytes: Bytes(100 + handle), origin })
            };
            let reading = |inbound, outbound| Reading { inbound, outbound };
            let expected = [
                (entry("443"), reading(figure(1), figure(2))),
                (entry("20000-20100"), reading(None, figure(3))),
                (entry("8080"), reading(figure(7), None)),
            ];
            prop_assert_eq!(readings.counters, expected.into());
            let quota = |before, after| {
                QuotaReading { over: Bytes(9), used_before: Bytes(before), used_after: Bytes(after) }
            };
            prop_assert_eq!(readings.quotas, [(entry("443"), quota(3, 4)), (entry("8080"), quota(5, 5))].into());
        }
    }
}
