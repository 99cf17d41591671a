//! Taking over from the bash script in place: its files kept, its figures read, its place taken.
//!
//! From version 5 on, the script keeps what a port used in `state/PORT.txt`, lines of shell that it runs. Here they are
//! data: names and plain values, and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Zoned;
use pm_core::wire::{self, Decoded, Snapshot};
use pm_kernel::file;
use pm_monitor::lock::Lock;
use pm_monitor::store::Store;
use serde_json::{Map, Value};

use crate::error::SetupError;
use crate::install::{is_ours, program_path};
use crate::place;
use crate::schedule;
use crate::site::Site;

/// With a hundred ports, a minute of the script takes longer than a minute.
const PATIENCE: Duration = Duration::from_secs(150);

/// The script, or what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it calls itself, such as `4.3`, where that can be told.
    pub version: Option<String>,
    /// Its files of figures, by the port that they are of.
    states: Vec<(String, PathBuf)>,
}

/// What was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// The script's version.
    pub version: Option<String>,
    /// The entries of its configuration.
    pub ports: usize,
    /// Of these, those whose figures came from files of their own.
    pub states: usize,
    /// Where everything is as it was before.
    pub backup: PathBuf,
    /// Whether its menu may still be open somewhere.
    pub menu_open: bool,
}

/// A takeover that goes on. Nobody else settles anything meanwhile.
#[must_use]
pub(crate) struct Takeover {
    done: TakenOver,
    states: PathBuf,
    _alone: Lock,
    _lock: Lock,
}

impl Script {
    /// The script, if it is here: the program, or figures that no run of pm has taken over yet.
    pub fn find(site: &Site<'_>) -> Result<Option<Self>, SetupError> {
        let program = file::read(&program_path(site, "pm")).unwrap_or_default();
        let is_script = program.starts_with(b"#!") && is_ours(&program);
        let states = states(site)?;
        let taken_over = || {
            let file = Store::new(&site.paths).load().ok().flatten();
            file.is_none_or(|file| file.snapshot.state.last_run.is_some())
        };
        if !is_script && (states.is_empty() || taken_over()) {
            return Ok(None);
        }
        Ok(Some(Self { version: version(&String::from_utf8_lossy(&program)), states }))
    }

    /// Keeps everything as it is, then writes the script's figures into the configuration.
    pub(crate) fn take_over(self, site: &Site<'_>, now: &Zoned) -> Result<Takeover, SetupError> {
        let alone = Lock::wait_up_to(&site.paths.cron_lock(), PATIENCE)?;
        let lock = Lock::wait(&site.paths.lock())?;
        let crontab = schedule::read_crontab(site)?;
        let word = format!("etc/port_monitor/before-pm-{}", now.strftime("%Y%m%d-%H%M%S"));
        let backup = site.paths.join(&word);
        place::private_folder(&site.paths.join("etc/port_monitor"))?;
        place::private_folder(&backup)?;
        let keep = |name: &str, bytes: &[u8]| place::file(&backup.join(name), bytes, 0o600).map(drop);
        for (name, path) in [("pm", program_path(site, "pm")), ("config.json", site.paths.config())] {
            match file::read(&path) {
                Ok(bytes) => keep(name, &bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(SetupError::Read { path, source }),
            }
        }
        keep("crontab", &crontab)?;
        let (ports, states) = self.merge(site)?;
        let menu_open = lower_flag(&site.paths.join("tmp/pm_user_editing"));
        let done = TakenOver { version: self.version, ports, states, backup, menu_open };
        Ok(Takeover { done, states: states_folder(site), _alone: alone, _lock: lock })
    }

    /// The configuration with the figures of the files in it. Returns how many entries there are, and how many files.
    fn merge(&self, site: &Site<'_>) -> Result<(usize, usize), SetupError> {
        let store = Store::new(&site.paths);
        let Some(Decoded { snapshot, .. }) = store.load()? else { return Ok((0, 0)) };
        let ports = snapshot.config.ports.len();
        if self.states.is_empty() {
            return Ok((ports, 0));
        }
        let mut document: Value = serde_json::from_slice(&wire::encode(&snapshot)).unwrap_or_default();
        let mut merged = 0;
        for (port, path) in &self.states {
            let Some(entry) = document["ports"].get_mut(port).and_then(Value::as_object_mut) else {
                continue;
            };
            let text =
                file::read_own(path).map_err(|source| SetupError::Read { path: path.clone(), source })?;
            figures(&String::from_utf8_lossy(&text), entry).map_err(|(line, reason)| SetupError::State {
                path: path.clone(),
                line,
                reason,
            })?;
            merged += 1;
        }
        let text = document.to_string();
        let decoded = wire::decode(text.as_bytes());
        let Decoded { snapshot: Snapshot { config, state, extras }, .. } = decoded.map_err(|error| {
            let path = states_folder(site);
            SetupError::State { path, line: 0, reason: format!("{}: {}", error.field, error.reason) }
        })?;
        store.save(&Snapshot { config, state, extras })?;
        Ok((ports, merged))
    }
}

impl Takeover {
    /// Puts the files of figures away, now that the script cannot run any more.
    pub(crate) fn finish(self) -> Result<TakenOver, SetupError> {
        let target = self.done.backup.join("state");
        match fs::rename(&self.states, &target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SetupError::Write { path: target, source: error })
            }
            _ => Ok(self.done),
        }
    }
}

fn states_folder(site: &Site<'_>) -> PathBuf {
    site.paths.join("etc/port_monitor/state")
}

