//! A Debian as a machine: its files as the image of a disk, and its kernel.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::shell::{capture, command, root};
use crate::tools;

/// A release of Debian.
#[derive(Debug)]
pub(super) struct Debian {
    /// Its number, as people say it.
    pub(super) number: &'static str,
    /// Its name, as debootstrap has it.
    suite: &'static str,
}

/// What a machine is started from.
#[derive(Debug)]
pub(super) struct Machine {
    /// The kernel, beside whose folder `lib/modules` stands.
    pub(super) kernel: PathBuf,
    /// The disk.
    pub(super) disk: PathBuf,
}

/// Size of a disk: its files, and room for what apt-get left behind.
const DISK: &str = "2G";

/// Gets the packages `$@` and unpacks Debian's kernel, without installing it: it is started from outside.
const FURNISH: &str = r#"set -eu
apt-get update
apt-get install --yes --no-install-recommends "$@"
apt-get clean
cd /kernel
image=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: *\(linux-image-[0-9].*\)/\1/p' | head -n 1)
apt-get download "$image"
dpkg-deb -x linux-image-*.deb .
rm linux-image-*.deb
mkdir -p /lib/modules
cp -a lib/modules/. /lib/modules/ 2> /dev/null || cp -a usr/lib/modules/. /lib/modules/
version=$(ls /lib/modules)
depmod "$version"
rm -rf lib usr/share
mkdir lib
cp -a /lib/modules lib/"#;

/// What a laboratory needs that is part of every Debian but the smallest.
const FURNITURE: &[&str] = &["kmod", "procps", "cron", "ca-certificates"];

impl Debian {
    /// All that pm supports; the oldest is the floor.
    pub(super) const ALL: [Self; 3] = [
        Self { number: "11", suite: "bullseye" },
        Self { number: "12", suite: "bookworm" },
        Self { number: "13", suite: "trixie" },
    ];

    /// The machine, made when it is asked for the first time.
    pub(super) fn machine(&self) -> Result<Machine> {
        let ready = root().join("target/vm").join(self.number);
        if !ready.is_dir() {
            println!("making a machine with {self}");
            let unfinished = ready.with_extension("unfinished");
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished).context("the last attempt is in the way")?;
            }
            fs::create_dir_all(&unfinished)?;
            self.make(&unfinished)?;
            fs::rename(&unfinished, &ready)?;
        }
        let kernels = ready.join("kernel/boot");
        let kernel = fs::read_dir(&kernels)
            .with_context(|| kernels.display().to_string())?
            .filter_map(|file| Some(file.ok()?.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
            .with_context(|| format!("no kernel is in {}: remove that machine", kernels.display()))?;
        Ok(Machine { kernel, disk: ready.join("disk") })
    }

    fn make(&self, folder: &Path) -> Result<()> {
        let files = folder.join("files");
        let mut debootstrap = command("debootstrap", ["--variant=minbase", self.suite]);
        debootstrap.arg(&files);
        capture(debootstrap).context("debootstrap cannot make it")?;
        fs::create_dir(files.join("kernel"))?;
        let mut packages: Vec<&str> = tools::LABORATORY.iter().map(|tool| tool.package).collect();
        packages.extend(FURNITURE);
        packages.sort_unstable();
        packages.dedup();
        let mut furnish = command("chroot", [files.as_path()]);
        furnish.args(["sh", "-c", FURNISH, "sh"]).args(packages);
        furnish.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        furnish.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        capture(furnish).context("its packages cannot be had")?;
        fs::rename(files.join("kernel"), folder.join("kernel"))?;
        // A disk: over the folders that qemu shares, one start of nft takes four seconds.
        let mut format = command("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-d"]);
        format.arg(&files).arg(folder.join("disk")).arg(DISK);
        capture(format).context("its disk cannot be made")?;
        fs::remove_dir_all(&files)?;
        Ok(())
    }
}

impl fmt::Display for Debian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Debian {}", self.number)
    }
}
