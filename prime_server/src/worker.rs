//! A worker: one thread, one stage instance, one job at a time. Next, run, resolve, dispatch or answer.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::answers;
use crate::balancer::WorkerId;
use crate::compression::compress;
use crate::context::{Context, Reason, Sink};
use crate::ids::StageId;
use crate::kernel::Tid;
use crate::metrics::{Ended, StageMetrics};
use crate::panics::{caught, log};
use crate::payload::Payload;
use crate::response::Reply;
use crate::runner::{Job, Runner, RunnerFactory};
use crate::seat::{Asked, Seat};
use crate::transport::{Envelope, Gather, Next, Outlet, Pool, Rejected, SeatSink, Source, StreamSink};
use crate::{Affinity, Response, StartError, Step};

/// The first pause between two attempts to construct a stage again, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// What all workers of a stage have in common.
pub(crate) struct Duties {
    /// The stage's name.
    pub(crate) stage: &'static str,
    pub(crate) factory: RunnerFactory,
    /// The stage that each route of the stage's outcome leads to.
    pub(crate) routes: Arc<[StageId]>,
    pub(crate) max_hops: u32,
    pub(crate) max_parts: usize,
    /// Where its jobs come from, and where what becomes of them goes.
    pub(crate) pool: Arc<Pool>,
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) metrics: Arc<StageMetrics>,
    /// Where streamed answers go.
    pub(crate) sink: Arc<StreamSink>,
    /// The least bytes of an answer that is compressed, if any is.
    pub(crate) compress: Option<usize>,
    /// Somebody chooses by what its workers announce.
    pub(crate) announces: bool,
}

/// One worker.
pub(crate) struct Worker {
    id: WorkerId,
    seat: Arc<Seat>,
    duties: Arc<Duties>,
}

/// A job that has run.
struct Ran {
    context: Context,
    /// What becomes of it; an error is what its stage said when it panicked.
    step: Result<Option<Step>, String>,
    ended: Instant,
    /// For so long.
    time: Duration,
}

/// A worker that was demoted and cannot return: what is left to do for it.
pub(crate) struct Leaving {
    worker: Worker,
    source: Source,
    ran: Box<Ran>,
}

/// How a worker goes on.
enum Then {
    /// With the next job.
    Next,
    /// The stage has panicked and cannot be trusted any more.
    Rebuild,
    /// No job will come any more.
    End,
    /// Its thread must not do anything any more that others may wait for.
    Leave(Box<Ran>),
}

impl Worker {
    /// A new worker of its pool, to be [`run`](Self::run) on a thread of its own.
    pub(crate) fn hire(duties: &Arc<Duties>) -> Self {
        let (id, seat) = duties.pool.hire();
        Self { id, seat, duties: Arc::clone(duties) }
    }

    pub(crate) fn id(&self) -> WorkerId {
        self.id
    }

    /// The thread's whole life. Says whether the stage could be constructed, and how long that took.
    pub(crate) fn run(self, made: impl FnOnce((Arc<Duties>, Result<Duration, StartError>))) {
        let begun = Instant::now();
        let (duties, constructed) = (Arc::clone(&self.duties), self.construct());
        let mut runner = match constructed {
            Ok(runner) => {
                made((duties, Ok(begun.elapsed())));
                runner
            }
            Err(error) => return made((duties, Err(error))),
        };
        loop {
            let mut source = self.duties.pool.source(self.id, Arc::clone(&self.duties.outlet));
            // What escapes is a panic outside of a job's run, such as in the drop of a message: the source is dropped
            // with the job that it had, and that answers.
            let then = caught(|| self.work(&mut runner, &mut source)).unwrap_or_else(|panic| {
                log(|| tracing::error!(stage = self.duties.stage, panic, "a worker panicked outside of its stage"));
                Then::Rebuild
            });
            if let Then::Leave(ran) = then {
                let seat = Arc::clone(&self.seat);
                seat.leave(Asked::Leave(Box::new(Leaving { worker: self, source, ran })));
                let _ = caught(|| drop(runner));
                return;
            }
            drop(source);
            let _ = caught(|| drop(runner));
            if matches!(then, Then::End) {
                return;
            }
            match self.rebuild() {
                Some(rebuilt) => runner = rebuilt,
                None => return,
            }
        }
    }

