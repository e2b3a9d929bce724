//! Stages without their types: what a worker runs.

use std::sync::Arc;

use crate::answers;
use crate::context::Context;
use crate::payload::Payload;
use crate::{Affinity, Run, StartError, Step};

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
}

/// Runs jobs and sets the step of each: one at a time, or for a stage that gains from it, several. Where it panics, the jobs
/// without a step are the ones that it did not get done.
pub(crate) trait Runner {
    fn run(&mut self, jobs: &mut [Job]);
    fn reset(&mut self);
    fn affinity(&self) -> Affinity;
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
            let Some(payload) = job.payload.take() else { continue };
            job.step = Some(match payload.open::<S::In>() {
                Ok(input) => (self.resolve)(self.stage.run(input, &job.context)),
                Err(error) => {
                    tracing::error!(%error, request = %job.context.id(), "a job could not be read");
                    Step::Answer(answers::failed())
                }
            });
        }
    }

    fn reset(&mut self) {
        self.stage.reset();
    }

    fn affinity(&self) -> Affinity {
        self.stage.affinity()
    }
}
