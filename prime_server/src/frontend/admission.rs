//! Admission control: who is in flight, and until when.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;
use slab::Slab;

use crate::context::Ticket;
use crate::deadlines::Deadlines;
use crate::ids::RequestId;
use crate::labels::Labels;
use crate::{Request, Response};

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
    /// The answer's head has gone out, and its body follows.
    pub(super) streams: bool,
    /// What a client in this process has got so far of a streamed answer.
    pub(super) collected: Option<(Response, Vec<u8>)>,
    /// What [`Admission::held`] counts of it.
    held: usize,
}

#[derive(Debug)]
pub(super) struct Admission {
    in_flight: Slab<InFlight>,
    /// The requests of clients in this process, by their tokens.
    of_clients: HashMap<u64, RequestId>,
    /// The deadlines of answers, and of those that have begun to be streamed.
    deadlines: Deadlines<(RequestId, bool)>,
    permits: usize,
    generation: u32,
    held: usize,
}

impl Admission {
    pub(super) fn new(permits: usize) -> Self {
        Self {
            in_flight: Slab::new(),
            of_clients: HashMap::new(),
            deadlines: Deadlines::new(),
            permits,
            generation: 0,
            held: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Bytes of the requests in flight.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes a request in until then, if one of the permits is free, and gives the origin back if none is.
    pub(super) fn admit(
        &mut self,
        origin: Origin,
        request: &Request,
        labels: Labels,
        deadline: Instant,
    ) -> Result<Arc<Ticket>, Origin> {
        if self.in_flight.len() >= self.permits {
            return Err(origin);
        }
        // With the slab's key this is unique for as long as a late answer could be on its way.
        self.generation = self.generation.wrapping_add(1);
        let vacant = self.in_flight.vacant_entry();
        let id = RequestId { key: vacant.key() as u32, generation: self.generation };
        let ticket = Ticket::named(id, id, request.shared_head(), labels, deadline);
        let held = request.held();
        if let Origin::Client { token, .. } = origin {
            self.of_clients.insert(token, id);
        }
        vacant.insert(InFlight { ticket: Arc::clone(&ticket), origin, streams: false, collected: None, held });
        self.deadlines.insert(ticket.deadline, (id, false));
        self.held += held;
        Ok(ticket)
    }

    /// The request of that id, unless it has been answered.
    pub(super) fn get_mut(&mut self, id: RequestId) -> Option<&mut InFlight> {
        self.in_flight.get_mut(id.key as usize).filter(|there| there.ticket.id == id)
    }

    /// The request's answer begins to be streamed, and has until `until`.
    pub(super) fn begin_stream(&mut self, id: RequestId, until: Instant) {
        let Some(there) = self.get_mut(id).filter(|there| !there.streams) else { return };
        there.streams = true;
        self.deadlines.insert(until, (id, true));
        let in_flight = &self.in_flight;
        self.deadlines.remove(|key| is_live(in_flight, key));
    }

    /// Ends the request of that id: once only, whoever comes first.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<InFlight> {
        let ended = self.take(id)?;
        let in_flight = &self.in_flight;
        self.deadlines.remove(|key| is_live(in_flight, key));
        Some(ended)
    }

    /// Ends a request whose deadline has passed at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<InFlight> {
        let in_flight = &self.in_flight;
        let (id, _) = self.deadlines.pop_due(now, |key| is_live(in_flight, key))?;
        self.take(id)
    }

    fn take(&mut self, id: RequestId) -> Option<InFlight> {
        self.get_mut(id)?;
        let ended = self.in_flight.remove(id.key as usize);
        self.held -= ended.held;
        if let Origin::Client { token, .. } = ended.origin {
            self.of_clients.remove(&token);
        }
        Some(ended)
    }

    /// When the next deadline passes.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        let in_flight = &self.in_flight;
        self.deadlines.next(|key| is_live(in_flight, key))
    }

    /// Ends the request of the client of that token.
    pub(super) fn abandon(&mut self, token: u64) -> Option<InFlight> {
        let id = *self.of_clients.get(&token)?;
        self.finish(id)
    }

    pub(super) fn ids(&self) -> Vec<RequestId> {
        self.in_flight.iter().map(|(_, there)| there.ticket.id).collect()
    }
}

fn is_live(in_flight: &Slab<InFlight>, (id, streams): (RequestId, bool)) -> bool {
    in_flight.get(id.key as usize).is_some_and(|there| there.ticket.id == id && there.streams == streams)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn admit(admission: &mut Admission, body: usize, now: Instant) -> Option<RequestId> {
        let request = Request::post("/", vec![0; body]);
        let origin = Origin::Session { key: 0, seq: 0 };
        admission.admit(origin, &request, Labels::default(), now + LIMIT).ok().map(|ticket| ticket.id)
    }

    #[test]
    fn permits_are_given_and_come_back() {
        let (mut admission, now) = (Admission::new(1), Instant::now());
        let id = admit(&mut admission, 10, now).unwrap();
        assert_eq!((admit(&mut admission, 10, now), admission.held()), (None, "/".len() + 10));
        assert!(admission.finish(id).is_some());
        assert_eq!((admission.len(), admission.held()), (0, 0));
        assert!(admit(&mut admission, 0, now).is_some());
    }

    #[test]
    fn a_request_ends_once_and_a_late_answer_does_not_find_its_successor() {
        let (mut admission, now) = (Admission::new(1), Instant::now());
        let id = admit(&mut admission, 0, now).unwrap();
        assert!(admission.finish(id).is_some());
        let next = admit(&mut admission, 0, now).unwrap();
        assert_eq!(next.key, id.key, "the place is the same");
        assert!(admission.finish(id).is_none());
        assert!(admission.finish(next).is_some());
    }

    #[test]
    fn deadlines_come_due_for_those_that_are_still_in_flight() {
        let (mut admission, now) = (Admission::new(9), Instant::now());
        let done = admit(&mut admission, 0, now).unwrap();
        let late = admit(&mut admission, 0, now + LIMIT / 2).unwrap();
        admission.finish(done);
        assert_eq!(admission.next_deadline(), Some(now + LIMIT / 2 + LIMIT));
        assert!(admission.expire(now + LIMIT).is_none());
        assert_eq!(admission.expire(now + 2 * LIMIT).map(|there| there.ticket.id), Some(late));
        assert!(admission.expire(now + 2 * LIMIT).is_none());
        assert_eq!(admission.next_deadline(), None);
    }
}
