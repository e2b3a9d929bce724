//! Answers on loan to ZeroMQ: passed without a copy, and counted until it lets go of them.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::listener::Peer;
use crate::Body;

/// How many bytes ZeroMQ has, of all connections together. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lent(Arc<AtomicUsize>);

impl Lent {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What is lent, and to whom.
#[derive(Debug)]
pub(super) struct Loans {
    all: Lent,
    /// Above it a connection gets one piece at a time.
    most: usize,
    by_peer: HashMap<Peer, Lent>,
    /// What connections have that were closed: until it is gone so is their descriptor.
    closing: Vec<Lent>,
}

/// A piece of an answer that ZeroMQ has.
struct Loan {
    /// As a body, since that survives an owner whose drop panics.
    bytes: Body,
    counts: [Lent; 2],
}

impl Drop for Loan {
    fn drop(&mut self) {
        for count in &self.counts {
            count.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        }
    }
}

impl Loans {
    pub(super) fn new(most: usize) -> Self {
        Self { all: Lent::default(), most, by_peer: HashMap::new(), closing: Vec::new() }
    }

    pub(super) fn all(&self) -> Lent {
        self.all.clone()
    }

    /// Whether the peer may have another piece. While ZeroMQ has much, those that do not read must not get more of it.
    pub(super) fn may_lend(&self, peer: Peer) -> bool {
        self.all.bytes() < self.most || self.by_peer.get(&peer).is_none_or(|lent| lent.bytes() == 0)
    }

    /// The connection is gone, with what it still had.
    pub(super) fn forget(&mut self, peer: Peer) {
        self.by_peer.remove(&peer);
    }

    /// The connection is to be closed, once it has what was sent or ZeroMQ gives it up.
    pub(super) fn close(&mut self, peer: Peer) {
        self.closing.extend(self.by_peer.remove(&peer).filter(|lent| lent.bytes() > 0));
    }

    /// How many connections are to be closed and still there, as far as that shows.
    pub(super) fn closing(&mut self) -> usize {
        self.closing.retain(|lent| lent.bytes() > 0);
        self.closing.len()
    }

    /// Counts what the peer gets.
    fn lend(&mut self, peer: Peer, bytes: Bytes) -> Loan {
        let of_peer = self.by_peer.entry(peer).or_default().clone();
        let counts = [self.all.clone(), of_peer];
        for count in &counts {
            count.add(bytes.len());
        }
        Loan { bytes: bytes.into(), counts }
    }

