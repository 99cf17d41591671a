//! Changes to `nf_tables` that are made all at once or not at all, and only where nobody else made one meanwhile.

use std::io;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{SendFlags, send, sockopt};

use crate::netlink::{
    DEADLINE, FLAG_ACK, FLAG_CREATE, Failure, Frames, KIND_ERROR, Message, NetlinkError, Socket,
    retry_on_signal,
};

/// `NLM_F_APPEND`: behind the rules that are there.
const FLAG_APPEND: u16 = 0x800;

/// `NFNL_MSG_BATCH_BEGIN` and `.._END`.
const KIND_BEGIN: u16 = 0x10;
const KIND_END: u16 = 0x11;
/// `struct nfgenmsg`: no family, version 0, and in network order the subsystem, `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: [u8; 4] = [0, 0, 0, 10];
/// `NFNL_BATCH_GENID`.
const GENERATION: u16 = 1;

/// One change of a transaction.
#[derive(Clone, Debug)]
pub struct Request {
    message: Message,
    flags: u16,
}

impl Request {
    /// Something is made, or is changed where it is there.
    pub fn create(message: Message) -> Self {
        Self { message, flags: FLAG_CREATE }
    }

    /// Something is made behind all others of its kind.
    pub fn append(message: Message) -> Self {
        Self { message, flags: FLAG_CREATE | FLAG_APPEND }
    }

    /// Something that is there is removed.
    pub fn delete(message: Message) -> Self {
        Self { message, flags: 0 }
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The ruleset is of another generation than the one that the changes are for.
    #[error("another program changed nftables at the same time")]
    Overtaken,
    /// This process may not send that much at once.
    #[error("the changes do not fit into the socket's buffer, which only root may enlarge")]
    TooLong,
    /// The kernel does not make one of the changes.
    #[error("the kernel refused it")]
    Refused {
        /// Its place among the requests.
        place: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not make the transaction, or its answer did not come.
    #[error(transparent)]
    Failed(#[from] NetlinkError),
}

impl TransactionError {
    /// The place of the request that the kernel refused.
    pub fn place(&self) -> Option<usize> {
        match self {
            Self::Refused { place, .. } => Some(*place),
            Self::Overtaken | Self::TooLong | Self::Failed(_) => None,
        }
    }
}

impl Socket {
    /// Makes all of these changes to the ruleset of this generation, or none of them.
    pub fn transact(&mut self, generation: u32, requests: &[Request]) -> Result<(), TransactionError> {
        let begin = self.sequence.wrapping_add(1);
        let bytes = encoded(generation, requests, begin);
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let last = begin.wrapping_add(count);
        // Whatever else the kernel may say about this transaction is none of the next one's business.
        self.sequence = last.wrapping_add(1);

        // The default is some 200 KiB. Beyond the system's limit only a privileged process may go.
        if sockopt::set_socket_send_buffer_size_force(&self.descriptor, bytes.len()).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(&self.descriptor, bytes.len());
        }
        // The kernel does all of it within this call, and its answers wait when it comes back.
        match retry_on_signal(|| send(&self.descriptor, &bytes, SendFlags::empty())) {
            Ok(_) => {}
            Err(Errno::MSGSIZE) => return Err(TransactionError::TooLong),
            Err(errno) => return Err(self.lost(errno).into()),
        }

        let deadline = Instant::now() + DEADLINE;
        let mut refusal = None;
        loop {
            let length = match self.receive(deadline) {
                Ok(length) => length,
                Err(Failure::Final(error)) => return Err(error.into()),
                // There were more complaints than there is room for, so there was one at least.
                Err(Failure::Again | Failure::Reopen) => {
                    return Err(refusal.unwrap_or_else(|| self.lost(Errno::NOBUFS).into()));
                }
            };
            let frames = Frames { rest: &self.buffer[..length] };
            for frame in frames.filter(|frame| frame.kind == KIND_ERROR) {
                let place = frame.sequence.wrapping_sub(begin);
                match (place, frame.errno()) {
                    // About the whole: it was not begun, or not brought to its end.
                    (0, Some(Errno::RESTART)) => return Err(TransactionError::Overtaken),
                    (0, Some(errno)) => return Err(refusal.unwrap_or_else(|| self.refused(errno).into())),
                    (1.., Some(errno)) if place <= count => {
                        let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
                        // The first complaint explains those that follow.
                        refusal.get_or_insert(TransactionError::Refused { place, source: errno.into() });
                    }
                    _ => {}
                }
                if place == count {
                    return refusal.map_or(Ok(()), Err);
                }
            }
        }
    }

    fn lost(&self, errno: Errno) -> NetlinkError {
        NetlinkError::Exchange { protocol: self.protocol, source: errno.into() }
    }
}

/// The transaction's bytes. The kernel answers each request that it refuses; that it made the last one is asked for, since
/// kernels before 6.10 acknowledge neither the beginning nor the end.
fn encoded(generation: u32, requests: &[Request], begin: u32) -> Vec<u8> {
    let frame = Message::new(KIND_BEGIN, &SUBSYSTEM).attribute(GENERATION, &generation.to_be_bytes());
    let mut bytes = frame.encoded(0, begin);
    let mut sequence = begin;
    for (place, request) in requests.iter().enumerate() {
        sequence = sequence.wrapping_add(1);
        let acknowledged = if place + 1 == requests.len() { FLAG_ACK } else { 0 };
        bytes.extend(request.message.encoded(request.flags | acknowledged, sequence));
    }
    bytes.extend(Message::new(KIND_END, &SUBSYSTEM).encoded(0, sequence.wrapping_add(1)));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_comes_first_and_only_the_last_request_is_acknowledged() {
        let table = |kind| Message::new(kind, &[1, 0, 0, 0]).text(1, "t");
        let bytes = encoded(7, &[Request::create(table(0xa00)), Request::delete(table(0xa02))], 5);
        let frames: Vec<_> = Frames { rest: &bytes }.collect();
        let heads: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.flags, frame.sequence)).collect();
        assert_eq!(heads, [(0x10, 1, 5), (0xa00, 0x401, 6), (0xa02, 0x5, 7), (0x11, 1, 8)]);
        assert_eq!(frames[0].body, [SUBSYSTEM, [8, 0, 1, 0], [0, 0, 0, 7]].concat());
    }
}
