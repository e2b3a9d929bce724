//! Answers that come piece by piece: each piece goes on as it comes, and the stage is told how far its client is behind.

use std::sync::Arc;
use std::time::Instant;

use http::Method;

use super::FrontEnd;
use super::admission::Origin;
use crate::context::{Reason, Ticket, weight};
use crate::ids::RequestId;
use crate::response::Reply;

impl FrontEnd {
    /// Passes the head or a piece of a streamed answer on.
    pub(super) fn stream(&mut self, id: RequestId, mut reply: Reply, now: Instant) {
        let Some(there) = self.admission.get_mut(id) else { return };
        let ticket = Arc::clone(&there.ticket);
        let session = match there.origin {
            Origin::Session { key, seq } => Some((key, seq)),
            Origin::Client { .. } => None,
        };
        if let Reply::Head(head) = &mut reply {
            self.mark(&ticket.head, head);
        }
        if let Some((key, seq)) = session {
            if let Reply::Head(head) = &reply {
                self.metrics.answered(head.status());
                self.admission.begin_stream(id, now + self.settings.limits.stream_time);
                if let Some(session) = self.sessions.get_mut(key) {
                    session.streams.push((seq, Arc::clone(&ticket)));
                }
                self.pass_on(key, seq, reply);
                if *ticket.head.method() == Method::HEAD {
                    self.end_at_head(id, &ticket, now);
                }
            } else if let Reply::Chunk(piece) = &reply {
                let bytes = weight(piece);
                self.pass_on(key, seq, reply);
                // Not only once something is sent: an answer may have to wait for its turn, and one to HEAD sends nothing.
                if let (Some(window), Some(session)) = (ticket.window(), self.sessions.get_mut(key)) {
                    window.arrived(bytes, session.connection.unsent_of(seq));
                }
            }
        } else {
            self.collect(id, reply, &ticket, now);
        }
    }

    /// To HEAD the head is the whole answer, and the stage works in vain.
    fn end_at_head(&mut self, id: RequestId, ticket: &Ticket, now: Instant) {
        self.transport.cancel(ticket, Reason::Answered);
        self.reply(id, Reply::End, now);
    }

    fn pass_on(&mut self, key: usize, seq: u64, reply: Reply) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection.reply(seq, reply, self.clock.date());
            self.sessions.changed(key);
        }
    }

    /// A client in this process gets the whole, as much as all clients together may make the front end hold.
    fn collect(&mut self, id: RequestId, reply: Reply, ticket: &Ticket, now: Instant) {
        let limits = &self.settings.limits;
        match reply {
            Reply::Head(head) => {
                self.admission.begin_stream(id, now + limits.stream_time);
                if let Some(there) = self.admission.get_mut(id) {
                    there.collected = Some((*head, Vec::new()));
                }
            }
            Reply::Chunk(piece) => {
                let most = limits.held;
                let there = self.admission.get_mut(id);
                let Some((_, body)) = there.and_then(|there| there.collected.as_mut()) else { return };
                if let Some(window) = ticket.window() {
                    window.arrived(weight(&piece), 0);
                }
                body.extend_from_slice(&piece);
                if body.len() > most {
                    self.reply(id, Reply::Abort, now);
                }
            }
            Reply::Whole(_) | Reply::End | Reply::Abort => {}
        }
    }

    /// Tells the stages that stream to a session how much of that it keeps.
    pub(super) fn tell_windows(&mut self, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        for (seq, ticket) in &session.streams {
            if let Some(window) = ticket.window() {
                window.keeps(session.connection.unsent_of(*seq));
            }
        }
    }
}
