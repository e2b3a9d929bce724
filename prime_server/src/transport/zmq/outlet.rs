//! What a worker process's threads leave for the one that owns its links.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use super::wire::{Outcome, encode, headers};
use crate::balancer::WorkerId;
use crate::context::{Context, Ticket};
use crate::discovery::Place;
use crate::ids::{RequestId, StageId};
use crate::mailbox::Post;
use crate::payload::Payload;
use crate::response::Reply;
use crate::transport::{Gather, Outlet, Rejected};

/// Something for the thread that owns the links.
#[derive(Debug)]
pub(crate) enum Note {
    /// What a job has come to, or a piece of it.
    Outcome { id: RequestId, ends: bool, body: Vec<u8> },
    /// A job has run for so long.
    Ran(RequestId, Duration, usize),
    /// A worker runs a batch that could have had so many jobs more.
    Lacks(WorkerId, usize),
    /// It does not any more.
    LacksNone(WorkerId),
    /// The jobs of a worker make room as soon as another one comes.
    Outruns(WorkerId, Vec<RequestId>),
    /// A thread announces something else than before.
    Announced,
    /// These are the proxies that there are.
    Found(BTreeSet<Place>),
    /// Take nothing more, finish what runs, end.
    Drain,
    /// End now.
    Stop,
}

/// The way of what the threads have done, to the proxy that gave it to them.
pub(crate) struct HostOutlet {
    post: Post<Note>,
    /// The stages' names, and the schemas of what they take.
    stages: Vec<(String, u64)>,
}

impl HostOutlet {
    pub(crate) fn new(post: Post<Note>, stages: Vec<(String, u64)>) -> Self {
        Self { post, stages }
    }

    fn send(&self, id: RequestId, outcome: &Outcome<'_>) {
        self.post.send(Note::Outcome { id, ends: outcome.ends(), body: encode(outcome) });
    }

    fn stage(&self, to: StageId) -> (&str, u64) {
        let (name, schema) = &self.stages[to.index()];
        (name, *schema)
    }
}

impl fmt::Debug for HostOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOutlet").field("stages", &self.stages).finish_non_exhaustive()
    }
}

impl Outlet for HostOutlet {
    fn reply(&self, id: RequestId, reply: Reply) {
        match &reply {
            Reply::Whole(response) => {
                let (status, headers, body) =
                    (response.status().as_u16(), headers(response), response.body().as_bytes());
                self.send(id, &Outcome::Answer { status, headers, body });
            }
            Reply::Head(response) => {
                self.send(id, &Outcome::Head { status: response.status().as_u16(), headers: headers(response) });
            }
            Reply::Chunk(piece) => self.send(id, &Outcome::Piece(piece)),
            Reply::End => self.send(id, &Outcome::End),
            Reply::Abort => self.send(id, &Outcome::Abort),
        }
    }

    fn forward(&self, to: StageId, context: Context, payload: Payload, _: Instant) -> Result<(), Rejected> {
        let (stage, schema) = self.stage(to);
        match payload.into_wire() {
            Ok(message) => self.send(context.ticket.id, &Outcome::Forward { stage, schema, message: &message }),
            Err(error) => return Err(Rejected::Message(context, error)),
        }
        Ok(())
    }

    fn split(&self, to: StageId, context: Context, parts: Vec<Payload>, _: Instant) -> Result<(), Rejected> {
        let (stage, schema) = self.stage(to);
        match parts.into_iter().map(Payload::into_wire).collect::<Result<Vec<_>, _>>() {
            Ok(parts) => {
                let parts = parts.iter().map(|part| &part[..]).collect();
                self.send(context.ticket.id, &Outcome::Split { stage, schema, parts });
            }
            Err(error) => return Err(Rejected::Message(context, error)),
        }
        Ok(())
    }

    fn join(&self, to: StageId, context: Context, part: Payload, _: Gather, _: Instant) -> Result<(), Rejected> {
        let (stage, schema) = self.stage(to);
        match part.into_wire() {
            Ok(message) => self.send(context.ticket.id, &Outcome::Join { stage, schema, message: &message }),
            Err(error) => return Err(Rejected::Message(context, error)),
        }
        Ok(())
    }

    fn dropped(&self, id: RequestId) {
        self.send(id, &Outcome::Abort);
    }

    /// The front end does that, when it has the answer.
    fn cancel_parts(&self, _: &Ticket) {}

    fn runs_with_fewer(&self, worker: WorkerId, lacks: usize) {
        self.post.send(Note::Lacks(worker, lacks));
    }

    fn ran_with_fewer(&self, worker: WorkerId) {
        self.post.send(Note::LacksNone(worker));
    }

    fn outruns(&self, worker: WorkerId, ids: &[RequestId]) {
        self.post.send(Note::Outruns(worker, ids.to_vec()));
    }

    fn ran(&self, id: RequestId, time: Duration, jobs: usize) {
        self.post.send(Note::Ran(id, time, jobs));
    }

    fn announced(&self) {
        self.post.send(Note::Announced);
    }
}
