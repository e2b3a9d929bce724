//! What one client, and all of them together, may make the front end hold.

use std::time::Duration;

/// Caps on every buffer that a client can fill.
///
/// ```
/// use prime_server::Limits;
/// use prime_server::prelude::*;
///
/// let mut limits = Limits::default();
/// limits.body = 64 << 20;
/// let pipeline = Pipeline::new("uploads").limits(limits);
/// ```
///
/// | limit | default | over it |
/// |---|---|---|
/// | [`target`](Self::target) | 8 KiB | 414, then close |
/// | [`head`](Self::head) | 32 KiB and 100 headers | 431, then close; for the bytes of trailers too |
/// | [`body`](Self::body) | 2 MiB | 413, then close |
/// | [`pipelined`](Self::pipelined) | 32 requests | more is kept unparsed, up to `unparsed` |
/// | [`unparsed`](Self::unparsed) | 64 KiB | what was accepted is answered, then close |
/// | [`unsent`](Self::unsent) | 1 MiB | nothing more is parsed; over four times it, one answer aside, a client that takes nothing for 1 s is closed |
/// | [`requests`](Self::requests) | 1,000,000 | the last one is answered with `connection: close` |
/// | [`connections`](Self::connections) | 10,000, or 64 less than the process may open files | 503, then close |
/// | [`take_answer`](Self::take_answer) | 30 s | close |
/// | [`stream_buffer`](Self::stream_buffer) | 256 KiB | the stage that streams waits, for up to `take_answer`; see [`BodyStream::send`](crate::BodyStream::send) |
/// | [`stream_time`](Self::stream_time) | 1 h | the answer is cut short, then close |
/// | [`head_time`](Self::head_time) | 10 s | 408, then close |
/// | [`body_rate`](Self::body_rate) | 1 KiB a second, after the first 10 s | 408, then close |
/// | [`idle_time`](Self::idle_time) | 60 s | close |
/// | [`held`](Self::held) | 256 MiB | requests that are still arriving get 503, the newest first, as do those that arrive, and answers of 4 KiB or more for which there is no room; then close |
///
/// Fixed: 256 bytes for the line of a chunk's size (400); 32 clients above `connections` are told so at a time, others closed at
/// once; who was refused may go on sending for 1 s, so that it can read why (RFC 9112, 9.6); half of a stage's workers may wait for
/// clients that are slow to take a stream ([`BodyStream::send`](crate::BodyStream::send)). Of the pipeline as a whole, see
/// [`max_in_flight`](crate::Pipeline::max_in_flight), [`deadline`](crate::Pipeline::deadline),
/// [`drain_limit`](crate::Pipeline::drain_limit) and [`max_hops`](crate::Pipeline::max_hops); of a stage,
/// [`queue`](crate::Pipeline::queue) and [`timeout`](crate::Pipeline::timeout).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request line's target.
    pub target: usize,
    /// Bytes of a request's head, and of a chunked body's trailers.
    pub head: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// Requests of one connection that are accepted and not yet answered.
    pub pipelined: usize,
    /// Bytes of one connection that wait to be parsed while it is over another limit.
    pub unparsed: usize,
    /// Bytes of one connection's answers that it has not taken yet.
    pub unsent: usize,
    /// How long a client may take no byte of what it was sent; at least a millisecond.
    pub take_answer: Duration,
    /// How far a stage that streams its answer may be ahead of the client, in bytes.
    pub stream_buffer: usize,
    /// How long an answer may be streamed, from its head on.
    pub stream_time: Duration,
    /// From a head's first byte to its last.
    pub head_time: Duration,
    /// Bytes of a body that come in a second at least, on the whole and not counting the first 10 s; 0 for no limit.
    pub body_rate: u64,
    /// How long a connection may wait for its next request, or its first.
    pub idle_time: Duration,
    /// Requests of one connection, one after another.
    pub requests: u64,
    /// Open connections; at most 64 less than the files that the process may open (`ulimit -n`).
    pub connections: usize,
    /// Bytes held for all connections together: request bytes until their request is answered, answers until the kernel has
    /// them, but for pieces of up to 4 KiB that ZeroMQ queues, at most 32 a connection. While more is held, a client that takes
    /// nothing of its answer for 1 s is closed too.
    pub held: usize,
}

/// The most bytes of a chunk-size line, extensions included (RFC 9112, 7.1.1: a recipient must limit them).
pub(super) const MAX_CHUNK_LINE: usize = 256;

/// Descriptors for everything but connections: ZeroMQ's own, logs, what stages open, and connections that are being refused.
const SPARE_DESCRIPTORS: usize = 64;

/// How many connections the process has descriptors for.
fn possible_connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(SPARE_DESCRIPTORS)
}

impl Limits {
    /// Says what cannot work.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let wrong = [
            (self.connections == 0, "`limits.connections` is 0, so that every client would be refused"),
            (self.held == 0, "`limits.held` is 0, so that no request could be read"),
            (self.take_answer.as_millis() == 0, "`limits.take_answer` is less than a millisecond"),
            (self.stream_buffer == 0, "`limits.stream_buffer` is 0, so that nothing could be streamed"),
            (self.stream_time.is_zero(), "`limits.stream_time` is 0, so that nothing could be streamed"),
            (self.head_time.is_zero(), "`limits.head_time` is 0, so that only heads that come at once could be read"),
            (self.idle_time.is_zero(), "`limits.idle_time` is 0, so that connections would close before they are used"),
            (
                self.target == 0 || self.head == 0,
                "`limits.target` or `limits.head` is 0, so that no request could be read",
            ),
            (self.requests == 0, "`limits.requests` is 0, so that no request could be read"),
            (self.pipelined == 0, "`limits.pipelined` is 0, so that no request could be read"),
        ];
        wrong.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, problem)| Err(problem))
    }

    /// Says how many connections are too many for the process. To be asked when it begins to listen.
    pub(crate) fn check_descriptors(&self) -> Result<(), String> {
        let possible = possible_connections();
        if self.connections <= possible {
            return Ok(());
        }
        Err(format!(
            "`limits.connections` is {}, and the process may open too few files for more than {possible}: raise `ulimit -n` \
             or lower the limit",
            self.connections
        ))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target: 8 << 10,
            head: 32 << 10,
            body: 2 << 20,
            pipelined: 32,
            unparsed: 64 << 10,
            unsent: 1 << 20,
            take_answer: Duration::from_secs(30),
            stream_buffer: 256 << 10,
            stream_time: Duration::from_secs(3600),
            head_time: Duration::from_secs(10),
            body_rate: 1 << 10,
            idle_time: Duration::from_secs(60),
            requests: 1_000_000,
            connections: possible_connections().clamp(1, 10_000),
            held: 256 << 20,
        }
    }
}
