//! What a running job may ask about its request: identity, deadline, and whether anybody still waits for it.

mod stream;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::StatusCode;

pub use self::stream::{BodyStream, IntoHead, Streamed};
pub(crate) use self::stream::{Collected, Sink, Window, weight};
use crate::answers::timed_out;
use crate::cancellation::Cancellation;
use crate::fork::{Fork, Part};
use crate::head::Head;
use crate::ids::{RequestId, StageId};
use crate::labels::Labels;
use crate::{IntoResponse, Priority, Response};

/// Longer than anything waits. Keeps moments in time from overflowing where a limit is to mean "none".
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Why nobody waits for a job's answer any more.
///
/// ```
/// use prime_server::Reason;
/// use prime_server::prelude::*;
///
/// fn log(cancelled: Cancelled) -> &'static str {
///     match cancelled.reason {
///         Reason::Disconnected | Reason::SlowReader => "the client gave up",
///         reason => reason.as_str(),
///     }
/// }
///
/// assert_eq!(log(Context::test_cancelled(Reason::Disconnected).check().unwrap_err()), "the client gave up");
/// ```
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
    /// The stage that it waited for is overloaded; the client has been answered 503.
    Overloaded,
    /// The request has its answer: from another part of it, where it was [split](crate::Split), or, to HEAD, by the head of a
    /// streamed one.
    Answered,
}

impl Reason {
    pub(crate) const ALL: [Reason; 6] = [
        Reason::Disconnected,
        Reason::TimedOut,
        Reason::ShuttingDown,
        Reason::SlowReader,
        Reason::Overloaded,
        Reason::Answered,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Disconnected => "disconnected",
            Reason::TimedOut => "timed_out",
            Reason::ShuttingDown => "shutting_down",
            Reason::SlowReader => "slow_reader",
            Reason::Overloaded => "overloaded",
            Reason::Answered => "answered_already",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Reason::Disconnected => 1,
            Reason::TimedOut => 2,
            Reason::ShuttingDown => 3,
            Reason::SlowReader => 4,
            Reason::Answered => 5,
            Reason::Overloaded => 6,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// The error of [`Context::check`]: stop, nobody waits for the answer.
///
/// ```
/// use prime_server::Reason;
/// use prime_server::prelude::*;
///
/// let cx = Context::test_cancelled(Reason::TimedOut);
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
            Reason::TimedOut => timed_out(),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "the request was cancelled\n").into_response(),
        }
    }
}

/// What the front end and the stages share of one request, one allocation for its whole life.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: RequestId,
    /// Its id where the client is, for people.
    name: RequestId,
    pub(crate) head: Arc<Head>,
    pub(crate) labels: Labels,
    pub(crate) deadline: Instant,
    cancellation: Cancellation,
    /// Once the answer has begun to be streamed.
    pub(crate) window: OnceLock<Window>,
}

impl Ticket {
    pub(crate) fn new(id: RequestId, head: Arc<Head>, deadline: Instant) -> Arc<Self> {
        Self::named(id, id, head, Labels::default(), deadline)
    }

    /// Of a request that another process knows by another name.
    pub(crate) fn named(
        id: RequestId,
        name: RequestId,
        head: Arc<Head>,
        labels: Labels,
        deadline: Instant,
    ) -> Arc<Self> {
        Arc::new(Self { id, name, head, labels, deadline, cancellation: Cancellation::new(), window: OnceLock::new() })
    }

    /// The request's id where its client is.
    fn name(&self) -> RequestId {
        self.name
    }

    /// Sets the flag that [`Context::check`] reads; the first reason stays. Returns where the request's job waited last, to be
    /// taken out if it does still.
    pub(crate) fn cancel(&self, reason: Reason) -> Option<Place> {
        let place = self.cancellation.cancel(reason.code());
        if let Some(window) = self.window.get() {
            window.wake();
        }
        place.map(Place::from_bits)
    }

    /// Where the request's job waited last, if it ever did.
    pub(crate) fn place(&self) -> Option<Place> {
        self.cancellation.place().map(Place::from_bits)
    }

    pub(crate) fn cancelled(&self) -> Option<Reason> {
        match self.cancellation.reason() {
            0 => None,
            code => Reason::from_code(code),
        }
    }

