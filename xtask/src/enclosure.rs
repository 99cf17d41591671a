//! A world of its own for whatever touches the network: new namespaces, which take everything in them along when they end.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::shell::{command, works};
use crate::tools::is_root;

/// The first process of the enclosure. It stays the first, since a first process that has no handler ignores Ctrl-C; its
/// end is the end of every other one. Temporary files go to a filesystem that ends with the enclosure too. The tests that
/// change the network around them look for `PM_ENCLOSED`.
const FIRST: &str = r#"trap "exit 130" INT TERM
mount -t tmpfs -o mode=0755 tmpfs /mnt && export TMPDIR=/mnt PM_ENCLOSED=1 && ip link set lo up && "$@""#;

/// The words that put a program, whose own words follow, into an enclosure.
pub(crate) fn words() -> Vec<&'static str> {
    // setpriv: nobody outlives the one who asked, however that one ended.
    let mut words = vec!["setpriv", "--pdeathsig", "KILL", "unshare"];
    if !is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    words.extend(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    words.extend(["sh", "-c", FIRST, "sh"]);
    words
}

/// A command that runs a program in an enclosure.
pub(crate) fn enclosed<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let words = words();
    let mut command = command(words[0], &words[1..]);
    command.arg(program).args(args);
    command
}

/// Fails with what to do when no enclosure can be made here.
pub(crate) fn ensure_possible() -> Result<()> {
    ensure!(
        works(enclosed("nft", ["add table inet probe"])),
        "network namespaces with nftables cannot be made here{}",
        if is_root() {
            ": the kernel, or the container that this runs in, does not allow them"
        } else {
            " without root: run this as root, or allow unprivileged user namespaces"
        }
    );
    Ok(())
}
