//! A front end's links without their sockets, for tests: what its desk says comes out as frames.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Desk, Order, Terms};
use crate::Request;
use crate::context::{Context, Place, Reason, Ticket};
use crate::ids::{RequestId, StageId};
use crate::loopback::{Inbox, Note};
use crate::mailbox::{Mailbox, mailbox};
use crate::metrics::Metrics;
use crate::payload::Payload;
use crate::response::Reply;
use crate::transport::Envelope;
use crate::transport::zmq::links::LinkId;
use crate::transport::zmq::wire::{Command, PeerId, encode};

pub(in crate::transport::zmq) struct Node {
    pub(super) desk: Desk,
    pub(super) inbox: Inbox,
    orders: Mailbox<Order>,
    mail: HashMap<LinkId, Vec<Vec<u8>>>,
}

pub(in crate::transport::zmq) const ORIGIN: PeerId = *b"the front end's.";
pub(in crate::transport::zmq) const WAIT: Duration = Duration::from_secs(5);
pub(in crate::transport::zmq) const STREAM_BUFFER: usize = 4096;

impl Node {
    pub(in crate::transport::zmq) fn new(stages: &[&str]) -> Self {
        let (loopback, inbox) = mailbox().expect("there are descriptors");
        let (post, orders) = mailbox().expect("there are descriptors");
        let terms = Terms { origin: ORIGIN, max_hops: 8, max_parts: 10, stream_buffer: STREAM_BUFFER, wait: WAIT };
        let known: Vec<_> = stages.iter().map(|name| ((*name).to_owned(), 0)).collect();
        Self {
            desk: Desk::new(terms, &known, loopback, post, Metrics::new("test").malformed),
            inbox,
            orders,
            mail: HashMap::new(),
        }
    }

    /// A request enters at the first stage.
    pub(in crate::transport::zmq) fn enter(&mut self, id: RequestId, now: Instant) -> Arc<Ticket> {
        let request = Request::get("/");
        let ticket = Ticket::new(id, request.shared_head(), now + Duration::from_secs(60));
        let context = Context::new(Arc::clone(&ticket));
        self.desk.job(StageId(0), Envelope::new(context, Payload::new(request), now), now);
        ticket
    }

    /// As the front end's own thread cancels a request, having answered it.
    pub(in crate::transport::zmq) fn cancel(&mut self, ticket: &Ticket, why: Reason) {
        if let Some(place) = ticket.cancel(why) {
            self.cancel_at(ticket.id, place, why);
        }
    }

    pub(super) fn cancel_at(&mut self, id: RequestId, place: Place, why: Reason) {
        self.desk.cancel(id, place, why);
    }

    pub(in crate::transport::zmq) fn linked(&mut self, link: LinkId, stage: &str, now: Instant) {
        self.desk.linked(link, stage, now);
    }

    pub(in crate::transport::zmq) fn lost(&mut self, link: LinkId, now: Instant) {
        self.mail.remove(&link);
        self.desk.lost(link, now);
    }

    pub(in crate::transport::zmq) fn receive(&mut self, link: LinkId, frame: &[u8], now: Instant) {
        self.desk.receive(link, frame, now);
    }

    /// As a turn of the loop ends.
    pub(in crate::transport::zmq) fn turn(&mut self, now: Instant) {
        while let Ok(order) = self.orders.notes.try_recv() {
            if let Order::Window { id, place, received, kept } = order {
                self.desk.window(id, place, received, kept);
            }
        }
        self.desk.keep_time(now);
        let mail = &mut self.mail;
        self.desk.outgoing(now, |link, command: &Command<'_>| mail.entry(link).or_default().push(encode(command)));
    }

    /// What it has said on a link since.
    pub(in crate::transport::zmq) fn take(&mut self, link: LinkId) -> Vec<Vec<u8>> {
        self.mail.remove(&link).unwrap_or_default()
    }

    /// What the front end's own thread is told since.
    pub(in crate::transport::zmq) fn replies(&mut self) -> Vec<(RequestId, Reply)> {
        let replies = self.inbox.notes.try_iter().filter_map(|note| match note {
            Note::Reply(id, reply) => Some((id, reply)),
            _ => None,
        });
        replies.collect()
    }
}
