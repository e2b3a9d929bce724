//! Answers that are sent piece by piece.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Cancelled, Context, Reason, Ticket};
use crate::{IntoResponse, Response};

/// An answer whose head is on its way and whose body follows piece by piece; made by [`Context::stream`].
///
/// ```
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn count(_: Request, cx: &Context) -> Result<Streamed, Cancelled> {
///     let mut body = cx.stream([("content-type", "text/plain")]);
///     for n in 1..=3 {
///         body.send(format!("{n}\n"))?;
///     }
///     Ok(body.finish())
/// }
///
/// let pipeline = Pipeline::new("count").stage::<count>().build()?;
/// assert_eq!(pipeline.test(Request::get("/"))?.body().as_bytes(), b"1\n2\n3\n");
/// # Ok::<(), StartError>(())
/// ```
///
/// HTTP/1.1 clients get it in chunks, HTTP/1.0 clients up to the end of the connection. A stage that does not come to
/// [`finish`](Self::finish), because it returns an error or panics, cuts the body short so that the client sees it: the last
/// chunk is missing. An HTTP/1.0 client cannot see it, since there the end of the connection is all that ends an answer. It is also
/// an [`io::Write`], for what writes to one; wrap it in a [`BufWriter`](io::BufWriter) where that
/// writes in small pieces. A stage that streams some answers and returns others whole returns a [`Flow<Streamed>`](crate::Flow).
#[must_use = "what is not finished is cut short"]
#[derive(Debug)]
pub struct BodyStream {
    ticket: Arc<Ticket>,
    sink: Option<Arc<dyn Sink>>,
}

/// What a stage returns that has streamed its answer; made by [`BodyStream::finish`].
#[derive(Debug)]
pub struct Streamed(());

impl Context {
    /// Begins an answer that is sent piece by piece: its status and headers leave now. Of `head`, which is anything that makes a
    /// response, a body is the first piece.
    ///
    /// The deadline covers the time up to here; from here on [`Limits::stream_time`](crate::Limits::stream_time) does. There is
    /// one stream to a request: of a second one, all pieces belong to the first. A part of a [`Split`](crate::Split) has none: what it
    /// sends goes nowhere, and the request is answered 500; the stage that joins the parts can stream.
    pub fn stream(&self, head: impl IntoHead) -> BodyStream {
        let (parts, body) = head.into_head().into_parts();
        // A part of a request must not begin an answer that others would go on with.
        let sink = self.sink.clone().filter(|_| self.part.is_none());
        let mut stream = BodyStream { ticket: Arc::clone(&self.ticket), sink };
        if let Some(sink) = &stream.sink
            && self.ticket.window.set(Window::default()).is_ok()
        {
            sink.begin(&self.ticket, Response::from_parts(parts, crate::Body::empty()));
        }
        if !body.is_empty() {
            // Whoever does not wait any more is told by the next piece.
            let _ = stream.send(body.into_bytes());
        }
        stream
    }
}

/// What [`Context::stream`] takes as the head of an answer: headers, or anything that makes a response.
pub trait IntoHead {
    /// Makes the response.
    fn into_head(self) -> Response;
}

impl<R: IntoResponse> IntoHead for R {
    fn into_head(self) -> Response {
        self.into_response()
    }
}

impl<const N: usize> IntoHead for [(&'static str, &'static str); N] {
    fn into_head(self) -> Response {
        (self, crate::Body::empty()).into_response()
    }
}

impl BodyStream {
    /// Sends a piece of the body. While more than [`Limits::stream_buffer`](crate::Limits::stream_buffer) waits for the client,
    /// this waits too, for at most [`Limits::take_answer`](crate::Limits::take_answer).
    ///
    /// # Errors
    /// [`Cancelled`]: nobody waits for the rest. [`Reason::SlowReader`] where the client has not taken enough in that time. Half of
    /// the stage's workers may wait so long: a client that takes nothing for a second has to make room for another that needs the
    /// place, and where there is no place, one that takes nothing is soon given up.
    pub fn send(&mut self, piece: impl Into<Bytes>) -> Result<(), Cancelled> {
        if let Some(reason) = self.ticket.cancelled() {
            return Err(Cancelled { reason });
        }
        let Some(sink) = &self.sink else { return Ok(()) };
        let mut rest = piece.into();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(LARGEST_PIECE));
            sink.send(&self.ticket, piece).map_err(|reason| Cancelled { reason })?;
        }
        Ok(())
    }

    /// The body is complete; what the stage returns.
    #[must_use = "the stage returns it"]
    pub fn finish(self) -> Streamed {
        Streamed(())
    }
}

/// A larger piece is sent as several, so that no more than this is waited for at once.
const LARGEST_PIECE: usize = 64 << 10;

