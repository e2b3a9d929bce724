//! The seam between threads and wires: how a job gets to a stage, and how an answer gets back.

use std::time::Instant;

use crate::balancer::Job;
use crate::context::{Context, Reason, Ticket};
use crate::ids::{RequestId, StageId};
use crate::payload::Payload;
use crate::response::Reply;

mod local;
mod places;

pub(crate) use local::{Local, LocalSource, LocalStage};

/// A job on its way to a stage, or waiting there.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) context: Context,
    pub(crate) payload: Payload,
    /// When it was queued at the stage where it is.
    pub(crate) queued: Instant,
    /// It has passed the stage before.
    pub(crate) returns: bool,
}

impl Envelope {
    pub(crate) fn new(context: Context, payload: Payload, now: Instant) -> Self {
        Self { context, payload, queued: now, returns: false }
    }
}

impl Job for Envelope {
    fn id(&self) -> RequestId {
        self.context.ticket.id
    }
    fn attempt(&self) -> u32 {
        self.context.attempt
    }
    fn returns(&self) -> bool {
        self.returns
    }
    fn is_part(&self) -> bool {
        self.context.part.is_some()
    }
}

/// Why a job was not taken. It comes back with the reason.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// The stage's queue is full.
    Full(Envelope),
    /// The stage takes nothing any more.
    Gone(Envelope),
}

/// How jobs and answers travel.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Hands a job to a stage's balancer.
    fn dispatch(&self, to: StageId, job: Envelope, now: Instant) -> Result<(), Rejected>;
    /// Takes an answer back to the front end.
    fn reply(&self, id: RequestId, reply: Reply);
    /// Nobody waits for the request any more: takes it out of the queue where it waits, flags it where it runs.
    fn cancel(&self, ticket: &Ticket, why: Reason);
}

/// Where a worker's jobs come from.
pub(crate) trait Source {
    /// Waits for a job.
    fn next(&mut self) -> Next;
    /// The last job is over: its outcome is on its way.
    fn done(&mut self);
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next {
    Job(Envelope),
    /// No job will come any more.
    Drained,
}
