//! A step as the kernel is told to take it: the same that `tc` sends, but for tables of rates, which no kernel has read
//! since 3.8 when it is told the link layer.

use pm_kernel::netlink::Message;

use crate::bucket::Bucket;
use crate::difference::Step;
use crate::handle::Handle;
use crate::leaf::Line;
use crate::wire::{
    CLASS, DELETE_CLASS, DELETE_QDISC, FQ_CODEL_FLOWS, HTB_CEIL64, HTB_DIRECT_PACKETS, HTB_INIT,
    HTB_PARAMETERS, HTB_RATE64, KIND, OPTIONS, QDISC, TBF_BURST, TBF_PARAMETERS, TBF_RATE64, traffic_header,
};

/// So fast (10,000 Tbit/s, in bytes) that no super-packet costs it a nanosecond, so that it never holds anything back,
/// whatever the resolution of the clock.
const UNLIMITED: u64 = 1_250_000_000_000_000;

/// `fq_codel`'s own default is 1,024 lines of 64 bytes in each of maybe a thousand classes.
const FLOWS: u32 = 256;

/// What passes our root unshaped waits here while the interface is busy: the kernel's own default, also on an interface
/// whose own line has the length 0.
const DIRECT_PACKETS: u32 = 1_000;

/// The version of HTB that the kernel insists on, and the quotient by which it finds the quantum of a class that names
/// none.
const HTB_VERSION: u32 = 3;
const RATE_TO_QUANTUM: u32 = 10;
/// What has no class passes unshaped.
const NO_DEFAULT_CLASS: u32 = 0;

/// `TC_LINKLAYER_ETHERNET`: a frame costs its own length, and no table is needed.
const ETHERNET: u8 = 1;

impl Step {
    /// The message that makes the kernel take this step on an interface.
    pub(crate) fn order(&self, interface: u32) -> Message {
        let qdisc = |kind: u16, handle: Handle, parent: Handle| {
            Message::new(kind, &traffic_header(interface, handle, parent))
        };
        match *self {
            Self::ClearRoot => qdisc(DELETE_QDISC, Handle::NONE, Handle::ROOT),
            Self::SetRoot => qdisc(QDISC, Handle::OURS, Handle::ROOT).replacing().text(KIND, "htb").nested(
                OPTIONS,
                |options| {
                    let init = [HTB_VERSION, RATE_TO_QUANTUM, NO_DEFAULT_CLASS, 0, 0];
                    options.attribute(HTB_INIT, &words(&init)).number(HTB_DIRECT_PACKETS, DIRECT_PACKETS)
                },
            ),
            Self::DeleteClass(class) => qdisc(DELETE_CLASS, class, Handle::NONE),
            Self::SetClass(class, bucket) => {
                let message = qdisc(CLASS, class, Handle::OURS).replacing().text(KIND, "htb");
                message.nested(OPTIONS, |options| class_options(options, bucket))
            }
            Self::SetLine(class, line) => {
                let message = qdisc(QDISC, Handle::NONE, class).replacing().text(KIND, "tbf");
                message.nested(OPTIONS, |options| line_options(options, line))
            }
            Self::SetFqCodel(class) => {
                let message = qdisc(QDISC, Handle::NONE, class).replacing().text(KIND, "fq_codel");
                message.nested(OPTIONS, |options| options.number(FQ_CODEL_FLOWS, FLOWS))
            }
            Self::ClearLeaf(class) => qdisc(DELETE_QDISC, Handle::NONE, class),
        }
    }
}

fn class_options(options: Message, bucket: Bucket) -> Message {
    let ticks = u32::try_from(bucket.ticks()).unwrap_or(u32::MAX);
    let rate = rate_specification(bucket.rate);
    // The rate and the ceiling of a class are one, and so are its buckets. Level and priority are 0.
    let rest = words(&[ticks, ticks, bucket.quantum, 0, 0]);
    let options = options.attribute(HTB_PARAMETERS, &[&rate[..], &rate, &rest].concat());
    wide(wide(options, HTB_RATE64, bucket.rate), HTB_CEIL64, bucket.rate)
}

