//! Work inside of a network namespace without another process around it: what a process costs is measured here.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use pm_tests::namespace::Namespace;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does it on a thread that has moved there; programs that it starts are there too.
pub(super) fn inside<T: Send>(namespace: &Namespace, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let place = format!("/proc/{}/ns/net", namespace.id());
    let moved = || {
        enter(place.as_ref())?;
        work()
    };
    thread::scope(|scope| scope.spawn(moved).join()).map_err(|_| anyhow!("the work in {place} panicked"))?
}

/// Moves this thread: sockets belong to the namespace in which they were opened.
pub(super) fn enter(namespace: &Path) -> Result<()> {
    let file = File::open(namespace).with_context(|| namespace.display().to_string())?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Does it elsewhere and comes back.
pub(super) fn elsewhere<T>(namespace: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Opened before, since by then this path leads elsewhere too.
    let here = File::open("/proc/thread-self/ns/net")?;
    enter(namespace)?;
    let done = work();
    move_into_link_name_space(here.as_fd(), Some(LinkNameSpaceType::Network))?;
    done
}
