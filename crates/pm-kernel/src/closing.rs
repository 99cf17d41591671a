//! The end of descriptors at which the kernel would make their owner wait.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};

/// Sees to it that the kernel closes this file by itself, some time after everybody here has let go of it.
///
/// The last one who closes a file has to wait for what that takes, unless it is the kernel itself. So a descriptor of it
/// is sent to a socket that nobody will ever read, together with one of that socket. Once all of us are gone, that
/// message is all that holds either, and the kernel's own collection of such circles ends both. It does so in the
/// background; older kernels do it while the socket is closed, and there the wait remains as it was.
pub(crate) fn leave_to_the_kernel(file: impl AsFd) -> rustix::io::Result<()> {
    let (unread, sender) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let descriptors = [file.as_fd(), unread.as_fd()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(&sender, &[IoSlice::new(&[0])], &mut rights, SendFlags::empty()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_kernel_closes_it_once_everybody_has_let_go() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        leave_to_the_kernel(&reader).unwrap();
        writer.write_all(b"held").unwrap();
        drop(reader);
        // It takes a moment.
        let closed = (0..10_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            writer.write_all(b"?").map_err(|error| error.kind()) == Err(ErrorKind::BrokenPipe)
        });
        assert!(closed, "the kernel never closed it");
    }
}
