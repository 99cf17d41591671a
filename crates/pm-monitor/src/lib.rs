//! The machine that pm runs on: its files, its locks, its clock; and the minute with its effects.
//!
//! One minute is *lock, read, tick, save, apply, tell*. An edit is the same with the operator's change in place of the
//! tick. Both are methods of [`Machine`], which stands on the backend traits of pm-core, so that it runs in memory too.

pub mod clock;
pub mod delivery;
pub mod host;
pub mod identity;
pub mod leaving;
pub mod lock;
pub mod machine;
pub mod outcome;
pub mod ownership;
pub mod paths;
pub mod precaution;
pub mod run;
pub mod scan;
pub mod standing;
pub mod store;
pub mod transfer;
pub mod watch;

pub use machine::Machine;
pub use paths::Paths;
pub use pm_kernel::tool::ToolError;
pub use pm_netfilter::NetfilterError;
pub use pm_shaper::ShaperError;
