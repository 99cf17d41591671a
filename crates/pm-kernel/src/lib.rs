//! The two doors to the kernel that pm's backends share: [`netlink`] for what needs no process, with [`transaction`]
//! for changes of nftables and [`announcement`] for what the kernel tells unasked, and [`tool`] for the programs that do
//! the rest. [`boot`] and [`netns`] say which kernel it was; [`floor`] says what is too old, and [`mod@file`]
//! and [`process`] what root may open and whom it may believe.

pub mod announcement;
pub mod attribute;
pub mod boot;
mod closing;
pub mod file;
pub mod floor;
pub mod netlink;
pub mod netns;
pub mod process;
pub mod tool;
pub mod transaction;
