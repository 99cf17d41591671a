//! What a file says that nobody can have meant.

use alloc::string::String;
use core::fmt;

use crate::port::PortRange;

/// Something to point out about a file that can be used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A rate penalty is on, but a figure of it is 0 or missing.
    IdlePenalty(PortRange),
    /// A threshold of 0.
    ThresholdOfNothing,
    /// A quota of 0.
    QuotaOfNothing(PortRange),
    /// A speed limit for a port that cannot have one.
    ReservedClass(PortRange),
    /// Members of a group that do not agree.
    Disagreement {
        /// The lowest member, which decides.
        lead: PortRange,
        /// The other one.
        port: PortRange,
        /// The group, with its control characters escaped.
        group: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdlePenalty(port) => write!(
                f,
                "port {port} has dyn_limit switched on with a figure that is 0 or missing, so it never acts (pm dynqos {port} on .. sets all four)"
            ),
            Self::ThresholdOfNothing => {
                f.write_str("telegram.thresholds has a 0, which warns of nothing; it is ignored")
            }
            Self::QuotaOfNothing(port) => write!(
                f,
                "port {port} has a quota of 0 GB, so it is blocked (pm set {port} --quota unlimited only meters it)"
            ),
            Self::ReservedClass(port) => write!(
                f,
                "port {port} cannot be slowed down, because the class of port 65534 is reserved: its limit is not applied (pm set {port} --limit 0)"
            ),
            Self::Disagreement { lead, port, group } => write!(
                f,
                "ports {lead} and {port} of group `{group}` differ in quota, mode or reset day; those of port {lead} are used (pm set {lead} --quota .. sets them for all)"
            ),
        }
    }
}
