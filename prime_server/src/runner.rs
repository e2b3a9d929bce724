//! Stages without their types: what a worker runs.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::answers;
use crate::batch::{Batch, BatchJob, Replies};
use crate::context::Context;
use crate::payload::Payload;
use crate::{Run, StartError, Step};

/// A job while it runs.
pub(crate) struct Job {
    pub(crate) context: Context,
    pub(crate) payload: Option<Payload>,
    /// What becomes of it, once that is known.
    pub(crate) step: Option<Step>,
}

impl Job {
    pub(crate) fn new(context: Context, payload: Payload) -> Self {
        Self { context, payload: Some(payload), step: None }
    }

    /// What it takes. Where that cannot be read, it is answered.
    fn open<S: Run>(&mut self) -> Option<S::In> {
        let opened = self.payload.take()?.open();
        if let Err(error) = &opened {
            tracing::error!(%error, request = %self.context.id(), "a job could not be read");
            self.step = Some(Step::Answer(answers::failed()));
        }
        opened.ok()
    }
}

/// Runs jobs and sets the step of each: one at a time, or for a stage that gains from it, several. Where it panics, the jobs
/// without a step are the ones that it did not get done.
pub(crate) trait Runner {
    fn run(&mut self, jobs: &mut [Job]);
    fn reset(&mut self);
}

/// Makes a runner, on the thread that will run it.
pub(crate) type RunnerFactory = Arc<dyn Fn() -> Result<Box<dyn Runner>, StartError> + Send + Sync>;

/// A stage that takes one job at a time.
pub(crate) struct Single<S: Run> {
    pub(crate) stage: S,
    /// What the stage's place in the pipeline makes of what it returns.
    pub(crate) resolve: fn(S::Out) -> Step,
}

impl<S: Run> Runner for Single<S> {
    fn run(&mut self, jobs: &mut [Job]) {
        for job in jobs {
            if let Some(input) = job.open::<S>() {
                job.step = Some((self.resolve)(self.stage.run(input, &job.context)));
            }
        }
    }

    fn reset(&mut self) {
        self.stage.reset();
    }
}

/// A stage that takes several jobs at a time.
pub(crate) struct Several<S: Run> {
    pub(crate) stage: S,
    pub(crate) run: fn(&mut S, Batch<S::In, S::Out>),
    pub(crate) resolve: fn(S::Out) -> Step,
}

impl<S: Run> Runner for Several<S> {
    fn run(&mut self, jobs: &mut [Job]) {
        let mut replies = Replies::new(jobs.len());
        let opened = jobs.iter_mut().enumerate().filter_map(|(at, job)| {
            let input = job.open::<S>()?;
            Some(BatchJob { input, cx: job.context.clone(), reply: replies.reply(at) })
        });
        let opened: Vec<_> = opened.collect();
        if opened.is_empty() {
            return;
        }
        // A panic takes only those jobs with it that have no outcome.
        let mut ended = catch_unwind(AssertUnwindSafe(|| (self.run)(&mut self.stage, Batch::new(opened))));
        for (at, job) in jobs.iter_mut().enumerate() {
            if let Some(out) = replies.take(at) {
                let resolved = catch_unwind(AssertUnwindSafe(|| job.step = Some((self.resolve)(out))));
                ended = ended.and(resolved);
            }
        }
        if let Err(panic) = ended {
            resume_unwind(panic);
        }
    }

    fn reset(&mut self) {
        self.stage.reset();
    }
}
