//! The installed programs after a run that was interrupted: each whole, and what the same command once more makes of them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use pm_tests::machine::{Machine, binary};
use pm_tests::publisher::{PROGRAMS, Publisher, install};

use super::scenario::INJURED;
use super::site::{Site, leftovers};

const FOLDER: &str = "usr/local/bin";
/// Root's crontab below another root.
const CRONTAB: &str = "var/spool/cron/crontabs/root";
const OTHERS_LINE: &str = "0 3 * * * /usr/local/bin/backup\n";

/// Programs of ours from before, and a crontab with a line of somebody else's.
pub(super) fn before(machine: &Machine<'_>) -> Result<()> {
    for name in PROGRAMS {
        install(&installed(machine, name), old(name).as_bytes());
    }
    let crontab = machine.root().join(CRONTAB);
    fs::create_dir_all(crontab.parent().unwrap_or(&crontab))?;
    Ok(fs::write(crontab, OTHERS_LINE)?)
}

/// The same, with a newer release to be had.
pub(super) fn published(site: &Site, machine: &Machine<'_>) -> Result<()> {
    let mut config = machine.config();
    config["update"] = site.publisher.source();
    machine.write_config(&config.to_string());
    before(machine)
}

pub(super) fn install_is_finished(machine: &Machine<'_>) -> Result<()> {
    let new = |name: &str| fs::read(binary(name)).unwrap_or_default();
    for name in PROGRAMS {
        let stands = fs::read(installed(machine, name))?;
        ensure!(
            stands == old(name).as_bytes() || stands == new(name),
            "{name} is neither the old nor the new one"
        );
    }
    // At the clock of the trial: the minute that it ends with would reset what is due at the real one.
    machine.pm_at(INJURED, "install");
    for name in PROGRAMS {
        ensure!(fs::read(installed(machine, name))? == new(name), "{name} is not installed");
    }
    let crontab = fs::read_to_string(machine.root().join(CRONTAB))?;
    let times: Vec<&str> = crontab.lines().filter_map(|line| line.split(" /usr").next()).collect();
    ensure!(times == ["0 3 * * *", "* * * * *", "@reboot"], "the crontab is {crontab}");
    nothing_else(machine, &PROGRAMS)
}

pub(super) fn update_is_finished(machine: &Machine<'_>) -> Result<()> {
    each(machine, "", &[old, Publisher::program])?;
    machine.pm("update --yes");
    each(machine, "", &[Publisher::program])?;
    each(machine, ".old", &[old])?;
    nothing_else(machine, &["pm", "pm-monitor", "pm.old", "pm-monitor.old"])?;
    machine.pm("update --rollback --yes");
    each(machine, "", &[old])
}

pub(super) fn rollback_is_finished(machine: &Machine<'_>) -> Result<()> {
    each(machine, "", &[old, Publisher::program])?;
    // Once more it would be undone.
    if each(machine, "", &[old]).is_err() {
        machine.pm("update --rollback --yes");
    }
    each(machine, "", &[old])?;
    let kept = each(machine, ".old", &[Publisher::program]);
    // A program that was on its way there gets there with whatever is done next.
    if kept.is_err() {
        machine.pm("update --rollback --yes");
        each(machine, "", &[Publisher::program])?;
        machine.pm("update --rollback --yes");
        each(machine, "", &[old])?;
    }
    each(machine, ".old", &[Publisher::program])
}

fn each(machine: &Machine<'_>, ending: &str, allowed: &[fn(&str) -> String]) -> Result<()> {
    for name in PROGRAMS {
        let stands = fs::read_to_string(installed(machine, &format!("{name}{ending}")))?;
        ensure!(allowed.iter().any(|text| text(name) == stands), "{name}{ending} is {stands}");
    }
    Ok(())
}

fn nothing_else(machine: &Machine<'_>, allowed: &[&str]) -> Result<()> {
    let left = leftovers(machine.root(), &[FOLDER], allowed)?;
    ensure!(left.is_empty(), "left over: {left:?}");
    Ok(())
}

/// A program from before, which names the table as all of ours do.
fn old(name: &str) -> String {
    format!("#!/bin/sh\n# port_monitor\necho {name} 0.1.0\n")
}

fn installed(machine: &Machine<'_>, name: &str) -> PathBuf {
    machine.root().join(FOLDER).join(name)
}
