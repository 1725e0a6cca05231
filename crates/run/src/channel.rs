//! What a sandbox in the making and the process that starts it tell each other.
//!
//! In and out: messages over a pair of sockets. The end of the program's side is closed when it executes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 16 << 10;

/// A message of the sandbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// It has left the namespaces of this machine.
    Unshared,
    /// The ID of the process that will be the program.
    Process(i32),
    /// The other side of its terminal.
    Terminal(OwnedFd),
    /// It is about to execute.
    Ready,
    /// A setting forbids it: which one, and how to allow it.
    Forbidden(String),
    /// It could not be set up: what failed, and the number of the error or 0.
    Failed(String, i32),
    /// The program could not be executed: its path, and the number of the error.
    NotExecuted(String, i32),
}

/// One side.
pub(crate) struct Side(OwnedFd);

/// Two sides; both are closed when a program is executed.
pub(crate) fn pair() -> io::Result<(Side, Side)> {
    let flags = SocketFlags::CLOEXEC;
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((Side(one), Side(other)))
}

impl Side {
    /// Sends a message; whoever does not listen is gone.
    pub fn send(&self, message: &Message) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: [BorrowedFd<'_>; 1];
        let (tag, number, text) = match message {
            Message::Unshared => (b'U', 0, ""),
            Message::Process(id) => (b'P', *id, ""),
            Message::Terminal(descriptor) => {
                descriptors = [descriptor.as_fd()];
                ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
                (b'T', 0, "")
            }
            Message::Ready => (b'R', 0, ""),
            Message::Forbidden(text) => (b'N', 0, text.as_str()),
            Message::Failed(text, error) => (b'F', *error, text.as_str()),
            Message::NotExecuted(path, error) => (b'X', *error, path.as_str()),
        };
        let number = number.to_ne_bytes();
        let text = text.as_bytes();
        let text = &text[..text.len().min(MAX_MESSAGE - 8)];
        let tag = [tag];
        let parts = [
            IoSlice::new(&tag),
            IoSlice::new(&number),
            IoSlice::new(text),
        ];
        let _ = sendmsg(&self.0, &parts, &mut ancillary, SendFlags::NOSIGNAL);
    }

    /// The next message; `None` when the other side is closed.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut bytes = [0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                flags,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                // It ended without reading what was sent; what it sent before comes next.
                Err(rustix::io::Errno::CONNRESET) => {}
                received => break received?,
            }
        };
        let message = &bytes[..received.bytes];
        let Some((tag, rest)) = message.split_first() else {
            return Ok(None);
        };
        let Some((number, text)) = rest.split_first_chunk() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let number = i32::from_ne_bytes(*number);
        let text = || String::from_utf8_lossy(text).into_owned();
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok(Some(match (tag, descriptor) {
            (b'U', _) => Message::Unshared,
            (b'P', _) => Message::Process(number),
            (b'T', Some(descriptor)) => Message::Terminal(descriptor),
            (b'R', _) => Message::Ready,
            (b'N', _) => Message::Forbidden(text()),
            (b'F', _) => Message::Failed(text(), number),
            (b'X', _) => Message::NotExecuted(text(), number),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }))
    }

    /// Lets the other side go on.
    pub fn go(&self) {
        let mut none = SendAncillaryBuffer::default();
        let _ = sendmsg(
            &self.0,
            &[IoSlice::new(b"g")],
            &mut none,
            SendFlags::NOSIGNAL,
        );
    }

    /// Waits until the other side lets this one go on; `false` if it is gone.
    pub fn wait(&self) -> bool {
        let mut byte = [0; 1];
        let mut none = RecvAncillaryBuffer::default();
        loop {
            let flags = RecvFlags::empty();
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut none, flags) {
                Err(rustix::io::Errno::INTR) => {}
                received => return received.is_ok_and(|received| received.bytes == 1),
            }
        }
    }
}
