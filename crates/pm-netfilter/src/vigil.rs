//! Notices at once that somebody took the table away.

use std::io;

use pm_kernel::announcement::{Announcements, Heard};
use pm_kernel::netlink::Protocol;

use crate::dump::tells_of_loss;
use crate::error::NetfilterError;

/// `NFNLGRP_NFTABLES`, the seventh group: every change of nftables in this network namespace.
const GROUP: u32 = 1 << 6;

/// Ears on nftables.
#[derive(Debug)]
pub struct Vigil(Announcements);

impl Vigil {
    /// Listens from now on, within a runtime.
    pub fn keep() -> Result<Self, NetfilterError> {
        Ok(Self(Announcements::of(Protocol::Netfilter, GROUP)?))
    }

    /// Waits until the table is taken away, or may have been. Nothing is lost when the future is dropped before its end.
    pub async fn loss(&mut self) -> io::Result<()> {
        loop {
            match self.0.next().await? {
                Heard::Messages(messages) if !tells_of_loss(&messages) => {}
                Heard::Messages(_) | Heard::TooMuch => return Ok(()),
            }
        }
    }
}
