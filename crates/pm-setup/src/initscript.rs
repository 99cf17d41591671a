//! The script by which `OpenRC` and sysvinit bring the rules back at boot, and settle the accounts at shutdown.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pm_kernel::file;

use crate::error::SetupError;
use crate::place::{self, Placed};
use crate::site::Site;
use crate::system::SystemError;

/// Where both look for it.
const SCRIPT: &str = "etc/init.d/pm";
/// `OpenRC`'s runlevels, a folder of links each.
const RUNLEVELS: &str = "etc/runlevels";
/// The folders of links by which sysvinit starts and stops it; what begins a link's name there; and its number where
/// the script of the network has none: late at boot, when every file system is there, and early at shutdown, when every
/// file system still is.
const LEVELS: [(&str, char, &str); 3] = [("rcS.d", 'S', "40"), ("rc0.d", 'K', "01"), ("rc6.d", 'K', "01")];
/// Debian's script of the network.
const NETWORK: &str = "networking";

const OPENRC: &str = r#"#!/sbin/openrc-run

description="Port traffic rules at boot, and a last minute of accounting at shutdown"

depend() {
	need localmount
	after bootmisc sysctl nftables iptables ip6tables ufw firewalld
	before net
}

# A fault is told by the next minute; it must keep neither the machine nor the last minute from its end.
start() {
	ebegin "Bringing port traffic rules into force"
	/usr/local/bin/pm-monitor --no-tell --quiet
	eend 0
}

stop() {
	ebegin "Settling port traffic accounts"
	/usr/local/bin/pm-monitor --no-tell --quiet
	eend 0
}
"#;

const SYSV: &str = r#"#!/bin/sh
### BEGIN INIT INFO
# Provides:          pm
# Required-Start:    $local_fs
# Required-Stop:     $local_fs
# Should-Start:      nftables netfilter-persistent ufw
# Should-Stop:       nftables netfilter-persistent ufw
# Default-Start:     S
# Default-Stop:      0 6
# X-Start-Before:    $network
# X-Stop-After:      $network
# Short-Description: Port traffic rules at boot, a last minute of accounting at shutdown
### END INIT INFO

case "$1" in
start | stop | restart | force-reload)
	# A fault is told by the next minute; it must not hold up boot or shutdown.
	/usr/local/bin/pm-monitor --no-tell --quiet || :
	;;
status)
	exec /usr/local/bin/pm doctor
	;;
*)
	echo "Usage: $0 {start|stop|restart|force-reload|status}" >&2
	exit 2
	;;
esac
"#;

/// Who starts and stops the machine, where systemd does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// `OpenRC`: Alpine, Gentoo.
    OpenRc,
    /// sysvinit: Devuan, Debian without systemd.
    SysV,
}

impl Init {
    /// Who does it at this site; none where it is systemd or nobody, as in most containers.
    pub fn of(site: &Site<'_>) -> Option<Self> {
        if site.has_systemd() { None } else { Self::behind(site) }
    }

    /// Who would do it without systemd. `/etc/init.d` alone says nothing: a Debian without any init has it, too.
    fn behind(site: &Site<'_>) -> Option<Self> {
        let here = |path: &str| site.paths.join(path).exists();
        if has(site, "rc-update") {
            Some(Self::OpenRc)
        } else if here("etc/inittab") && here("etc/init.d") && (has(site, "update-rc.d") || here("etc/rc0.d"))
        {
            Some(Self::SysV)
        } else {
            None
        }
    }

    const fn script(self) -> &'static str {
        match self {
            Self::OpenRc => OPENRC,
            Self::SysV => SYSV,
        }
    }

    /// Whether the script is there and registered.
    pub(crate) fn stands(self, site: &Site<'_>) -> bool {
        file::read(&path(site)).is_ok_and(|present| present == self.script().as_bytes())
            && self.is_registered(site)
    }

    /// Puts the script there and registers it. True when something was changed.
    pub(crate) fn apply(self, site: &Site<'_>) -> Result<bool, SetupError> {
        let mut changed = place::file(&path(site), self.script().as_bytes(), 0o755)? != Placed::Same;
        if !self.is_registered(site) {
            changed = true;
            match self {
                Self::OpenRc if site.live => run(site, &["rc-update", "add", "pm", "default"])?,
                Self::OpenRc => {
                    let link = site.paths.join(RUNLEVELS).join("default/pm");
                    place::link(&link, &Path::new("/").join(SCRIPT)).map(drop)?;
                }
                Self::SysV if site.live && has(site, "update-rc.d") => {
                    run(site, &["update-rc.d", "pm", "defaults"])?;
                }
                Self::SysV => link_levels(site)?,
            }
        }
        // OpenRC stops only what it has started.
        if changed && self == Self::OpenRc && openrc_runs(site) {
            run(site, &["rc-service", "pm", "start"])?;
        }
        Ok(changed)
    }

    fn is_registered(self, site: &Site<'_>) -> bool {
        let links = links(site);
        match self {
            Self::OpenRc => links.iter().any(|link| link.starts_with(site.paths.join(RUNLEVELS))),
            Self::SysV => LEVELS.iter().all(|(level, start, _)| {
                let folder = site.paths.join("etc").join(level);
                links.iter().any(|link| link.parent() == Some(&folder) && name(link).starts_with(*start))
            }),
        }
    }
}