    /// Sends a piece as the last frame of a message to the peer.
    pub(super) fn send(&mut self, socket: &mut zmq::Socket, peer: Peer, bytes: Bytes) -> zmq::Result<()> {
        let loan = Box::new(self.lend(peer, bytes));
        let (data, len) = (loan.bytes.as_bytes().as_ptr().cast_mut().cast(), loan.bytes.len());
        let hint = Box::into_raw(loan).cast();
        let mut message = zmq_sys::zmq_msg_t::default();
        // SAFETY: the bytes live as long as the loan, which lives until libzmq calls `repaid`, once and wherever it frees the
        // message; libzmq does not write to a message that is sent. The loan is `Send`, as `repaid` is called on another thread.
        // A message that is not made is never freed, so the loan is taken back here.
        unsafe {
            if zmq_sys::zmq_msg_init_data(&raw mut message, data, len, Some(repaid), hint) != 0 {
                drop(Box::from_raw(hint.cast::<Loan>()));
                return Err(zmq::Error::ENOMEM);
            }
            while zmq_sys::zmq_msg_send(&raw mut message, socket.as_mut_ptr(), zmq::DONTWAIT) < 0 {
                let error = zmq::Error::from_raw(zmq_sys::zmq_errno());
                if error != zmq::Error::EINTR {
                    zmq_sys::zmq_msg_close(&raw mut message);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// ZeroMQ needs the loan no more.
extern "C" fn repaid(_data: *mut c_void, loan: *mut c_void) {
    // SAFETY: `loan` came out of a box in `Loans::send`, and libzmq calls this once.
    drop(unsafe { Box::from_raw(loan.cast::<Loan>()) });
}

const _: () = {
    const fn crosses_threads<T: Send>() {}
    crosses_threads::<Loan>();
};

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::super::listener::{Event, Listener, Sent, StreamListener};
    use super::*;
    use crate::http1::{Limits, Piece};

    const PIECE: usize = 16 << 10;

    /// An owner whose drop panics, as an answer's may.
    struct Panics;

    impl AsRef<[u8]> for Panics {
        fn as_ref(&self) -> &[u8] {
            &[0; PIECE]
        }
    }

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    fn connect(listener: &mut StreamListener) -> (TcpStream, Peer) {
        let address = listener.endpoint().strip_prefix("tcp://").unwrap().to_owned();
        let stream = TcpStream::connect(address).unwrap();
        let connected = Instant::now();
        loop {
            if let Some(Event::Toggled(peer, _)) = listener.next() {
                return (stream, peer);
            }
            assert!(connected.elapsed() < Duration::from_secs(30), "the connection is not seen");
            std::thread::yield_now();
        }
    }

    fn send(listener: &mut StreamListener, peer: Peer) -> Sent {
        listener.send(peer, Piece::Shared(Bytes::from_static(&[0; PIECE])))
    }

    #[test]
    fn while_much_is_lent_a_connection_gets_a_piece_at_a_time() {
        let (mut loans, piece) = (Loans::new(2 * PIECE), || Bytes::from_static(&[0; PIECE]));
        let [first, second] = [Peer(1), Peer(2)];
        let one = loans.lend(first, piece());
        assert!(loans.may_lend(first), "there is not much");
        let two = loans.lend(first, piece());
        assert!(!loans.may_lend(first) && loans.may_lend(second), "others are not held up");
        let three = loans.lend(second, piece());
        assert!(!loans.may_lend(second));
        assert_eq!(loans.all().bytes(), 3 * PIECE);
        drop(three);
        assert!(!loans.may_lend(first) && loans.may_lend(second), "it has taken what it got");
        drop((one, two));
        assert!(loans.may_lend(first));
        assert_eq!(loans.all().bytes(), 0);
    }

    #[test]
    fn a_closed_connection_is_there_until_it_has_what_it_was_lent() {
        let mut loans = Loans::new(PIECE);
        let loan = loans.lend(Peer(1), Bytes::from_static(&[0; PIECE]));
        loans.close(Peer(1));
        loans.close(Peer(2));
        assert_eq!((loans.closing(), loans.by_peer.len()), (1, 0));
        drop(loan);
        assert_eq!(loans.closing(), 0);
    }

    #[test]
    fn what_a_client_leaves_unread_is_bounded_and_comes_back_when_it_is_gone() {
        let limits = Limits { held: 4 * 4 * PIECE, ..Limits::default() };
        let mut listener = StreamListener::bind("tcp://127.0.0.1:0", &limits).unwrap();
        let (unread, peer) = connect(&mut listener);
        // More than the kernel's buffers take.
        for _ in 0..4_000 {
            assert_ne!(send(&mut listener, peer), Sent::Gone);
            assert!(listener.lent().bytes() <= 4 * PIECE, "{} bytes are lent", listener.lent().bytes());
        }
        drop(unread);
        let gone = Instant::now();
        while listener.lent().bytes() > 0 || !listener.loans.by_peer.is_empty() {
            listener.next();
            assert!(gone.elapsed() < Duration::from_secs(30), "{} bytes are still lent", listener.lent().bytes());
        }
    }

    #[test]
    fn an_owner_that_panics_ends_no_thread_of_zeromq() {
        let mut listener = StreamListener::bind("tcp://127.0.0.1:0", &Limits::default()).unwrap();
        let (_stream, peer) = connect(&mut listener);
        assert_eq!(listener.send(peer, Piece::Shared(Bytes::from_owner(Panics))), Sent::All);
        let sent = Instant::now();
        while listener.lent().bytes() > 0 {
            assert!(sent.elapsed() < Duration::from_secs(30), "it is not sent");
            std::thread::yield_now();
        }
        assert_eq!(send(&mut listener, peer), Sent::All);
    }
}
