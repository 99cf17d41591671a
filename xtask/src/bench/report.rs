//! The table as a page, with the machine that it is from.

use std::fmt::Write as _;

use anyhow::Result;

use super::row::{Row, Versus, ratio};
use crate::shell::{capture, command};

/// How each kind of row was measured.
const NOTES: &str = "\
## How it was measured

*Packets.* 64 flows, spread over the ports of the table, each packet sent and received by one process on one processor; the time is the whole way, system calls included. UDP is not read, so its datagrams end at the receiver's full buffer. With TCP a packet carries its share of acknowledgements. *Out and in* is loopback with frames of 1,500 bytes, from a metered port to a metered port. *Forwarded* is a host between two others that translates the port, with the translation in all columns. pm's tables are those that `pm-monitor` makes, with a quota for every port. *4 rules a port* is section 5.1 of the script's specification; *8 rules* is port-traffic-dog's layout, and *24 rules* the same with a quota and billed twice. Layouts have their turns of 40 milliseconds, each round begins with another one, and ratios are medians of the ratios within a round.

*Quiet minute.* Reading the kernel, the tick, saving config.json on a disk, every port with a quota and a rate penalty. *Of a service*: a minute of a process that runs all the time, as `pm-monitor --every`; the floor is one dump of the counters and writing, syncing and renaming a file of the same content, in a process that runs, too. *As cron starts it*: from the start of `pm-monitor`, linked statically as in a release, to its end; the floor is the same with the start and the end of `true` before it.

*Changes.* Every port has a quota, a limit and a rate penalty. What a change adds: the time of the minute in which it happens less that of a quiet one in the same round; for an edit, that of `pm set --quota --limit` less that of `pm set --comment`. What is lost in the noise stands as zero. *All anew* is the same for a minute that finds nothing in the kernel. *nft that changes one quota* of our table waits at its end until the kernel is done with the old one, which pm leaves to the kernel; where nothing but elements and rules are added, there is nothing to wait for.

*Cold start.* The floor is fed with what `nft list` and `tc show` print of our own.

*A small flow beside a bulk flow.* The small one is a datagram of UDP and its answer, twenty times; the bulk flow is one of UDP over IPv6 from the same port, as fast as its socket takes it. TBF is the root of the interface, with a line of the same 200 milliseconds.

*Limits.* iperf3 sends from the limited port as fast as it is let, or a quarter more than the limit with UDP. Bytes are those of the link, as `tc` counts them, headers of every segment included. TBF has the same rate and a bucket of the same 20 milliseconds. The work is processor time of the whole machine, sender and receiver included. Where there is enough of it to tell, both have three turns; the rate has to be held in each of them, and figures are medians.
";

/// The page.
pub(super) fn text(busy: u128, rows: &[Row]) -> Result<String> {
    let mut page = String::from(
        "# What pm costs\n\n\
         Written by `cargo xtask bench`. Figures of one machine say little; the ratios, measured in turns within one run, \
         say more.\n\n",
    );
    writeln!(page, "{} When it began, other programs kept {busy} % of its processors busy.\n", machine()?)?;
    page.push_str("| what | ours | others | ours / others | floor | ours / floor | goal | |\n|---|---:|---|---:|---|---:|---|---|\n");
    for Row { what, ours, rivals, floor, goal } in rows {
        let join = |cell: &dyn Fn(&Versus) -> String| rivals.iter().map(cell).collect::<Vec<_>>().join("; ");
        writeln!(
            page,
            "| {what} | {ours} | {} | {} | {} | {} | {} | {} |",
            join(&named),
            join(&|rival| ratio(rival.permille)),
            floor.as_ref().map(named).unwrap_or_default(),
            floor.as_ref().map(|floor| ratio(floor.permille)).unwrap_or_default(),
            goal.as_ref().map(|goal| goal.text.as_str()).unwrap_or_default(),
            goal.as_ref().map(|goal| if goal.kept { "pass" } else { "**fail**" }).unwrap_or_default(),
        )?;
    }
    let goals: Vec<bool> = rows.iter().filter_map(|row| Some(row.goal.as_ref()?.kept)).collect();
    let kept = goals.iter().filter(|kept| **kept).count();
    writeln!(page, "\n{kept} of {} goals reached.\n", goals.len())?;
    page.push_str(NOTES);
    Ok(page)
}

fn named(versus: &Versus) -> String {
    format!("{}: {}", versus.who, versus.figure)
}

/// The machine in a line.
fn machine() -> Result<String> {
    let processors = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or(": an unnamed processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // The release alone: what follows names whoever built it.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let count = std::thread::available_parallelism()?;
    let nft = capture(command("nft", ["--version"]))?;
    let nft = nft.split_whitespace().nth(1).unwrap_or_default();
    Ok(format!(
        "Machine: {count} x {}; Linux {kernel}, nftables {}; pm {}.",
        model.trim_start_matches([' ', '\t', ':']).trim(),
        nft.trim_start_matches('v'),
        env!("CARGO_PKG_VERSION")
    ))
}
