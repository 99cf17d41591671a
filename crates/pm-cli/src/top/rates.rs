//! From the figures of counters to rates, and what the rates of the last minutes were.

use std::collections::VecDeque;
use std::time::Duration;

use pm_core::accounting::{CounterReading, Reading};
use pm_core::units::{Bytes, Rate};

/// How many seconds are remembered.
pub(crate) const MEMORY: usize = 300;
/// The most seconds that one bar of a graph stands for, so that a narrow graph is not an average of everything.
const WIDEST_BAR: usize = 15;
/// Two readings closer than this tell no rate.
const SHORTEST: Duration = Duration::from_millis(200);

/// How fast traffic is; none where two readings are not of the same counter, or it went back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) inbound: Option<Rate>,
    pub(crate) outbound: Option<Rate>,
}

impl Rates {
    /// Both directions, as far as they are known.
    pub(crate) fn total(self) -> Rate {
        Self::sum([self.inbound, self.outbound].into_iter().flatten())
    }

    /// The sum of rates.
    pub(crate) fn sum(rates: impl Iterator<Item = Rate>) -> Rate {
        Rate::bits_per_second(rates.fold(0, |sum: u64, rate| sum.saturating_add(rate.as_bits_per_second())))
    }
}

/// What is remembered of one entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Speedometer {
    last: Option<(Duration, Reading)>,
    rates: Rates,
    /// Bits of each second: towards the port, from the port.
    memory: VecDeque<[u64; 2]>,
    /// How many seconds there were, forgotten ones included.
    seconds: u64,
}

/// Which of the remembered figures a graph shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Inbound,
    Outbound,
    Both,
}

impl Speedometer {
    /// Takes a reading; `at` is the time that passed since some beginning. None when there is none.
    pub(crate) fn advance(&mut self, reading: Option<Reading>, at: Duration) {
        let Some(reading) = reading else {
            // The next reading is compared with the last one that was.
            self.rates = Rates::default();
            return;
        };
        let Some((before, last)) = self.last else {
            self.last = Some((at, reading));
            return;
        };
        let passed = at.saturating_sub(before);
        if passed < SHORTEST {
            return;
        }
        self.last = Some((at, reading));
        self.rates = Rates {
            inbound: rate(last.inbound, reading.inbound, passed),
            outbound: rate(last.outbound, reading.outbound, passed),
        };
        let bits =
            [self.rates.inbound, self.rates.outbound].map(|rate| rate.map_or(0, Rate::as_bits_per_second));
        // A reading that came late covers the seconds before it.
        let seconds = (passed + Duration::from_millis(500)).as_secs().max(1);
        self.seconds += seconds;
        for _ in 0..usize::try_from(seconds).unwrap_or(MEMORY).min(MEMORY) {
            if self.memory.len() == MEMORY {
                self.memory.pop_front();
            }
            self.memory.push_back(bits);
        }
    }

    /// How fast it is now.
    pub(crate) const fn rates(&self) -> Rates {
        self.rates
    }

    /// A graph of so many bars, the newest last: the average of the seconds that a bar stands for, which stay the
    /// same from one second to the next. The bars before anything is known are 0.
    pub(crate) fn graph(&self, bars: usize, shown: Shown) -> Vec<u64> {
        let width = seconds_in_a_bar(bars);
        let mut graph = vec![0; bars];
        let newest = (self.seconds.max(1) - 1) / width;
        let first = self.seconds - u64::try_from(self.memory.len()).unwrap_or(self.seconds);
        let mut sums = vec![(0_u64, 0_u64); bars];
        for (second, bits) in (first..).zip(&self.memory) {
            let back = usize::try_from(newest - second / width).unwrap_or(usize::MAX);
            if let Some(sum) = bars.checked_sub(back + 1).and_then(|place| sums.get_mut(place)) {
                let value = match shown {
                    Shown::Inbound => bits[0],
                    Shown::Outbound => bits[1],
                    Shown::Both => bits[0].saturating_add(bits[1]),
                };
                *sum = (sum.0.saturating_add(value), sum.1 + 1);
            }
        }
        for (bar, (sum, seconds)) in graph.iter_mut().zip(sums) {
            *bar = sum.checked_div(seconds).unwrap_or(0);
        }
        graph
    }

    /// The fastest remembered second.
    pub(crate) fn peak(&self, shown: Shown) -> Rate {
        let value = |bits: &[u64; 2]| match shown {
            Shown::Inbound => bits[0],
            Shown::Outbound => bits[1],
            Shown::Both => bits[0].saturating_add(bits[1]),
        };
        Rate::bits_per_second(self.memory.iter().map(value).max().unwrap_or(0))
    }
}

fn seconds_in_a_bar(bars: usize) -> u64 {
    let width = MEMORY.div_ceil(bars.max(1)).clamp(1, WIDEST_BAR);
    u64::try_from(width).unwrap_or(1)
}

fn rate(last: Option<CounterReading>, now: Option<CounterReading>, passed: Duration) -> Option<Rate> {
    let (last, now) = (last?, now?);
    let gained = now.bytes.0.checked_sub(last.bytes.0).filter(|_| last.origin == now.origin)?;
    Some(Rate::over(Bytes(gained), u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)))
}

