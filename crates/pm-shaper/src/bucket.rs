//! What a class needs beside its rate, so that the rate is what the wire carries.
//!
//! Measured between two namespaces over five seconds, with TCP and UDP, IPv4 and IPv6, and two busy loops beside:
//! a bucket of 20 milliseconds holds 1 Mbit/s to 1 Gbit/s within 0.5 % on an idle machine. With 5 milliseconds a sender
//! that waits for the processor loses a tenth at 500 Mbit/s; a larger bucket only makes the first moment a larger one.

use pm_core::units::Rate;

use crate::wire::TICK_NANOSECONDS;

/// How long a class that was silent may send without being held back: what a late timer or a busy processor lost is
/// made up for within it, also on a kernel whose timer ticks a hundred times a second.
const BUCKET_MILLISECONDS: u64 = 20;

/// The smallest bucket: one full Ethernet frame.
const SMALLEST_BUCKET: u64 = 1_600;

/// A class may send this much before the next one has its turn: a full frame at least, or HTB walks through its classes
/// for nothing, and some forty frames at most, or the other classes wait.
const QUANTUM: (u32, u32) = (1_600, 60_000);

/// A class's bucket, in the kernel's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Bytes a second.
    pub(crate) rate: u64,
    /// Bytes in a full bucket.
    pub(crate) burst: u32,
    /// Bytes in a turn.
    pub(crate) quantum: u32,
}

impl Bucket {
    /// The bucket for this rate.
    pub(crate) fn of(rate: Rate) -> Self {
        // The kernel takes bytes. A rate of nothing would be refused.
        let rate = (rate.as_bits_per_second() / 8).max(1);
        let burst = worth(rate, BUCKET_MILLISECONDS).max(SMALLEST_BUCKET);
        // 32 bits are 20 milliseconds of 1.7 Tbit/s, more than any limit.
        let burst = u32::try_from(burst).unwrap_or(u32::MAX);
        Self { rate, burst, quantum: burst.clamp(QUANTUM.0, QUANTUM.1) }
    }

    /// How long the bucket takes to fill, in ticks, as the kernel stores it.
    pub(crate) fn ticks(self) -> u64 {
        let nanoseconds = u128::from(self.burst) * 1_000_000_000 / u128::from(self.rate);
        u64::try_from(nanoseconds / u128::from(TICK_NANOSECONDS)).unwrap_or(u64::MAX)
    }
}

/// The bytes that pass in so many milliseconds.
pub(crate) fn worth(rate: u64, milliseconds: u64) -> u64 {
    let bytes = u128::from(rate) * u128::from(milliseconds) / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_that_can_be_configured_has_a_bucket_that_tc_takes() {
        for (rate, burst, quantum) in [
            (Rate::MIN_LIMIT, 1_600, 1_600),
            (Rate::mbps(1), 2_500, 2_500),
            (Rate::mbps(5), 12_500, 12_500),
            (Rate::mbps(100), 250_000, 60_000),
            (Rate::mbps(1_000), 2_500_000, 60_000),
            (Rate::mbps(40_000), 100_000_000, 60_000),
            (Rate::MAX_LIMIT, 2_500_000_000, 60_000),
        ] {
            let bucket = Bucket::of(rate);
            assert_eq!((bucket.burst, bucket.quantum), (burst, quantum), "{rate}");
            assert!(u32::try_from(bucket.ticks()).is_ok(), "{rate}");
        }
        assert_eq!(Bucket::of(Rate::bits_per_second(u64::MAX)).burst, u32::MAX);
        assert_eq!(Bucket::of(Rate::bits_per_second(0)).rate, 1);
    }
}
