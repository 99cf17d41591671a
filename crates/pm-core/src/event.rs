//! What a person is told. Events are data that leave the process, so they carry their own JSON form.

use alloc::string::String;
use alloc::vec::Vec;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::port::PortRange;
use crate::quota::Mode;
use crate::units::{Bytes, Percent, Rate};

/// Whom an event is about: an entry, or a group that shares one quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The entries; more than one for a group.
    pub ports: Vec<PortRange>,
    /// The remark of the first of them.
    pub comment: String,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// The seven notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Usage crossed a threshold. Only the highest newly crossed one is told.
    QuotaWarning {
        /// Whose usage.
        subject: Subject,
        /// The threshold, in percent.
        level: u8,
        /// Used so far.
        used: Bytes,
        /// The quota.
        limit: Bytes,
        /// The share of it.
        percent: Percent,
        /// Which directions count.
        mode: Mode,
    },
    /// The quota is used up and the ports are closed.
    Blocked {
        /// Whose ports.
        subject: Subject,
        /// The day of the month on which they open again; none when only a person opens them.
        reset_day: Option<u8>,
    },
    /// A port hogged the line and is slowed down.
    Punished {
        /// The port.
        subject: Subject,
        /// Its average rate.
        rate: Rate,
        /// The rate above which minutes count.
        trigger: Rate,
        /// The speed limit now.
        penalty: Rate,
        /// For how many minutes.
        minutes: u32,
    },
    /// A punishment is over.
    Recovered {
        /// The port.
        subject: Subject,
    },
    /// A new cycle began.
    QuotaReset {
        /// Whose cycle.
        subject: Subject,
        /// The quota of the new cycle; none when the port is only metered.
        limit: Option<Bytes>,
    },
    /// The regular report on all ports.
    Report {
        /// One line for each entry, in the order of the ports.
        lines: Vec<ReportLine>,
    },
    /// Somebody wants to know whether messages arrive.
    Test,
}

/// An entry in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportLine {
    /// The entry.
    pub port: PortRange,
    /// Its remark.
    pub comment: String,
    /// What it used of its quota, with the others of its group.
    pub used: Bytes,
    /// The quota.
    pub limit: Option<Bytes>,
    /// The share of it.
    pub percent: Option<Percent>,
    /// Whether it is closed.
    pub blocked: bool,
    /// The speed limit in force.
    pub speed: Option<Rate>,
    /// Whether that limit is a punishment.
    pub punished: bool,
}

/// An event in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Ascending; never used twice.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}
