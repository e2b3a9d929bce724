//! The front end: one thread that owns the socket, all sessions and all requests in flight, and never computes.
//!
//! Its loop takes what has come from clients, hands it to the entry stages in batches, takes what has come back through the
//! loopback, sends the answers that are ready in one message for each connection, and sleeps when there is nothing of either.

mod admission;
mod clock;
mod door;
mod listener;
mod sessions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::admission::{Admission, InFlight, Origin};
use self::clock::Clock;
pub(crate) use self::door::{Door, Route, Way};
use self::listener::{Event, Sent};
pub(crate) use self::listener::{Listener, StreamListener};
use self::sessions::Sessions;
use crate::balancer::Expired;
use crate::context::{Context, Reason, RequestId};
use crate::http1::{Arrival, Limits};
use crate::loopback::{Inbox, Note};
use crate::metrics::Metrics;
use crate::response::Reply;
use crate::transport::{Envelope, Local, Payload, Rejected, StageId, Transport};
use crate::{IntoResponse, Request, Response};

/// What the builder decides about the front end.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_in_flight: usize,
    pub(crate) deadline: Duration,
    pub(crate) drain_limit: Duration,
    pub(crate) limits: Limits,
}

/// Events and notes taken in one turn of the loop before what they led to is passed on.
const BATCH: usize = 512;

/// How soon a connection that took nothing is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// How long a client may go on sending after it was told that nothing more is read.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Draining { until: Instant },
    Stopped,
}

pub(crate) struct FrontEnd {
    settings: Settings,
    door: Arc<Door>,
    listener: Option<Box<dyn Listener>>,
    transport: Arc<Local>,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    sessions: Sessions,
    admission: Admission,
    clock: Clock,
    phase: Phase,
    /// When each stage's balancer wants to be asked about its timeouts.
    plans: Vec<Option<Instant>>,
    /// When the blocked connections are tried again.
    retry_at: Option<Instant>,
    arrivals: Vec<Arrival>,
    /// Accepted and not yet handed over, each with its entry stage.
    accepted: Vec<(StageId, Envelope)>,
}

