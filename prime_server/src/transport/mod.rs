//! The seams between threads and wires: how a job gets to a stage, and what becomes of it there.

use std::fmt;
use std::time::{Duration, Instant};

use crate::CodecError;
use crate::balancer::{Expired, Job, WorkerId};
use crate::context::{Context, Reason, Ticket};
use crate::ids::{RequestId, StageId};
use crate::labels::Labels;
use crate::payload::Payload;
use crate::response::Reply;

mod local;
mod places;
mod pool;
mod sink;
mod standing;
pub(crate) mod zmq;

pub(crate) use local::Local;
pub(crate) use pool::{Batching, Next, Overdue, Pool, Size, Source, Usage, View};
pub(crate) use sink::{SeatSink, StreamSink};
pub(crate) use standing::{DRAINING, Standing};

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
    fn next_attempt(&mut self) {
        self.context.attempt += 1;
    }
    fn returns(&self) -> bool {
        self.returns
    }
    fn is_part(&self) -> bool {
        self.context.part.is_some()
    }
    fn labels(&self) -> Labels {
        self.context.ticket.labels
    }
    fn deadline(&self) -> Instant {
        self.context.deadline
    }
}

/// Why a job was not taken. It comes back with the reason.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// The stage's queue is full.
    Full(Envelope),
    /// It takes longer than the time that it has left.
    Hopeless(Envelope),
    /// The stage takes nothing any more.
    Gone(Envelope),
    /// The message cannot be written, or the parts of a split cannot be read.
    Message(Context, CodecError),
}

/// How the front end reaches the stages.
pub(crate) trait Transport: Send + Sync + fmt::Debug {
    /// Hands jobs to a stage. Returns what was refused at once.
    fn dispatch_all(&self, to: StageId, jobs: &mut dyn Iterator<Item = Envelope>, now: Instant) -> Vec<Rejected>;
    /// Nobody waits for the request any more: takes it out of the queue where it waits, flags it where it runs.
    fn cancel(&self, ticket: &Ticket, why: Reason);
    /// Each stage's name, and how many jobs wait and run there, as far as it is known here.
    fn loads(&self) -> Vec<(String, usize, usize)>;
    /// What keeps the stages from being reached, if something does.
    fn trouble(&self) -> Option<String> {
        None
    }
    /// Ends what has outlived a stage's timeout, and returns it with the moment to call again. Where the front end has been told to
    /// [plan](crate::loopback::Note::Plan) it.
    fn tick(&self, _stage: StageId, _now: Instant) -> (Vec<Expired<Envelope>>, Option<Instant>) {
        (Vec::new(), None)
    }
    /// When the front end should call [`tick`](Self::tick).
    fn planned(&self, _stage: StageId) -> Option<Instant> {
        None
    }
    /// Drops a cancelled job that was waiting at a stage.
    fn discard(&self, _stage: StageId, job: Envelope) {
        drop(job);
    }
    /// No more requests come.
    fn drain(&self) {}
    /// Nothing is taken any more.
    fn close(&self);
}

/// Where a worker's outcomes go.
pub(crate) trait Outlet: Send + Sync + fmt::Debug {
    /// Takes (a piece of) the answer back to the front end.
    fn reply(&self, id: RequestId, reply: Reply);
    /// Sends the job on to another stage.
    fn forward(&self, to: StageId, context: Context, payload: Payload, now: Instant) -> Result<(), Rejected>;
    /// Sends the job on in parts, of which there is one at least.
    fn split(&self, to: StageId, context: Context, parts: Vec<Payload>, now: Instant) -> Result<(), Rejected>;
    /// Notes what a part has come to. With the last of them the whole goes on, to the stage that joins them.
    fn join(&self, to: StageId, context: Context, part: Payload, gather: Gather, now: Instant) -> Result<(), Rejected>;
    /// The job is over without an outcome, since nobody waits for one.
    fn dropped(&self, id: RequestId);
    /// A part of the request has the answer: the others are in vain.
    fn cancel_parts(&self, ticket: &Ticket);
    /// A stage's balancer has something to do sooner than whoever calls [`Pool::tick`] knows.
    fn plan(&self, _stage: StageId) {}
    /// A worker runs a batch, and could have had so many jobs more. For whoever has the queue, if that is not here, as are those that follow.
    fn runs_with_fewer(&self, _worker: WorkerId, _lacks: usize) {}
    /// It does not run that any more.
    fn ran_with_fewer(&self, _worker: WorkerId) {}
    /// A worker runs these jobs for long, and makes room as soon as another one comes.
    fn outruns(&self, _worker: WorkerId, _ids: &[RequestId]) {}
    /// The job has run for so long, in one call with so many, and what has come of it follows. For whoever has the queue, if that is not here.
    fn ran(&self, _id: RequestId, _time: Duration, _jobs: usize) {}
    /// A worker announces something else than before. For whoever has the queue, too.
    fn announced(&self) {}
}

/// Makes one payload of those of all parts.
pub(crate) type Gather = fn(Vec<Payload>) -> Result<Payload, CodecError>;
