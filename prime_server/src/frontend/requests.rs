//! A request's way through the front end: the door, admission, and the answer to whoever waits for it.

use std::time::Instant;

use super::FrontEnd;
use super::admission::{InFlight, Origin};
use super::door::Way;
use super::phases::Phase;
use crate::answers::{BUSY, SHUTTING_DOWN, failed, unavailable};
use crate::context::{Context, Reason};
use crate::ids::RequestId;
use crate::metrics::Metrics;
use crate::response::Reply;
use crate::transport::{Envelope, Payload, Transport};
use crate::{IntoResponse, Request, Response};

impl FrontEnd {
    /// Admits a request and lets it wait for [`hand_over`](Self::hand_over), or answers it here.
    pub(super) fn accept(&mut self, mut request: Request, origin: Origin, now: Instant) {
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
        if self.phase.is_ending() {
            self.metrics.refused("draining");
            return self.answer(origin, unavailable(SHUTTING_DOWN));
        }
        if self.is_full(request.held()) {
            self.metrics.refused("held");
            if let Origin::Session { key, .. } = origin {
                self.end_after_last(key);
            }
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
                self.answer(origin, unavailable(BUSY));
            }
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

    /// Gives a request that has just ended the (rest of the) answer.
    pub(super) fn settle(&mut self, ended: InFlight, reply: Reply, now: Instant) {
        let id = ended.ticket.id;
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
                    (Reply::Whole(response), None) => response,
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
                session.connection.reply(seq, Reply::Whole(response), self.clock.date());
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
}

pub(super) const HELD: &str = "the server holds as much as it may\n";
