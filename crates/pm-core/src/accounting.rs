//! From what the kernel counted to what a port has used, over reboots, flushes and foreign resets.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::port::PortRange;
use crate::units::Bytes;

/// Bytes in either direction, seen from the machine that pm runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Towards the port.
    pub inbound: Bytes,
    /// From the port.
    pub outbound: Bytes,
}

impl Traffic {
    /// Both directions together.
    pub const fn total(self) -> Bytes {
        self.inbound.saturating_add(self.outbound)
    }

    /// Direction by direction, the sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            inbound: self.inbound.saturating_add(other.inbound),
            outbound: self.outbound.saturating_add(other.outbound),
        }
    }
}

/// One run of the machine: counters never outlive it.
///
/// The kernel's boot id alone does not tell two runs of a container apart, so the moment its init started belongs to it.
// It stands four times in what is kept of an entry and read of it, so the eight bytes that its alignment would waste, and
// twice as many around it, are a fifth of the memory of a minute.
#[repr(C, packed(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootId {
    /// `/proc/sys/kernel/random/boot_id` as a number.
    pub kernel: u128,
    /// When process 1 was started, in clock ticks since the kernel's boot.
    pub init: u64,
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, init } = *self;
        write!(f, "{kernel:032x}.{init}")
    }
}

impl FromStr for BootId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('.')
            .and_then(|(kernel, init)| Some(Self { kernel: hexadecimal(kernel)?, init: init.parse().ok()? }));
        parts.ok_or_else(|| format!("`{}` is not a boot id", crate::units::shown(text)))
    }
}

/// A number of 32 digits is read as two of 16, each of which this machine's registers hold.
fn hexadecimal(text: &str) -> Option<u128> {
    let half = |text: &str| u64::from_str_radix(text, 16).ok().map(u128::from);
    match text.split_at_checked(16).filter(|(_, low)| low.len() == 16 && !low.starts_with('+')) {
        Some((high, low)) => Some(half(high)? << 64 | half(low)?),
        None => u128::from_str_radix(text, 16).ok(),
    }
}

/// Which counter it was. Two figures belong on one scale only if they come from the same counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterId {
    /// The run of the machine.
    pub boot: BootId,
    /// The handle of the table, unique in this run.
    pub table: u64,
    /// The handle of the counter, unique in its table.
    pub counter: u64,
}

/// What one counter showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterReading {
    /// The bytes it has counted since it was made, or since somebody reset it.
    pub bytes: Bytes,
    /// Which counter it was.
    pub origin: CounterId,
}

/// The two counters of an entry; none where the kernel had no such counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The counter of inbound packets.
    pub inbound: Option<CounterReading>,
    /// The counter of outbound packets.
    pub outbound: Option<CounterReading>,
}

/// What one kernel quota showed, before and after all counters were read, so that the moment of the counters lies
/// between the two figures even while traffic flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaReading {
    /// The limit at which it stops packets.
    pub over: Bytes,
    /// What had passed it or been stopped by it before the counters were read.
    pub used_before: Bytes,
    /// The same after the counters were read.
    pub used_after: Bytes,
}

impl QuotaReading {
    /// Whether it stops every packet.
    pub fn exhausted(&self) -> bool {
        self.used_after >= self.over
    }
}

/// Everything the firewall counted, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// The counters by entry.
    pub counters: BTreeMap<PortRange, Reading>,
    /// The quotas by the lowest entry of their account.
    pub quotas: BTreeMap<PortRange, QuotaReading>,
}

/// The account of one direction: what was used, and where its counter stood when that was last brought up to date.
///
/// ```
/// use pm_core::accounting::{BootId, CounterId, CounterReading, Gain, Meter};
/// use pm_core::units::Bytes;
///
/// let reading = |boot, bytes| {
///     let origin = CounterId { boot: BootId { kernel: boot, init: 1 }, table: 1, counter: 1 };
///     Some(CounterReading { bytes: Bytes(bytes), origin })
/// };
/// // What the counter holds when the port is added is nobody's.
/// let mut meter = Meter::opened(reading(1, 1_000));
/// assert_eq!(meter.advance(reading(1, 1_500)), Gain::Added(Bytes(500)));
/// // After a reboot the counter began at zero, so all of it is new, even though it has passed the old figure.
/// assert_eq!(meter.advance(reading(2, 9_000)), Gain::Added(Bytes(9_000)));
/// // The same counter with less than before was reset by somebody else.
/// assert_eq!(meter.advance(reading(2, 40)), Gain::WentBack { from: Bytes(9_000), to: Bytes(40) });
/// assert_eq!(meter.used, Bytes(9_500));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Used in this cycle.
    pub used: Bytes,
    /// Where the counter stood. None: there was no counter, so whatever shows up next began at zero.
    pub mark: Option<Mark>,
}

/// Where a counter stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its figure.
    pub bytes: Bytes,
    /// Which counter it was; none when the entry was written by the v4.3 script, which did not know.
    pub origin: Option<CounterId>,
}

/// What bringing a meter up to date came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Gain {
    /// This many bytes were added.
    Added(Bytes),
    /// The same counter showed less than before: somebody reset it. Nothing was added.
    WentBack {
        /// What it showed before.
        from: Bytes,
        /// What it shows now.
        to: Bytes,
    },
}

