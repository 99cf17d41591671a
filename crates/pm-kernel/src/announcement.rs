//! What the kernel tells everybody who listens: that something was changed, by whomever.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, bind, recv};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::netlink::{NetlinkError, Protocol, Replies, open};

/// Announcements are small; of a longer one the beginning is read, and that it was longer is told.
const BUFFER: usize = 64 << 10;

/// A netlink socket that listens. Nothing waits but the future that was asked for.
#[derive(Debug)]
pub struct Announcements {
    descriptor: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// These announcements.
    Messages(Replies),
    /// There was more than could be kept, and nobody knows what.
    TooMuch,
}

impl Announcements {
    /// Listens to these groups of that part of the kernel, each a bit, in the network namespace of this process. It has to
    /// be called within a runtime.
    pub fn of(protocol: Protocol, groups: u32) -> Result<Self, NetlinkError> {
        let failed = |errno: Errno| NetlinkError::Open { protocol, source: errno.into() };
        let descriptor = open(protocol).map_err(failed)?;
        bind(&descriptor, &SocketAddrNetlink::new(0, groups)).map_err(failed)?;
        ioctl_fionbio(&descriptor, true).map_err(failed)?;
        #[expect(
            deprecated,
            reason = "it is unsound for what is no descriptor of its own, as an OwnedFd always is; its successor is unsafe"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)
            .map_err(|source| NetlinkError::Open { protocol, source })?;
        Ok(Self { descriptor, buffer: vec![0; BUFFER] })
    }

    /// What is told next. Nothing is lost when the future is dropped before its end.
    pub async fn next(&mut self) -> io::Result<Heard> {
        loop {
            let mut ready = self.descriptor.readable().await?;
            let buffer = &mut self.buffer;
            let received =
                ready.try_io(|descriptor| Ok(recv(descriptor, &mut buffer[..], RecvFlags::TRUNC)?));
            return match received {
                Ok(Ok((_, length))) if length > self.buffer.len() => Ok(Heard::TooMuch),
                Ok(Ok((_, length))) => Ok(Heard::Messages(Replies::from_bytes(&self.buffer[..length]))),
                Ok(Err(error)) => match Errno::from_io_error(&error) {
                    Some(Errno::NOBUFS) => Ok(Heard::TooMuch),
                    Some(Errno::INTR) => continue,
                    _ => Err(error),
                },
                // It was not ready after all.
                Err(_) => continue,
            };
        }
    }
}
