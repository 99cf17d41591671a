//! Many things to be done, sent together: on the way to the kernel and back, a thousand cost no more than one.

use std::time::Instant;

use rustix::io::Errno;

use super::{DEADLINE, FLAG_ACK, Failure, Frames, KIND_ERROR, Message, NetlinkError, Socket};

/// So many messages travel at once. The kernel answers each that it refuses, with up to a kilobyte and a half of its
/// memory, and all of these answers have to fit into the smallest usual queue of a socket (208 KiB).
const TOGETHER: usize = 128;

/// One of a batch that the kernel did not do.
#[derive(Debug)]
pub struct Refusal {
    /// Its place in the batch, from 0.
    pub place: usize,
    /// What the kernel said of it.
    pub error: NetlinkError,
}

impl Socket {
    /// Asks for these things to be done in their order. The kernel goes on behind one that it refuses, so what is not
    /// among the refusals is done. An error says that it is not known what was done.
    pub fn carry_out(&mut self, messages: &[Message]) -> Result<Vec<Refusal>, NetlinkError> {
        let mut refusals = Vec::new();
        for (number, part) in messages.chunks(TOGETHER).enumerate() {
            for (place, errno) in self.exchange(part)? {
                refusals.push(Refusal { place: number * TOGETHER + place, error: self.refused(errno) });
            }
        }
        Ok(refusals)
    }

    /// Sends some messages at once and waits for the answer to the last of them, the only one that asks for it.
    fn exchange(&mut self, messages: &[Message]) -> Result<Vec<(usize, Errno)>, NetlinkError> {
        let deadline = Instant::now() + DEADLINE;
        let before = self.sequence;
        let mut bytes = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let flags = if place + 1 == messages.len() { FLAG_ACK } else { 0 };
            bytes.extend(message.encoded(flags, self.sequence));
        }
        self.send(&bytes).map_err(|failure| self.unknown(failure))?;
        let mut refused = Vec::new();
        loop {
            let length = self.receive(deadline).map_err(|failure| self.unknown(failure))?;
            let errors = (Frames { rest: &self.buffer[..length] }).filter(|frame| frame.kind == KIND_ERROR);
            for frame in errors {
                // Answers to earlier questions, that nobody waited for, count from another number.
                let Ok(number) = usize::try_from(frame.sequence.wrapping_sub(before)) else { continue };
                if let (1.., Some(errno)) = (number, frame.errno())
                    && number <= messages.len()
                {
                    refused.push((number - 1, errno));
                }
                if number == messages.len() {
                    return Ok(refused);
                }
            }
        }
    }

    /// A change is never sent twice: whoever asked looks at what stands.
    fn unknown(&self, failure: Failure) -> NetlinkError {
        match failure {
            Failure::Final(error) => error,
            Failure::Again | Failure::Reopen => {
                NetlinkError::Exchange { protocol: self.protocol, source: Errno::NOBUFS.into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Protocol;

    /// `RTM_GETLINK`, whose answers are no errors, with the number of an interface.
    fn link(index: i32) -> Message {
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        Message::new(18, &header)
    }

    #[test]
    fn those_that_are_refused_are_named_by_their_place() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        // The loopback interface is number 1 in every namespace.
        let messages: Vec<Message> =
            (0..300).map(|place| link(if place % 7 == 0 { i32::MAX } else { 1 })).collect();
        for _ in 0..2 {
            let refusals = socket.carry_out(&messages).unwrap();
            let places: Vec<usize> = refusals.iter().map(|refusal| refusal.place).collect();
            assert_eq!(places, (0..300).step_by(7).collect::<Vec<_>>());
            assert!(refusals.iter().all(|refusal| matches!(refusal.error, NetlinkError::Refused { .. })));
        }
        assert!(socket.carry_out(&messages[1..7]).unwrap().is_empty());
        assert_eq!(socket.carry_out(&messages[1..8]).unwrap()[0].place, 6);
        assert!(socket.carry_out(&[]).unwrap().is_empty());
        assert_eq!(socket.request(&link(1)).unwrap().iter().count(), 1);
    }
}
