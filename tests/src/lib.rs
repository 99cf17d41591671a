//! The laboratory: namespaces, other people's traffic and independent witnesses, for proving pm on a real kernel.
//!
//! A test builds a small network ([`network`]), runs pm in it as a person would ([`machine`]), sends traffic with programs
//! that we did not write ([`traffic`]), and compares what pm says with counters that pm does not know of ([`witness`]).
//! Whatever goes wrong in the laboratory itself is a panic with a sentence: a test that cannot measure has failed.
#![expect(
    clippy::missing_panics_doc,
    reason = "every door of the laboratory panics when it cannot do its work"
)]

pub mod bot;
pub mod machine;
pub mod namespace;
pub mod network;
pub mod pace;
pub mod process;
pub mod publisher;
pub mod traffic;
pub mod witness;
