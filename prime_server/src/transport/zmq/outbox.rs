//! Commands on their way to one peer: gathered over a turn of the loop, sent as one message.

use postcard::ser_flavors::Flavor;

use super::wire::Command;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

/// Writes at the end of what there is: slices as such, which `postcard::to_extend` does byte by byte.
struct Appended<'a>(&'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// The peer is not there any more, or does not take what it is sent.
    Lost,
}

/// Memory that is kept for the next turn.
const KEPT: usize = 256 << 10;

impl Outbox {
    pub(super) fn push(&mut self, command: &Command<'_>) {
        let written = postcard::serialize_with_flavor(command, Appended(&mut self.bytes));
        written.expect("nothing of the protocol is refused by its format");
        self.ends.push(self.bytes.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Sends all as one message, to that peer of a ROUTER or to the one at the other end.
    pub(super) fn send(&mut self, socket: &zmq::Socket, to: Option<&[u8]>) -> Sent {
        let sent = self.send_frames(socket, to);
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.ends.clear();
        sent
    }

    /// The frames, as a test's network takes them.
    #[cfg(any(test, fuzzing))]
    pub(super) fn take_frames(&mut self) -> Vec<Vec<u8>> {
        let bytes = std::mem::take(&mut self.bytes);
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let frames = begins.zip(&self.ends).map(|(begin, end)| bytes[begin..*end].to_vec()).collect();
        self.ends.clear();
        frames
    }

    fn send_frames(&self, socket: &zmq::Socket, to: Option<&[u8]>) -> Sent {
        if self.is_empty() {
            return Sent::All;
        }
        if let Some(to) = to
            && socket.send(to, zmq::DONTWAIT | zmq::SNDMORE).is_err()
        {
            return Sent::Lost;
        }
        let mut begin = 0;
        for (at, end) in self.ends.iter().enumerate() {
            let more = if at + 1 < self.ends.len() { zmq::SNDMORE } else { 0 };
            // Past its first frame a message is always taken: libzmq counts whole ones.
            if socket.send(&self.bytes[begin..*end], zmq::DONTWAIT | more).is_err() {
                return Sent::Lost;
            }
            begin = *end;
        }
        Sent::All
    }
}
