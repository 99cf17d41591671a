//! The doors to the machine. They speak pm's words only: what a backend makes of a [`Ruleset`] is its own affair.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use core::error::Error;
use core::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::accounting::Readings;
use crate::event::Message;
use crate::port::{ClassId, PortRange};
use crate::quota::Mode;
use crate::units::{Bytes, Rate};

/// Meters ports, cuts them off and puts their packets into classes.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Firewall {
    /// All counters and quotas of one moment. Quotas are read before and after the counters, see
    /// [`QuotaReading`](crate::accounting::QuotaReading). Where nothing stands, the readings are empty; what could
    /// not be read is an error, never half of the readings.
    async fn read(&self) -> Result<Readings, BackendError>;

    /// Makes the kernel equal to `ruleset` in one step. Counters and quotas that stay keep their values.
    async fn apply(&self, ruleset: &Ruleset) -> Result<Applied, BackendError>;

    /// Whether the kernel is known to be equal to `ruleset`. Nothing is changed. Where only an `apply` could tell, it is
    /// not known.
    async fn stands(&self, ruleset: &Ruleset) -> Result<bool, BackendError>;

    /// Removes everything that `apply` ever made.
    async fn remove(&self) -> Result<(), BackendError>;
}

/// Holds classes of packets to a rate.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Shaper {
    /// Makes the kernel equal to `shaping`. Flows in a class that stays are not disturbed.
    async fn apply(&self, shaping: &Shaping) -> Result<Applied, BackendError>;

    /// Whether the kernel is equal to `shaping`. Nothing is changed.
    async fn stands(&self, shaping: &Shaping) -> Result<bool, BackendError>;

    /// Removes everything that `apply` ever made, and puts back what stood there before.
    async fn remove(&self) -> Result<(), BackendError>;
}

/// Tells a person.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Notifier {
    /// Delivers one message; `Ok` means that the other side has taken it.
    async fn send(&self, message: &Message) -> Result<(), Refusal>;
}

/// Whether an `apply` found something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// Everything stood as desired; nothing was sent.
    Unchanged,
    /// The kernel was changed.
    Changed,
}

/// What the firewall should be. A backend can note what it applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ruleset {
    /// The entries that are metered: each has a counter for either direction.
    pub metered: BTreeSet<PortRange>,
    /// The entries that are closed in both directions.
    pub blocked: BTreeSet<PortRange>,
    /// One quota per account that has one, by the account's lowest entry.
    pub quotas: BTreeMap<PortRange, QuotaRule>,
    /// The class into which an entry's outbound packets go.
    pub classes: BTreeMap<PortRange, ClassId>,
    /// Whether traffic that this machine forwards (DNAT, containers) is metered too. It costs connection tracking.
    pub forward: bool,
}

/// A quota as the kernel enforces it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QuotaRule {
    /// The quota object's limit, on the scale of its own `used` figure, not of the account.
    pub over: Bytes,
    /// Which directions count.
    pub mode: Mode,
    /// The entries that share it.
    pub members: BTreeSet<PortRange>,
}

/// What the traffic control should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// The network interface whose outbound traffic is shaped; none where the machine has no default route.
    pub interface: Option<String>,
    /// Whether a root qdisc that somebody configured may be replaced.
    pub take_over: bool,
    /// The classes and their rates. Without any, the interface is left alone.
    pub classes: BTreeMap<ClassId, Rate>,
}

/// Why a backend could not do what was asked. The source and its causes say it in a sentence, with the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{}", with_causes(source.as_ref()))]
pub struct BackendError {
    /// What kind of fault it is, for callers that go on without this backend.
    pub fault: Fault,
    /// The backend's own error.
    pub source: Box<dyn Error + Send + Sync>,
}

impl BackendError {
    /// An error of the given kind.
    pub fn new(fault: Fault, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault, source: source.into() }
    }
}

/// An error with its causes. A cause that the error has named already is not said again.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = core::iter::successors(error.source(), |&cause| cause.source());
    causes.map(ToString::to_string).fold(error.to_string(), |said, cause| {
        if said.contains(&cause) { said } else { format!("{said}: {cause}") }
    })
}

/// Kinds of faults that a backend can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A tool or a kernel feature is missing; trying again will not help.
    Missing,
    /// This process may not do it.
    Permission,
    /// Something that belongs to somebody else stands in the way.
    Occupied,
    /// It failed; trying again may help.
    Failed,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Refusal {
    /// When to try again: after this time if it was told, whenever it suits if none was told, or never.
    pub retry: Retry,
    /// The notifier's own error.
    pub source: Box<dyn Error + Send + Sync>,
}

/// What may be done with a message that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The other side asked for this much time.
    After(Duration),
    /// Later; the sender chooses when.
    Later,
    /// The message will never be taken.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the firewall cannot be changed")]
    struct Failed(#[source] core::num::ParseIntError);

    #[test]
    fn an_error_of_a_backend_is_told_with_its_causes() {
        let error = BackendError::new(Fault::Failed, Failed("x".parse::<u8>().unwrap_err()));
        assert_eq!(error.to_string(), "the firewall cannot be changed: invalid digit found in string");
    }
}
