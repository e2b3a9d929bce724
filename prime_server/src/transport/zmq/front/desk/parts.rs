//! Requests that are split: their parts are jobs of their own, as many at a time as their stage has threads.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Desk, Held, NO_STAGE, bit};
use crate::answers::too_many_hops;
use crate::context::Ticket;
use crate::fork::Fork;
use crate::ids::StageId;
use crate::payload::Payload;
use crate::transport::zmq::task;

/// How many parts a request has at once at most, where parts are split again, as a multiple of what one split may have.
const NESTED: usize = 16;

impl Desk {
    pub(super) fn split(&mut self, key: usize, stage: &str, schema: u64, parts: &[&[u8]], now: Instant) {
        self.recall(key);
        if parts.is_empty() || parts.len() > self.terms.max_parts {
            let (number, most) = (parts.len(), self.terms.max_parts);
            return self.fail(key, &format!("a split has {number} parts, and must have 1 to {most} (`max_parts`)"));
        }
        let outer = self.held[key].part.as_ref().and_then(|part| part.fork());
        if outer.map_or(0, |fork| fork.family()) + parts.len() > self.terms.max_parts * NESTED {
            return self.fail(key, "the parts of a request are split into more than it may have at once");
        }
        let Some(stage) = self.stages.next(stage) else { return self.fail(key, NO_STAGE) };
        if self.held[key].hops >= self.terms.max_hops {
            return self.answer(key, too_many_hops());
        }
        let whole = self.held.remove(key);
        let payloads = parts.iter().map(|part| Payload::from_wire(Bytes::copy_from_slice(part))).collect();
        let fork = Fork::of_schema(schema, whole.part, StageId(stage as u16), whole.hops + 1, payloads);
        self.send_parts(&fork, &whole.ticket, whole.passed, now);
    }

    /// Sends as many parts of a split request as may go now.
    fn send_parts(&mut self, fork: &Arc<Fork>, ticket: &Arc<Ticket>, passed: u64, now: Instant) {
        let stage = fork.stage().index();
        let threads = usize::try_from(self.stages.slots(stage)).unwrap_or(usize::MAX).max(1);
        while let Some((part, payload)) = fork.next_part(threads) {
            let held = Held {
                ticket: Arc::clone(ticket),
                generation: 0,
                stage,
                body: payload.into_wire().expect("it came over a wire"),
                hops: fork.hops(),
                attempt: 1,
                passed: passed | bit(stage),
                always: true,
                part: Some(part),
                at: None,
            };
            self.hold_message(held, fork.schema(), now);
        }
    }

    /// Holds a job whose `body` is its message as yet.
    fn hold_message(&mut self, mut held: Held, schema: u64, now: Instant) {
        let place = task::Place { hops: held.hops, part: held.part.is_some(), schema };
        held.body = task::of_message(self.terms.origin, &held.ticket, place, &held.body);
        self.hold(held, now);
    }

    pub(super) fn join(&mut self, key: usize, stage: &str, schema: u64, message: &[u8], now: Instant) {
        self.recall(key);
        let Some(stage) = self.stages.next(stage) else { return self.fail(key, NO_STAGE) };
        if self.held[key].hops >= self.terms.max_hops {
            return self.answer(key, too_many_hops());
        }
        let Some(fork) = self.held[key].part.as_ref().and_then(|part| part.fork()).map(Arc::clone) else {
            return self.fail(key, "a job that is no part of a split goes to a join");
        };
        let Held { ticket, hops, passed, part, .. } = self.held.remove(key);
        let part = part.expect("it has a fork");
        if ticket.cancelled().is_some() {
            return;
        }
        match part.join(Payload::from_wire(Bytes::copy_from_slice(message)), hops + 1) {
            Some(whole) => {
                let body = task::gathered(whole.parts);
                let (part, hops, always) = (whole.outer, whole.hops, true);
                let passed = passed | bit(stage);
                let held =
                    Held { ticket, generation: 0, stage, body, hops, attempt: 1, passed, always, part, at: None };
                self.hold_message(held, schema, now);
            }
            None => self.send_parts(&fork, &ticket, passed, now),
        }
    }
}
