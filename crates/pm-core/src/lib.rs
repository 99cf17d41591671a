#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "mock", feature = "fake"))]
extern crate std;

pub mod accounting;
pub mod backend;
pub mod dynqos;
pub mod event;
pub mod port;
pub mod quota;
pub mod reset;
pub mod units;
