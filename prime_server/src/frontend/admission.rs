//! Admission control: who is in flight, and until when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use slab::Slab;

use crate::Response;
use crate::context::{RequestId, Ticket};
use crate::deadlines::Deadlines;
use crate::request::Head;

/// Who waits for an answer.
#[derive(Debug)]
pub(super) enum Origin {
    /// The request of that place on that session.
    Session { key: usize, seq: u64 },
    /// A client in this process, which may take its request back by the token.
    Client { token: u64, answer: Sender<Response> },
}

/// A request that was accepted and not yet answered. The front end is its holder (rule 9).
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) ticket: Arc<Ticket>,
    pub(super) origin: Origin,
    body: usize,
}

#[derive(Debug)]
pub(super) struct Admission {
    in_flight: Slab<InFlight>,
    deadlines: Deadlines<RequestId>,
    permits: usize,
    time_limit: Duration,
    generation: u32,
    /// Bytes of the bodies in flight.
    held: usize,
}

impl Admission {
    pub(super) fn new(permits: usize, time_limit: Duration) -> Self {
        Self { in_flight: Slab::new(), deadlines: Deadlines::new(), permits, time_limit, generation: 0, held: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes a request in if one of the permits is free, and gives the origin back if none is.
    pub(super) fn admit(
        &mut self,
        origin: Origin,
        head: Arc<Head>,
        body: usize,
        now: Instant,
    ) -> Result<Arc<Ticket>, Origin> {
        if self.in_flight.len() >= self.permits {
            return Err(origin);
        }
        // With the slab's key this is unique for as long as a late answer could be on its way.
        self.generation = self.generation.wrapping_add(1);
        let vacant = self.in_flight.vacant_entry();
        let id = RequestId { key: vacant.key() as u32, generation: self.generation };
        let ticket = Ticket::new(id, head, now + self.time_limit);
        vacant.insert(InFlight { ticket: Arc::clone(&ticket), origin, body });
        self.deadlines.insert(ticket.deadline, id);
        self.held += body;
        Ok(ticket)
    }

    /// The request of that id, unless it has been answered.
    pub(super) fn get(&self, id: RequestId) -> Option<&InFlight> {
        self.in_flight.get(id.key as usize).filter(|there| there.ticket.id == id)
    }

    /// Ends the request of that id: once only, whoever comes first.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<InFlight> {
        let ended = self.take(id)?;
        let in_flight = &self.in_flight;
        self.deadlines.remove(|id| is_live(in_flight, id));
        Some(ended)
    }

    /// Ends a request whose deadline has passed at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<InFlight> {
        let in_flight = &self.in_flight;
        let id = self.deadlines.pop_due(now, |id| is_live(in_flight, id))?;
        self.take(id)
    }

    fn take(&mut self, id: RequestId) -> Option<InFlight> {
        self.get(id)?;
        let ended = self.in_flight.remove(id.key as usize);
        self.held -= ended.body;
        Some(ended)
    }

    /// When the next deadline passes.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        let in_flight = &self.in_flight;
        self.deadlines.next(|id| is_live(in_flight, id))
    }

    /// The first for which `wanted` holds.
    pub(super) fn find(&self, wanted: impl Fn(&InFlight) -> bool) -> Option<RequestId> {
        self.in_flight.iter().find(|(_, there)| wanted(there)).map(|(_, there)| there.ticket.id)
    }

    pub(super) fn ids(&self) -> Vec<RequestId> {
        self.in_flight.iter().map(|(_, there)| there.ticket.id).collect()
    }
}

fn is_live(in_flight: &Slab<InFlight>, id: RequestId) -> bool {
    in_flight.get(id.key as usize).is_some_and(|there| there.ticket.id == id)
}