    /// Works until no job will come, or until the stage must be made anew.
    fn work(&self, runner: &mut Box<dyn Runner>, source: &mut Source) -> Then {
        // Lent to each job in turn, which costs nothing where a clone would have the workers contend for its count.
        let mut sink: Option<Arc<dyn Sink>> =
            Some(Arc::new(SeatSink::new(Arc::clone(&self.seat), Arc::clone(&self.duties.sink))));
        loop {
            if self.duties.announces {
                source.announce(self.affinity(runner.as_ref()));
            }
            let then = match source.next() {
                Next::Job(job) => self.job(runner.as_mut(), job, source, &mut sink),
                Next::Drained => Then::End,
            };
            if !matches!(then, Then::Next) {
                return then;
            }
            if let Err(panic) = caught(|| runner.reset()) {
                log(|| tracing::error!(stage = self.duties.stage, panic, "a stage panicked in its reset"));
                return Then::Rebuild;
            }
        }
    }

    fn affinity(&self, runner: &dyn Runner) -> Affinity {
        caught(|| runner.affinity()).unwrap_or_else(|panic| {
            log(|| {
                tracing::error!(stage = self.duties.stage, panic, "a stage panicked that was asked for its affinity")
            });
            Affinity::NONE
        })
    }

    fn job(
        &self,
        runner: &mut dyn Runner,
        envelope: Envelope,
        source: &mut Source,
        sink: &mut Option<Arc<dyn Sink>>,
    ) -> Then {
        let Envelope { mut context, payload, queued, .. } = envelope;
        let started = Instant::now();
        if let Some(reason) = context.ticket.cancelled() {
            self.duties.metrics.ended(Ended::Cancelled(reason));
            self.duties.outlet.dropped(context.ticket.id);
            source.abandon(started);
            return Then::Next;
        }
        self.duties.metrics.waited(started.saturating_duration_since(queued));
        context.sink = sink.take();
        let mut job = Job::new(context, payload);
        self.seat.gate.open();
        let ran = caught(|| {
            runner.run(std::slice::from_mut(&mut job));
            self.compress(&mut job);
        });
        let demoted = self.seat.gate.close();
        let ended = Instant::now();
        *sink = job.context.sink.take();
        let step = ran.map(|()| job.step.take());
        let ran = Ran { context: job.context, step, ended, time: ended.saturating_duration_since(started) };
        if demoted {
            if Tid::current().restore().is_err() {
                return Then::Leave(Box::new(ran));
            }
            self.seat.gate.restored();
        }
        self.finish(ran, source)
    }

    fn compress(&self, job: &mut Job) {
        if let (Some(least), Some(Step::Answer(response))) = (self.duties.compress, &mut job.step) {
            compress(&job.context.ticket.head, response, least);
        }
    }

    /// Sees to what becomes of a job that has run.
    fn finish(&self, ran: Ran, source: &mut Source) -> Then {
        let Ran { context, step, ended, time } = ran;
        self.duties.metrics.ran(time);
        let then = if step.is_ok() { Then::Next } else { Then::Rebuild };
        match step {
            Ok(Some(Step::Answer(response))) => self.answer(&context, response, Ended::Answered),
            Ok(Some(step)) => self.resolve(context, step, ended),
            Ok(None) => self.answer(&context, answers::failed(), Ended::Answered),
            Err(panic) => {
                let (stage, request) = (self.duties.stage, context.ticket.id);
                log(|| tracing::error!(stage, %request, panic, "a stage panicked"));
                self.answer(&context, answers::failed(), Ended::Panicked);
            }
        }
        source.done(time, ended);
        then
    }

    fn resolve(&self, context: Context, step: Step, now: Instant) {
        let sends_on = matches!(step, Step::Send { .. } | Step::Split { .. } | Step::Join { .. });
        if sends_on && context.ticket.window().is_some() {
            return self.fail(&context, "a stage streams an answer and sends the job on");
        }
        match step {
            Step::Answer(response) => self.answer(&context, response, Ended::Answered),
            Step::Streamed(_) => self.streamed(&context),
            Step::Send { route, payload } => self.send(context, route, payload, now),
            Step::Split { route, parts } => self.split(context, route, parts, now),
            Step::Join { route, part, gather } => self.join(context, route, part, gather, now),
        }
    }

    fn send(&self, context: Context, route: usize, payload: Payload, now: Instant) {
        if let Some((next, context)) = self.next_hop(context, route) {
            self.sent(self.duties.outlet.forward(next, context, payload, now));
        }
    }

    /// What has come of sending a job on.
    fn sent(&self, result: Result<(), Rejected>) {
        let (job, ended, sentence) = match result {
            Ok(()) => return self.duties.metrics.ended(Ended::Forwarded),
            Err(Rejected::Full(job)) => (job, Ended::QueueFull, "the queue of the next stage is full\n"),
            Err(Rejected::Gone(job)) => (job, Ended::Cancelled(Reason::ShuttingDown), answers::SHUTTING_DOWN),
            Err(Rejected::Message(context, error)) => return self.fail(&context, &error.to_string()),
        };
        // The message is dropped after that: if it panics then, there is an answer.
        self.answer(&job.context, answers::unavailable(sentence), ended);
    }

