//! The text of one `tc -batch`: a line for each step.

use std::fmt::Write;

use crate::difference::Step;
use crate::leaf::LARGEST_FRAME;

/// The line that ends the batch with an error has its number in this complaint of tc's.
const FAILED_LINE: &str = "Command failed -:";

/// What tc says of a queueing discipline that the kernel does not have: newer kernels, 5.10, and without a word of its
/// own.
const UNKNOWN_KIND: [&str; 3] =
    ["Specified qdisc kind is unknown", "Specified qdisc not found", "No such file or directory"];

/// So fast that no packet up to [`LARGEST_FRAME`] costs it a nanosecond, so that it never holds anything back, whatever
/// the resolution of the clock.
const UNLIMITED: &str = "100tbit";

/// `fq_codel`'s own default is 1,024 lines of 64 bytes in each of maybe a thousand classes.
const FLOWS: u32 = 256;

/// What passes our root unshaped waits here while the interface is busy: the kernel's own default, also on an interface
/// whose own line has the length 0.
const DIRECT_PACKETS: u32 = 1_000;

/// The lines for these steps on an interface.
pub(crate) fn render(interface: &str, steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        // Writing to a string cannot fail.
        let _ = match *step {
            Step::ClearRoot => writeln!(text, "qdisc del dev {interface} root"),
            Step::SetRoot => writeln!(
                text,
                "qdisc replace dev {interface} root handle 1: htb default 0 direct_qlen {DIRECT_PACKETS}"
            ),
            Step::DeleteClass(class) => writeln!(text, "class del dev {interface} classid {class}"),
            Step::SetClass(class, bucket) => {
                let (rate, burst) = (u128::from(bucket.rate) * 8, bucket.burst);
                writeln!(
                    text,
                    "class replace dev {interface} parent 1: classid {class} htb rate {rate}bit ceil {rate}bit \
                     burst {burst}b cburst {burst}b quantum {}",
                    bucket.quantum
                )
            }
            Step::SetSplitter(class, limit) => writeln!(
                text,
                "qdisc replace dev {interface} parent {class} tbf rate {UNLIMITED} burst {LARGEST_FRAME}b limit {limit}b"
            ),
            Step::SetFqCodel(class) => {
                writeln!(text, "qdisc replace dev {interface} parent {class} fq_codel flows {FLOWS}")
            }
            Step::ClearLeaf(class) => writeln!(text, "qdisc del dev {interface} parent {class}"),
        };
    }
    text
}

/// The step for whose kind of queueing discipline the kernel has nothing, by tc's complaint.
pub(crate) fn step_of_unknown_kind<'a>(complaint: &str, steps: &'a [Step]) -> Option<&'a Step> {
    if !UNKNOWN_KIND.iter().any(|words| complaint.contains(words)) {
        return None;
    }
    let (_, rest) = complaint.split_once(FAILED_LINE)?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    steps.get(digits.parse::<usize>().ok()?.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use pm_core::units::Rate;

    use super::*;
    use crate::bucket::Bucket;
    use crate::handle::Handle;

    const CLASS: Handle = Handle::new(1, 0x2766);

    fn every_step() -> Vec<Step> {
        vec![
            Step::ClearRoot,
            Step::SetRoot,
            Step::DeleteClass(Handle::new(1, 0xffff)),
            Step::SetClass(CLASS, Bucket::of(Rate::MIN_LIMIT)),
            Step::SetClass(CLASS, Bucket::of(Rate::mbps(100))),
            Step::SetClass(CLASS, Bucket::of(Rate::MAX_LIMIT)),
            Step::SetSplitter(CLASS, 131_072),
            Step::SetFqCodel(Handle::new(0x8001, 1)),
            Step::ClearLeaf(CLASS),
        ]
    }

    #[test]
    fn each_step_is_a_line() {
        insta::assert_snapshot!(render("eth0", &every_step()), @"
        qdisc del dev eth0 root
        qdisc replace dev eth0 root handle 1: htb default 0 direct_qlen 1000
        class del dev eth0 classid 1:ffff
        class replace dev eth0 parent 1: classid 1:2766 htb rate 8000bit ceil 8000bit burst 1600b cburst 1600b quantum 1600
        class replace dev eth0 parent 1: classid 1:2766 htb rate 100000000bit ceil 100000000bit burst 250000b cburst 250000b quantum 60000
        class replace dev eth0 parent 1: classid 1:2766 htb rate 1000000000000bit ceil 1000000000000bit burst 2500000000b cburst 2500000000b quantum 60000
        qdisc replace dev eth0 parent 1:2766 tbf rate 100tbit burst 2000b limit 131072b
        qdisc replace dev eth0 parent 8001:1 fq_codel flows 256
        qdisc del dev eth0 parent 1:2766
        ");
    }

    #[test]
    fn the_step_that_needs_what_the_kernel_lacks_is_found() {
        let steps = every_step();
        let find = |complaint: &str| step_of_unknown_kind(complaint, &steps);
        assert_eq!(find("Error: Specified qdisc kind is unknown.\nCommand failed -:2"), Some(&Step::SetRoot));
        assert_eq!(
            find("libbpf: notice\nError: Specified qdisc not found.\nCommand failed -:8\n"),
            Some(&steps[7])
        );
        for other in [
            "",
            "Error: Exclusivity flag on, cannot modify.\nCommand failed -:2",
            "Error: Specified qdisc kind is unknown.",
            "Error: Specified qdisc kind is unknown.\nCommand failed -:0",
            "Error: Specified qdisc kind is unknown.\nCommand failed -:99",
            "Error: Specified qdisc kind is unknown.\nCommand failed -:x",
        ] {
            assert_eq!(find(other), None, "{other}");
        }
    }
}
