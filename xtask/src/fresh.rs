//! `cargo xtask fresh`: from a Debian that has nothing to a metered port, with what a release installs.
//!
//! The machine is a folder, its network a namespace of its own. Packages come from Debian's servers beforehand, so that
//! `pm install` finds them as it would on a machine with a network.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::dist;
use crate::enclosure;
use crate::shell::{capture, command, root, run};
use crate::tools::{self, Tool, is_root};

const SUITE: &str = "bookworm";

const TOOLS: &[Tool] = &[
    Tool { needed: "debootstrap", package: "debootstrap" },
    Tool { needed: "dpkg-deb", package: "dpkg" },
    Tool { needed: "unshare", package: "util-linux" },
    Tool { needed: "setpriv", package: "util-linux" },
];

/// What happens on the new machine. Every line has to succeed.
const STORY: &str = r#"set -eu
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PM_LANG=en
no() { if "$@"; then echo "this should have failed: $*"; exit 1; fi; }
mount -t proc proc /proc
for program in nft tc crontab; do no command -v $program; done

echo '== pm install: everything but that cron runs, which it says'
no /opt/pm install --yes
for program in nft crontab pm pm-monitor; do command -v $program; done
no command -v tc
crontab -l
[ "$(stat -c %a /etc/port_monitor /etc/port_monitor/config.json | tr '\n' ' ')" = '700 600 ' ]

echo '== again, with cron: nothing changes'
cron
sums() { md5sum /usr/local/bin/pm /usr/local/bin/pm-monitor /var/spool/cron/crontabs/root; }
before=$(sums)
/opt/pm install --yes
[ "$before" = "$(sums)" ]

echo '== a port is metered'
ip link set lo up
pm add 10086 --quota 1MB --comment fresh
for datagram in 1 2 3 4 5 6 7 8 9 10; do
  { printf '%100s' '' > /dev/udp/127.0.0.1/10086; } 2> /dev/null || true
done
pm list
pm show 10086 --json | grep -F '"in_bytes":1280,'

echo '== cron runs the next minute'
ran() { pm list --json | grep -o '"last_run_ts":[0-9]*'; }
last=$(ran)
for second in $(seq 75); do [ "$(ran)" = "$last" ] || break; sleep 1; done
no [ "$(ran)" = "$last" ]
pm show 10086 --json | grep -F '"in_bytes":1280,'

echo '== pm uninstall'
pm uninstall --yes
for left in /usr/local/bin/pm /usr/local/bin/pm-monitor /etc/port_monitor; do no [ -e $left ]; done
no nft list table inet port_monitor 2> /dev/null
no crontab -l 2> /dev/null
"#;

pub(crate) fn task(words: &[String]) -> Result<()> {
    ensure!(words.is_empty(), "fresh takes no words");
    ensure!(is_root(), "only root can make a machine in a folder: run this as root");
    tools::ensure(TOOLS)?;
    enclosure::ensure_possible()?;
    let programs = dist::build(dist::this_machine()?)?;
    let machine = bare()?;
    for name in pm_release::PROGRAMS {
        fs::copy(programs.join(name), machine.path().join("opt").join(name))?;
    }
    fs::write(machine.path().join("opt/story"), STORY)?;
    let mut story = enclosure::enclosed("chroot", [machine.path()]);
    story.args(["bash", "/opt/story"]);
    run(story)?;
    println!("\nfrom nothing to a metered port, and back to nothing");
    Ok(())
}

/// A new machine: a copy of one that was made once.
fn bare() -> Result<tempfile::TempDir> {
    let ready = root().join("target/fresh");
    if !ready.is_dir() {
        println!("making a machine with Debian {SUITE}");
        let unfinished = root().join("target/fresh.unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        let mut make = command("debootstrap", ["--variant=minbase", SUITE]);
        make.arg(&unfinished);
        capture(make).context("the machine cannot be made")?;
        // Fetched, not installed: that is what pm install is there for.
        let mut fetch = command("chroot", [unfinished.as_path()]);
        fetch.args(["sh", "-c", "apt-get update && apt-get install --yes --download-only nftables cron"]);
        fetch.env("DEBIAN_FRONTEND", "noninteractive").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        capture(fetch).context("the packages cannot be fetched")?;
        fs::rename(&unfinished, &ready)?;
    }
    let machine = tempfile::tempdir_in(root().join("target"))?;
    let mut copy = command("cp", ["-a"]);
    copy.arg(ready.join(".")).arg(machine.path());
    run(copy)?;
    Ok(machine)
}
