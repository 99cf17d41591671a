//! `cargo xtask vm`: the tests on the kernel under the kernels, and with the tools, of the Debians that pm supports.

mod debian;
mod emulator;
mod results;
mod story;

use anyhow::{Context as _, Result, bail, ensure};

use crate::dist;
use crate::kernel::Program;
use crate::shell::{cargo_like, root};
use crate::tools::{self, Tool, is_root};
use debian::Debian;
use results::Row;
use story::Story;

const TOOLS: &[Tool] = &[
    Tool { needed: "debootstrap", package: "debootstrap" },
    Tool { needed: "dpkg-deb", package: "dpkg" },
    Tool { needed: "mke2fs", package: "e2fsprogs" },
    Tool { needed: "qemu-system-x86_64", package: "qemu-system-x86" },
    Tool { needed: "python3", package: "python3" },
    Tool { needed: "/usr/share/doc/python3-venv", package: "python3-venv" },
    // What virtme-ng makes the first file system of the guest with.
    Tool { needed: "busybox", package: "busybox-static" },
    Tool { needed: "modprobe", package: "kmod" },
];

/// A test that cannot say anything here.
struct LeftOut {
    test: &'static str,
    reason: &'static str,
    /// The one Debian where that is so; everywhere if none.
    on: Option<&'static str>,
}

const LEFT_OUT: &[LeftOut] = &[
    LeftOut {
        test: "a_port_without_a_limit_is_not_slowed_by_the_limits_of_others",
        reason: "asks for more than a gigabit a second, which an emulated processor cannot send",
        on: None,
    },
    LeftOut {
        test: "limits_from_one_megabit_to_one_gigabit_are_within_three_percent_on_the_wire",
        reason: "measures the floor of a rate too, and an emulated processor stops for longer than a bucket lasts",
        on: None,
    },
    LeftOut {
        test: "a_flow_goes_on_while_its_rate_changes_and_others_come_and_go",
        reason: "measures moments of 50 milliseconds, for which an emulated processor may stop",
        on: None,
    },
    LeftOut {
        test: "frames_larger_than_usual_pass_and_are_limited_too",
        reason: "measures the floor of a rate too, and an emulated processor stops for longer than a bucket lasts",
        on: None,
    },
    LeftOut {
        test: "what_iperf3_sends_and_receives_is_what_pm_says",
        reason: "the iperf3 of Debian 11 (3.9) ignores `--bytes` together with `--reverse`, and never ends",
        on: Some("11"),
    },
];

pub(crate) fn task(words: &[String]) -> Result<()> {
    let (debians, names) = wish(words)?;
    ensure!(is_root(), "only root can make a machine in a folder: run this as root");
    ensure!(cfg!(target_arch = "x86_64"), "the kernels are those of x86_64, and so has this machine to be");
    tools::ensure(TOOLS)?;
    let programs = programs()?;
    let mut rows = Vec::new();
    for debian in debians {
        let row = tests(debian, &programs, &names).with_context(|| debian.to_string())?;
        println!("\n{debian}: {row}");
        rows.push(row);
    }
    results::write(&rows, LEFT_OUT)?;
    println!("written to {}", results::PAGE);
    let failed = rows.iter().map(|row| row.failed).sum::<usize>();
    ensure!(failed == 0, "tests failed, twice, see above: {failed}");
    Ok(())
}

/// Which Debians, and which tests.
fn wish(words: &[String]) -> Result<(Vec<&'static Debian>, Vec<String>)> {
    let (wanted, names) = match words.iter().position(|word| word == "--") {
        Some(split) => (&words[..split], words[split + 1..].to_vec()),
        None => (words, Vec::new()),
    };
    let mut debians = Vec::new();
    for word in wanted {
        match Debian::ALL.iter().find(|debian| debian.number == word) {
            Some(debian) => debians.push(debian),
            None => bail!(
                "there is no Debian `{word}` here: 11, 12 or 13, and names of tests or of their crates behind --"
            ),
        }
    }
    if debians.is_empty() {
        debians.extend(&Debian::ALL);
    }
    Ok((debians, names))
}

/// The test programs, static, so that they run beside any C library; and quicker than usual, since emulation is slow.
fn programs() -> Result<Vec<Program>> {
    println!("building the tests");
    let machine = dist::this_machine()?;
    // The plug-in of cargo has but one word that cargo knows; the others are words of the program itself.
    let mut test = cargo_like(
        dist::linker().join("bin/cargo-zigbuild"),
        ["test", "--quiet", "--locked", "--exclude", "xtask", "--test", "*"],
    );
    test.arg("--target-dir").arg(root().join("target/vm/build"));
    test.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
    Program::built(dist::linked_statically(machine, test)?)
}

/// Runs the tests on one Debian; those that failed once more, alone, after another boot.
fn tests(debian: &Debian, programs: &[Program], names: &[String]) -> Result<Row> {
    let machine = debian.machine()?;
    let is_here = |left_out: &&LeftOut| left_out.on.is_none_or(|number| number == debian.number);
    let left_out: Vec<&LeftOut> = LEFT_OUT.iter().filter(is_here).collect();
    let all = Story::new(programs, names, &left_out)?;
    println!("\n{debian}: {} tests on its own kernel", all.tests());
    let mut heard = emulator::run(&machine, &all)?;
    if !heard.failed.is_empty() {
        println!("\nonce more, after another boot: {}", heard.failed_names());
        let again = emulator::run(&machine, &all.only(&heard.failed))?;
        heard.second_attempt(again);
    }
    Row::of(debian, heard, names, all.left_out)
}
