//! Why the firewall could not be read or written, and what to do about it.

use std::error::Error as _;

use pm_core::backend::{BackendError, Fault};
use pm_kernel::boot::BootError;
use pm_kernel::netlink::NetlinkError;
use pm_kernel::tool::ToolError;
use pm_kernel::transaction::TransactionError;

/// Why the firewall could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetfilterError {
    /// This process may not look at the firewall.
    #[error("only root may read the firewall's counters: run this as root, for example with sudo")]
    ReadPermission(#[source] NetlinkError),
    /// This process may not change the firewall.
    #[error("only root may change the firewall: run this as root, for example with sudo")]
    WritePermission(#[source] ToolError),
    /// The same, as the kernel says it.
    #[error("only root may change the firewall: run this as root, for example with sudo")]
    ChangePermission(#[source] TransactionError),
    /// The kernel has no nftables.
    #[error(
        "this kernel offers no nf_tables: load it with `modprobe nf_tables`; a container needs a host that has loaded it"
    )]
    Unsupported(#[source] NetlinkError),
    /// The kernel did not say what stands.
    #[error("the firewall cannot be read")]
    Read(#[source] NetlinkError),
    /// The kernel said something that no nftables says.
    #[error("the kernel's list of nftables objects cannot be understood: {0} is missing from it")]
    Incomplete(&'static str),
    /// What stands changed each time while it was read.
    #[error("other programs change nftables so often that it cannot be read as of one moment; try again")]
    Restless,
    /// It is not known which run of the machine this is, so no counter could be told from an older one.
    #[error("it cannot be told since when the counters count")]
    Boot(#[source] BootError),
    /// The program nft did not say what stands.
    #[error("the firewall cannot be read with nft")]
    List(#[source] ToolError),
    /// The program nft said something that it should not.
    #[error("the list that `nft -j` printed cannot be understood; a newer pm may know this version of nft")]
    Json(#[source] serde_json::Error),
    /// The program nft did not change the firewall.
    #[error("the firewall cannot be changed")]
    Write(#[source] ToolError),
    /// The kernel did not make this change of the firewall, nor any other of the same transaction.
    #[error("the kernel does not do `{command}`, so the firewall is as it was")]
    Refused {
        /// The change as nft would be told.
        command: String,
        /// What the kernel said.
        source: TransactionError,
    },
    /// The kernel did not change the firewall.
    #[error("the firewall cannot be changed")]
    Change(#[source] TransactionError),
    /// Neither netlink nor the program nft does it.
    #[error("{nft}; it was tried because netlink does not work here")]
    Neither {
        /// What became of nft, with its cause.
        nft: String,
        /// What became of netlink.
        #[source]
        netlink: Box<NetfilterError>,
    },
}

impl NetfilterError {
    fn fault(&self) -> Fault {
        match self {
            Self::ReadPermission(_) | Self::WritePermission(_) | Self::ChangePermission(_) => {
                Fault::Permission
            }
            Self::Unsupported(_)
            | Self::List(ToolError::NotFound { .. })
            | Self::Write(ToolError::NotFound { .. }) => Fault::Missing,
            Self::Read(_)
            | Self::Incomplete(_)
            | Self::Restless
            | Self::Boot(_)
            | Self::List(_)
            | Self::Json(_)
            | Self::Write(_)
            | Self::Refused { .. }
            | Self::Change(_) => Fault::Failed,
            Self::Neither { netlink, .. } => netlink.fault(),
        }
    }

    /// The program nft failed too. That it is not there explains nothing.
    pub(crate) fn with_nft(self, nft: &Self) -> Self {
        if let Self::List(ToolError::NotFound { .. }) | Self::Write(ToolError::NotFound { .. }) = nft {
            return self;
        }
        let cause = nft.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Neither { nft: format!("{nft}{cause}"), netlink: Box::new(self) }
    }

    /// Whether netlink itself is the trouble, so that the program nft may still be able to tell.
    pub(crate) fn is_about_netlink(&self) -> bool {
        matches!(
            self,
            Self::Unsupported(_)
                | Self::Read(_)
                | Self::Incomplete(_)
                | Self::Refused { .. }
                | Self::Change(TransactionError::Failed(_) | TransactionError::TooLong)
        )
    }

    /// Whether somebody else changed nftables between our looking and our changing.
    pub(crate) fn is_overtaken(&self) -> bool {
        matches!(self, Self::Change(TransactionError::Overtaken))
    }

    /// The kernel did not make a transaction, because of this command if of any.
    pub(crate) fn changing(error: TransactionError, command: Option<String>) -> Self {
        match (&error, command) {
            (TransactionError::Failed(inner), _) if inner.is_permission() => Self::ChangePermission(error),
            (_, Some(command)) => Self::Refused { command, source: error },
            (_, None) => Self::Change(error),
        }
    }

    /// A program that failed while it changed the firewall.
    pub(crate) fn writing(error: ToolError) -> Self {
        if error.is_permission() { Self::WritePermission(error) } else { Self::Write(error) }
    }
}

impl From<NetlinkError> for NetfilterError {
    fn from(error: NetlinkError) -> Self {
        if error.is_permission() {
            Self::ReadPermission(error)
        } else if error.is_unsupported() {
            Self::Unsupported(error)
        } else {
            Self::Read(error)
        }
    }
}

impl From<BootError> for NetfilterError {
    fn from(error: BootError) -> Self {
        Self::Boot(error)
    }
}

impl From<NetfilterError> for BackendError {
    fn from(error: NetfilterError) -> Self {
        Self::new(error.fault(), error)
    }
}
