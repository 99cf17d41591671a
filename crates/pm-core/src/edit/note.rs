//! What an operator should know about a change beyond that it was made.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::config::GroupId;
use crate::port::PortRange;

/// Something to know about a change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// One member spoke for its whole group.
    HoldsForGroup {
        /// The group.
        group: GroupId,
        /// All of its members.
        members: Vec<PortRange>,
    },
    /// Of a group, only some members began a new cycle.
    UsageStays {
        /// The group.
        group: GroupId,
        /// The members that did not.
        left: Vec<PortRange>,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HoldsForGroup { group, members } => {
                write!(
                    f,
                    "quota, mode and reset day now hold for all of group `{group}`: {}",
                    listed(members)
                )
            }
            Self::UsageStays { group, left } => write!(
                f,
                "what {} used of the quota of group `{group}` stays: name these ports too to start a new cycle for the whole group",
                listed(left)
            ),
        }
    }
}

fn listed(ports: &[PortRange]) -> String {
    let names: Vec<String> = ports.iter().map(ToString::to_string).collect();
    names.join(", ")
}
