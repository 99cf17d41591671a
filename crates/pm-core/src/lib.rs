#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "mock", feature = "fake"))]
extern crate std;

pub mod account;
pub mod accounting;
pub mod backend;
pub mod channel;
pub mod chronicle;
pub mod config;
pub mod desired;
pub mod dynqos;
pub mod edit;
pub mod event;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod port;
pub mod progress;
pub mod quota;
pub mod reset;
pub mod state;
pub mod tick;
pub mod units;
pub mod view;
mod walk;
pub mod wire;