    /// How much of the answer is on its way, if it has begun to be streamed.
    pub(crate) fn window(&self) -> Option<&Window> {
        self.window.get()
    }

    /// Notes in which queue the job waits, under that queue's lock. True if it is cancelled already, and must not wait.
    #[must_use]
    pub(crate) fn queued_at(&self, place: Place) -> bool {
        self.cancellation.queued_at(place.to_bits())
    }
}

/// Where a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In that entry of the stage's queue.
    At(StageId, u32),
    /// In parts, anywhere.
    Parts,
}

impl Place {
    /// No stage has that number: there are 64 at most.
    const PARTS: u64 = (u16::MAX as u64) << 32;

    fn to_bits(self) -> u64 {
        match self {
            Self::At(stage, entry) => u64::from(stage.0) << 32 | u64::from(entry),
            Self::Parts => Self::PARTS,
        }
    }

    fn from_bits(bits: u64) -> Self {
        if bits == Self::PARTS { Self::Parts } else { Self::At(StageId((bits >> 32) as u16), bits as u32) }
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
    /// Which part of the request it is, where that is split. In a box, as few are.
    pub(crate) part: Option<Box<Part>>,
    /// Where a streamed answer goes: while the job runs, and where somebody waits for it.
    pub(crate) sink: Option<Arc<dyn Sink>>,
}

impl Context {
    pub(crate) fn new(ticket: Arc<Ticket>) -> Self {
        Self { deadline: ticket.deadline, ticket, attempt: 1, hops: 0, passed: 0, part: None, sink: None }
    }

    /// The same request, one stage further.
    pub(crate) fn hop(self) -> Self {
        Self { hops: self.hops + 1, attempt: 1, ..self }
    }

    /// A part of the request, where its fork begins: whatever stages another part has passed.
    pub(crate) fn of_part(&self, part: Box<Part>, fork: &Fork) -> Self {
        Self { hops: fork.hops(), part: Some(part), ..self.clone() }
    }

    /// What was split, together again.
    pub(crate) fn of_whole(self, outer: Option<Box<Part>>, hops: u32) -> Self {
        Self { part: outer, hops, ..self }
    }

    /// A context for unit tests that call a stage as a function: a `GET /`, a minute left, never cancelled.
    #[must_use]
    pub fn test() -> Self {
        Self::test_within(Duration::from_secs(60))
    }

    /// As [`test`](Self::test), with the time left that you choose; at most a hundred years.
    #[must_use]
    pub fn test_within(left: Duration) -> Self {
        let head = crate::Request::get("/").shared_head();
        Self::new(Ticket::new(RequestId { key: 0, generation: 0 }, head, Instant::now() + left.min(FOREVER)))
    }

    /// As [`test`](Self::test), of a request that has been cancelled: to see how a stage takes it.
    #[must_use]
    pub fn test_cancelled(reason: Reason) -> Self {
        let cx = Self::test();
        cx.ticket.cancel(reason);
        cx
    }

    /// The request's id, unique while the request is in flight.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.ticket.name()
    }

    /// The method, target and headers that the client sent, whichever stage asks.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.ticket.head
    }

    /// How urgent the request is, as [`Pipeline::priority`](crate::Pipeline::priority) said.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.ticket.labels.priority
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
            assert!(Context::test().check().is_ok());
            let cx = Context::test_cancelled(reason);
            cx.ticket.cancel(Reason::Disconnected);
            assert_eq!(cx.check(), Err(Cancelled { reason }));
        }
    }

    #[test]
    fn a_place_is_what_was_noted_last() {
        let ticket = Context::test().ticket;
        assert!(!ticket.queued_at(Place::At(StageId(3), 7)));
        assert!(!ticket.queued_at(Place::Parts));
        assert!(!ticket.queued_at(Place::At(StageId(63), u32::MAX - 1)));
        assert_eq!(ticket.cancel(Reason::TimedOut), Some(Place::At(StageId(63), u32::MAX - 1)));
        assert!(ticket.queued_at(Place::Parts));
        assert_eq!(ticket.cancel(Reason::TimedOut), Some(Place::Parts));
        assert_eq!(Context::test().ticket.cancel(Reason::TimedOut), None);
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
        assert!(Context::test_within(Duration::MAX).remaining() > Duration::from_secs(1 << 30));
        assert!(Context::test().remaining() > Duration::from_secs(50));
    }
}
