//! Where the packets of a class wait for their turn: a line of so many bytes, in which flows are kept apart where the
//! kernel can do that, and in which super-packets are split where the rate is low.
//!
//! The line is a TBF that never holds anything back. It is the only queue that every kernel has whose length is in bytes,
//! that another queue can stand behind, that splits super-packets, and that turns from one of these into another under
//! the traffic that is in it: a penalty that begins or ends loses nobody a packet.
//!
//! HTB sends a packet whole as soon as the bucket is not overdrawn. A GSO super-packet of 64 KiB is half a second of
//! 1 Mbit/s: five seconds of it were 5 to 10 % over, and everybody else in the class waits as long. At 100 Mbit/s it is 5
//! milliseconds, a quarter of the bucket, and splitting it would cost two to ten times the work of not doing so: the rows
//! of limits in docs/performance.md.

use crate::bucket::{Bucket, worth};

/// As long as a super-packet may take to leave whole: at 52 Mbit/s and above, it does.
const WHOLE_MILLISECONDS: u64 = 10;

/// A super-packet, as large as they are unless somebody asks for larger ones.
const SUPER_PACKET: u64 = 64 << 10;

/// What a frame may have beside the packet: the header of the link, tags and all.
const LINK_HEADERS: u32 = 100;

/// How long the line may get. Long enough for TCP to a far place, not the seconds of a thousand packets at a low rate.
const LINE_MILLISECONDS: u64 = 200;

/// Four super-packets: the kernel lets one TCP connection have about two of them in line. With a line of two, a connection
/// at 5 Mbit/s lost 150 packets in its first second and then stood still for half of one; with four it loses none.
const SHORTEST_LINE: u64 = 4 * SUPER_PACKET;

/// The kinds of queues that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Lines can be measured in bytes, and super-packets be split.
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
    /// A line, with [`Leaf::FqCodel`] behind it or without.
    Line {
        /// How long it may get, and what is split.
        line: Line,
        /// Whether flows are kept apart behind it.
        fq_codel: bool,
    },
}

/// What a TBF of ours is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// How many bytes may wait.
    pub(crate) limit: u32,
    /// What is larger than this is split, and dropped if it cannot be split into such frames.
    pub(crate) largest: u32,
}

impl Leaf {
    /// The best queue for a class on an interface with this MTU.
    pub(crate) fn of(bucket: Bucket, mtu: u32, abilities: Abilities) -> Self {
        match abilities {
            Abilities { tbf: true, fq_codel } => Self::Line { line: Line::of(bucket, mtu), fq_codel },
            Abilities { tbf: false, fq_codel: true } => Self::FqCodel,
            Abilities { tbf: false, fq_codel: false } => Self::Default,
        }
    }
}

impl Line {
    fn of(bucket: Bucket, mtu: u32) -> Self {
        let limit = worth(bucket.rate, LINE_MILLISECONDS).max(SHORTEST_LINE);
        let is_whole = worth(bucket.rate, WHOLE_MILLISECONDS) >= SUPER_PACKET;
        Self {
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            largest: if is_whole { u32::MAX } else { mtu.saturating_add(LINK_HEADERS) },
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

    fn line(limit: u32, largest: u32) -> Leaf {
        Leaf::Line { line: Line { limit, largest }, fq_codel: true }
    }

    #[test]
    fn super_packets_are_split_while_they_would_take_more_than_ten_milliseconds() {
        assert_eq!(leaf(1, 1500, ALL), line(262_144, 1_600));
        assert_eq!(leaf(52, 1500, ALL), line(1_300_000, 1_600));
        assert_eq!(leaf(53, 1500, ALL), line(1_325_000, u32::MAX));
        assert_eq!(leaf(1000, 1500, ALL), line(25_000_000, u32::MAX));
    }

    #[test]
    fn whatever_the_interface_can_send_passes_whole() {
        assert_eq!(leaf(1, 9000, ALL), line(262_144, 9_100));
        assert_eq!(leaf(1, u32::MAX, ALL), line(262_144, u32::MAX));
    }

    #[test]
    fn a_kernel_without_better_queues_uses_its_own() {
        let none = Abilities { tbf: false, fq_codel: false };
        assert_eq!(leaf(1, 1500, none), Leaf::Default);
        assert_eq!(leaf(1, 1500, Abilities { tbf: false, ..ALL }), Leaf::FqCodel);
    }
}
