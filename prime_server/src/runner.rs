//! Stages without their types: what a worker runs.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::answers;
use crate::batch::{Batch, BatchJob, Replies};
use crate::context::Context;
use crate::panics::log;
use crate::payload::Payload;
use crate::stage::RunBatch;
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

    /// What it takes. Where that cannot be read, it is answered.
    fn open<S: Run>(&mut self) -> Option<S::In> {
        let opened = self.payload.take()?.open();
        if let Err(error) = &opened {
            log(|| tracing::error!(%error, request = %self.context.id(), "a job could not be read"));
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
            if let Some(input) = job.open::<S>() {
                job.step = Some((self.resolve)(self.stage.run(input, &job.context)));
            }
        }
    }

    fn reset(&mut self) {
        self.stage.reset();
    }

    fn affinity(&self) -> Affinity {
        self.stage.affinity()
    }
}

/// A stage that takes several jobs at a time.
pub(crate) struct Several<S: Run> {
    pub(crate) stage: S,
    pub(crate) run: RunBatch<S>,
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

    fn affinity(&self) -> Affinity {
        self.stage.affinity()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;

    use super::*;
    use crate::panics::caught;
    use crate::{BatchStage, IntoResponse, Request};

    /// Answers each job with how many there are, and panics at `/panic`.
    struct Count;

    impl BatchStage for Count {
        type In = Request;
        type Out = usize;

        fn run_batch(&mut self, jobs: Batch<Request, usize>) {
            let number = jobs.len();
            assert!(number > 0, "it is not called for nothing");
            for job in jobs {
                assert!(job.input.head().path() != "/panic", "as asked");
                job.reply.send(number);
            }
        }
    }

    fn job(path: &str) -> Job {
        Job::new(Context::test(), Payload::new(Request::get(path)))
    }

    fn unreadable() -> Job {
        Job::new(Context::test(), Payload::from_wire(Bytes::from_static(b"?")))
    }

    /// Whether it panics, and what the jobs are answered.
    fn run(jobs: &mut [Job], resolve: fn(usize) -> Step) -> (bool, Vec<Option<String>>) {
        let ran = caught(|| Several { stage: Count, run: Count::run_batch, resolve }.run(jobs));
        let answer = |job: &Job| match &job.step {
            Some(Step::Answer(response)) => Some(text(response)),
            _ => None,
        };
        (ran.is_err(), jobs.iter().map(answer).collect())
    }

    fn text(response: &crate::Response) -> String {
        String::from_utf8_lossy(response.body().as_bytes()).into_owned()
    }

    fn said(number: usize) -> Step {
        Step::Answer(number.to_string().into_response())
    }

    fn some(answer: &str) -> Option<String> {
        Some(answer.to_owned())
    }

    #[test]
    fn what_cannot_be_read_is_answered_and_the_others_are_run_without_it() {
        let failed = || Some(text(&answers::failed()));
        assert_eq!(run(&mut [job("/1"), unreadable(), job("/2")], said), (false, vec![some("2"), failed(), some("2")]));
        assert_eq!(run(&mut [unreadable()], said), (false, vec![failed()]));
    }

    #[test]
    fn what_cannot_be_read_is_answered_though_the_log_panics() {
        let panics = || -> std::io::Stderr { panic!("nobody reads it") };
        let subscriber = tracing_subscriber::fmt().with_writer(panics).finish();
        let ran = tracing::subscriber::with_default(subscriber, || run(&mut [unreadable()], said));
        assert_eq!(ran, (false, vec![Some(text(&answers::failed()))]));
    }

    #[test]
    fn after_a_panic_those_have_an_outcome_that_had_a_reply() {
        assert_eq!(run(&mut [job("/1"), job("/panic"), job("/2")], said), (true, vec![some("3"), None, None]));
    }

    #[test]
    fn an_outcome_that_panics_takes_no_other_with_it() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let second_panics = |number| {
            assert!(CALLS.fetch_add(1, Ordering::Relaxed) != 1, "as asked");
            said(number)
        };
        assert_eq!(
            run(&mut [job("/1"), job("/2"), job("/3")], second_panics),
            (true, vec![some("3"), None, some("3")])
        );
    }
}