/// The files of figures, by port.
fn states(site: &Site<'_>) -> Result<Vec<(String, PathBuf)>, SetupError> {
    let folder = states_folder(site);
    let listed = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(|source| SetupError::Read { path: folder, source })?,
    };
    let port = |path: PathBuf| {
        let port = path.file_name()?.to_str()?.strip_suffix(".txt")?.to_owned();
        port.bytes().all(|byte| byte.is_ascii_digit()).then_some((port, path))
    };
    let mut states: Vec<(String, PathBuf)> =
        listed.flatten().filter_map(|file| port(file.path())).filter(|(_, path)| is_plain(path)).collect();
    states.sort();
    Ok(states)
}

/// Whether the script's menu was open, as far as its file in `/tmp` tells, where anybody can put anything. The file is
/// removed; a folder or the like is none of the script's, and nothing depends on it.
fn lower_flag(path: &Path) -> bool {
    let is_up = is_plain(path);
    if is_up {
        // It does no harm, now that nobody looks for it.
        let _ = fs::remove_file(path);
    }
    is_up
}

fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_file())
}

/// What the script calls itself.
fn version(text: &str) -> Option<String> {
    let assigned = text.lines().find_map(|line| line.trim().strip_prefix("SCRIPT_VERSION="));
    let headed = || text.lines().take(20).find_map(|line| line.split_once("版本: v").map(|(_, rest)| rest));
    let version: String = assigned
        .or_else(headed)?
        .trim_start_matches(['"', '\'', 'v'])
        .chars()
        .take_while(|&character| character.is_ascii_digit() || character == '.')
        .collect();
    (!version.is_empty()).then_some(version)
}

enum Kind {
    Number,
    Switch,
}

/// The name in a file of figures, and where the value belongs in an entry of the configuration.
const NAMES: [(&str, &str, &str, Kind); 11] = [
    ("s_acc_in", "stats", "acc_in", Kind::Number),
    ("s_acc_out", "stats", "acc_out", Kind::Number),
    ("s_last_k_in", "stats", "last_kernel_in", Kind::Number),
    ("s_last_k_out", "stats", "last_kernel_out", Kind::Number),
    ("s_last_reset_ts", "", "last_reset_ts", Kind::Number),
    ("s_strike", "dyn_limit", "strike_count", Kind::Number),
    ("s_is_punished", "dyn_limit", "is_punished", Kind::Switch),
    ("s_punish_end_ts", "dyn_limit", "punish_end_ts", Kind::Number),
    ("s_quota_level", "notify_state", "quota_level", Kind::Number),
    ("s_punish_notified", "notify_state", "punish_notified", Kind::Switch),
    ("s_recover_notified", "notify_state", "recover_notified", Kind::Switch),
];

/// Writes the figures of a file into an entry. What is no figure of ours is passed over; a figure that is none is
/// refused, with its line.
fn figures(text: &str, entry: &mut Map<String, Value>) -> Result<(), (usize, String)> {
    for (number, line) in text.lines().enumerate() {
        let Some((name, value)) = line.trim().split_once('=') else { continue };
        let Some((_, group, field, kind)) = NAMES.iter().find(|(known, ..)| *known == name) else { continue };
        let value = value.trim_matches(['"', '\'']);
        let value = match kind {
            // The script reads nothing as 0.
            Kind::Number if value.is_empty() => Some(Value::from(0)),
            Kind::Number => value.parse::<u64>().ok().map(Value::from),
            Kind::Switch => Some(Value::from(value == "true")),
        };
        let shown = || pm_core::units::shown(line);
        let value = value.ok_or_else(|| (number + 1, format!("`{}` holds no whole number", shown())))?;
        let object = match *group {
            "" => &mut *entry,
            group => {
                let inner = entry.entry(group).or_insert_with(|| Value::Object(Map::new()));
                inner.as_object_mut().ok_or_else(|| (number + 1, format!("`{group}` is no object")))?
            }
        };
        object.insert((*field).to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_data_and_no_line_is_ever_run() {
        let folder = tempfile::tempdir().unwrap();
        let trap = folder.path().join("trap");
        let text = format!(
            "s_acc_in=5000000000\r\ns_acc_out=\"7\"\ns_strike=\ns_is_punished=true\ns_last_alert_ips=1.2.3.4,5.6.7.8\ntouch {0}\ns_unknown=$(touch {0})\n",
            trap.display()
        );
        let mut entry = Map::new();
        figures(&text, &mut entry).unwrap();
        assert_eq!(
            Value::Object(entry).to_string(),
            r#"{"dyn_limit":{"is_punished":true,"strike_count":0},"stats":{"acc_in":5000000000,"acc_out":7}}"#
        );
        assert!(!trap.exists());
        for wrong in ["s_acc_in=$(id)", "s_acc_in=1.2e+10", "s_acc_in=-1", "s_acc_in=1; id"] {
            let (line, reason) = figures(&format!("s_strike=1\n{wrong}\n"), &mut Map::new()).unwrap_err();
            assert!(line == 2 && reason.contains(wrong), "{line} {reason}");
        }
    }

    #[test]
    fn what_somebody_put_in_place_of_the_scripts_flag_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let flag = folder.path().join("pm_user_editing");
        assert!(!lower_flag(&flag));
        fs::write(&flag, "").unwrap();
        assert!(lower_flag(&flag) && !flag.exists());
        fs::create_dir_all(flag.join("as/deep/as/one/likes")).unwrap();
        assert!(!lower_flag(&flag) && flag.exists());
    }

    #[test]
    fn the_script_tells_its_version() {
        for (text, told) in [
            ("#!/bin/bash\n# 版本: v4.3 Stable\n", Some("4.3")),
            ("#!/bin/bash\nSCRIPT_VERSION=\"5.4.0\"\n", Some("5.4.0")),
            ("#!/bin/bash\n", None),
        ] {
            assert_eq!(version(text).as_deref(), told);
        }
    }
}