    /// The stage that a route leads to, and the context of a job that goes there; answers where it cannot.
    fn next_hop(&self, context: Context, route: usize) -> Option<(StageId, Context)> {
        if context.hops >= self.duties.max_hops {
            self.answer(&context, answers::too_many_hops(), Ended::HopLimit);
            return None;
        }
        let Some(next) = self.duties.routes.get(route) else {
            self.fail(&context, "an outcome names a route that its stage does not have");
            return None;
        };
        Some((*next, context.hop()))
    }

    fn fail(&self, context: &Context, problem: &str) {
        let (stage, request) = (self.duties.stage, context.ticket.id);
        log(|| tracing::error!(stage, %request, "{problem}"));
        self.answer(context, answers::failed(), Ended::Answered);
    }

    /// The answer's last piece has been sent.
    fn streamed(&self, context: &Context) {
        if context.part.is_some() {
            return self.fail(context, "a part of a request streams, and only the stage that joins the parts can");
        }
        if context.ticket.window().is_none() {
            return self.fail(context, "a stage returned the stream of another request");
        }
        self.duties.metrics.ended(context.ticket.cancelled().map_or(Ended::Answered, Ended::Cancelled));
        self.duties.outlet.reply(context.ticket.id, Reply::End);
    }

    fn split(&self, context: Context, route: usize, parts: Vec<Payload>, now: Instant) {
        if parts.is_empty() || parts.len() > self.duties.max_parts {
            let (number, most) = (parts.len(), self.duties.max_parts);
            return self
                .fail(&context, &format!("a split has {number} parts, and must have 1 to {most} (`max_parts`)"));
        }
        if let Some((next, context)) = self.next_hop(context, route) {
            self.sent(self.duties.outlet.split(next, context, parts, now));
        }
    }

    fn join(&self, context: Context, route: usize, part: Payload, gather: Gather, now: Instant) {
        let Some((next, context)) = self.next_hop(context, route) else { return };
        if context.part.is_none() {
            return self.fail(&context, "a job that is no part of a split goes to a join");
        }
        match context.ticket.cancelled() {
            Some(reason) => {
                self.duties.metrics.ended(Ended::Cancelled(reason));
                self.duties.outlet.dropped(context.ticket.id);
            }
            None => self.sent(self.duties.outlet.join(next, context, part, gather, now)),
        }
    }

    /// Counts before it answers, so that whoever has the answer finds it counted.
    fn answer(&self, context: &Context, mut response: Response, ended: Ended) {
        // What a stage has hung on to its answer is dropped here, where a panic of it does no harm.
        if !response.extensions().is_empty() {
            let _ = caught(|| response.extensions_mut().clear());
        }
        self.duties.metrics.ended(context.ticket.cancelled().map_or(ended, Ended::Cancelled));
        // Once a stage has begun to stream, there is no other answer than to cut that short.
        let reply = if context.ticket.window().is_some() { Reply::Abort } else { Reply::whole(response) };
        self.cancel_others(context);
        self.duties.outlet.reply(context.ticket.id, reply);
    }

    /// Where one part answers, the others are in vain. Before it does: whoever has the answer finds them ended.
    fn cancel_others(&self, context: &Context) {
        if context.part.is_some() {
            self.duties.outlet.cancel_parts(&context.ticket);
        }
    }

    fn construct(&self) -> Result<Box<dyn Runner>, StartError> {
        caught(|| (self.duties.factory)())
            .unwrap_or_else(|message| Err(StartError::ConstructPanicked { stage: self.duties.stage, message }))
    }

    /// Constructs the stage again, however often it takes. `None` once nothing is left to do.
    fn rebuild(&self) -> Option<Box<dyn Runner>> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.construct() {
                Ok(runner) => return Some(runner),
                Err(error) => log(|| tracing::error!(%error, "a worker could not be rebuilt, and tries again")),
            }
            if self.duties.pool.is_closed() {
                return None;
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.duties.pool.quit(self.id);
    }
}

impl Leaving {
    /// Does it. To be called where others may wait for what is done.
    pub(crate) fn finish(self) {
        let Self { worker, mut source, ran } = self;
        let stage = worker.duties.stage;
        if let Err(panic) = caught(|| _ = worker.finish(*ran, &mut source)) {
            log(|| tracing::error!(stage, panic, "a worker panicked outside of its stage"));
        }
        let _ = caught(|| drop(source));
    }
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving").field("stage", &self.worker.duties.stage).finish_non_exhaustive()
    }
}
