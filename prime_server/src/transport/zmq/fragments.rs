//! Commands that are too large for one message, cut into FRAGMENTs and put together again.
//!
//! A peer is heard when a message is there as a whole. One that takes longer than the liveness on its way would make a peer that
//! sends it without a pause look dead.

/// The most bytes of a message, roughly: on a link of 10 MB/s one comes every 30 ms.
pub(super) const MESSAGE: usize = 256 << 10;

/// The most bytes of a command.
const LARGEST: usize = 1 << 30;

/// What has come of a command so far.
#[derive(Debug, Default)]
pub(super) struct Assembly(Vec<u8>);

/// A peer sends a command of more than 1 GiB.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Assembly {
    /// Takes a fragment, and returns the command's frame with the last.
    pub(super) fn take(&mut self, bytes: &[u8], last: bool) -> Result<Option<Vec<u8>>, TooLarge> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(TooLarge);
        }
        self.0.extend_from_slice(bytes);
        Ok(last.then(|| std::mem::take(&mut self.0)))
    }
}

/// A frame's fragments, each with whether it is the last.
pub(super) fn cut(frame: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let pieces = frame.chunks(MESSAGE);
    let last = pieces.len().saturating_sub(1);
    pieces.enumerate().map(move |(at, piece)| (piece, at == last))
}
