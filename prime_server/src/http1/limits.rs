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
/// | [`head`](Self::head) | 32 KiB and 100 headers | 431, then close; for trailers too |
/// | [`body`](Self::body) | 2 MiB | 413, then close |
/// | [`pipelined`](Self::pipelined) | 64 requests | more is kept unparsed, up to `unparsed` |
/// | [`unparsed`](Self::unparsed) | 64 KiB | what was accepted is answered, then close |
/// | [`unsent`](Self::unsent) | 1 MiB | nothing more is parsed; four times it: close |
/// | [`connections`](Self::connections) | 10,000, or 64 less than the process may open | 503, then close |
/// | [`take_answer`](Self::take_answer) | 30 s | close |
/// | [`held`](Self::held) | 256 MiB | the connection that asks for more gets 503, then close |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request line's target.
    pub target: usize,
    /// Bytes of a request's head, and of a chunked body's trailers.
    pub head: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// Requests of one connection that are accepted and not yet answered; at least 1.
    pub pipelined: usize,
    /// Bytes of one connection that wait to be parsed while it is over another limit.
    pub unparsed: usize,
    /// Bytes of one connection's answers that it has not taken yet.
    pub unsent: usize,
    /// How long a client may take no byte of what it was sent.
    pub take_answer: Duration,
    /// Open connections.
    pub connections: usize,
    /// Bytes held for all connections together: request bytes until their request is answered, answers until they are
    /// handed to the kernel's queue.
    pub held: usize,
}

/// The most header lines of one request.
pub(super) const MAX_HEADERS: usize = 100;

/// The most bytes of a chunk-size line, extensions included (RFC 9112, 7.1.1: a recipient must limit them).
pub(super) const MAX_CHUNK_LINE: usize = 256;

/// Descriptors for everything but connections: ZeroMQ's own, logs, what stages open.
const SPARE_DESCRIPTORS: u64 = 64;

impl Default for Limits {
    fn default() -> Self {
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        Self {
            target: 8 << 10,
            head: 32 << 10,
            body: 2 << 20,
            pipelined: 64,
            unparsed: 64 << 10,
            unsent: 1 << 20,
            take_answer: Duration::from_secs(30),
            connections: descriptors.saturating_sub(SPARE_DESCRIPTORS).clamp(1, 10_000) as usize,
            held: 256 << 20,
        }
    }
}
