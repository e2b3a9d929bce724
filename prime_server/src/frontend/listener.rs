//! The seam between the front end and the sockets: sessions, limits and timers know nothing of what is behind it.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::loans::{Lent, Loans};
use crate::http1::{Limits, Piece};
use crate::panics::log;
use crate::{StartError, endpoint};

/// Names an open connection. Never reused while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Peer(pub(crate) u32);

/// What happened on a socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Bytes arrived.
    Bytes(Peer, &'a [u8]),
    /// The peer connected, from that address if it is known, or if it was connected, it is gone.
    Toggled(Peer, Option<IpAddr>),
}

/// What became of bytes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// They are on their way.
    All,
    /// None is; the peer does not read. To be tried again later: nothing tells when.
    Blocked,
    /// The peer is gone.
    Gone,
}

/// A socket that accepts connections and carries their bytes. It never blocks.
pub(crate) trait Listener: Send {
    /// Where it listens, with the port that it got.
    fn endpoint(&self) -> &str;
    /// Becomes readable when there may be events. To be slept on only while [`is_ready`](Self::is_ready) is false.
    fn descriptor(&self) -> BorrowedFd<'_>;
    /// Whether there may be an event. If so, [`next`](Self::next) must be called before [`close`](Self::close).
    fn is_ready(&self) -> bool;
    /// The next event, if there is one.
    fn next(&mut self) -> Option<Event<'_>>;
    /// Sends bytes to a peer: all or none.
    fn send(&mut self, peer: Peer, piece: Piece<'_>) -> Sent;
    /// How many of the bytes that were sent it still has.
    fn lent(&self) -> Lent;
    /// How many connections that were closed are still there, since their clients have not taken what they were sent.
    fn closing(&mut self) -> usize;
    /// Closes a connection once what was sent is flushed. No event follows, except where the answer is that the peer is blocked.
    fn close(&mut self, peer: Peer) -> Sent;
    /// Closes all of them, and lets what was sent take that long to leave, or a second if that is longer.
    fn finish(self: Box<Self>, within: Duration);
}

/// A ZMQ_STREAM socket.
///
/// Half-close loses the answer: when a client shuts its sending side down, libzmq drops the connection with all that was to be
/// sent. Reading from one connection cannot be paused, since one socket reads for all.
pub(crate) struct StreamListener {
    socket: zmq::Socket,
    // After the socket, which must be closed first.
    _context: zmq::Context,
    endpoint: String,
    peer: zmq::Message,
    bytes: zmq::Message,
    pub(super) loans: Loans,
    /// Whether the descriptor may be quiet although there are events: it is edge-triggered, and a send takes note of what has
    /// arrived. A receive that finds nothing leaves it ready to signal.
    unsure: bool,
}

/// How long what was sent may take to leave once the socket is closed, where nobody says otherwise.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How much later than the front end the kernel drops a peer that takes nothing, so that it is not told of one that has disconnected.
const SPARED: Duration = Duration::from_secs(1);

/// How many messages libzmq queues for one connection before it says that the peer does not read. With the front end's slices
/// of 16 KiB that is 512 KiB.
const SEND_QUEUE: i32 = 32;

/// The share of the limit on bytes held, as one part of so many, that libzmq gets of large answers before each connection gets
/// one piece at a time.
const LENT: usize = 4;

/// How many messages of one connection libzmq receives ahead of the front end, of up to 8 KiB; the kernel's buffers hold back
/// the rest.
const RECEIVE_QUEUE: i32 = 64;

/// Connections that the kernel completes before libzmq accepts them.
const BACKLOG: i32 = 4096;

impl StreamListener {
    /// Listens on an endpoint like `tcp://127.0.0.1:8002`; port 0 or `*` takes a free one. A peer that takes no byte of what
    /// it was sent for a second longer than `take_answer` is dropped by the kernel.
    pub(crate) fn bind(endpoint: &str, limits: &Limits) -> Result<Self, StartError> {
        let refuse =
            |problem: &str| StartError::Endpoint { endpoint: endpoint.to_owned(), problem: problem.to_owned() };
        if !endpoint.starts_with("tcp://") {
            return Err(refuse("HTTP is served on tcp:// only: an endpoint looks like tcp://127.0.0.1:8002"));
        }
        let address = endpoint::tcp(endpoint).map_err(|problem| refuse(&problem))?;
        let context = zmq::Context::new();
        let open = || -> zmq::Result<zmq::Socket> {
            let mut socket = context.socket(zmq::STREAM)?;
            socket.set_sndhwm(SEND_QUEUE)?;
            socket.set_rcvhwm(RECEIVE_QUEUE)?;
            socket.set_linger(milliseconds(LAST_ANSWERS))?;
            socket.set_backlog(BACKLOG)?;
            socket.set_ipv6(endpoint.contains('['))?;
            set_max_retransmit(&mut socket, limits.take_answer.saturating_add(SPARED));
            Ok(socket)
        };
        let system = |source: zmq::Error| StartError::System { doing: "open a ZeroMQ socket", source: source.into() };
        let mut socket = open().map_err(system)?;
        endpoint::bind(&mut socket, &address).map_err(|problem| refuse(&problem))?;
        let bound = socket.get_last_endpoint().map_err(system)?.unwrap_or_else(|_| endpoint.to_owned());
        let endpoint = bound.trim_end_matches('\0').to_owned();
        Ok(Self {
            socket,
            _context: context,
            endpoint,
            peer: zmq::Message::new(),
            bytes: zmq::Message::new(),
            loans: Loans::new(limits.held / LENT),
            unsure: true,
        })
    }

