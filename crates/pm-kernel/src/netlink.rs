//! Questions to the kernel over netlink, and its answers: no process is started, and nothing waits for ever.

mod batch;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::attribute::{self, Attributes, aligned};
use crate::closing::leave_to_the_kernel;

pub use batch::Refusal;

/// Length, type, flags, sequence number, port.
const HEADER: usize = 16;

const FLAG_REQUEST: u16 = 0x1;
pub(crate) const FLAG_ACK: u16 = 0x4;
const FLAG_DUMP: u16 = 0x300;
/// To something new, flags mean something else: put it into the place of what is there, and make it if nothing is.
const FLAG_REPLACE: u16 = 0x100;
pub(crate) const FLAG_CREATE: u16 = 0x400;
/// What was dumped changed while it was dumped.
const FLAG_DUMP_INTERRUPTED: u16 = 0x10;

pub(crate) const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;
/// Types below this one belong to netlink itself.
const KIND_FIRST: u16 = 0x10;

/// The kernel fills up to 32 KiB at once when it is given room; a message of its own size beyond that is rare.
const BUFFER: usize = 64 << 10;
/// Where a message does not fit, the buffer grows up to this.
const LARGEST_BUFFER: usize = 4 << 20;
/// Room for what the kernel sends before we read it.
const RECEIVE_QUEUE: usize = 1 << 20;
/// A question is asked this often before the kernel counts as too busy to answer.
const ATTEMPTS: u32 = 16;
/// How long the kernel may be silent, and for how long one question is asked anew: far less than a minute, and more than
/// the four seconds for which ten thousand classes keep the routing lock busy. A list that comes piece by piece may take
/// longer: that of 65,535 ports takes the kernel some ten seconds, since it counts through its objects for each piece.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A part of the kernel that speaks netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `nf_tables` and connection tracking.
    Netfilter,
    /// Interfaces, addresses, routes, queueing disciplines and classes.
    Route,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Netfilter => "netfilter",
            Self::Route => "routing",
        })
    }
}

/// A question: its type, the fixed header of its family (`nfgenmsg`, `tcmsg`, ...), and attributes.
#[derive(Clone, Debug)]
pub struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    /// A question of this type with the fixed header of its family.
    pub fn new(kind: u16, family_header: &[u8]) -> Self {
        let mut body = family_header.to_vec();
        body.resize(aligned(body.len()), 0);
        Self { kind, flags: 0, body }
    }

    /// As the wish that this be made, in the place of what is there already.
    #[must_use]
    pub fn replacing(mut self) -> Self {
        self.flags |= FLAG_CREATE | FLAG_REPLACE;
        self
    }

    /// With one attribute more.
    #[must_use]
    pub fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        attribute::write(&mut self.body, kind, payload);
        self
    }

    /// With one attribute more that holds a 32-bit number in the order of this machine, as routing messages have it.
    #[must_use]
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// With one attribute more that holds text.
    #[must_use]
    pub fn text(self, kind: u16, text: &str) -> Self {
        let terminated: Vec<u8> = text.bytes().chain([0]).collect();
        self.attribute(kind, &terminated)
    }

    /// With one attribute more that holds the attributes that `fill` adds.
    #[must_use]
    pub fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let inner = fill(Self { kind, flags: 0, body: Vec::new() });
        attribute::write_nested(&mut self.body, kind, &inner.body);
        self
    }

    /// The message in bytes: as the kernel would send it in an answer, for tests of what reads and writes messages.
    pub fn as_reply(&self) -> Vec<u8> {
        self.encoded(0, 0)
    }

    pub(crate) fn encoded(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((FLAG_REQUEST | self.flags | flags).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(&self.body);
        bytes
    }
}

/// The messages of one complete answer, as the kernel sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    bytes: Vec<u8>,
}

impl Replies {
    /// An answer from its bytes: messages one after another.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into() }
    }

    /// The messages in their order.
    pub fn iter(&self) -> impl Iterator<Item = Reply<'_>> {
        Frames { rest: &self.bytes }.filter_map(|frame| frame.reply())
    }
}

/// One message of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Its type.
    pub kind: u16,
    /// The fixed header of its family and the attributes.
    pub body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// The attributes behind a family header of this length.
    pub fn attributes(self, family_header: usize) -> Attributes<'a> {
        Attributes::of(self.body.get(aligned(family_header)..).unwrap_or_default())
    }
}

