//! Bytes on their way out. Small ones are copied together; large ones are passed on as they are, however slowly they leave.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// From here on a copy costs more than a piece of its own.
const SHARED: usize = 16 << 10;

/// A slice of what is larger leaves as a copy: it could be all that is left of it, and would keep it in memory.
const PINNED: usize = 64 << 10;

/// Up to here a copy costs less than passing the buffer on.
const COPIED: usize = 4 << 10;

/// An idle connection keeps no larger buffer.
const KEPT: usize = 512;

/// See the [module's docs](self).
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// What leaves first.
    sealed: VecDeque<Sealed>,
    /// What follows, and is still written to.
    open: Vec<u8>,
    sealed_len: usize,
}

#[derive(Debug)]
struct Sealed {
    left: Bytes,
    /// It was too large to be kept for a slice of it.
    is_large: bool,
}

/// What leaves next.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// Little, to be copied.
    Copied(&'a [u8]),
    /// To be kept as it is until it has left.
    Shared(Bytes),
}

impl Piece<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.sealed_len + self.open.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where small pieces are written.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.open
    }

    /// Adds a piece that may be large.
    pub(super) fn push(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED {
            self.open.extend_from_slice(bytes);
        } else {
            self.seal();
            self.add_sealed(bytes.clone());
        }
    }

    /// Adds all of `other`, and leaves it empty.
    pub(super) fn append(&mut self, other: &mut Self) {
        if !other.sealed.is_empty() {
            self.seal();
            self.sealed_len += std::mem::take(&mut other.sealed_len);
            self.sealed.append(&mut other.sealed);
        }
        if self.open.is_empty() {
            self.open = std::mem::take(&mut other.open);
        } else {
            self.open.append(&mut other.open);
        }
    }

    /// The first bytes, at most so many; an empty piece where there are none.
    pub(crate) fn front(&mut self, most: usize) -> Piece<'_> {
        if self.sealed.is_empty() && self.open.len() > COPIED {
            self.seal();
        }
        match self.sealed.front() {
            Some(Sealed { left, is_large }) => {
                let slice = left.slice(..left.len().min(most));
                Piece::Shared(if *is_large { Bytes::copy_from_slice(&slice) } else { slice })
            }
            None => Piece::Copied(&self.open[..self.open.len().min(most)]),
        }
    }

    /// That many bytes of the last [`front`](Self::front) have left.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let Some(first) = self.sealed.front_mut() else {
            self.open.drain(..bytes);
            if self.open.is_empty() && self.open.capacity() > KEPT {
                self.open = Vec::new();
            }
            return;
        };
        first.left.advance(bytes);
        self.sealed_len -= bytes;
        if first.left.is_empty() {
            self.sealed.pop_front();
        }
        if self.is_empty() {
            self.sealed = VecDeque::new();
        }
    }

    /// All of it, for those that look on.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.is_empty() {
            let front = self.front(usize::MAX).as_bytes().to_vec();
            self.advance(front.len());
            all.extend(front);
        }
        all
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.add_sealed(open.into());
        }
    }

    fn add_sealed(&mut self, bytes: Bytes) {
        self.sealed_len += bytes.len();
        self.sealed.push_back(Sealed { is_large: bytes.len() > PINNED, left: bytes });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize),
        Push(usize),
        Append(usize, usize),
        Leave(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = || prop_oneof![0..COPIED * 2, Just(SHARED - 1), Just(SHARED), SHARED..3 * SHARED];
        prop_oneof![
            size().prop_map(Step::Write),
            size().prop_map(Step::Push),
            (size(), size()).prop_map(|(write, push)| Step::Append(write, push)),
            (size(), size()).prop_map(|(most, leave)| Step::Leave(most, leave)),
        ]
    }

    proptest! {
        #[test]
        fn what_comes_in_goes_out_in_order(steps in prop::collection::vec(step(), 0..40)) {
            let (mut output, mut expected, mut next) = (Output::default(), VecDeque::new(), 0_u8);
            let mut fill = |size: usize, expected: &mut VecDeque<u8>| -> Bytes {
                next = next.wrapping_add(1);
                expected.extend(std::iter::repeat_n(next, size));
                vec![next; size].into()
            };
            for step in steps {
                match step {
                    Step::Write(size) => output.buffer().extend_from_slice(&fill(size, &mut expected)),
                    Step::Push(size) => output.push(&fill(size, &mut expected)),
                    Step::Append(write, push) => {
                        let mut other = Output::default();
                        other.buffer().extend_from_slice(&fill(write, &mut expected));
                        other.push(&fill(push, &mut expected));
                        other.buffer().push(0);
                        expected.push_back(0);
                        output.append(&mut other);
                        prop_assert!(other.is_empty());
                    }
                    Step::Leave(most, leave) => {
                        let front = output.front(most).as_bytes().to_vec();
                        prop_assert!(front.len() <= most && front.iter().eq(expected.iter().take(front.len())));
                        prop_assert!(most == 0 || !front.is_empty() || expected.is_empty());
                        let leave = leave.min(front.len());
                        output.advance(leave);
                        expected.drain(..leave);
                    }
                }
                prop_assert_eq!(output.len(), expected.len());
            }
            prop_assert_eq!(output.take(), Vec::from(expected));
        }
    }

    #[test]
    fn what_is_very_large_is_not_kept_for_a_slice_of_it() {
        let (mut output, large) = (Output::default(), Bytes::from(vec![1; PINNED + 1]));
        output.push(&large);
        assert!(matches!(output.front(10), Piece::Shared(piece) if piece.as_ptr() != large.as_ptr()));
        let lent = output.front(10).as_bytes().to_vec();
        output.advance(10);
        drop(output);
        assert!(large.is_unique() && lent == [1; 10]);
    }

    #[test]
    fn large_pieces_are_not_copied_and_small_ones_share_a_buffer() {
        let (mut output, large) = (Output::default(), Bytes::from(vec![1; SHARED]));
        output.buffer().extend_from_slice(b"head");
        output.push(&large);
        assert!(matches!(output.front(usize::MAX), Piece::Shared(head) if head == "head"));
        output.advance(4);
        assert!(matches!(output.front(10), Piece::Shared(piece) if piece.as_ptr() == large.as_ptr()));
        output.advance(SHARED);
        output.buffer().extend_from_slice(b"head");
        let kept = output.open.as_ptr();
        assert!(matches!(output.front(usize::MAX), Piece::Copied(b"head")));
        output.advance(4);
        output.buffer().extend_from_slice(b"next");
        assert_eq!(output.open.as_ptr(), kept);
        output.advance(4);
        output.buffer().reserve(KEPT + 1);
        output.buffer().push(b'a');
        output.front(1);
        output.advance(1);
        assert_eq!((output.open.capacity(), output.sealed.capacity()), (0, 0));
    }
}