    fn send_frames(&mut self, peer: Peer, piece: Piece<'_>) -> Sent {
        self.unsure = true;
        let mut id = [0; 5];
        id[1..].copy_from_slice(&peer.0.to_be_bytes());
        match uninterrupted(|| self.socket.send(&id[..], zmq::SNDMORE | zmq::DONTWAIT)) {
            Ok(()) => {}
            Err(zmq::Error::EAGAIN) => return Sent::Blocked,
            Err(_) => return Sent::Gone,
        }
        let sent = match piece {
            Piece::Copied(bytes) => uninterrupted(|| self.socket.send(bytes, zmq::DONTWAIT)),
            Piece::Shared(bytes) => self.loans.send(&mut self.socket, peer, bytes),
        };
        sent.map_or(Sent::Gone, |()| Sent::All)
    }
}

/// Tries again what a signal interrupted. An id without its bytes would have the next connection's id taken for them.
fn uninterrupted<T>(mut call: impl FnMut() -> zmq::Result<T>) -> zmq::Result<T> {
    loop {
        match call() {
            Err(zmq::Error::EINTR) => {}
            result => return result,
        }
    }
}

fn milliseconds(time: Duration) -> i32 {
    time.as_millis().try_into().unwrap_or(i32::MAX)
}

/// ZMQ_TCP_MAXRT, which the `zmq` crate does not name. A libzmq that does not know it works without.
#[allow(unsafe_code)]
fn set_max_retransmit(socket: &mut zmq::Socket, limit: Duration) {
    const ZMQ_TCP_MAXRT: std::ffi::c_int = 80;
    let milliseconds = milliseconds(limit);
    let pointer = std::ptr::from_ref(&milliseconds).cast();
    let size = size_of_val(&milliseconds);
    // SAFETY: the socket is open, and the option's value is an int that outlives the call.
    let result = unsafe { zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), ZMQ_TCP_MAXRT, pointer, size) };
    if result != 0 {
        log(|| tracing::debug!("this libzmq has no ZMQ_TCP_MAXRT"));
    }
}

impl Listener for StreamListener {
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        let descriptor = self.socket.as_raw_fd();
        // SAFETY: libzmq keeps a socket's descriptor open until the socket is closed, which the borrow of `self` prevents.
        #[allow(unsafe_code)]
        unsafe {
            BorrowedFd::borrow_raw(descriptor)
        }
    }

    fn is_ready(&self) -> bool {
        self.unsure && uninterrupted(|| self.socket.get_events()).is_ok_and(|events| events.contains(zmq::POLLIN))
    }

    fn next(&mut self) -> Option<Event<'_>> {
        if uninterrupted(|| self.socket.recv(&mut self.peer, zmq::DONTWAIT)).is_err() {
            self.unsure = false;
            return None;
        }
        self.unsure = true;
        uninterrupted(|| self.socket.recv(&mut self.bytes, zmq::DONTWAIT)).ok()?;
        let id = self.peer.get(1..5).and_then(|id| id.try_into().ok())?;
        let peer = Peer(u32::from_be_bytes(id));
        if self.bytes.is_empty() {
            self.loans.forget(peer);
            let address = self.bytes.gets("Peer-Address").and_then(|address| address.parse::<IpAddr>().ok());
            // A client has the same address whether the socket is of both families or of one.
            return Some(Event::Toggled(peer, address.map(|address| address.to_canonical())));
        }
        Some(Event::Bytes(peer, &self.bytes))
    }

    fn send(&mut self, peer: Peer, piece: Piece<'_>) -> Sent {
        if matches!(piece, Piece::Shared(_)) && !self.loans.may_lend(peer) {
            return Sent::Blocked;
        }
        self.send_frames(peer, piece)
    }

    fn lent(&self) -> Lent {
        self.loans.all()
    }

    fn close(&mut self, peer: Peer) -> Sent {
        // To a ZMQ_STREAM socket an empty message means: close.
        let sent = self.send_frames(peer, Piece::Copied(b""));
        if sent != Sent::Blocked {
            self.loans.close(peer);
        }
        sent
    }

    fn closing(&mut self) -> usize {
        self.loans.closing()
    }

    fn finish(self: Box<Self>, within: Duration) {
        if let Err(error) = self.socket.set_linger(milliseconds(within.max(LAST_ANSWERS))) {
            log(|| tracing::debug!(%error, "the last answers may be cut short"));
        }
    }
}