/// A netlink socket. Its calls block for as long as the kernel takes to answer, which is microseconds for a question
/// and milliseconds for ten thousand counters; no piece of an answer is waited for longer than ten seconds or a second
/// more.
#[derive(Debug)]
pub struct Socket {
    pub(crate) protocol: Protocol,
    pub(crate) descriptor: OwnedFd,
    pub(crate) buffer: Vec<u8>,
    pub(crate) sequence: u32,
    /// How long the system waits for a message before it gives up, as it was last told.
    patience: Duration,
}

/// Where something of nftables was replaced or deleted, the kernel closes no socket to nftables before no processor is in
/// the middle of it any more, some ten milliseconds later: not that of whoever did it, nor the next one's. So that no
/// command takes longer for it (bench: edited), nobody here waits.
impl Drop for Socket {
    fn drop(&mut self) {
        if self.protocol == Protocol::Netfilter {
            let _ = leave_to_the_kernel(&self.descriptor);
        }
    }
}

impl Socket {
    /// Opens a socket to that part of the kernel, in the network namespace of this process.
    pub fn open(protocol: Protocol) -> Result<Self, NetlinkError> {
        let descriptor =
            open(protocol).map_err(|errno| NetlinkError::Open { protocol, source: errno.into() })?;
        Ok(Self { protocol, descriptor, buffer: vec![0; BUFFER], sequence: 0, patience: Duration::ZERO })
    }

    /// Asks for one thing, or for something to be done.
    pub fn request(&mut self, message: &Message) -> Result<Replies, NetlinkError> {
        self.kept(message, FLAG_ACK)
    }

    /// Asks for all things of a kind. What changes while it is listed is listed again, so the answer is of one moment.
    pub fn dump(&mut self, message: &Message) -> Result<Replies, NetlinkError> {
        self.kept(message, FLAG_DUMP)
    }

