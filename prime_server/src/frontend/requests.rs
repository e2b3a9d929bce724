//! A request's way through the front end: the door, admission, and the answer to whoever waits for it.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant};

use super::FrontEnd;
use super::admission::{InFlight, Origin};
use super::door::Way;
use super::phases::Phase;
use crate::answers::{BUSY, SHUTTING_DOWN, allowed, failed, unavailable};
use crate::context::{Context, Reason};
use crate::head::Head;
use crate::ids::{RequestId, StageId};
use crate::metrics::Metrics;
use crate::payload::Payload;
use crate::response::Reply;
use crate::transport::{DRAINING, Envelope};
use crate::{IntoResponse, Request, Response};

impl FrontEnd {
    /// Admits a request and lets it wait for [`hand_over`](Self::hand_over), or answers it here.
    pub(super) fn accept(&mut self, mut request: Request, origin: Origin, now: Instant) {
        let (stage, route, time) = match self.enter(&mut request, &origin) {
            Continue(entered) => entered,
            Break(mut response) => {
                self.mark(request.head(), &mut response);
                return self.answer(origin, response);
            }
        };
        let client = match origin {
            Origin::Session { key, .. } => Some(key),
            Origin::Client { .. } => None,
        };
        let labels = self.settings.labelling.of(request.head(), route);
        match self.admission.admit(origin, &request, labels, now + time) {
            Ok(ticket) => {
                if let Some(session) = client.and_then(|key| self.sessions.get_mut(key)) {
                    session.requests.push(ticket.id);
                }
                let job = Envelope::new(Context::new(ticket), Payload::new(request), now);
                self.accepted.push((stage, job));
            }
            Err(origin) => {
                self.metrics.refused("max_in_flight");
                let mut response = unavailable(BUSY);
                self.mark(request.head(), &mut response);
                self.answer(origin, response);
            }
        }
    }

    /// Where a request goes, by which route, and how long it may take, if it is not answered here.
    fn enter(&mut self, request: &mut Request, origin: &Origin) -> ControlFlow<Response, (StageId, usize, Duration)> {
        if let Some(cors) = &self.settings.cors
            && let Some(response) = cors.preflight(request.head(), self.door.allowed(request.head().path()))
        {
            return Break(response);
        }
        let (stage, route) = match self.door.way(request.head()) {
            Way::Stage(stage, route, params) => {
                request.set_params(params);
                (stage, route)
            }
            Way::Health => return Break(self.health()),
            Way::Metrics => return Break(self.metrics_page()),
            Way::Options(allow) => return Break(allowed(allow)),
            Way::Refused(response) => {
                self.metrics.refused("route");
                return Break(response);
            }
        };
        if self.phase.is_ending() {
            self.metrics.refused("draining");
            return Break(unavailable(SHUTTING_DOWN));
        }
        if self.is_full(request.held()) {
            self.metrics.refused("held");
            if let Origin::Session { key, .. } = origin {
                self.end_after_last(*key);
            }
            return Break(unavailable(HELD));
        }
        match self.settings.time_of(request.head()) {
            Continue(time) => Continue((stage, route, time)),
            Break(response) => {
                self.metrics.refused("deadline");
                Break(response)
            }
        }
    }

    /// Says in an answer which pages may read it.
    pub(super) fn mark(&self, head: &Head, response: &mut Response) {
        if let Some(cors) = &self.settings.cors {
            cors.mark(head, response.headers_mut());
        }
    }

    /// Passes (a piece of) an answer on to whoever waits for it, if anybody still does.
    pub(super) fn reply(&mut self, id: RequestId, reply: Reply, now: Instant) {
        let is_last = matches!(reply, Reply::Whole(_) | Reply::End | Reply::Abort);
        if is_last {
            if let Some(ended) = self.admission.finish(id) {
                self.settle(ended, reply, now);
            }
        } else {
            self.stream(id, reply, now);
        }
    }

    /// Cancels a request that has just ended. It gets that answer, or if another has begun to be streamed, no more of it.
    pub(super) fn give_up(&mut self, ended: InFlight, why: Reason, answer: Response, now: Instant) {
        self.transport.cancel(&ended.ticket, why);
        let reply = if ended.streams { Reply::Abort } else { Reply::whole(answer) };
        self.settle(ended, reply, now);
    }

    /// Gives a request that has just ended the (rest of the) answer.
    pub(super) fn settle(&mut self, ended: InFlight, mut reply: Reply, now: Instant) {
        let id = ended.ticket.id;
        if let Reply::Whole(response) = &mut reply {
            if response.body().len() >= LARGE && self.is_full(0) {
                self.metrics.refused("held");
                **response = unavailable(HELD);
            }
            self.mark(&ended.ticket.head, response);
        }
        match ended.origin {
            Origin::Session { key, seq } => {
                if let Reply::Whole(response) = &reply {
                    self.metrics.answered(response.status());
                }
                let Some(session) = self.sessions.get_mut(key) else { return };
                session.requests.retain(|request| *request != id);
                session.streams.retain(|(streams, _)| *streams != seq);
                session.connection.reply(seq, reply, self.clock.date());
                self.take_arrivals(key, now);
            }
            Origin::Client { .. } => {
                let response = match (reply, ended.collected) {
                    (Reply::Whole(response), None) => *response,
                    (Reply::End, Some((head, body))) => head.map(|_| body.into()),
                    _ => failed(),
                };
                self.answer(ended.origin, response);
            }
        }
    }

    /// Answers a request that was not admitted.
    fn answer(&mut self, origin: Origin, response: Response) {
        self.metrics.answered(response.status());
        if let Origin::Session { key, .. } = origin
            && self.phase.is_ending()
        {
            self.end_after_last(key);
        }
        match origin {
            Origin::Session { key, seq } => {
                let Some(session) = self.sessions.get_mut(key) else { return };
                session.connection.reply(seq, Reply::whole(response), self.clock.date());
            }
            Origin::Client { answer, .. } => {
                // A client that does not wait any more is no error.
                let _ = answer.send(response);
            }
        }
    }

    /// Lets a connection end after the answer to the last of its requests that was accepted.
    pub(super) fn end_after_last(&mut self, key: usize) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection.end_after_last();
            self.sessions.changed(key);
        }
    }

    /// A client in this process does not wait any more.
    pub(super) fn abandoned(&mut self, token: u64) {
        if let Some(ended) = self.admission.abandon(token) {
            self.transport.cancel(&ended.ticket, Reason::Disconnected);
        }
    }

    fn health(&self) -> Response {
        let trouble = match self.phase {
            Phase::Draining { .. } | Phase::Stopped => Some(DRAINING.to_owned()),
            Phase::Serving => self.transport.trouble(),
            Phase::Starting => self.transport.trouble().or_else(|| Some("starting".to_owned())),
        };
        match trouble {
            None => "ok\n".into_response(),
            Some(trouble) => unavailable(format!("{trouble}\n")),
        }
    }

    fn metrics_page(&self) -> Response {
        self.metrics.in_flight.set(self.admission.len() as i64);
        let page = self.metrics.render(&self.transport.loads());
        ([("content-type", Metrics::content_type())], page).into_response()
    }
}

/// An answer of so many bytes is not kept where too much is held already.
const LARGE: usize = 4 << 10;

pub(super) const HELD: &str = "the server holds as much as it may\n";