impl FrontEnd {
    pub(crate) fn new(
        settings: Settings,
        door: Arc<Door>,
        listener: Option<Box<dyn Listener>>,
        transport: Arc<Local>,
        inbox: Inbox,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            admission: Admission::new(settings.max_in_flight, settings.deadline),
            plans: vec![None; transport.stages().len()],
            settings,
            door,
            listener,
            transport,
            inbox,
            metrics,
            sessions: Sessions::default(),
            clock: Clock::new(),
            phase: Phase::Starting,
            retry_at: None,
            arrivals: Vec::new(),
            accepted: Vec::new(),
        }
    }

    /// Runs until it is drained or stopped.
    pub(crate) fn run(mut self) {
        loop {
            let now = Instant::now();
            self.clock.refresh();
            let heard = self.listen(now);
            self.hand_over(now);
            let noted = self.read_notes(now);
            self.hand_over(now);
            self.keep_time(now);
            self.flush(now);
            if self.is_over() {
                break;
            }
            if !heard && !noted {
                self.sleep();
            }
        }
        self.transport.close();
    }

    /// Takes what the sockets have. Gives whether there may be more.
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
                Event::Toggled(peer) => match self.sessions.key(peer) {
                    Some(key) => self.disconnected(key),
                    None => self.connected(peer),
                },
            }
        }
        self.listener = Some(listener);
        left == 0
    }

    fn connected(&mut self, peer: listener::Peer) {
        let full = self.sessions.len() >= self.settings.limits.connections;
        let key = self.sessions.open(peer);
        self.metrics.connections.inc();
        if full {
            self.refuse_session(key, "connections", "there are too many connections");
        }
    }

    fn disconnected(&mut self, key: usize) {
        self.end_session(key, Reason::Disconnected);
    }

    fn bytes(&mut self, key: usize, bytes: &[u8], now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.connection.receive(bytes, &self.settings.limits, self.clock.date(), &mut self.arrivals);
        self.take_arrivals(key, now);
        if self.is_full(0) && self.sessions.get_mut(key).is_some_and(|session| session.connection.is_receiving()) {
            self.refuse_session(key, "held", HELD);
        }
    }

    /// Whether that many bytes more would be more than all clients together may make the front end hold.
    fn is_full(&self, more: usize) -> bool {
        self.sessions.held() + self.admission.held() + more > self.settings.limits.held
    }

    fn refuse_session(&mut self, key: usize, reason: &str, sentence: &'static str) {
        self.metrics.refused(reason);
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection.refuse(StatusCode::SERVICE_UNAVAILABLE, sentence, self.clock.date());
            self.sessions.changed(key);
        }
    }

    /// Takes the requests that a session's bytes have completed, and those that it can go on to parse because others were
    /// answered.
    fn take_arrivals(&mut self, key: usize, now: Instant) {
        loop {
            let mut arrivals = std::mem::take(&mut self.arrivals);
            for Arrival { seq, head, body } in arrivals.drain(..) {
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

    /// Admits a request and lets it wait for [`hand_over`](Self::hand_over), or answers it here.
    fn accept(&mut self, mut request: Request, origin: Origin, now: Instant) {
        let stage = match self.door.way(request.head()) {
            Way::Stage(stage, params) => {
                request.set_params(params);
                stage
            }
            Way::Health => return self.answer(origin, self.health()),
            Way::Metrics => return self.answer(origin, self.metrics_page()),
            Way::Refused(response) => {
                self.metrics.refused("route");
                return self.answer(origin, response);
            }
        };
        if let Phase::Draining { .. } = self.phase {
            self.metrics.refused("draining");
            return self.answer(origin, unavailable("the server is shutting down\n"));
        }
        if self.is_full(request.held()) {
            self.metrics.refused("held");
            self.end_after(&origin);
            return self.answer(origin, unavailable(HELD));
        }
        let client = match origin {
            Origin::Session { key, .. } => Some(key),
            Origin::Client { .. } => None,
        };
        match self.admission.admit(origin, &request, now) {
            Ok(ticket) => {
                if let Some(session) = client.and_then(|key| self.sessions.get_mut(key)) {
                    session.requests.push(ticket.id);
                }
                let job = Envelope::new(Context::new(ticket), Payload::new(request), now);
                self.accepted.push((stage, job));
            }
            Err(origin) => {
                self.metrics.refused("max_in_flight");
                self.answer(origin, unavailable("the server is busy\n"));
            }
        }
    }

    /// Hands what was accepted to the entry stages, all jobs of a stage under one lock.
    fn hand_over(&mut self, now: Instant) {
        while let Some((stage, _)) = self.accepted.first() {
            let stage = *stage;
            let batch = self.accepted.extract_if(.., |(to, _)| *to == stage).map(|(_, job)| job);
            let refused = self.transport.dispatch_all(stage, batch, now);
            for rejected in refused {
                let (job, sentence) = match rejected {
                    Rejected::Full(job) => (job, "the queue is full\n"),
                    Rejected::Gone(job) => (job, "the server is shutting down\n"),
                };
                self.metrics.refused("queue_full");
                self.reply(job.context.ticket.id, Reply::Whole(unavailable(sentence)), now);
            }
        }
    }

    /// Takes what has come back. Gives whether there may be more.
    fn read_notes(&mut self, now: Instant) -> bool {
        for _ in 0..BATCH {
            let Ok(note) = self.inbox.notes.try_recv() else { return false };
            match note {
                Note::Reply(id, reply) => self.reply(id, reply, now),
                Note::Submit { request, token, answer } => self.accept(request, Origin::Client { token, answer }, now),
                Note::Abandon { token } => self.abandoned(token),
                Note::Plan(stage) => self.plans[stage.index()] = self.transport.planned(stage),
                Note::Ready if self.phase == Phase::Starting => self.phase = Phase::Serving,
                Note::Ready => {}
                Note::Drain => self.drain(now),
                Note::Stop => self.stop(now),
            }
        }
        true
    }

    /// Passes (a piece of) an answer on to whoever waits for it, if anybody still does.
    fn reply(&mut self, id: RequestId, reply: Reply, now: Instant) {
        let is_last = matches!(reply, Reply::Whole(_) | Reply::End | Reply::Abort);
        if is_last {
            if let Some(ended) = self.admission.finish(id) {
                self.settle(ended, reply, now);
            }
        } else if let Some(Origin::Session { key, seq }) = self.admission.get(id).map(|there| &there.origin) {
            let (key, seq) = (*key, *seq);
            if let Some(session) = self.sessions.get_mut(key) {
                session.connection.reply(seq, reply, self.clock.date());
                self.sessions.changed(key);
            }
        }
    }

    /// Gives a request that has just ended the (rest of the) answer.
    fn settle(&mut self, ended: InFlight, reply: Reply, now: Instant) {
        let id = ended.ticket.id;
        match ended.origin {
            Origin::Session { key, seq } => {
                if let Reply::Whole(response) = &reply {
                    self.metrics.answered(response.status());
                }
                let Some(session) = self.sessions.get_mut(key) else { return };
                session.requests.retain(|request| *request != id);
                session.connection.reply(seq, reply, self.clock.date());
                self.take_arrivals(key, now);
            }
            Origin::Client { .. } => {
                if let Reply::Whole(response) = reply {
                    self.answer(ended.origin, response);
                }
            }
        }
    }

    /// Answers a request that was not admitted.
    fn answer(&mut self, origin: Origin, response: Response) {
        self.metrics.answered(response.status());
        if let Phase::Draining { .. } = self.phase {
            self.end_after(&origin);
        }
        match origin {
            Origin::Session { key, seq } => {
                let Some(session) = self.sessions.get_mut(key) else { return };
                session.connection.reply(seq, Reply::Whole(response), self.clock.date());
            }
            Origin::Client { answer, .. } => {
                // A client that does not wait any more is no error.
                let _ = answer.send(response);
            }
        }
    }

    /// Lets the connection end after the answer to its last request.
    fn end_after(&mut self, origin: &Origin) {
        if let Origin::Session { key, .. } = origin
            && let Some(session) = self.sessions.get_mut(*key)
        {
            session.connection.end_after_last();
        }
    }

    /// A client in this process does not wait any more.
    fn abandoned(&mut self, token: u64) {
        let by_token = |there: &InFlight| matches!(there.origin, Origin::Client { token: its, .. } if its == token);
        if let Some(ended) = self.admission.find(by_token).and_then(|id| self.admission.finish(id)) {
            self.transport.cancel(&ended.ticket, Reason::Disconnected);
        }
    }

    fn health(&self) -> Response {
        match self.phase {
            Phase::Serving => "ok\n".into_response(),
            Phase::Starting => unavailable("starting\n"),
            Phase::Draining { .. } | Phase::Stopped => unavailable("draining\n"),
        }
    }

    fn metrics_page(&self) -> Response {
        self.metrics.in_flight.set(self.admission.len() as i64);
        let loads = self.transport.stages().iter().map(|stage| {
            let (waiting, running) = stage.load();
            (stage.metrics().stage(), waiting, running)
        });
        ([("content-type", Metrics::content_type())], self.metrics.render(loads)).into_response()
    }

    /// Does what has fallen due.
    fn keep_time(&mut self, now: Instant) {
        while let Some(late) = self.admission.expire(now) {
            self.transport.cancel(&late.ticket, Reason::TimedOut);
            self.settle(late, Reply::Whole(timed_out()), now);
        }
        for stage in 0..self.plans.len() {
            if self.plans[stage].is_some_and(|due| due <= now) {
                self.tick(StageId(stage as u16), now);
            }
        }
        if self.retry_at.is_some_and(|due| due <= now) {
            self.retry_at = None;
            self.sessions.retry_blocked();
            self.close_doomed(now);
        }
        self.close_lingering(now);
        if let Phase::Draining { until } = self.phase
            && until <= now
        {
            self.stop(now);
        }
    }

    /// Ends what has outlived a stage's timeout.
    fn tick(&mut self, stage: StageId, now: Instant) {
        let (expired, planned) = self.transport.tick(stage, now);
        self.plans[stage.index()] = planned;
        for expired in expired {
            let id = match &expired {
                Expired::Waiting(job) => job.context.ticket.id,
                Expired::Running(id) => *id,
            };
            if let Some(late) = self.admission.finish(id) {
                self.transport.cancel(&late.ticket, Reason::TimedOut);
                self.settle(late, Reply::Whole(timed_out()), now);
            }
            if let Expired::Waiting(job) = expired {
                self.transport.discard(stage, job);
            }
        }
    }

    /// Sends what there is to send, all of a connection's in one message.
    fn flush(&mut self, now: Instant) {
        let Some(mut listener) = self.listener.take() else { return };
        while let Some((key, session)) = self.sessions.next_to_flush() {
            let peer = session.peer;
            if !session.connection.out().is_empty() {
                match listener.send(peer, session.connection.out()) {
                    Sent::All => session.connection.sent(),
                    Sent::Gone => {
                        self.end_session(key, Reason::Disconnected);
                        continue;
                    }
                    Sent::Blocked => {
                        let too_much = session.connection.out().len() > UNSENT_FACTOR * self.settings.limits.unsent;
                        self.retry_at.get_or_insert(now + RETRY);
                        if too_much {
                            self.end_session(key, Reason::SlowReader);
                            self.sessions.doomed.push(peer);
                        } else {
                            self.sessions.blocked.push(key);
                        }
                        continue;
                    }
                }
            }
            if !session.connection.is_ended() {
                self.take_arrivals(key, now);
            } else if session.connection.is_cut_off() {
                self.sessions.linger(key, now + LINGER);
            } else {
                self.close(key, listener.as_mut(), now);
            }
        }
        self.listener = Some(listener);
    }

    /// Ends a session and closes its connection, now or as soon as there is room for it.
    fn close(&mut self, key: usize, listener: &mut dyn Listener, now: Instant) {
        let Some(peer) = self.sessions.get_mut(key).map(|session| session.peer) else { return };
        self.end_session(key, Reason::Disconnected);
        if listener.close(peer) == Sent::Blocked {
            self.retry_at.get_or_insert(now + RETRY);
            self.sessions.doomed.push(peer);
        }
    }

    /// Closes the connections whose clients have had time to notice that nothing more is read.
    fn close_lingering(&mut self, now: Instant) {
        let Some(mut listener) = self.listener.take() else { return };
        while let Some(key) = self.sessions.lingered(now) {
            self.close(key, listener.as_mut(), now);
        }
        self.listener = Some(listener);
    }

    /// Tries again to close the connections that had no room for it. Those that libzmq has given up meanwhile are gone.
    fn close_doomed(&mut self, now: Instant) {
        let Some(listener) = &mut self.listener else { return };
        self.sessions.doomed.retain(|peer| listener.close(*peer) == Sent::Blocked);
        if !self.sessions.doomed.is_empty() {
            self.retry_at.get_or_insert(now + RETRY);
        }
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

    /// Rule 8: takes nothing more, lets go of who is idle, and ends when what is in flight is answered.
    fn drain(&mut self, now: Instant) {
        if let Phase::Draining { .. } | Phase::Stopped = self.phase {
            return;
        }
        self.phase = Phase::Draining { until: now + self.settings.drain_limit };
        for key in self.sessions.keys() {
            if let Some(session) = self.sessions.get_mut(key)
                && !session.connection.is_receiving()
            {
                session.connection.end_after_last();
                self.sessions.changed(key);
            }
        }
    }

    /// Answers all that is in flight with 503, and ends.
    fn stop(&mut self, now: Instant) {
        self.drain(now);
        self.phase = Phase::Stopped;
        for id in self.admission.ids() {
            if let Some(ended) = self.admission.finish(id) {
                self.transport.cancel(&ended.ticket, Reason::ShuttingDown);
                self.settle(ended, Reply::Whole(unavailable("the server is shutting down\n")), now);
            }
        }
    }

    fn is_over(&self) -> bool {
        match self.phase {
            Phase::Starting | Phase::Serving => false,
            Phase::Draining { .. } => {
                self.admission.len() == 0 && self.accepted.is_empty() && !self.sessions.has_unsent()
            }
            Phase::Stopped => true,
        }
    }

    /// Sleeps until something happens or falls due.
    fn sleep(&mut self) {
        let drained = match self.phase {
            Phase::Draining { until } => Some(until),
            _ => None,
        };
        let plans = self.plans.iter().copied().flatten();
        let due = plans.chain(self.admission.next_deadline()).chain(self.retry_at).chain(drained);
        let due = due.chain(self.sessions.next_lingering()).min();
        self.inbox.arm();
        let ready = !self.inbox.notes.is_empty() || self.listener.as_ref().is_some_and(|listener| listener.is_ready());
        let rung = !ready && self.wait(due);
        self.inbox.disarm(rung);
    }

    /// Gives whether the inbox's event was signalled.
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

const HELD: &str = "the server holds as much as it may\n";

/// Over this many times the limit of unsent bytes, a connection that takes none is closed. Below, it is only not read from.
const UNSENT_FACTOR: usize = 4;

fn unavailable(sentence: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], sentence).into_response()
}

fn timed_out() -> Response {
    (StatusCode::GATEWAY_TIMEOUT, "the deadline has passed\n").into_response()
}