    /// The same where each message is read as it comes, so that of a long list nothing is kept but what `read` keeps.
    /// When the kernel has to be asked anew, what was read is forgotten; the first error of `read` is returned once the
    /// list has ended.
    pub fn dump_into<T: Default, E: From<NetlinkError>>(
        &mut self,
        message: &Message,
        mut read: impl FnMut(&mut T, Reply<'_>) -> Result<(), E>,
    ) -> Result<T, E> {
        let mut kept = Ok(T::default());
        self.ask(message, FLAG_DUMP, &mut |part| match part {
            Part::Beginning => kept = Ok(T::default()),
            Part::Message(frame) => {
                if let (Ok(so_far), Some(reply)) = (&mut kept, frame.reply())
                    && let Err(error) = read(so_far, reply)
                {
                    kept = Err(error);
                }
            }
        })?;
        kept
    }

    fn kept(&mut self, message: &Message, flags: u16) -> Result<Replies, NetlinkError> {
        let mut replies = Replies::default();
        self.ask(message, flags, &mut |part| match part {
            Part::Beginning => replies.bytes.clear(),
            Part::Message(frame) => replies.bytes.extend(frame.whole),
        })?;
        Ok(replies)
    }

    fn ask(
        &mut self,
        message: &Message,
        flags: u16,
        hear: &mut dyn FnMut(Part<'_>),
    ) -> Result<(), NetlinkError> {
        let deadline = Instant::now() + DEADLINE;
        for _ in 0..ATTEMPTS {
            hear(Part::Beginning);
            match self.attempt(message, flags, deadline, hear) {
                Ok(()) => return Ok(()),
                Err(Failure::Again) => {}
                Err(Failure::Reopen) => {
                    // What is left of the unfinished answer would reach the next question on this socket.
                    self.descriptor = open(self.protocol).map_err(|errno| NetlinkError::Open {
                        protocol: self.protocol,
                        source: errno.into(),
                    })?;
                    self.patience = Duration::ZERO;
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
        Err(NetlinkError::Restless { protocol: self.protocol })
    }

    /// Makes the system give up after this long, in whole seconds and never none: so it is told once for a long list, and
    /// not before each of its messages.
    fn wait_for(&mut self, left: Duration) -> rustix::io::Result<()> {
        let patience = Duration::from_secs(left.as_secs() + 1);
        if patience != self.patience {
            sockopt::set_socket_timeout(&self.descriptor, Timeout::Recv, Some(patience))?;
            self.patience = patience;
        }
        Ok(())
    }

    fn attempt(
        &mut self,
        message: &Message,
        flags: u16,
        mut deadline: Instant,
        hear: &mut dyn FnMut(Part<'_>),
    ) -> Result<(), Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&message.encoded(flags, self.sequence))?;
        let mut interrupted = false;
        loop {
            let length = self.receive(deadline)?;
            deadline = Instant::now() + DEADLINE;
            let datagram = &self.buffer[..length];
            for frame in (Frames { rest: datagram }).filter(|frame| frame.sequence == self.sequence) {
                interrupted |= frame.flags & FLAG_DUMP_INTERRUPTED != 0;
                match frame.kind {
                    KIND_ERROR | KIND_DONE => match frame.errno() {
                        None if interrupted => return Err(Failure::Again),
                        None => return Ok(()),
                        Some(Errno::INTR | Errno::AGAIN) => return Err(Failure::Again),
                        Some(errno) => return Err(Failure::Final(self.refused(errno))),
                    },
                    _ => hear(Part::Message(frame)),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = retry_on_signal(|| send(&self.descriptor, bytes, SendFlags::empty()));
        sent.map(drop).map_err(|errno| self.failed(errno))
    }

    /// Waits for the next datagram, puts it into the buffer and says how long it is.
    pub(crate) fn receive(&mut self, deadline: Instant) -> Result<usize, Failure> {
        let protocol = self.protocol;
        let late = || Failure::Final(NetlinkError::TimedOut { protocol });
        loop {
            let left = deadline
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
                .ok_or_else(late)?;
            self.wait_for(left).map_err(|errno| self.failed(errno))?;
            let length = match recv(&self.descriptor, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((_, length)) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(late()),
                // Something was lost: only asking anew gives all of it.
                Err(Errno::NOBUFS) => return Err(Failure::Reopen),
                Err(errno) => return Err(self.failed(errno)),
            };
            if length <= self.buffer.len() {
                return Ok(length);
            }
            if length > LARGEST_BUFFER {
                return Err(self.failed(Errno::MSGSIZE));
            }
            self.buffer.resize(length.next_power_of_two(), 0);
            return Err(Failure::Reopen);
        }
    }

    fn failed(&self, errno: Errno) -> Failure {
        Failure::Final(NetlinkError::Exchange { protocol: self.protocol, source: errno.into() })
    }

    pub(crate) fn refused(&self, errno: Errno) -> NetlinkError {
        NetlinkError::Refused { protocol: self.protocol, source: errno.into() }
    }
}

/// Why the kernel did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetlinkError {
    /// There is no such socket here.
    #[error("cannot open a {protocol} netlink socket: this kernel or container does not offer it")]
    Open {
        /// The part of the kernel.
        protocol: Protocol,
        /// What the system said.
        source: io::Error,
    },
    /// Sending or receiving failed.
    #[error("the {protocol} netlink socket failed")]
    Exchange {
        /// The part of the kernel.
        protocol: Protocol,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel answered with an error.
    #[error("the kernel refused a {protocol} netlink request")]
    Refused {
        /// The part of the kernel.
        protocol: Protocol,
        /// What the kernel said.
        source: io::Error,
    },
    /// The answer did not come.
    #[error("the kernel did not answer a {protocol} netlink request within {} seconds; try again", DEADLINE.as_secs())]
    TimedOut {
        /// The part of the kernel.
        protocol: Protocol,
    },
    /// What was asked for changed each time while it was listed.
    #[error("other programs change the {protocol} settings so often that they cannot be listed; try again")]
    Restless {
        /// The part of the kernel.
        protocol: Protocol,
    },
}

impl NetlinkError {
    /// Whether this process may not ask: it needs root, or `CAP_NET_ADMIN` in the owner of its network namespace.
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(Errno::PERM | Errno::ACCESS))
    }

    /// Whether what was asked for by name does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { .. }) && self.errno() == Some(Errno::NOENT)
    }

    /// Whether this kernel has no such subsystem: it answers so when a module is neither built in nor loadable.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Open { .. })
            || matches!(self.errno(), Some(Errno::OPNOTSUPP | Errno::INVAL | Errno::PROTONOSUPPORT))
    }

    fn errno(&self) -> Option<Errno> {
        match self {
            Self::Open { source, .. } | Self::Exchange { source, .. } | Self::Refused { source, .. } => {
                Errno::from_io_error(source)
            }
            Self::TimedOut { .. } | Self::Restless { .. } => None,
        }
    }
}

/// What is heard of an answer.
enum Part<'a> {
    /// Nothing yet, or nothing that counts any more: it begins.
    Beginning,
    Message(Frame<'a>),
}

/// What ends one attempt.
pub(crate) enum Failure {
    /// Ask again.
    Again,
    /// Ask again on a new socket.
    Reopen,
    /// Asking again will not help.
    Final(NetlinkError),
}

pub(crate) fn open(protocol: Protocol) -> rustix::io::Result<OwnedFd> {
    let number = match protocol {
        Protocol::Netfilter => Some(netlink::NETFILTER),
        // The routing protocol is number 0, the default of the family.
        Protocol::Route => None,
    };
    let descriptor = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number)?;
    // Beyond the system's limit only a privileged process may go; a small queue costs a second attempt, nothing else.
    if sockopt::set_socket_recv_buffer_size_force(&descriptor, RECEIVE_QUEUE).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&descriptor, RECEIVE_QUEUE);
    }
    Ok(descriptor)
}