impl io::Write for BodyStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(Bytes::copy_from_slice(bytes)).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    /// Nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a streamed answer goes.
pub(crate) trait Sink: Send + Sync + fmt::Debug {
    fn begin(&self, ticket: &Arc<Ticket>, head: Response);
    /// Takes a piece of the body, when there is room for it. Where there will be none, the request is cancelled.
    fn send(&self, ticket: &Arc<Ticket>, piece: Bytes) -> Result<(), Reason>;
}

/// What a piece counts on its way to the front end: what it holds, and what holds it.
pub(crate) fn weight(piece: &Bytes) -> usize {
    const AROUND_IT: usize = 256;
    piece.len() + AROUND_IT
}

/// How much of a streamed answer is on its way: what the stage has sent, and the client's connection has not taken.
#[derive(Default)]
pub(crate) struct Window {
    held: Mutex<Held>,
    room: Condvar,
    /// Takes what a stage in another process has to know: how much has come here, and how much of it is kept.
    tell: Option<Box<dyn Fn(u64, usize) + Send + Sync>>,
}

/// A stage in another process is told each time that so much more has come or gone.
const TOLD_EACH: usize = 64 << 10;

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("held", &self.held).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Held {
    /// Sent by the stage, and not yet seen by the front end.
    coming: usize,
    /// Kept by the front end for the connection.
    unsent: usize,
    /// Sent and come, since it began.
    sent: u64,
    come: u64,
    /// What a stage in another process has been told last.
    told: (u64, usize),
    /// When the client took something last.
    taken: Option<Instant>,
    /// Its place is needed for another.
    given_up: bool,
}

impl Window {
    /// Counts a piece in where there is room for it, or where nothing is on its way.
    pub(crate) fn try_reserve(&self, bytes: usize, most: usize) -> bool {
        self.lock().reserve(bytes, most)
    }