/// Where the script is.
pub(crate) fn path(site: &Site<'_>) -> PathBuf {
    site.paths.join(SCRIPT)
}

/// Whether there is a script of our name that is not ours.
pub(crate) fn is_foreign(site: &Site<'_>) -> bool {
    file::read(&path(site)).is_ok_and(|present| !is_ours(&present))
}

/// Tells the init system that the script goes. Nothing is told where there is none of ours.
pub(crate) fn dismiss(site: &Site<'_>) -> Result<(), SetupError> {
    if !site.live || !file::read(&path(site)).is_ok_and(|present| is_ours(&present)) {
        return Ok(());
    }
    match Init::behind(site) {
        Some(Init::OpenRc) => {
            let stopped = if openrc_runs(site) { run(site, &["rc-service", "pm", "stop"]) } else { Ok(()) };
            let registered = Init::OpenRc.is_registered(site);
            let left = if registered { run(site, &["rc-update", "--all", "del", "pm"]) } else { Ok(()) };
            stopped.and(left)
        }
        Some(Init::SysV) if has(site, "update-rc.d") => run(site, &["update-rc.d", "-f", "pm", "remove"]),
        Some(Init::SysV) | None => Ok(()),
    }
}

/// Removes the script and its links. True when there was something; what is somebody else's stays.
pub(crate) fn remove(site: &Site<'_>) -> Result<bool, SetupError> {
    if is_foreign(site) {
        return Ok(false);
    }
    let mut removed = false;
    for link in links(site) {
        removed |= place::remove(&link)?;
    }
    Ok(place::remove(&path(site))? || removed)
}

/// Both scripts call the monitor by its path, in every version.
fn is_ours(script: &[u8]) -> bool {
    const CALL: &[u8] = b"/usr/local/bin/pm-monitor --no-tell --quiet";
    script.windows(CALL.len()).any(|window| window == CALL)
}

/// The links to the script, of either system.
fn links(site: &Site<'_>) -> Vec<PathBuf> {
    let within =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let runlevels = within(site.paths.join(RUNLEVELS)).map(|level| level.join("pm"));
    let is_level = |path: &PathBuf| {
        name(path).strip_prefix("rc").is_some_and(|level| level.strip_suffix(".d").is_some())
    };
    let levels = within(site.paths.join("etc")).filter(is_level).flat_map(within);
    let leads_here = |path: &PathBuf| fs::read_link(path).is_ok_and(|target| target.ends_with("init.d/pm"));
    runlevels.chain(levels).filter(leads_here).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// What `update-rc.d` does: the number of the network's script puts ours, by its name, right behind that.
fn link_levels(site: &Site<'_>) -> Result<(), SetupError> {
    for (level, start, usual) in LEVELS {
        let folder = site.paths.join("etc").join(level);
        let beside = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(SetupError::Read { path: folder, source }),
        };
        let number = |path: &PathBuf| Some(name(path).strip_prefix(start)?.strip_suffix(NETWORK)?.to_owned());
        let number = beside.iter().find_map(number).unwrap_or_else(|| usual.to_owned());
        place::link(&folder.join(format!("{start}{number}pm")), Path::new("../init.d/pm"))?;
    }
    Ok(())
}

/// Whether the running system, or the one below the root, has this program.
fn has(site: &Site<'_>, program: &str) -> bool {
    let below = || {
        ["sbin", "usr/sbin", "bin", "usr/bin"]
            .iter()
            .any(|folder| site.paths.join(folder).join(program).exists())
    };
    if site.live { site.system.has(program) } else { below() }
}

/// `OpenRC` makes this folder when it boots the machine. Where it did not, it starts and stops nothing.
fn openrc_runs(site: &Site<'_>) -> bool {
    site.live && site.paths.join("run/openrc").is_dir()
}

fn run(site: &Site<'_>, command: &[&str]) -> Result<(), SetupError> {
    let failed = |source: SystemError| SetupError::Init { command: command.join(" "), source };
    site.system.run(command, b"").map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_are_as_they_were_reviewed_and_a_shell_can_read_them() {
        for (name, script) in [("openrc", OPENRC), ("sysvinit", SYSV)] {
            insta::assert_snapshot!(name, script);
            assert!(is_ours(script.as_bytes()));
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("pm");
            fs::write(&path, script).unwrap();
            let status = std::process::Command::new("sh").arg("-n").arg(&path).status().unwrap();
            assert!(status.success(), "{name}");
        }
        assert!(!is_ours(b"#!/bin/sh\n/usr/local/bin/pm --monitor\n"));
    }
}
