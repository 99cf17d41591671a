//! Tells a person what pm did.
//!
//! [`Log`] prints one line for each message. It is what delivers messages where nothing else is configured.

pub mod log;

pub use log::Log;
