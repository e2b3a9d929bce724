//! The front end: one thread that owns the socket, all sessions and all requests in flight, and never computes.
//!
//! Its loop takes what has come from clients, hands it to the entry stages in batches, takes what has come back through the
//! loopback, sends the answers that are ready in one message for each connection, and sleeps when there is nothing of either.

mod admission;
mod clock;
mod cors;
mod crowd;
mod door;
mod flush;
mod labelling;
mod listener;
mod loans;
mod phases;
mod requests;
mod sessions;
mod streams;
mod timeouts;
mod timers;

use std::net::IpAddr;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderName, StatusCode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::admission::{Admission, Origin};
use self::clock::Clock;
pub use self::cors::Cors;
pub(crate) use self::cors::CrossOrigin;
use self::crowd::Crowd;
pub(crate) use self::door::{Door, Route, Way};
pub(crate) use self::labelling::Labelling;
use self::listener::{Event, Peer};
pub(crate) use self::listener::{Listener, StreamListener};
use self::loans::Lent;
use self::phases::Phase;
use self::requests::HELD;
use self::sessions::Sessions;
use crate::answers::{SHUTTING_DOWN, failed, hopeless, unavailable};
use crate::context::Reason;
use crate::head::Head;
use crate::http1::{Arrival, Limits};
use crate::ids::StageId;
use crate::loopback::{Inbox, Note};
use crate::metrics::Metrics;
use crate::panics::log;
use crate::response::Reply;
use crate::transport::{Envelope, Rejected, Transport};
use crate::{IntoResponse, Request, Response};

/// What the builder decides about the front end.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_in_flight: usize,
    pub(crate) deadline: Duration,
    /// By which a client may shorten that.
    pub(crate) deadline_header: Option<HeaderName>,
    pub(crate) labelling: Labelling,
    pub(crate) drain_limit: Duration,
    pub(crate) limits: Limits,
    pub(crate) cors: Option<CrossOrigin>,
    /// The least bytes of an answer that is compressed, if any is.
    pub(crate) compress: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_in_flight: 4096,
            deadline: Duration::from_secs(30),
            deadline_header: None,
            labelling: Labelling::default(),
            drain_limit: Duration::from_secs(30),
            limits: Limits::default(),
            cors: None,
            compress: None,
        }
    }
}

impl Settings {
    /// The time that a request has, or what is wrong with what it says of that.
    pub(crate) fn time_of(&self, head: &Head) -> ControlFlow<Response, Duration> {
        let Some(name) = &self.deadline_header else { return Continue(self.deadline) };
        let Some(said) = head.headers().get(name) else { return Continue(self.deadline) };
        let is_number = |said: &&str| !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit());
        match said.to_str().ok().filter(is_number) {
            // What is too large to be read is longer than any deadline.
            Some(number) => Continue(self.deadline.min(Duration::from_millis(number.parse().unwrap_or(u64::MAX)))),
            None => {
                Break((StatusCode::BAD_REQUEST, format!("`{name}` is no number of milliseconds\n")).into_response())
            }
        }
    }
}

/// Events and notes taken in one turn of the loop before what they led to is passed on.
const BATCH: usize = 512;

/// Connections above the limit that are told so at one time. Each of them stays open until its client has had time to read
/// that; those above are closed at once, so that the process never runs out of descriptors.
const REFUSALS: usize = 32;

pub(crate) struct FrontEnd {
    settings: Settings,
    door: Arc<Door>,
    listener: Option<Box<dyn Listener>>,
    /// What the listener has of the answers that were sent.
    lent: Lent,
    transport: Arc<dyn Transport>,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    sessions: Sessions,
    crowd: Crowd,
    admission: Admission,
    clock: Clock,
    phase: Phase,
    /// When each stage's balancer wants to be asked about its timeouts.
    plans: Vec<Option<Instant>>,
    arrivals: Vec<Arrival>,
    /// Accepted and not yet handed over, each with its entry stage.
    accepted: Vec<(StageId, Envelope)>,
}

