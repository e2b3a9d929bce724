//! A worker: one thread, one stage instance, one job at a time. Next, run, resolve, dispatch or answer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use http::StatusCode;

use crate::balancer::WorkerId;
use crate::context::Context;
use crate::metrics::{Ended, StageMetrics};
use crate::response::Reply;
use crate::runner::{Job, Runner, RunnerFactory};
use crate::transport::{Envelope, Local, LocalSource, Next, Rejected, Source, StageId, Transport};
use crate::{IntoResponse, Response, StartError, Step};

/// The first pause between two attempts to construct a stage again, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) stage: StageId,
    pub(crate) factory: RunnerFactory,
    /// The stage that each route of the stage's outcome leads to.
    pub(crate) routes: Arc<[StageId]>,
    pub(crate) max_hops: u32,
    pub(crate) transport: Arc<Local>,
    pub(crate) metrics: Arc<StageMetrics>,
}

/// What became of a job's run.
enum Ran {
    Finished,
    /// The stage cannot be trusted any more.
    Panicked,
}

impl Worker {
    /// The thread's whole life. Says through `started` whether the stage could be constructed.
    pub(crate) fn run(self, started: Sender<Result<(), StartError>>) {
        let mut runner = match self.construct() {
            Ok(runner) => {
                let _ = started.send(Ok(()));
                runner
            }
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        // Whoever waits for all workers to start waits until the last sender is gone.
        drop(started);
        loop {
            // What escapes is a panic outside of a job's run, such as in the drop of a message: the source is dropped
            // with the job that it had, and that answers.
            let drained = catch_unwind(AssertUnwindSafe(|| self.work(&mut runner)));
            if drained.unwrap_or(false) {
                return;
            }
            let _ = catch_unwind(AssertUnwindSafe(|| drop(runner)));
            match self.rebuild() {
                Some(rebuilt) => runner = rebuilt,
                None => return,
            }
        }
    }

    /// Works until no job will come (true), or until the stage must be made anew (false).
    fn work(&self, runner: &mut Box<dyn Runner>) -> bool {
        let mut source = self.transport.source(self.stage, self.id);
        loop {
            let job = match source.next() {
                Next::Job(job) => job,
                Next::Drained => return true,
            };
            let ran = self.job(runner.as_mut(), job, &mut source);
            if matches!(ran, Ran::Panicked) || catch_unwind(AssertUnwindSafe(|| runner.reset())).is_err() {
                return false;
            }
        }
    }

    fn job(&self, runner: &mut dyn Runner, envelope: Envelope, source: &mut LocalSource) -> Ran {
        let Envelope { context, payload, queued, .. } = envelope;
        if let Some(reason) = context.ticket.cancelled() {
            self.metrics.ended(Ended::Cancelled(reason));
            source.done();
            return Ran::Finished;
        }
        let started = Instant::now();
        self.metrics.waited(started.saturating_duration_since(queued));
        let mut job = Job::new(context, payload);
        let ran = catch_unwind(AssertUnwindSafe(|| runner.run(std::slice::from_mut(&mut job))));
        let now = Instant::now();
        self.metrics.ran(now.saturating_duration_since(started));
        let Job { context, step, .. } = job;
        match (&ran, step) {
            (Ok(()), Some(step)) => self.resolve(context, step, now),
            (Ok(()), None) => self.answer(&context, StatusCode::INTERNAL_SERVER_ERROR.into_response(), Ended::Answered),
            (Err(panic), _) => {
                let (stage, request, panic) = (self.metrics.stage(), context.ticket.id, message(panic.as_ref()));
                tracing::error!(stage, %request, panic, "a stage panicked");
                self.answer(&context, StatusCode::INTERNAL_SERVER_ERROR.into_response(), Ended::Panicked);
            }
        }
        source.done();
        if ran.is_ok() { Ran::Finished } else { Ran::Panicked }
    }

    fn resolve(&self, context: Context, step: Step, now: Instant) {
        let (route, payload) = match step {
            Step::Answer(response) => return self.answer(&context, response, Ended::Answered),
            Step::Send { route, payload } => (route, payload),
        };
        if context.hops >= self.max_hops {
            let answer = (StatusCode::LOOP_DETECTED, "the request made too many hops\n").into_response();
            return self.answer(&context, answer, Ended::HopLimit);
        }
        let job = Envelope::new(Context { hops: context.hops + 1, attempt: 1, ..context }, payload, now);
        let (job, sentence) = match self.transport.dispatch(self.routes[route], job, now) {
            Ok(()) => return self.metrics.ended(Ended::Forwarded),
            Err(Rejected::Full(job)) => (job, "the queue of the next stage is full\n"),
            Err(Rejected::Gone(job)) => (job, "the server is shutting down\n"),
        };
        let answer = (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], sentence).into_response();
        self.answer(&job.context, answer, Ended::QueueFull);
    }

    /// Counts before it answers, so that whoever has the answer finds it counted.
    fn answer(&self, context: &Context, response: Response, ended: Ended) {
        self.metrics.ended(context.ticket.cancelled().map_or(ended, Ended::Cancelled));
        self.transport.reply(context.ticket.id, Reply::Whole(response));
    }

    fn construct(&self) -> Result<Box<dyn Runner>, StartError> {
        catch_unwind(AssertUnwindSafe(|| (self.factory)())).unwrap_or_else(|panic| {
            Err(StartError::ConstructPanicked {
                stage: self.metrics.stage(),
                message: message(panic.as_ref()).to_owned(),
            })
        })
    }

    /// Constructs the stage again, however often it takes. `None` once nothing is left to do.
    fn rebuild(&self) -> Option<Box<dyn Runner>> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.construct() {
                Ok(runner) => return Some(runner),
                Err(error) => tracing::error!(%error, "a worker could not be rebuilt, and tries again"),
            }
            if self.transport.is_closed(self.stage) {
                return None;
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// What a panic said, if it said it in words.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<&str>().copied();
    words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