    /// As [`try_reserve`](Self::try_reserve), when there is room for the piece: within `patience`, unless it is cancelled first.
    pub(crate) fn reserve(
        &self,
        bytes: usize,
        most: usize,
        patience: Duration,
        cancelled: impl Fn() -> Option<Reason>,
    ) -> Result<(), Reason> {
        let until = Instant::now() + patience.min(super::FOREVER);
        let mut held = self.lock();
        loop {
            if let Some(reason) = cancelled() {
                return Err(reason);
            }
            if held.given_up {
                return Err(Reason::SlowReader);
            }
            if held.reserve(bytes, most) {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Reason::SlowReader);
            }
            held = self.room.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A piece has come to the front end, which keeps that much of the answer now.
    pub(crate) fn arrived(&self, bytes: usize, unsent: usize) {
        let mut held = self.lock();
        held.coming = held.coming.saturating_sub(bytes);
        held.come += bytes as u64;
        held.keep(unsent, bytes);
        self.changed(held);
    }

    /// The front end keeps that much of it now.
    pub(crate) fn keeps(&self, unsent: usize) {
        let mut held = self.lock();
        held.keep(unsent, 0);
        self.changed(held);
    }

    /// The window at the front end of an answer that comes from another process, whose stage is told of it by `tell`.
    pub(crate) fn of_far_stage(tell: impl Fn(u64, usize) + Send + Sync + 'static) -> Self {
        Self { tell: Some(Box::new(tell)), ..Self::default() }
    }

    /// What the front end in another process says: how much has come there, and how much of it is kept.
    pub(crate) fn told(&self, come: u64, unsent: usize) {
        let mut held = self.lock();
        let arrived = come.saturating_sub(held.come) as usize;
        held.come = come.max(held.come);
        held.coming = held.sent.saturating_sub(held.come) as usize;
        held.keep(unsent, arrived);
        self.changed(held);
    }

    fn changed(&self, mut held: MutexGuard<'_, Held>) {
        if let Some(tell) = &self.tell
            && held.must_tell()
        {
            held.told = (held.come, held.unsent);
            tell(held.come, held.unsent);
        }
        drop(held);
        self.room.notify_all();
    }

    /// For how long its client has taken nothing, if it has not since.
    pub(crate) fn stalled(&self, since: Instant, now: Instant) -> Duration {
        let taken = self.lock().taken.map_or(since, |taken| taken.max(since));
        now.saturating_duration_since(taken)
    }

    /// Nobody is to wait for room any more.
    pub(crate) fn give_up(&self) {
        self.lock().given_up = true;
        self.room.notify_all();
    }

    /// Whoever waits for room is to look again.
    pub(super) fn wake(&self) {
        drop(self.lock());
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The front end keeps that much, after so much more has come to it.
    fn keep(&mut self, unsent: usize, arrived: usize) {
        if unsent < self.unsent.saturating_add(arrived) {
            self.taken = Some(Instant::now());
        }
        self.unsent = unsent;
    }

    fn reserve(&mut self, bytes: usize, most: usize) -> bool {
        // What is told from afar may be any numbers.
        let held = self.coming.saturating_add(self.unsent);
        let fits = held == 0 || held.saturating_add(bytes) <= most;
        if fits {
            self.coming += bytes;
            self.sent += bytes as u64;
        }
        fits
    }

    fn must_tell(&self) -> bool {
        let (come, unsent) = self.told;
        let emptied = self.unsent == 0 && unsent > 0;
        emptied || self.come - come >= TOLD_EACH as u64 || self.unsent.abs_diff(unsent) >= TOLD_EACH
    }
}

/// Collects a streamed answer, for [`Built::test`](crate::Built::test).
#[derive(Debug, Default)]
pub(crate) struct Collected(Mutex<(Option<Response>, Vec<u8>)>);

impl Collected {
    /// The answer so far, if it was begun.
    pub(crate) fn take(&self) -> Option<Response> {
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let head = collected.0.take()?;
        Some(head.map(|_| std::mem::take(&mut collected.1).into()))
    }
}

impl Sink for Collected {
    fn begin(&self, _: &Arc<Ticket>, head: Response) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(head);
    }

    fn send(&self, _: &Arc<Ticket>, piece: Bytes) -> Result<(), Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.extend_from_slice(&piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_PATIENCE: Duration = Duration::ZERO;

    #[test]
    fn a_window_has_room_for_so_much_or_for_one_piece() {
        let window = Window::default();
        assert!(window.try_reserve(200, 100), "nothing else is on its way");
        assert!(!window.try_reserve(1, 100));
        window.arrived(200, 90);
        assert!(window.try_reserve(10, 100));
        assert!(!window.try_reserve(1, 100));
        window.keeps(0);
        assert!(window.try_reserve(90, 100));
    }

    #[test]
    fn who_waits_for_room_is_let_on_by_it_or_told_why_not() {
        let window = Window::default();
        assert!(window.try_reserve(100, 100));
        assert_eq!(window.reserve(1, 100, NO_PATIENCE, || None), Err(Reason::SlowReader));
        assert_eq!(window.reserve(1, 100, Duration::MAX / 2, || Some(Reason::TimedOut)), Err(Reason::TimedOut));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| window.reserve(1, 100, Duration::from_secs(60), || None));
            window.arrived(100, 50);
            assert_eq!(waits.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn whatever_numbers_are_told_a_window_has_no_more_room_than_it_has() {
        let window = Window::default();
        assert!(window.try_reserve(1, 100));
        for (come, unsent) in [(1, usize::MAX), (u64::MAX, usize::MAX), (0, usize::MAX)] {
            window.told(come, unsent);
            assert!(!window.try_reserve(1, 100));
        }
        window.told(u64::MAX, 0);
        assert!(window.try_reserve(100, 100));
        assert!(!window.try_reserve(1, 100));
    }

    #[derive(Debug, Default)]
    struct Pieces(Mutex<Vec<usize>>);

    impl Sink for Pieces {
        fn begin(&self, _: &Arc<Ticket>, _: Response) {}

        fn send(&self, _: &Arc<Ticket>, piece: Bytes) -> Result<(), Reason> {
            self.0.lock().unwrap().push(piece.len());
            Ok(())
        }
    }

    #[test]
    fn a_large_piece_goes_in_parts_so_that_the_window_is_kept_to() {
        let pieces = Arc::new(Pieces::default());
        let context = Context { sink: Some(Arc::clone(&pieces) as Arc<dyn Sink>), ..Context::test() };
        context.stream("").send(vec![0; 2 * LARGEST_PIECE + 1]).unwrap();
        assert_eq!(*pieces.0.lock().unwrap(), [LARGEST_PIECE, LARGEST_PIECE, 1]);
    }

    #[derive(Debug)]
    struct NoRoom;

    impl Sink for NoRoom {
        fn begin(&self, _: &Arc<Ticket>, _: Response) {}

        fn send(&self, _: &Arc<Ticket>, _: Bytes) -> Result<(), Reason> {
            Err(Reason::SlowReader)
        }
    }

    #[test]
    fn who_has_no_room_is_cancelled_by_the_sink_and_not_in_the_users_half() {
        let context = Context { sink: Some(Arc::new(NoRoom)), ..Context::test() };
        assert_eq!(context.stream("").send("piece"), Err(Cancelled { reason: Reason::SlowReader }));
        assert!(context.check().is_ok());
    }

    #[test]
    fn a_stream_of_a_test_context_goes_nowhere_and_of_a_cancelled_one_no_further() {
        assert!(Context::test().stream([("x", "y")]).send("piece").is_ok());
        let mut stream = Context::test_cancelled(Reason::Disconnected).stream("first");
        assert_eq!(stream.send("piece"), Err(Cancelled { reason: Reason::Disconnected }));
    }
}