impl FrontEnd {
    pub(crate) fn new(
        settings: Settings,
        door: Arc<Door>,
        listener: Option<Box<dyn Listener>>,
        transport: Arc<dyn Transport>,
        inbox: Inbox,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            admission: Admission::new(settings.max_in_flight),
            plans: vec![None; transport.loads().len()],
            settings,
            door,
            lent: listener.as_ref().map(|listener| listener.lent()).unwrap_or_default(),
            listener,
            transport,
            inbox,
            metrics,
            sessions: Sessions::new(),
            crowd: Crowd::default(),
            clock: Clock::new(),
            phase: Phase::Starting,
            arrivals: Vec::new(),
            accepted: Vec::new(),
        }
    }

    /// Runs until it is drained or stopped.
    pub(crate) fn run(mut self) {
        loop {
            let more = self.turn(Instant::now());
            if self.is_over() {
                break;
            }
            if !more {
                self.sleep();
            }
        }
        if let (Phase::Draining { until }, Some(listener)) = (self.phase, self.listener.take()) {
            listener.finish(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Does what there is to do. Returns whether there may be more of it already.
    fn turn(&mut self, now: Instant) -> bool {
        self.clock.refresh(SystemTime::now());
        let heard = self.listen(now);
        self.hand_over(now);
        let noted = self.read_notes(now);
        self.hand_over(now);
        self.keep_time(now);
        self.flush(now);
        // Answers that have left may have let a connection go on with what it had kept.
        heard || noted || !self.accepted.is_empty()
    }

    /// Takes what the sockets have. Returns whether there may be more.
    fn listen(&mut self, now: Instant) -> bool {
        let Some(mut listener) = self.listener.take() else { return false };
        let mut left = BATCH;
        while left > 0
            && let Some(event) = listener.next()
        {
            left -= 1;
            match event {
                Event::Bytes(peer, bytes) => {
                    if let Some(key) = self.sessions.key(peer) {
                        self.bytes(key, bytes, now);
                    }
                }
                Event::Toggled(peer, address) => match self.sessions.key(peer) {
                    Some(key) => self.end_session(key, Reason::Disconnected),
                    None if self.sessions.doomed.remove(peer) => {}
                    None => {
                        let closing = listener.closing();
                        self.connected((peer, address), closing, now);
                    }
                },
            }
        }
        self.listener = Some(listener);
        left == 0
    }

    /// A client has come, beside those that are there and those that are about to go.
    fn connected(&mut self, (peer, address): (Peer, Option<IpAddr>), closing: usize, now: Instant) {
        let others = self.sessions.len() + closing;
        let limit = self.settings.limits.connections;
        let key = self.sessions.open(peer, address, now);
        self.metrics.connections.inc();
        self.crowd.came();
        if others >= limit + REFUSALS {
            self.metrics.refused("connections");
            self.end_after_last(key);
        } else if others >= limit {
            self.refuse_session(key, StatusCode::SERVICE_UNAVAILABLE, "connections", "there are too many connections");
        }
        self.sessions.set_alarm(key, &self.settings.limits);
    }

    fn bytes(&mut self, key: usize, bytes: &[u8], now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.connection.receive(bytes, &self.settings.limits, self.clock.date(), &mut self.arrivals);
        self.take_arrivals(key, now);
        self.sessions.expect(key, now, &self.settings.limits);
        if self.is_full(0) && self.sessions.get_mut(key).is_some_and(|session| session.connection.is_receiving()) {
            self.refuse_newest(now);
        }
    }

    /// Makes room by refusing requests that are still arriving, the newest first: the older ones have cost their clients more.
    fn refuse_newest(&mut self, now: Instant) {
        while self.is_full(0)
            && let Some(key) = self.sessions.newest_arriving()
        {
            self.refuse_session(key, StatusCode::SERVICE_UNAVAILABLE, "held", HELD);
            self.sessions.expect(key, now, &self.settings.limits);
        }
    }

    /// Whether that many bytes more would be more than all clients together may make the front end hold.
    fn is_full(&self, more: usize) -> bool {
        self.sessions.held() + self.admission.held() + self.lent.bytes() + more > self.settings.limits.held
    }

    fn refuse_session(&mut self, key: usize, status: StatusCode, reason: &str, sentence: &'static str) {
        self.metrics.refused(reason);
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection.refuse(status, sentence, self.clock.date());
            self.sessions.changed(key);
        }
    }

    /// Takes the requests that a session's bytes have completed, and those that it can go on to parse because others were
    /// answered.
    fn take_arrivals(&mut self, key: usize, now: Instant) {
        loop {
            if !self.arrivals.is_empty() {
                // What has arrived is not the session's any more, and is not to be counted twice.
                self.sessions.recount(key);
            }
            let mut arrivals = std::mem::take(&mut self.arrivals);
            let client = self.sessions.get_mut(key).and_then(|session| session.address);
            for Arrival { seq, mut head, body } in arrivals.drain(..) {
                head.set_client(client);
                let request = Request::new(Arc::new(head), body, Vec::new());
                self.accept(request, Origin::Session { key, seq }, now);
            }
            self.arrivals = arrivals;
            let Some(session) = self.sessions.get_mut(key) else { return };
            session.connection.resume(&self.settings.limits, self.clock.date(), &mut self.arrivals);
            if self.arrivals.is_empty() {
                return self.sessions.changed(key);
            }
        }
    }

    /// Hands what was accepted to the entry stages, all jobs of a stage under one lock.
    fn hand_over(&mut self, now: Instant) {
        while let Some((stage, _)) = self.accepted.first() {
            let stage = *stage;
            let mut batch = self.accepted.extract_if(.., |(to, _)| *to == stage).map(|(_, job)| job);
            let refused = self.transport.dispatch_all(stage, &mut batch, now);
            drop(batch);
            for rejected in refused {
                let (id, reason, answer) = match rejected {
                    Rejected::Full(job) => (job.context.ticket.id, "queue_full", unavailable("the queue is full\n")),
                    Rejected::Hopeless(job) => (job.context.ticket.id, "hopeless", hopeless()),
                    Rejected::Gone(job) => (job.context.ticket.id, "draining", unavailable(SHUTTING_DOWN)),
                    Rejected::Message(context, error) => {
                        log(|| tracing::error!(%error, "a request could not be written"));
                        (context.ticket.id, "unwritable", failed())
                    }
                };
                self.metrics.refused(reason);
                self.reply(id, Reply::whole(answer), now);
            }
        }
    }

    /// Takes what has come back. Returns whether there may be more.
    fn read_notes(&mut self, now: Instant) -> bool {
        for _ in 0..BATCH {
            let Ok(note) = self.inbox.notes.try_recv() else { return false };
            match note {
                Note::Reply(id, reply) => self.reply(id, reply, now),
                Note::Submit { request, token, answer, place } => {
                    drop(place);
                    self.accept(request, Origin::Client { token, answer }, now);
                }
                Note::Abandon { token } => self.abandoned(token),
                Note::Plan(stage) => self.plans[stage.index()] = self.transport.planned(stage),
                Note::Ready { known } => self.ready(&known),
                Note::Drain => self.drain(now),
                Note::Stop => self.stop(now),
            }
        }
        true
    }

    /// Forgets a session; nobody waits for its requests any more.
    fn end_session(&mut self, key: usize, why: Reason) {
        let Some(session) = self.sessions.remove(key) else { return };
        self.metrics.connections.dec();
        for id in session.requests {
            if let Some(ended) = self.admission.finish(id) {
                self.transport.cancel(&ended.ticket, why);
            }
        }
    }

    /// Sleeps until something happens or falls due.
    fn sleep(&mut self) {
        let due = self.next_due();
        self.inbox.arm();
        let ready = !self.inbox.notes.is_empty() || self.listener.as_ref().is_some_and(|listener| listener.is_ready());
        let rung = !ready && self.wait(due);
        self.inbox.disarm(rung);
    }

    /// Returns whether the inbox's event was signalled.
    fn wait(&self, due: Option<Instant>) -> bool {
        let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let inbox = || PollFd::from_borrowed_fd(self.inbox.event(), PollFlags::IN);
        let socket =
            self.listener.as_ref().map(|listener| PollFd::from_borrowed_fd(listener.descriptor(), PollFlags::IN));
        let count = 1 + usize::from(socket.is_some());
        let mut both = [inbox(), socket.unwrap_or_else(inbox)];
        // EINTR ends the wait early, which does no harm.
        let _ = poll(&mut both[..count], timeout.as_ref());
        both[0].revents().contains(PollFlags::IN)
    }
}

/// Without a front end there is nobody to work for, even where it ends with a panic.
impl Drop for FrontEnd {
    fn drop(&mut self) {
        self.transport.close();
    }
}

#[cfg(test)]
mod tests;
