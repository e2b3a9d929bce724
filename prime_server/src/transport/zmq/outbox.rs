//! Commands on their way to one peer: gathered over a turn of the loop, sent as one message, or as several where they are large.

use postcard::ser_flavors::Flavor;

use super::fragments::{MESSAGE, cut};
use super::wire::{Command, encode};

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

    /// Sends all, to that peer of a ROUTER or to the one at the other end.
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

    /// Gives each frame as it goes out, and whether a message begins and ends with it.
    fn messages<E>(&self, mut give: impl FnMut(&[u8], bool, bool) -> Result<(), E>) -> Result<(), E> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let frames = begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end]);
        let mut frames = frames.peekable();
        let mut size = 0;
        while let Some(frame) = frames.next() {
            if frame.len() > MESSAGE {
                for (bytes, last) in cut(frame) {
                    give(&encode(&Command::Fragment { last, bytes }), true, true)?;
                }
                continue;
            }
            let begins = size == 0;
            size += frame.len();
            let ends = frames.peek().is_none_or(|next| size + next.len() > MESSAGE);
            give(frame, begins, ends)?;
            if ends {
                size = 0;
            }
        }
        Ok(())
    }

    fn send_frames(&self, socket: &zmq::Socket, to: Option<&[u8]>) -> Sent {
        if self.is_empty() {
            return Sent::All;
        }
        self.messages(|frame, begins, ends| {
            if let (Some(to), true) = (to, begins) {
                socket.send(to, zmq::DONTWAIT | zmq::SNDMORE)?;
            }
            // Past its first frame a message is always taken: libzmq counts whole ones.
            socket.send(frame, zmq::DONTWAIT | if ends { 0 } else { zmq::SNDMORE })
        })
        .map_or(Sent::Lost, |()| Sent::All)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fragments::Assembly;
    use super::super::wire::decode;
    use super::*;

    fn outbox(sizes: &[usize]) -> (Outbox, Vec<Vec<u8>>) {
        let mut outbox = Outbox::default();
        let mut frames = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let body = vec![at as u8; *size];
            let command = Command::Outcome { job: at as u64, ran: 0, had: 0, ends: true, body: &body };
            outbox.push(&command);
            frames.push(encode(&command));
        }
        (outbox, frames)
    }

    /// The messages, each as its frames.
    fn messages(outbox: &Outbox) -> Vec<Vec<Vec<u8>>> {
        let (mut messages, mut open) = (Vec::new(), None);
        let given = outbox.messages(|frame, begins, ends| {
            assert_eq!(begins, open.is_none());
            open.get_or_insert_with(Vec::new).push(frame.to_vec());
            messages.extend(open.take_if(|_| ends));
            Ok::<(), ()>(())
        });
        assert_eq!((given, open), (Ok(()), None));
        messages
    }

    #[test]
    fn what_is_small_goes_as_one_message() {
        let (outbox, frames) = outbox(&[10, 0, 100]);
        assert_eq!(messages(&outbox), [frames]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn all_that_is_sent_comes_whole_and_in_its_order_in_messages_that_are_not_large(
            sizes in prop::collection::vec(prop_oneof![0..100_usize, 0..MESSAGE, MESSAGE - 20..MESSAGE + 20, 0..4 * MESSAGE], 1..9),
        ) {
            let (outbox, frames) = outbox(&sizes);
            let (mut come, mut assembly) = (Vec::new(), Assembly::default());
            for message in messages(&outbox) {
                prop_assert!(message.iter().map(Vec::len).sum::<usize>() <= MESSAGE + 16);
                for frame in message {
                    match decode(&frame) {
                        Some(Command::Fragment { last, bytes }) => come.extend(assembly.take(bytes, last).unwrap()),
                        _ => come.push(frame),
                    }
                }
            }
            prop_assert!(come == frames);
        }
    }
}
