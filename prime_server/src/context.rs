//! What a running job may ask about its request: identity, deadline, and whether anybody still waits for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::request::Head;
use crate::transport::StageId;
use crate::{IntoResponse, Response};

/// Names a request for as long as it is in flight: the key of its place at the front end and that place's generation, so
/// that an answer that comes too late finds nobody instead of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    pub(crate) key: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.key, self.generation)
    }
}

/// Why nobody waits for a job's answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The client closed its connection.
    Disconnected,
    /// The deadline passed; the client has been answered 504.
    TimedOut,
    /// The server stops; the client has been answered 503.
    ShuttingDown,
    /// The client does not read what it asked for.
    SlowReader,
}

impl Reason {
    pub(crate) const ALL: [Reason; 4] =
        [Reason::Disconnected, Reason::TimedOut, Reason::ShuttingDown, Reason::SlowReader];

    /// The reason's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Disconnected => "disconnected",
            Reason::TimedOut => "timed_out",
            Reason::ShuttingDown => "shutting_down",
            Reason::SlowReader => "slow_reader",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Reason::Disconnected => 1,
            Reason::TimedOut => 2,
            Reason::ShuttingDown => 3,
            Reason::SlowReader => 4,
        }
    }

    fn from_code(code: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// The error of [`Context::check`]: stop, nobody waits for the answer.
///
/// ```
/// use prime_server::Reason;
/// use prime_server::prelude::*;
///
/// let cx = Context::test();
/// cx.cancel(Reason::TimedOut);
/// let cancelled = cx.check().unwrap_err();
/// assert_eq!(cancelled.reason, Reason::TimedOut);
/// assert_eq!(cancelled.to_string(), "cancelled: timed_out");
/// ```
///
/// A stage passes it on with `?`. The client has been answered already (or is gone), so the answer made of this is seen
/// only by [`Built::test`](crate::Built::test).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled: {}", reason.as_str())]
#[non_exhaustive]
pub struct Cancelled {
    /// Why.
    pub reason: Reason,
}

impl IntoResponse for Cancelled {
    fn into_response(self) -> Response {
        match self.reason {
            Reason::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "the deadline has passed\n").into_response(),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "the request was cancelled\n").into_response(),
        }
    }
}

/// What the front end and the stages share of one request, one allocation for its whole life.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: RequestId,
    pub(crate) head: Arc<Head>,
    pub(crate) deadline: Instant,
    cancelled: AtomicU8,
    place: AtomicU64,
}

impl Ticket {
    pub(crate) fn new(id: RequestId, head: Arc<Head>, deadline: Instant) -> Arc<Self> {
        Arc::new(Self { id, head, deadline, cancelled: AtomicU8::new(0), place: AtomicU64::new(u64::MAX) })
    }

    /// Sets the flag that [`Context::check`] reads. The first reason stays.
    pub(crate) fn cancel(&self, reason: Reason) {
        let _ = self.cancelled.compare_exchange(0, reason.code(), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn cancelled(&self) -> Option<Reason> {
        match self.cancelled.load(Ordering::Relaxed) {
            0 => None,
            code => Reason::from_code(code),
        }
    }

    /// Notes in which queue the job waits. Written under that queue's lock, and only a hint outside of it: whoever reads
    /// it looks the job up again by id.
    pub(crate) fn queued_at(&self, stage: StageId, entry: u32) {
        self.place.store(u64::from(stage.0) << 32 | u64::from(entry), Ordering::Relaxed);
    }

    /// The stage and queue entry of [`queued_at`](Self::queued_at), if the job ever waited.
    pub(crate) fn place(&self) -> Option<(StageId, u32)> {
        match self.place.load(Ordering::Relaxed) {
            u64::MAX => None,
            place => Some((StageId((place >> 32) as u16), place as u32)),
        }
    }
}

/// What a stage may ask about the request that its job belongs to.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn sum(request: Request, cx: &Context) -> Result<String, Cancelled> {
///     let mut sum = 0_u64;
///     for n in 0..1_000_000 {
///         cx.check()?;
///         sum += n;
///     }
///     Ok(format!("{sum} for {}, {:?} left\n", cx.head().path(), cx.remaining()))
/// }
///
/// assert!(sum(Request::get("/"), &Context::test()).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) deadline: Instant,
    pub(crate) attempt: u32,
    pub(crate) hops: u32,
    pub(crate) passed: u64,
}

impl Context {
    pub(crate) fn new(ticket: Arc<Ticket>) -> Self {
        Self { deadline: ticket.deadline, ticket, attempt: 1, hops: 0, passed: 0 }
    }

    /// A context for unit tests that call a stage as a function: a `GET /`, a minute left, never cancelled.
    #[must_use]
    pub fn test() -> Self {
        Self::test_within(Duration::from_secs(60))
    }

    /// As [`test`](Self::test), with the time left that you choose.
    #[must_use]
    pub fn test_within(left: Duration) -> Self {
        let head = crate::Request::get("/").shared_head();
        Self::new(Ticket::new(RequestId { key: 0, generation: 0 }, head, Instant::now() + left))
    }

    /// Cancels the request, so that a unit test can see how a stage takes it.
    pub fn cancel(&self, reason: Reason) {
        self.ticket.cancel(reason);
    }

    /// The request's id, unique while the request is in flight.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.ticket.id
    }

    /// The method, target and headers that the client sent, whichever stage asks.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.ticket.head
    }

    /// When the client is answered 504: the request's deadline, or the end of this stage's timeout if that is sooner.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time left until the deadline; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Which attempt at this job this is: 1, or more where an idempotent stage lost a worker.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether somebody still waits for the answer. One atomic load: cheap enough for an inner loop.
    ///
    /// # Errors
    /// [`Cancelled`], with the reason, as soon as the client is gone, the deadline has passed or the server stops.
    #[inline]
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.ticket.cancelled() {
            None => Ok(()),
            Some(reason) => Err(Cancelled { reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_flag_and_the_first_one_stays() {
        for reason in Reason::ALL {
            let cx = Context::test();
            assert!(cx.check().is_ok());
            cx.cancel(reason);
            cx.cancel(Reason::Disconnected);
            assert_eq!(cx.check(), Err(Cancelled { reason }));
        }
    }

    #[test]
    fn a_place_is_what_was_noted_last() {
        let ticket = Context::test().ticket;
        assert_eq!(ticket.place(), None);
        ticket.queued_at(StageId(3), 7);
        ticket.queued_at(StageId(63), u32::MAX - 1);
        assert_eq!(ticket.place(), Some((StageId(63), u32::MAX - 1)));
    }

    #[test]
    fn a_cancelled_job_answers_by_its_reason() {
        let status = |reason| Cancelled { reason }.into_response().status().as_u16();
        assert_eq!(status(Reason::TimedOut), 504);
        assert_eq!(status(Reason::ShuttingDown), 503);
    }

    #[test]
    fn the_time_left_ends_at_zero() {
        assert_eq!(Context::test_within(Duration::ZERO).remaining(), Duration::ZERO);
        assert!(Context::test().remaining() > Duration::from_secs(50));
    }
}
