//! The figures as a page, with the machine that they are from and the expectations that they are held against.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::layout::Layout;
use super::{minute, packets, pages};
use crate::shell::{capture, command};

/// Thousandths of the cost with one port that a packet may cost with 10,000.
const MOST_WITH_MANY: u64 = 1_200;
/// What a quiet minute may take with 1,000 ports.
const LONGEST_MINUTE: Duration = Duration::from_millis(20);
/// What somebody may wait for a page with 1,000 ports.
const LONGEST_PAGE: Duration = Duration::from_millis(30);
/// What it may take of memory, in KiB.
const LARGEST_PAGE: u64 = 16 << 10;

/// The page.
pub(super) fn text(
    busy: u64,
    packets: &[packets::Cost],
    minutes: &[minute::Cost],
    pages: &pages::Costs,
) -> Result<String> {
    let mut page = String::from(
        "# What pm costs\n\n\
         Written by `cargo xtask bench`. Figures of one machine say little; the ratios, measured in turns within one run, \
         say more.\n\n",
    );
    writeln!(page, "{} When it began, other programs kept {busy} % of its processors busy.\n", machine()?)?;
    write_packets(&mut page, packets)?;
    write_minutes(&mut page, minutes)?;
    write_pages(&mut page, pages)?;
    Ok(page)
}

fn write_packets(page: &mut String, costs: &[packets::Cost]) -> Result<()> {
    page.push_str(
        "## A packet\n\n\
         UDP datagrams of 64 bytes over loopback, from a metered port to a metered port, so that each passes `output` and \
         `input`; 64 flows spread over the ports of the table. The time is the whole way of a packet, system call \
         included. pm's tables are those that `pm-monitor` makes, with a quota for every port; the linear layout is that \
         of section 5.1 of the specification, four rules for every port.\n\n\
         | table | ports | a packet | packets a second | against no table | against pm with one port |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for packets::Cost { layout, nanos, against_nothing, against_one } in costs {
        let (name, ports) = match layout {
            Layout::Nothing => ("none", String::new()),
            Layout::Maps(ports) => ("pm", grouped(u64::from(*ports))),
            Layout::Linear(ports) => ("linear", grouped(u64::from(*ports))),
        };
        writeln!(
            page,
            "| {name} | {ports} | {} µs | {} | {} | {} |",
            hundredths(nanos / 10),
            grouped(1_000_000_000 / nanos.max(&1)),
            hundredths(against_nothing / 10),
            hundredths(against_one / 10),
        )?;
    }
    let many = costs.iter().find(|cost| cost.layout == Layout::Maps(10_000));
    let many = many.map_or(u64::MAX, |cost| cost.against_one);
    writeln!(
        page,
        "\nExpected: with 10,000 ports at most {} times what it costs with one. Measured: {}. **{}**\n",
        hundredths(MOST_WITH_MANY / 10),
        hundredths(many / 10),
        verdict(many <= MOST_WITH_MANY)
    )?;
    Ok(())
}

fn write_minutes(page: &mut String, costs: &[minute::Cost]) -> Result<()> {
    page.push_str(
        "## A minute of the monitor\n\n\
         From the start of the process to its end, config.json on a disk, every port with a quota and a rate penalty. The \
         first minute sets the table up; a quiet one finds everything as it should be.\n\n\
         | ports | first minute | quiet minute | of it on a processor | processes and threads started | system calls | peak memory |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for minute::Cost { ports, first, quiet, busy, started, calls, peak } in costs {
        writeln!(
            page,
            "| {} | {} ms | {} ms | {} ms | {started} | {} | {} MB |",
            grouped(u64::from(*ports)),
            milliseconds(*first),
            milliseconds(*quiet),
            milliseconds(*busy),
            calls.map_or("not counted".to_owned(), grouped),
            megabytes(*peak),
        )?;
    }
    let most = costs.iter().max_by_key(|cost| cost.ports);
    let kept = most.is_some_and(|cost| cost.quiet < LONGEST_MINUTE && cost.started == 0);
    writeln!(
        page,
        "\nExpected: a quiet minute with 1,000 ports in less than {} ms, and no child process. **{}**\n",
        LONGEST_MINUTE.as_millis(),
        verdict(kept)
    )?;
    Ok(())
}

fn write_pages(page: &mut String, costs: &pages::Costs) -> Result<()> {
    let pages::Costs { floor, list, menu } = costs;
    writeln!(
        page,
        "## A page\n\n\
         With {} ports, on pipes, in turns: from the start of the process to the end of `pm list`, and to the prompt \
         behind the first page of the menu. `true` is what a process costs that does nothing.\n\n\
         | page | time | peak memory |\n\
         |---|---:|---:|\n\
         | `true` | {} ms | |",
        grouped(pages::PORTS.into()),
        milliseconds(*floor),
    )?;
    for (name, pages::Cost { time, peak }) in [("`pm list`", list), ("the menu", menu)] {
        writeln!(page, "| {name} | {} ms | {} MB |", milliseconds(*time), megabytes(*peak))?;
    }
    let kept = [list, menu].iter().all(|cost| cost.time < LONGEST_PAGE && cost.peak < LARGEST_PAGE);
    writeln!(
        page,
        "\nExpected: each in less than {} ms, with less than {} MB. **{}**",
        LONGEST_PAGE.as_millis(),
        LARGEST_PAGE >> 10,
        verdict(kept)
    )?;
    Ok(())
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

fn verdict(kept: bool) -> &'static str {
    if kept { "pass" } else { "fail" }
}

fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

fn milliseconds(duration: Duration) -> String {
    format!("{}.{}", duration.as_millis(), duration.subsec_micros() % 1000 / 100)
}

fn megabytes(kilobytes: u64) -> String {
    format!("{}.{}", kilobytes / 1024, kilobytes % 1024 * 10 / 1024)
}

fn grouped(number: u64) -> String {
    crate::demo::grouped(number)
}
