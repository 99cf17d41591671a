//! `cargo xtask help`: what there is to run.

use anyhow::{Result, ensure};

/// Every task, as a person types it.
pub(crate) const TEXT: &str = "\
cargo xtask test [quick | STEP..]    every check: format, lints, docs, unit and kernel tests
    quick                            all but the kernel's tests
    STEP                             tidy fmt clippy purity docs deny unit examples kernel
    kernel [-- NAME..]               only the kernel tests whose names contain NAME
cargo xtask demo                     three tenants with real traffic, on a clock that runs fast
cargo xtask bench [--quick] [PART..] what everything costs beside rivals and the floor, into docs/performance.md
    --quick                          less of it, in two minutes, and only shown
    PART                             packets minutes changes starts pages wire latency
                                     limits
cargo xtask soak [STORY [MINUTES]] [-- NAME..]
                                     what takes long: every story, or one of them
    together                         everybody at once, and somebody flushes the rules: no edit lost, no byte twice
    long                             a monitor for ten minutes: what it holds stays flat, and its accounts are what was sent
    crash                            minutes, edits and updates killed, or failing, at every system call that changes
                                     something; with -- only those whose names contain NAME
    every                            65,535 ports, each by itself: what a minute, an edit and a list then take
cargo xtask fuzz [TARGET..] [--minutes N]
                                     hostile input for every reader of bytes, ten minutes each unless told otherwise
cargo xtask dist [--key FILE]        a release in target/dist: static programs, packages, sums; signed with that key
cargo xtask fresh                    installs that on a Debian that has nothing, meters a port, and uninstalls it
cargo xtask vm [11|12|13] [-- NAME..]
                                     the kernel tests under those Debians' own kernels, nft and tc, emulated; all of
                                     them also into docs/kernels.md
cargo xtask man FOLDER               the manual: a page for pm and one for each of its commands
cargo xtask help                     this

Whatever is missing (nftables, iproute2, iperf3, socat, ..) is installed first with apt-get. Everything that touches a
network does so in namespaces of its own, which vanish with it; as an ordinary user they are made without root.";

pub(crate) fn run(words: &[String]) -> Result<()> {
    ensure!(words.is_empty(), "help takes no words");
    println!("{TEXT}");
    Ok(())
}
