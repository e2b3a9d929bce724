//! What becomes of requests, as the front end's own thread is told: each has one answer, whole or piece by piece, and nothing after
//! that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::node::Node;
use crate::context::{Reason, Ticket};
use crate::ids::RequestId;
use crate::response::Reply;

#[derive(Default)]
pub(in crate::transport::zmq) struct Ledger {
    requests: BTreeMap<RequestId, Entry>,
    entered: u32,
    /// Of the answers that were whole.
    pub(in crate::transport::zmq) statuses: Vec<u16>,
}

struct Entry {
    ticket: Arc<Ticket>,
    begun: bool,
    over: bool,
}

impl Ledger {
    /// Of requests that are none of another front end's.
    #[cfg(test)]
    pub(in crate::transport::zmq) fn from(first: u32) -> Self {
        Self { entered: first, ..Self::default() }
    }

    pub(in crate::transport::zmq) fn enter(&mut self, node: &mut Node, now: Instant) {
        self.entered += 1;
        let id = RequestId { key: self.entered, generation: 1 };
        let ticket = node.enter(id, now);
        self.requests.insert(id, Entry { ticket, begun: false, over: false });
    }

    /// How many requests there have been.
    pub(in crate::transport::zmq) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The client of one of them leaves, if it waits still.
    pub(in crate::transport::zmq) fn cancel(&mut self, node: &mut Node, which: usize) {
        self.read(node);
        if let Some(entry) = self.requests.values_mut().nth(which).filter(|entry| !entry.over) {
            entry.over = true;
            node.cancel(&entry.ticket, Reason::Disconnected);
        }
    }

    pub(in crate::transport::zmq) fn read(&mut self, node: &mut Node) {
        for (id, reply) in node.replies() {
            let entry = self.requests.get_mut(&id).expect("it has entered");
            assert!(!entry.over, "{id} is answered again, or though it is cancelled: {reply:?}");
            match &reply {
                Reply::Head(_) => assert!(!std::mem::replace(&mut entry.begun, true), "an answer has one head"),
                Reply::Chunk(_) => assert!(entry.begun, "a piece comes after the head"),
                Reply::Whole(answer) => {
                    assert!(!entry.begun, "what has begun is not answered otherwise");
                    self.statuses.push(answer.status().as_u16());
                }
                Reply::End | Reply::Abort => {}
            }
            entry.over |= matches!(reply, Reply::Whole(_) | Reply::End | Reply::Abort);
        }
    }

    /// None of them is forgotten.
    pub(in crate::transport::zmq) fn close(&mut self, node: &mut Node) {
        self.read(node);
        for (id, entry) in &self.requests {
            assert!(entry.over, "{id} has never been answered");
        }
        assert!(node.desk.is_idle(), "a job is held for nobody");
    }
}