pub(crate) fn retry_on_signal<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// One message with its header.
pub(crate) struct Frame<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame as a message of an answer; none for what belongs to netlink itself.
    fn reply(&self) -> Option<Reply<'a>> {
        (self.kind >= KIND_FIRST).then_some(Reply { kind: self.kind, body: self.body })
    }

    /// The error number in front of the body of an error or of the end of a list; none for success.
    pub(crate) fn errno(&self) -> Option<Errno> {
        let number = self.body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        (number != 0).then(|| Errno::from_raw_os_error(number.saturating_neg()))
    }
}

/// The messages in some bytes. What is cut short or impossible ends them.
pub(crate) struct Frames<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let header: &[u8; HEADER] = self.rest.first_chunk()?;
        let &[l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = self.rest.get(HEADER..length)?;
        let end = aligned(length).min(self.rest.len());
        let (whole, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Frame {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body,
            whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINK: u16 = 16;
    const GET_LINK: u16 = 18;
    const LINK_NAME: u16 = 3;
    const LINK_HEADER: [u8; 16] = [0; 16];

    #[test]
    fn links_are_listed_and_found_by_name() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let names = |replies: &Replies| -> Vec<String> {
            let links = replies.iter().filter(|reply| reply.kind == LINK);
            links.filter_map(|link| link.attributes(16).find(LINK_NAME)?.text().map(str::to_owned)).collect()
        };
        let all = socket.dump(&Message::new(GET_LINK, &LINK_HEADER)).unwrap();
        assert!(names(&all).contains(&"lo".to_owned()));
        let one = socket.request(&Message::new(GET_LINK, &LINK_HEADER).text(LINK_NAME, "lo")).unwrap();
        assert_eq!(names(&one), ["lo"]);
    }

    #[test]
    fn a_list_is_read_to_its_end_also_where_its_reader_fails() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let question = Message::new(GET_LINK, &LINK_HEADER);
        let count = socket.dump(&question).unwrap().iter().count();
        let counted = socket.dump_into(&question, |counted: &mut usize, reply| {
            assert_eq!(reply.kind, LINK);
            *counted += 1;
            Ok::<_, NetlinkError>(())
        });
        assert_eq!(counted.unwrap(), count);
        let mut calls = 0;
        let failed: Result<(), _> = socket.dump_into(&question, |(), _| {
            calls += 1;
            Err(NetlinkError::Restless { protocol: Protocol::Route })
        });
        assert!(matches!(failed, Err(NetlinkError::Restless { .. })));
        assert_eq!(calls, 1);
        assert_eq!(
            socket.dump(&question).unwrap().iter().count(),
            count,
            "nothing was left of the list before"
        );
    }

    #[test]
    fn what_does_not_exist_is_absent() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let mut by_number = LINK_HEADER;
        by_number[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let error = socket.request(&Message::new(GET_LINK, &by_number)).unwrap_err();
        assert!(matches!(error, NetlinkError::Refused { .. }) && !error.is_permission(), "{error:?}");
    }

    #[test]
    fn messages_are_read_up_to_the_one_that_is_cut_short() {
        let message = Message::new(LINK, &LINK_HEADER).nested(5, |inner| inner.text(LINK_NAME, "eth0"));
        let mut bytes = message.encoded(0, 1);
        bytes.extend(message.encoded(0, 1));
        let replies = Replies::from_bytes(bytes.clone());
        assert_eq!(replies.iter().count(), 2);
        let inner = replies.iter().next().and_then(|reply| reply.attributes(16).find(5)).unwrap().nested();
        assert_eq!(inner.find(LINK_NAME).and_then(attribute::Attribute::text), Some("eth0"));
        bytes.pop();
        assert_eq!(Replies::from_bytes(bytes).iter().count(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for reply in Replies::from_bytes(bytes).iter() {
                for attribute in reply.attributes(4) {
                    let _ = attribute.nested().count();
                }
            }
        }

        #[test]
        fn any_length_can_be_read(length in 0_u32..80, rest in prop::collection::vec(any::<u8>(), 60)) {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(rest);
            let _ = Replies::from_bytes(bytes).iter().count();
        }
    }
}
