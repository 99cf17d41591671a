//! Where the packets of a class wait for their turn.
//!
//! HTB sends a packet whole as soon as the bucket is not overdrawn. A GSO super-packet of 64 KiB is half a second of
//! 1 Mbit/s: five seconds of it were 5 to 10 % over, and a receiver that counts super-packets sees 4 % too little. So a
//! class up to 1 Gbit/s waits in a TBF that never holds anything back and splits whatever is larger than a frame. CAKE
//! splits below the same rate, for the same reasons. Measured with it: 1 Mbit/s to 1 Gbit/s within 0.5 %, for a third of
//! a core at 1 Gbit/s and next to nothing at 100 Mbit/s.

use crate::bucket::{Bucket, worth};

/// Above this rate (1 Gbit/s, in bytes) a super-packet is half a millisecond, and splitting costs more than it gives.
const FASTEST_SPLIT: u64 = 125_000_000;

/// The largest frame that the splitter lets pass; it drops what cannot be split into such frames.
pub(crate) const LARGEST_FRAME: u32 = 2_000;

/// An interface with a larger MTU than this has frames, with the link layer's header, that the splitter would drop.
const LARGEST_MTU: u32 = LARGEST_FRAME - 100;

/// How long the line behind a splitter may get where the kernel has no better queue to put there. Long enough for TCP
/// to a far place, not the seconds of a thousand packets at a low rate.
const LINE_MILLISECONDS: u64 = 200;

/// Four super-packets: the kernel lets one TCP connection have about two of them in line. With a line of two, a connection
/// at 5 Mbit/s lost 150 packets in its first second and then stood still for half of one; with four it loses none.
const SHORTEST_LINE: u64 = 256 << 10;

/// The kinds of queues that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Super-packets can be split.
    pub(crate) tbf: bool,
    /// Flows can be kept apart and queues short.
    pub(crate) fq_codel: bool,
}

/// The queue of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// The kernel's own.
    Default,
    /// One that keeps flows apart.
    FqCodel,
    /// A TBF that splits super-packets, with a line of so many bytes, or with [`Leaf::FqCodel`] behind it.
    Splitter {
        /// Bytes in the line.
        limit: u32,
        /// Whether flows are kept apart behind it.
        fq_codel: bool,
    },
}

impl Leaf {
    /// The best queue for a class on an interface with this MTU.
    pub(crate) fn of(bucket: Bucket, mtu: u32, abilities: Abilities) -> Self {
        if abilities.tbf && bucket.rate <= FASTEST_SPLIT && mtu <= LARGEST_MTU {
            let limit = worth(bucket.rate, LINE_MILLISECONDS).max(SHORTEST_LINE);
            Self::Splitter { limit: u32::try_from(limit).unwrap_or(u32::MAX), fq_codel: abilities.fq_codel }
        } else if abilities.fq_codel {
            Self::FqCodel
        } else {
            Self::Default
        }
    }
}

#[cfg(test)]
mod tests {
    use pm_core::units::Rate;

    use super::*;

    const ALL: Abilities = Abilities { tbf: true, fq_codel: true };

    fn leaf(mbps: u64, mtu: u32, abilities: Abilities) -> Leaf {
        Leaf::of(Bucket::of(Rate::mbps(mbps)), mtu, abilities)
    }

    #[test]
    fn super_packets_are_split_up_to_one_gigabit() {
        assert_eq!(leaf(1, 1500, ALL), Leaf::Splitter { limit: 262_144, fq_codel: true });
        assert_eq!(leaf(1000, 1500, ALL), Leaf::Splitter { limit: 25_000_000, fq_codel: true });
        assert_eq!(leaf(1001, 1500, ALL), Leaf::FqCodel);
    }

    #[test]
    fn frames_larger_than_the_splitter_takes_never_meet_it() {
        assert_eq!(leaf(1, 9000, ALL), Leaf::FqCodel);
        assert_eq!(leaf(1, 65_536, Abilities { fq_codel: false, ..ALL }), Leaf::Default);
    }

    #[test]
    fn a_kernel_without_better_queues_uses_its_own() {
        let none = Abilities { tbf: false, fq_codel: false };
        assert_eq!(leaf(1, 1500, none), Leaf::Default);
        assert_eq!(leaf(1, 1500, Abilities { tbf: false, ..ALL }), Leaf::FqCodel);
    }
}
