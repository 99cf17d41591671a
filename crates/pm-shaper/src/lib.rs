//! pm's shaping backend: one HTB root on the interface of the default route, one class for each limited port.
//!
//! A packet's priority names its class, so there is no filter; a packet without one passes HTB untouched. What stands
//! is read over netlink and compared with what is desired, and only the difference is written, on the same socket: no
//! process is started. Only [`Htb`] touches the machine.
//!
//! ```no_run
//! use pm_core::backend::{BackendError, Shaper, Shaping};
//! use pm_core::port::{ClassId, Port};
//! use pm_core::units::Rate;
//! use pm_shaper::Htb;
//!
//! # async fn run() -> Result<(), BackendError> {
//! let shaper = Htb::new("/var/run/pm_shaper.json");
//! let class = Port::new(10086).and_then(|port| ClassId::of(port.into()));
//! let shaping = Shaping {
//!     interface: Some("eth0".to_owned()),
//!     classes: class.map(|class| (class, Rate::mbps(100))).into_iter().collect(),
//!     ..Shaping::default()
//! };
//! let _ = shaper.apply(&shaping).await?;
//! # Ok(())
//! # }
//! ```

mod bucket;
mod difference;
mod error;
mod handle;
mod htb;
mod kernel;
mod leaf;
mod order;
#[cfg(feature = "fuzzing")]
pub mod property;
mod record;
mod root;
mod standing;
mod wire;

pub use error::ShaperError;
pub use htb::Htb;
