//! Where the streamed answers of a stage go, and how long it waits for clients that are behind.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Outlet;
use super::places::{Places, Room};
use crate::context::{Reason, Sink, Ticket, weight};
use crate::response::Reply;
use crate::seat::{Asked, Seat};
use crate::{Limits, Response};

/// The sink of one stage's workers.
#[derive(Debug)]
pub(crate) struct StreamSink {
    outlet: Arc<dyn Outlet>,
    /// How far a stage may be ahead of a client, in bytes, and how long it waits for one.
    buffer: usize,
    patience: Duration,
    places: Places,
}

impl StreamSink {
    /// Of as many workers as that says, each time that one is to wait.
    pub(crate) fn new(
        outlet: Arc<dyn Outlet>,
        limits: &Limits,
        workers: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        let (buffer, patience) = (limits.stream_buffer, limits.take_answer);
        Self { outlet, buffer, patience, places: Places::new(workers) }
    }

    /// Begins an answer.
    pub(crate) fn begin(&self, ticket: &Ticket, head: Response) {
        self.outlet.reply(ticket.id, Reply::head(head));
    }

    /// Sends a piece, when there is room for it.
    fn send(&self, ticket: &Arc<Ticket>, piece: Bytes) -> Result<(), Reason> {
        let bytes = weight(&piece);
        if let Some(window) = ticket.window()
            && !window.try_reserve(bytes, self.buffer)
        {
            let room = Room { window, bytes, most: self.buffer, patience: self.patience };
            self.places.wait(ticket, room).or_else(|reason| given_up(ticket, reason))?;
        }
        self.outlet.reply(ticket.id, Reply::Chunk(piece));
        Ok(())
    }

    /// Sends a piece of a demoted worker's, which keeps no other from working while it waits, since `since`. `None` where there is no
    /// room yet.
    pub(crate) fn try_send(
        &self,
        ticket: &Ticket,
        piece: &Bytes,
        since: Instant,
        now: Instant,
    ) -> Option<Result<(), Reason>> {
        if let Some(reason) = ticket.cancelled() {
            return Some(Err(reason));
        }
        if let Some(window) = ticket.window()
            && !window.try_reserve(weight(piece), self.buffer)
        {
            let is_over = now.saturating_duration_since(since) >= self.patience;
            return is_over.then(|| given_up(ticket, Reason::SlowReader));
        }
        self.outlet.reply(ticket.id, Reply::Chunk(piece.clone()));
        Some(Ok(()))
    }
}

/// Nobody sends more of an answer. That takes a lock that the front end takes too, so it is no business of the user's half.
fn given_up(ticket: &Ticket, reason: Reason) -> Result<(), Reason> {
    ticket.cancel(reason);
    Err(reason)
}

/// The sink of one worker. What it does is ours, so the worker is not demoted meanwhile, and where it has been, its supervisor does it.
#[derive(Debug)]
pub(crate) struct SeatSink {
    seat: Arc<Seat>,
    stage: Arc<StreamSink>,
}

impl SeatSink {
    pub(crate) fn new(seat: Arc<Seat>, stage: Arc<StreamSink>) -> Self {
        Self { seat, stage }
    }

    /// As a thread sees it that is no worker.
    #[cfg(test)]
    pub(crate) fn of_test(stage: StreamSink) -> Self {
        Self::new(Arc::new(Seat::new(Arc::default())), Arc::new(stage))
    }

    fn in_our_code<T>(&self, done: impl FnOnce(&StreamSink) -> T, asked: impl FnOnce(&Seat) -> T) -> T {
        if !self.seat.is_here() || self.seat.gate.is_closed() {
            // A thread of the stage's own streams, or the stage does where it is no job that it was called for, such as in its reset.
            return done(&self.stage);
        }
        if self.seat.gate.close() {
            return asked(&self.seat);
        }
        let done = done(&self.stage);
        self.seat.gate.open();
        done
    }
}

impl Sink for SeatSink {
    fn begin(&self, ticket: &Arc<Ticket>, head: Response) {
        // One of the two takes it.
        let head = Cell::new(Some(head));
        let head = || head.take().expect("it is taken once");
        self.in_our_code(
            |sink| sink.begin(ticket, head()),
            |seat| _ = seat.ask(Asked::Begin(Arc::clone(ticket), head())),
        );
    }

    fn send(&self, ticket: &Arc<Ticket>, piece: Bytes) -> Result<(), Reason> {
        self.in_our_code(
            |sink| sink.send(ticket, piece.clone()),
            |seat| seat.ask(Asked::Piece(Arc::clone(ticket), piece.clone())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::context::Window;
    use crate::loopback::Inbox;
    use crate::mailbox::mailbox;
    use crate::transport::Local;

    const ROOM: usize = 1000;

    /// A sink that has no patience, and a request of whose answer as much is on its way as may.
    fn behind() -> (StreamSink, Arc<Ticket>, Inbox) {
        let (loopback, inbox) = mailbox().unwrap();
        let limits = Limits { stream_buffer: ROOM, take_answer: Duration::ZERO, ..Limits::default() };
        let sink = StreamSink::new(Arc::new(Local::new(Vec::new(), loopback)), &limits, || 1);
        let ticket = Context::test().ticket;
        assert!(ticket.window.set(Window::default()).is_ok());
        assert!(ticket.window().is_some_and(|window| window.try_reserve(ROOM, ROOM)));
        (sink, ticket, inbox)
    }

    #[test]
    fn who_streams_in_our_code_stays_in_it() {
        let (sink, ticket, _inbox) = behind();
        let (seat, piece) = (Arc::new(Seat::new(Arc::default())), Bytes::from_static(b"piece"));
        let sink = SeatSink::new(Arc::clone(&seat), Arc::new(sink));
        seat.take();
        let _ = sink.send(&ticket, piece.clone());
        assert!(!seat.gate.hold(), "it could be demoted");
        seat.gate.open();
        let _ = sink.send(&ticket, piece);
        assert!(seat.gate.hold());
    }

    #[test]
    fn where_there_will_be_no_room_it_is_the_sink_that_cancels() {
        let piece = Bytes::from_static(b"piece");
        let (sink, ticket, _inbox) = behind();
        assert_eq!(SeatSink::of_test(sink).send(&ticket, piece.clone()), Err(Reason::SlowReader));
        assert_eq!(ticket.cancelled(), Some(Reason::SlowReader));

        let ((sink, ticket, _inbox), now) = (behind(), Instant::now());
        assert_eq!(sink.try_send(&ticket, &piece, now, now), Some(Err(Reason::SlowReader)));
        assert_eq!(ticket.cancelled(), Some(Reason::SlowReader));
    }
}
