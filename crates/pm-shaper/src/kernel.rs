//! The traffic control over netlink, to look at and to change: no process is started.

use std::collections::BTreeSet;

use pm_kernel::netlink::{Message, NetlinkError, Protocol, Socket};

use crate::difference::Step;
use crate::error::ShaperError;
use crate::handle::Handle;
use crate::standing::{self, Link, Qdisc, Standing};

/// A socket to the routing part of the kernel.
pub(crate) struct Kernel {
    socket: Socket,
}

impl Kernel {
    pub(crate) fn open() -> Result<Self, ShaperError> {
        Ok(Self { socket: Socket::open(Protocol::Route).map_err(ShaperError::reading)? })
    }

    /// The interface of this name; none where there is none.
    pub(crate) fn link_named(&mut self, name: &str) -> Result<Option<Link>, ShaperError> {
        match self.socket.request(&standing::ask_link_named(name)) {
            Ok(replies) => Ok(standing::link(&replies)),
            // The kernel has different words for a name that nobody has and for one that nobody can have.
            Err(NetlinkError::Refused { .. }) => Ok(None),
            Err(error) => Err(ShaperError::reading(error)),
        }
    }

    /// The interface of this number; none where it is gone.
    pub(crate) fn link_numbered(&mut self, index: u32) -> Result<Option<Link>, ShaperError> {
        match self.socket.request(&standing::ask_link_numbered(index)) {
            Ok(replies) => Ok(standing::link(&replies)),
            Err(NetlinkError::Refused { .. }) => Ok(None),
            Err(error) => Err(ShaperError::reading(error)),
        }
    }

    /// The interfaces whose root is an HTB called `1:`.
    pub(crate) fn interfaces_with_htb(&mut self) -> Result<Vec<u32>, ShaperError> {
        let is_root = |qdisc: &Qdisc| {
            qdisc.parent == Handle::ROOT && qdisc.handle == Handle::OURS && qdisc.kind == "htb"
        };
        Ok(self.qdiscs()?.into_iter().filter(is_root).map(|qdisc| qdisc.interface).collect())
    }

    /// What stands on an interface.
    pub(crate) fn standing(&mut self, link: &Link) -> Result<Standing, ShaperError> {
        let qdiscs: Vec<Qdisc> =
            self.qdiscs()?.into_iter().filter(|qdisc| qdisc.interface == link.index).collect();
        let is_htb = |qdisc: &Qdisc| qdisc.handle == Handle::OURS && qdisc.kind == "htb";
        let classes = if qdiscs.iter().any(is_htb) {
            let replies =
                self.socket.dump(&standing::ask_classes(link.index)).map_err(ShaperError::reading)?;
            standing::classes(&replies)
        } else {
            Vec::new()
        };
        Ok(Standing { qdiscs, classes })
    }

    /// Takes these steps. If the kernel refuses some, the first of them is returned, and others may not have been taken.
    pub(crate) fn take(
        &mut self,
        link: &Link,
        steps: &[Step],
    ) -> Result<Option<(Step, NetlinkError)>, ShaperError> {
        // The first of each kind is waited for: where the kernel lacks that kind, it would look for its module again for
        // each class.
        let mut tried = BTreeSet::new();
        for part in steps.split_inclusive(|step| step.kind().is_some_and(|kind| tried.insert(kind))) {
            let orders: Vec<Message> = part.iter().map(|step| step.order(link.index)).collect();
            let refused = self.socket.carry_out(&orders).map_err(ShaperError::writing)?;
            if let Some(refusal) = refused.into_iter().next() {
                return Ok(part.get(refusal.place).map(|&step| (step, refusal.error)));
            }
        }
        Ok(None)
    }

    /// Takes the root `1:` away; the kernel then sets its own default.
    pub(crate) fn delete_root(&mut self, link: &Link) -> Result<(), ShaperError> {
        self.socket.request(&standing::delete_root(link.index)).map(drop).map_err(|source| {
            if source.is_permission() {
                ShaperError::RemovePermission(source)
            } else {
                ShaperError::Remove { interface: link.name.clone(), source }
            }
        })
    }

    /// Sets a queueing discipline as it was.
    pub(crate) fn restore(&mut self, link: &Link, qdisc: &Qdisc) -> Result<(), ShaperError> {
        self.socket.request(&qdisc.restore(link.index)).map(drop).map_err(|source| ShaperError::PutBack {
            interface: link.name.clone(),
            kind: qdisc.kind.clone(),
            source,
        })
    }

    fn qdiscs(&mut self) -> Result<Vec<Qdisc>, ShaperError> {
        let replies = self.socket.dump(&standing::ask_qdiscs()).map_err(ShaperError::reading)?;
        Ok(standing::qdiscs(&replies))
    }
}