/// A rate in at most 10 cells: `12.3 Mbps`, `0`.
pub(crate) fn in_short(rate: Rate) -> String {
    const UNITS: [(&str, u64); 4] =
        [("Tbps", 1_000_000_000_000), ("Gbps", 1_000_000_000), ("Mbps", 1_000_000), ("kbps", 1_000)];
    let bits = rate.as_bits_per_second();
    match UNITS.into_iter().find(|&(_, unit)| bits >= unit) {
        Some((name, unit)) => {
            let tenths = bits / (unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None if bits == 0 => "0".to_owned(),
        None => format!("{bits} bps"),
    }
}

#[cfg(test)]
mod tests {
    use pm_core::accounting::{BootId, CounterId};

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "readings are optional")]
    fn both(counter: u64, bytes: u64) -> Option<Reading> {
        let origin = CounterId { boot: BootId { kernel: 1, init: 1 }, table: 1, counter };
        let reading = Some(CounterReading { bytes: Bytes(bytes), origin });
        Some(Reading { inbound: reading, outbound: reading })
    }

    fn after(readings: &[(u64, Option<Reading>)]) -> Speedometer {
        let mut meter = Speedometer::default();
        for &(milliseconds, reading) in readings {
            meter.advance(reading, Duration::from_millis(milliseconds));
        }
        meter
    }

    fn mbps(meter: &Speedometer) -> Option<u64> {
        meter.rates().inbound.map(|rate| rate.as_bits_per_second() / 1_000_000)
    }

    #[test]
    fn a_rate_is_what_passed_over_the_time_that_passed() {
        assert_eq!(mbps(&after(&[(0, both(1, 7))])), None);
        assert_eq!(mbps(&after(&[(0, both(1, 7)), (1000, both(1, 1_250_007))])), Some(10));
        assert_eq!(mbps(&after(&[(0, both(1, 7)), (2000, both(1, 2_500_007))])), Some(10), "a late reading");
        assert_eq!(mbps(&after(&[(0, both(1, 0)), (1000, both(1, 0))])), Some(0));
        assert_eq!(mbps(&after(&[(0, both(1, 0)), (1, both(1, u64::MAX))])), None, "no time passed");
    }

    #[test]
    fn a_counter_that_went_back_or_was_made_anew_has_no_rate_until_the_next_second() {
        let remade = after(&[(0, both(1, 5_000_000)), (1000, both(2, 9_000_000_000))]);
        assert_eq!((mbps(&remade), remade.peak(Shown::Both)), (None, Rate::default()));
        let went_back = after(&[(0, both(1, 5_000_000)), (1000, both(1, 0))]);
        assert_eq!((mbps(&went_back), went_back.rates().total()), (None, Rate::default()));
        let mut on = went_back;
        on.advance(both(1, 1_250_000), Duration::from_secs(2));
        assert_eq!(mbps(&on), Some(10));
    }

    #[test]
    fn seconds_without_a_reading_are_made_up_for_by_their_average() {
        let mut meter = after(&[(0, both(1, 0)), (1000, both(1, 1_250_000)), (2000, None), (3000, None)]);
        assert_eq!(mbps(&meter), None);
        meter.advance(both(1, 5_000_000), Duration::from_secs(4));
        assert_eq!((mbps(&meter), meter.memory.len()), (Some(10), 4));
        meter.advance(both(1, 5_000_000), Duration::from_secs(4000));
        assert_eq!((mbps(&meter), meter.memory.len()), (Some(0), MEMORY));
    }

    #[test]
    fn the_bars_of_a_graph_stand_still_between_two_seconds() {
        let mut meter = Speedometer::default();
        let mut bytes = 0;
        let mut graphs = Vec::new();
        for second in 0..=600_u64 {
            meter.advance(both(1, bytes), Duration::from_secs(second));
            bytes += second * 1000;
            graphs.push(meter.graph(20, Shown::Inbound));
        }
        for pair in graphs.windows(2).skip(330) {
            let stays = pair[0][..19] == pair[1][..19];
            let moves_on = pair[0][1..19] == pair[1][..18];
            assert!(stays || moves_on);
        }
        assert_eq!(seconds_in_a_bar(8), 15);
        assert_eq!(seconds_in_a_bar(60), 5);
        assert_eq!(seconds_in_a_bar(1000), 1);
        assert_eq!(Speedometer::default().graph(3, Shown::Both), [0, 0, 0]);
        assert_eq!(meter.graph(0, Shown::Both), Vec::<u64>::new());
    }

    #[test]
    fn a_rate_is_short() {
        for (bits, text) in [
            (0, "0"),
            (999, "999 bps"),
            (1_000, "1.0 kbps"),
            (999_999, "999.9 kbps"),
            (12_345_678, "12.3 Mbps"),
            (1_500_000_000, "1.5 Gbps"),
            (999_999_999_999_999, "999.9 Tbps"),
        ] {
            assert_eq!(in_short(Rate::bits_per_second(bits)), text);
            assert!(text.len() <= 10);
        }
    }
}
