//! A worker: one thread, one stage instance, one job at a time, or for a stage that takes them so, one batch. Next, run, resolve,
//! dispatch or answer.

mod outcomes;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::balancer::WorkerId;
use crate::compression::compress;
use crate::context::Sink;
use crate::ids::StageId;
use crate::metrics::StageMetrics;
use crate::panics::{caught, log};
use crate::runner::{Job, Runner, RunnerFactory};
use crate::seat::{Seat, Unfinished};
use crate::transport::{Envelope, Next, Outlet, Pool, SeatSink, Source, StreamSink};
use crate::{Affinity, StartError, Step};

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

/// Jobs that have run, all in one call.
struct Ran {
    jobs: Vec<Job>,
    over: Over,
}

/// How a call ended.
struct Over {
    /// What the stage said when it panicked.
    panic: Option<String>,
    ended: Instant,
    /// It took so long.
    time: Duration,
}

/// A worker that was demoted and cannot return: what is left to do for it.
struct Leaving {
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
                seat.leave(Box::new(Leaving { worker: self, source, ran }));
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
        let mut jobs = Vec::new();
        loop {
            if self.duties.announces {
                source.announce(self.affinity(runner.as_ref()));
            }
            let then = match source.next() {
                Next::Job(job, started) => self.jobs(runner.as_mut(), (job, started), source, &mut jobs, &mut sink),
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

    /// Runs a job that has just been taken, and those that come with it.
    fn jobs(
        &self,
        runner: &mut dyn Runner,
        (first, started): (Envelope, Instant),
        source: &mut Source,
        jobs: &mut Vec<Job>,
        sink: &mut Option<Arc<dyn Sink>>,
    ) -> Then {
        let more = source.more();
        for envelope in std::iter::once(first).chain(more) {
            let id = envelope.context.ticket.id;
            if envelope.context.ticket.cancelled().is_some() {
                self.duties.pool.discard(envelope);
                self.duties.outlet.dropped(id);
                source.abandon(id);
            } else {
                self.duties.metrics.waited(started.saturating_duration_since(envelope.queued));
                jobs.push(Job::new(envelope.context, envelope.payload));
            }
        }
        let Some((first, others)) = jobs.split_first_mut() else { return Then::Next };
        others.iter_mut().for_each(|job| job.context.sink.clone_from(sink));
        first.context.sink = sink.take();
        let lacks = self.duties.pool.batching().most - jobs.len();
        if lacks > 0 {
            self.duties.outlet.runs_with_fewer(self.id, lacks);
        }
        self.seat.gate.open();
        let ran = caught(|| {
            runner.run(jobs);
            jobs.iter_mut().for_each(|job| self.compress(job));
        });
        let demoted = self.seat.gate.close();
        let ended = Instant::now();
        for job in &mut *jobs {
            *sink = job.context.sink.take().or(sink.take());
        }
        let over = Over { panic: ran.err(), ended, time: ended.saturating_duration_since(started) };
        if demoted && !self.seat.restore() {
            return Then::Leave(Box::new(Ran { jobs: std::mem::take(jobs), over }));
        }
        self.finish(jobs, over, source)
    }

    fn compress(&self, job: &mut Job) {
        if let (Some(least), Some(Step::Answer(response))) = (self.duties.compress, &mut job.step) {
            compress(&job.context.ticket.head, response, least);
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
            self.seat.park_timeout(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.duties.pool.quit(self.id);
    }
}

impl Unfinished for Leaving {
    fn finish(self: Box<Self>) {
        let Self { worker, mut source, ran } = *self;
        let Ran { mut jobs, over } = *ran;
        let stage = worker.duties.stage;
        if let Err(panic) = caught(|| _ = worker.finish(&mut jobs, over, &mut source)) {
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
