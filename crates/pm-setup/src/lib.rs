//! How pm comes to a machine: its programs, what they need, and the schedule that runs them.
//!
//! What stands in files is written below a root, so all of it can be tried in a folder. What has to be said to the
//! running system goes through one door, [`system`], and only when the root is the machine's own.

pub mod crontab;
pub mod doctor;
pub mod error;
pub mod initscript;
pub mod install;
pub mod packages;
pub mod place;
pub mod schedule;
pub mod site;
pub mod system;
pub mod systemd;
pub mod takeover;
#[cfg(test)]
mod tests;
pub mod uninstall;

pub use error::SetupError;
pub use site::Site;
