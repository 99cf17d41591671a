//! Why traffic could not be shaped, and what to do about it.

use std::io;
use std::path::PathBuf;

use pm_core::backend::{BackendError, Fault};
use pm_kernel::boot::BootError;
use pm_kernel::netlink::NetlinkError;

use crate::difference::Step;

/// Why traffic could not be shaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShaperError {
    /// There is nothing to shape on.
    #[error(
        "the limits wait: this machine has no default route, so name the interface to limit with `pm set --interface NAME`, or set a route"
    )]
    NoInterface,
    /// The interface does not exist.
    #[error(
        "there is no network interface `{0}`, so no port is limited: `ip link` shows the names, `pm set --interface NAME` sets one"
    )]
    NoSuchInterface(String),
    /// Somebody shapes the interface already.
    #[error(
        "`{interface}` is already shaped by somebody's `{kind}` ({handle}), so no port is limited: `pm set --interface {interface} --take-over` replaces it"
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// The kind of what stands there.
        kind: String,
        /// Its handle.
        handle: String,
    },
    /// The kernel has no HTB.
    #[error(
        "this kernel has no HTB, so no port is limited; metering and quotas go on. Load it with `modprobe sch_htb`; if there is no such module, install your distribution's standard kernel, and in a container load it on the host"
    )]
    NoHtb(#[source] NetlinkError),
    /// This process may not look at the traffic control.
    #[error("only root may read the traffic control: run this as root, for example with sudo")]
    ReadPermission(#[source] NetlinkError),
    /// This process may not change the traffic control.
    #[error("only root may limit ports: run this as root, for example with sudo")]
    WritePermission(#[source] NetlinkError),
    /// This process may not change the traffic control.
    #[error("only root may take limits away: run this as root, for example with sudo")]
    RemovePermission(#[source] NetlinkError),
    /// The kernel did not say what stands.
    #[error("the traffic control cannot be read")]
    Read(#[source] NetlinkError),
    /// The kernel did not say whether it changed the traffic control.
    #[error("the limits cannot be set")]
    Write(#[source] NetlinkError),
    /// The kernel did not change the traffic control.
    #[error("on `{interface}`, {what}; the next minute tries again")]
    Refused {
        /// The interface.
        interface: String,
        /// What does not happen.
        what: String,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// What was written did not stand afterwards.
    #[error(
        "the limits on `{0}` do not stand as they were set: another program changes them, or this kernel does not keep them; `tc class show dev {0}` shows what stands"
    )]
    Unstable(String),
    /// Our root could not be taken away.
    #[error(
        "the limits on `{interface}` cannot be taken away: `tc qdisc del dev {interface} root` does it by hand"
    )]
    Remove {
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// What stood there before could not be set again.
    #[error(
        "the limits on `{interface}` are gone, but its earlier `{kind}` could not be put back: `tc qdisc replace dev {interface} root {kind}` does it by hand"
    )]
    PutBack {
        /// The interface.
        interface: String,
        /// The kind of what stood there.
        kind: String,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// It is not known which run of the machine this is, so no note could be believed.
    #[error("it cannot be told whether what stands in the traffic control is pm's")]
    Boot(#[source] BootError),
    /// The note of what stood before could not be read.
    #[error("cannot read {}, where pm notes what stood before its limits", path.display())]
    ReadRecord {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The note of what stood before is damaged.
    #[error(
        "{} is not what pm wrote there about the traffic control: move it away, then `pm set --interface NAME --take-over` sets the limits anew",
        path.display()
    )]
    BrokenRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The note of what stands could not be written, so nothing was changed.
    #[error("cannot write {}, where pm notes what stood before its limits", path.display())]
    WriteRecord {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ShaperError {
    fn fault(&self) -> Fault {
        match self {
            Self::ReadPermission(_) | Self::WritePermission(_) | Self::RemovePermission(_) => {
                Fault::Permission
            }
            Self::ReadRecord { source, .. } | Self::WriteRecord { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Fault::Permission
            }
            Self::NoHtb(_) => Fault::Missing,
            Self::Occupied { .. } => Fault::Occupied,
            Self::NoInterface
            | Self::NoSuchInterface(_)
            | Self::Read(_)
            | Self::Write(_)
            | Self::Refused { .. }
            | Self::Unstable(_)
            | Self::Remove { .. }
            | Self::PutBack { .. }
            | Self::Boot(_)
            | Self::ReadRecord { .. }
            | Self::BrokenRecord { .. }
            | Self::WriteRecord { .. } => Fault::Failed,
        }
    }

    /// The kernel did not answer a question about what stands.
    pub(crate) fn reading(error: NetlinkError) -> Self {
        if error.is_permission() { Self::ReadPermission(error) } else { Self::Read(error) }
    }

    /// The kernel did not answer an order.
    pub(crate) fn writing(error: NetlinkError) -> Self {
        if error.is_permission() { Self::WritePermission(error) } else { Self::Write(error) }
    }

    /// The kernel refused a step on an interface.
    pub(crate) fn refusing(interface: &str, step: Step, source: NetlinkError) -> Self {
        if source.is_permission() {
            Self::WritePermission(source)
        } else if step == Step::SetRoot && source.is_absent() {
            Self::NoHtb(source)
        } else {
            Self::Refused { interface: interface.to_owned(), what: step.to_string(), source }
        }
    }
}

impl From<ShaperError> for BackendError {
    fn from(error: ShaperError) -> Self {
        Self::new(error.fault(), error)
    }
}