impl Gain {
    /// The bytes that were added.
    pub const fn bytes(self) -> Bytes {
        match self {
            Self::Added(bytes) => bytes,
            Self::WentBack { .. } => Bytes(0),
        }
    }
}

impl Meter {
    /// A meter that starts at zero now: what an already standing counter holds is nobody's.
    pub fn opened(reading: Option<CounterReading>) -> Self {
        Self { used: Bytes(0), mark: reading.map(Mark::from) }
    }

    /// Adds what the counter has counted since the mark, and moves the mark.
    pub fn advance(&mut self, reading: Option<CounterReading>) -> Gain {
        let Some(reading) = reading else {
            self.mark = None;
            return Gain::Added(Bytes(0));
        };
        let gain = match self.mark.replace(reading.into()) {
            None => Gain::Added(reading.bytes),
            Some(Mark { bytes: last, origin }) => match origin {
                Some(origin) if origin != reading.origin => Gain::Added(reading.bytes),
                _ if reading.bytes >= last => Gain::Added(reading.bytes.saturating_sub(last)),
                // An entry of the script: its counter was made anew since, as after every reboot.
                None => Gain::Added(reading.bytes),
                Some(_) => Gain::WentBack { from: last, to: reading.bytes },
            },
        };
        self.used = self.used.saturating_add(gain.bytes());
        gain
    }
}

impl From<CounterReading> for Mark {
    fn from(reading: CounterReading) -> Self {
        Self { bytes: reading.bytes, origin: Some(reading.origin) }
    }
}

/// The account of one entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Towards the port.
    pub inbound: Meter,
    /// From the port.
    pub outbound: Meter,
}

impl Ledger {
    /// An account that starts at zero now.
    pub fn opened(reading: Reading) -> Self {
        Self { inbound: Meter::opened(reading.inbound), outbound: Meter::opened(reading.outbound) }
    }

    /// Brings both directions up to date: inbound first, then outbound.
    pub fn advance(&mut self, reading: Reading) -> [Gain; 2] {
        [self.inbound.advance(reading.inbound), self.outbound.advance(reading.outbound)]
    }

    /// Used in this cycle.
    pub const fn used(&self) -> Traffic {
        Traffic { inbound: self.inbound.used, outbound: self.outbound.used }
    }

    /// Starts a new cycle. The marks stay: what was counted belongs to the cycle that ended.
    pub fn reset(&mut self) {
        self.inbound.used = Bytes(0);
        self.outbound.used = Bytes(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "readings are optional")]
    fn counter(generation: u64, bytes: u64) -> Option<CounterReading> {
        let boot = BootId { kernel: 7, init: 1 };
        Some(CounterReading {
            bytes: Bytes(bytes),
            origin: CounterId { boot, table: 1, counter: generation },
        })
    }

    fn used(readings: &[Option<CounterReading>]) -> u64 {
        let mut meter = Meter::opened(readings.first().copied().flatten());
        for &reading in &readings[1..] {
            let _ = meter.advance(reading);
        }
        meter.used.0
    }

    #[test]
    fn the_difference_is_counted() {
        assert_eq!(used(&[counter(1, 1000), counter(1, 1500), counter(1, 1800)]), 800);
    }

    #[test]
    fn a_new_counter_is_counted_whole_even_when_it_has_passed_the_old_figure() {
        assert_eq!(used(&[counter(1, 1000), counter(2, 40)]), 40);
        assert_eq!(used(&[counter(1, 1000), counter(2, 5000)]), 5000);
        assert_eq!(used(&[None, counter(1, 40)]), 40);
        assert_eq!(used(&[counter(1, 10), None, counter(1, 40)]), 40);
    }

    #[test]
    fn the_same_counter_with_a_smaller_figure_adds_nothing_and_says_so() {
        let mut meter = Meter::opened(counter(1, 1000));
        assert_eq!(meter.advance(counter(1, 300)), Gain::WentBack { from: Bytes(1000), to: Bytes(300) });
        assert_eq!(meter.advance(counter(1, 350)), Gain::Added(Bytes(50)));
        assert_eq!(meter.used, Bytes(50));
    }

    #[test]
    fn an_entry_of_the_script_goes_on_where_it_stood_or_begins_with_a_new_counter() {
        let script = Meter { used: Bytes(10), mark: Some(Mark { bytes: Bytes(1000), origin: None }) };
        let mut same = script;
        assert_eq!(same.advance(counter(1, 1200)), Gain::Added(Bytes(200)));
        let mut rebooted = script;
        assert_eq!(rebooted.advance(counter(1, 200)), Gain::Added(Bytes(200)));
        assert_eq!(rebooted.used, Bytes(210));
    }

    #[test]
    fn a_counter_at_the_end_of_its_range_does_not_overflow_the_account() {
        let mut meter = Meter { used: Bytes(u64::MAX - 5), mark: None };
        let _ = meter.advance(counter(1, u64::MAX));
        assert_eq!(meter.used, Bytes(u64::MAX));
    }

    #[test]
    fn a_boot_id_survives_being_written_down() {
        let boot = BootId { kernel: 0xfeed, init: 42 };
        assert_eq!(alloc::format!("{boot}").parse::<BootId>().unwrap(), boot);
        assert!("x.1".parse::<BootId>().is_err());
    }
}
