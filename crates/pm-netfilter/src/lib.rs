//! pm's firewall backend: one nftables table, `inet port_monitor`, declared as a whole and read back over netlink.
//!
//! A ruleset becomes a layout (what should stand), a layout and what stands become a script (what differs), a script
//! becomes one netlink transaction, and what the kernel says becomes readings. Only [`Netfilter`] touches the machine.
//!
//! ```no_run
//! use pm_core::backend::{BackendError, Firewall, Ruleset};
//! use pm_netfilter::Netfilter;
//!
//! # async fn run() -> Result<(), BackendError> {
//! let firewall = Netfilter::new("/var/run/pm_nftables.json");
//! let ruleset = Ruleset { metered: "10086".parse().into_iter().collect(), ..Ruleset::default() };
//! let _ = firewall.apply(&ruleset).await?;
//! for (port, reading) in firewall.read().await?.counters {
//!     println!("{port}: {reading:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod batch;
#[cfg(feature = "bench")]
pub mod bench;
mod dump;
mod error;
mod json;
mod kernel;
mod layout;
mod lines;
mod netfilter;
mod numbers;
#[cfg(feature = "fuzzing")]
pub mod property;
mod reading;
mod record;
mod render;
mod script;
mod standing;
mod vigil;

pub use error::NetfilterError;
pub use netfilter::Netfilter;
pub use vigil::Vigil;
