//! The packages: the programs in a folder of the package's own, from where `pm install` puts them to work.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::Machine;
use crate::shell::{capture, cargo, command, root, run};

const NAME: &str = "port-monitor";
const SUMMARY: &str = "Per-port traffic quotas, limits and accounting for shared servers";
const DESCRIPTION: &str = "Gives every person on a shared server a port with a traffic quota: metered in the kernel to the byte, cut off at the packet, limited in speed, reset monthly.";

/// What a package does when it is there: the same as a person who installs pm by hand. That it cannot, such as in a
/// chroot without a running system, is no fault of the package.
const AFTER_INSTALL: &str = "\
/usr/lib/pm/pm install --yes || echo 'port-monitor: run /usr/lib/pm/pm install when the system runs' >&2
";
/// What it does when it goes: the accounts stay, as configuration does.
const BEFORE_REMOVE: &str = "\
if [ -x /usr/local/bin/pm ]; then /usr/local/bin/pm uninstall --keep-data --yes || true; fi
";

/// Makes a `.deb` in `folder`.
pub(super) fn deb(built: &Path, machine: &Machine, version: &str, folder: &Path) -> Result<()> {
    let tree = tree(built)?;
    let control = tree.path().join("DEBIAN");
    fs::create_dir(&control)?;
    let text = format!(
        "Package: {NAME}\nVersion: {version}\nArchitecture: {}\nMaintainer: The pm developers <pm@localhost>\nSection: net\nPriority: optional\nDepends: nftables, cron | systemd-sysv\nDescription: {SUMMARY}\n {DESCRIPTION}\n",
        machine.deb
    );
    fs::write(control.join("control"), text)?;
    script(&control.join("postinst"), &format!("[ \"$1\" = configure ] || exit 0\n{AFTER_INSTALL}"))?;
    script(&control.join("prerm"), &format!("[ \"$1\" = remove ] || exit 0\n{BEFORE_REMOVE}"))?;
    let file = folder.join(format!("{NAME}_{version}_{}.deb", machine.deb));
    let mut packer = command("dpkg-deb", ["--root-owner-group", "-Zxz", "--build"]);
    packer.arg(tree.path()).arg(file);
    capture(packer).map(drop)
}

/// Makes an `.rpm` in `folder`.
pub(super) fn rpm(built: &Path, machine: &Machine, version: &str, folder: &Path) -> Result<()> {
    let tree = tree(built)?;
    let work = tempfile::tempdir()?;
    // The programs are as they are to be: nothing is compiled, stripped or looked into.
    let spec = format!(
        "%global debug_package %{{nil}}\n%global __os_install_post %{{nil}}\n%global _build_id_links none\nAutoReqProv: no\n\
         Name: {NAME}\nVersion: {version}\nRelease: 1\nSummary: {SUMMARY}\nLicense: MIT\nRequires: nftables\n\n\
         %description\n{DESCRIPTION}\n\n%install\ncp -a {}/. %{{buildroot}}/\n\n\
         %post\n{AFTER_INSTALL}\n%preun\n[ \"$1\" = 0 ] || exit 0\n{BEFORE_REMOVE}\n\
         %files\n/usr/lib/pm\n/usr/share/man/man1/*\n/usr/share/bash-completion/completions/pm\n/usr/share/doc/{NAME}\n",
        tree.path().display()
    );
    let file = work.path().join("pm.spec");
    fs::write(&file, spec)?;
    let mut packer = command("rpmbuild", ["-bb", "--quiet", "--target", &format!("{}-linux", machine.rpm)]);
    packer.arg("--define").arg(format!("_topdir {}", work.path().display())).arg(file);
    capture(packer)?;
    let name = format!("{NAME}-{version}-1.{}.rpm", machine.rpm);
    let made = work.path().join("RPMS").join(machine.rpm).join(&name);
    fs::copy(&made, folder.join(name)).with_context(|| made.display().to_string())?;
    Ok(())
}

/// What a package puts onto a machine.
fn tree(built: &Path) -> Result<TempDir> {
    let tree = tempfile::tempdir()?;
    fs::set_permissions(tree.path(), Permissions::from_mode(0o755))?;
    let folder = |path: &str| -> Result<PathBuf> {
        let folder = tree.path().join(path);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let programs = folder("usr/lib/pm")?;
    for name in pm_release::PROGRAMS {
        fs::copy(built.join(name), programs.join(name))?;
        fs::set_permissions(programs.join(name), Permissions::from_mode(0o755))?;
    }
    // The manual and the completions are the same on every machine, so this one's own pm writes them.
    let pm = |words: &[&str]| {
        cargo(["run", "--quiet", "--package", "pm-cli", "--bin", "pm", "--"].iter().chain(words))
    };
    let manual = folder("usr/share/man/man1")?;
    let mut write = pm(&["manual"]);
    write.arg(&manual);
    run(write)?;
    for page in fs::read_dir(&manual)? {
        run(command("gzip", ["-9n".as_ref(), page?.path().as_os_str()]))?;
    }
    let completions = folder("usr/share/bash-completion/completions")?;
    fs::write(completions.join("pm"), capture(pm(&["completions", "bash"]))?)?;
    let documents = folder("usr/share/doc/port-monitor")?;
    fs::copy(root().join("LICENSE"), documents.join("copyright"))?;
    fs::copy(root().join("CHANGELOG.md"), documents.join("CHANGELOG.md"))?;
    Ok(tree)
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\nset -e\n{text}"))?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}