fn line_options(options: Message, line: Line) -> Message {
    let (rate, no_peak) = (rate_specification(UNLIMITED), [0; RATE_SPECIFICATION]);
    // The bucket is told in bytes, by an attribute of its own.
    let rest = words(&[line.limit, 0, line.largest]);
    let options = options.attribute(TBF_PARAMETERS, &[&rate[..], &no_peak, &rest].concat());
    wide(options, TBF_RATE64, UNLIMITED).number(TBF_BURST, line.largest)
}

const RATE_SPECIFICATION: usize = 12;

/// `struct tc_ratespec`: a cell's size, the link layer, overhead, alignment, the least size of a packet, the rate.
fn rate_specification(rate: u64) -> [u8; RATE_SPECIFICATION] {
    let mut bytes = [0; RATE_SPECIFICATION];
    bytes[1] = ETHERNET;
    bytes[8..].copy_from_slice(&u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    bytes
}

/// Rates that 32 bits cannot hold stand in attributes of their own.
fn wide(options: Message, kind: u16, rate: u64) -> Message {
    if u32::try_from(rate).is_ok() { options } else { options.attribute(kind, &rate.to_ne_bytes()) }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use pm_core::units::Rate;
    use pm_kernel::netlink::Replies;

    use super::*;
    use crate::standing::{Class, Qdisc, classes, qdiscs};

    const CLASS: Handle = Handle::new(1, 0x2766);
    const LINE: Line = Line { limit: 131_072, largest: 1_600 };

    fn replies(step: Step) -> Replies {
        Replies::from_bytes(step.order(7).as_reply())
    }

    fn hex(step: Step) -> String {
        let bytes = step.order(7).as_reply();
        let words = bytes.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap()));
        words.map(|word| format!("{word:08x}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn each_step_is_a_message() {
        let text: String = [
            Step::ClearRoot,
            Step::SetRoot,
            Step::DeleteClass(Handle::new(1, 0xffff)),
            Step::SetClass(CLASS, Bucket::of(Rate::mbps(100))),
            Step::SetClass(CLASS, Bucket::of(Rate::MAX_LIMIT)),
            Step::SetLine(CLASS, LINE),
            Step::SetFqCodel(Handle::new(0x8001, 1)),
            Step::ClearLeaf(CLASS),
        ]
        .map(|step| format!("{step:?}\n  {}\n", hex(step)))
        .concat();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_is_ordered_is_what_is_read() {
        for rate in [Rate::MIN_LIMIT, Rate::mbps(1), Rate::mbps(34_359), Rate::mbps(34_360), Rate::MAX_LIMIT]
        {
            let bucket = Bucket::of(rate);
            let ticks = u32::try_from(bucket.ticks()).unwrap();
            let read = classes(&replies(Step::SetClass(CLASS, bucket)));
            let wanted = Class {
                id: CLASS,
                parent: Handle::OURS,
                rate: bucket.rate,
                ceil: bucket.rate,
                buffer: ticks,
                cbuffer: ticks,
                quantum: bucket.quantum,
            };
            assert_eq!(read, [wanted], "{rate}");
        }
        let root = &qdiscs(&replies(Step::SetRoot))[0];
        assert_eq!((root.kind.as_str(), root.htb_default()), ("htb", Some(0)));
        let line = &qdiscs(&replies(Step::SetLine(CLASS, LINE)))[0];
        assert_eq!((line.kind.as_str(), line.line()), ("tbf", Some(LINE)));
        let seen: Vec<Qdisc> = qdiscs(&replies(Step::SetFqCodel(CLASS)));
        assert_eq!((seen[0].kind.as_str(), seen[0].parent, seen[0].interface), ("fq_codel", CLASS, 7));
    }
}
