//! A worker: one thread, one stage instance, one job at a time. Next, run, resolve, dispatch or answer.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::answers;
use crate::balancer::WorkerId;
use crate::compression::compress;
use crate::context::{Context, Reason, Sink};
use crate::ids::StageId;
use crate::metrics::{Ended, StageMetrics};
use crate::panics::{caught, log};
use crate::payload::Payload;
use crate::response::Reply;
use crate::runner::{Job, Runner, RunnerFactory};
use crate::transport::{Envelope, Gather, Next, Outlet, Pool, Rejected, Source};
use crate::{Response, StartError, Step};

/// The first pause between two attempts to construct a stage again, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Worker {
    pub(crate) id: WorkerId,
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
    pub(crate) sink: Arc<dyn Sink>,
    /// The least bytes of an answer that is compressed, if any is.
    pub(crate) compress: Option<usize>,
}

/// How a worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// With the next job.
    Next,
    /// The stage has panicked and cannot be trusted any more.
    Rebuild,
    /// No job will come any more.
    End,
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
            let then = caught(|| self.work(&mut runner)).unwrap_or_else(|panic| {
                log(|| tracing::error!(stage = self.stage, panic, "a worker panicked outside of its stage"));
                Then::Rebuild
            });
            let _ = caught(|| drop(runner));
            if then == Then::End {
                return;
            }
            match self.rebuild() {
                Some(rebuilt) => runner = rebuilt,
                None => return,
            }
        }
    }

    /// Works until no job will come, or until the stage must be made anew.
    fn work(&self, runner: &mut Box<dyn Runner>) -> Then {
        let mut source = self.pool.source(self.id, Arc::clone(&self.outlet));
        // Lent to each job in turn, which costs nothing where a clone would have the workers contend for its count.
        let mut sink = Some(Arc::clone(&self.sink));
        loop {
            let then = match source.next() {
                Next::Job(job) => self.job(runner.as_mut(), job, &mut source, &mut sink),
                Next::Drained => Then::End,
            };
            if then != Then::Next {
                return then;
            }
            if let Err(panic) = caught(|| runner.reset()) {
                log(|| tracing::error!(stage = self.stage, panic, "a stage panicked in its reset"));
                return Then::Rebuild;
            }
        }
    }

    fn job(
        &self,
        runner: &mut dyn Runner,
        envelope: Envelope,
        source: &mut Source,
        sink: &mut Option<Arc<dyn Sink>>,
    ) -> Then {
        let Envelope { mut context, payload, queued, .. } = envelope;
        if let Some(reason) = context.ticket.cancelled() {
            self.metrics.ended(Ended::Cancelled(reason));
            self.outlet.dropped(context.ticket.id);
            source.done();
            return Then::Next;
        }
        let started = Instant::now();
        self.metrics.waited(started.saturating_duration_since(queued));
        context.sink = sink.take();
        let mut job = Job::new(context, payload);
        let ran = caught(|| runner.run(std::slice::from_mut(&mut job)));
        let now = Instant::now();
        self.metrics.ran(now.saturating_duration_since(started));
        *sink = job.context.sink.take();
        match (&ran, job.step.take()) {
            (Ok(()), Some(Step::Answer(response))) => self.answered(&job.context, response),
            (Ok(()), Some(step)) => self.resolve(job.context, step, now),
            (Ok(()), None) => self.answer(&job.context, answers::failed(), Ended::Answered),
            (Err(panic), _) => {
                let (stage, request) = (self.stage, job.context.ticket.id);
                log(|| tracing::error!(stage, %request, panic, "a stage panicked"));
                self.answer(&job.context, answers::failed(), Ended::Panicked);
            }
        }
        source.done();
        if ran.is_ok() { Then::Next } else { Then::Rebuild }
    }

    fn resolve(&self, context: Context, step: Step, now: Instant) {
        let sends_on = matches!(step, Step::Send { .. } | Step::Split { .. } | Step::Join { .. });
        if sends_on && context.ticket.window().is_some() {
            return self.fail(&context, "a stage streams an answer and sends the job on");
        }
        match step {
            Step::Answer(response) => self.answered(&context, response),
            Step::Streamed(_) => self.streamed(&context),
            Step::Send { route, payload } => self.send(context, route, payload, now),
            Step::Split { route, parts } => self.split(context, route, parts, now),
            Step::Join { route, part, gather } => self.join(context, route, part, gather, now),
        }
    }

    fn answered(&self, context: &Context, mut response: Response) {
        if let Some(least) = self.compress {
            compress(&context.ticket.head, &mut response, least);
        }
        self.answer(context, response, Ended::Answered);
    }

    fn send(&self, context: Context, route: usize, payload: Payload, now: Instant) {
        if let Some((next, context)) = self.next_hop(context, route) {
            self.sent(self.outlet.forward(next, context, payload, now));
        }
    }

    /// What has come of sending a job on.
    fn sent(&self, result: Result<(), Rejected>) {
        let (job, ended, sentence) = match result {
            Ok(()) => return self.metrics.ended(Ended::Forwarded),
            Err(Rejected::Full(job)) => (job, Ended::QueueFull, "the queue of the next stage is full\n"),
            Err(Rejected::Gone(job)) => (job, Ended::Cancelled(Reason::ShuttingDown), answers::SHUTTING_DOWN),
            Err(Rejected::Message(context, error)) => return self.fail(&context, &error.to_string()),
        };
        // The message is dropped after that: if it panics then, there is an answer.
        self.answer(&job.context, answers::unavailable(sentence), ended);
    }

    /// The stage that a route leads to, and the context of a job that goes there; answers where it cannot.
    fn next_hop(&self, context: Context, route: usize) -> Option<(StageId, Context)> {
        if context.hops >= self.max_hops {
            self.answer(&context, answers::too_many_hops(), Ended::HopLimit);
            return None;
        }
        let Some(next) = self.routes.get(route) else {
            self.fail(&context, "an outcome names a route that its stage does not have");
            return None;
        };
        Some((*next, context.hop()))
    }

    fn fail(&self, context: &Context, problem: &str) {
        let (stage, request) = (self.stage, context.ticket.id);
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
        self.metrics.ended(context.ticket.cancelled().map_or(Ended::Answered, Ended::Cancelled));
        self.outlet.reply(context.ticket.id, Reply::End);
    }

    fn split(&self, context: Context, route: usize, parts: Vec<Payload>, now: Instant) {
        if parts.is_empty() || parts.len() > self.max_parts {
            let (number, most) = (parts.len(), self.max_parts);
            return self
                .fail(&context, &format!("a split has {number} parts, and must have 1 to {most} (`max_parts`)"));
        }
        if let Some((next, context)) = self.next_hop(context, route) {
            self.sent(self.outlet.split(next, context, parts, now));
        }
    }

    fn join(&self, context: Context, route: usize, part: Payload, gather: Gather, now: Instant) {
        let Some((next, context)) = self.next_hop(context, route) else { return };
        if context.part.is_none() {
            return self.fail(&context, "a job that is no part of a split goes to a join");
        }
        match context.ticket.cancelled() {
            Some(reason) => {
                self.metrics.ended(Ended::Cancelled(reason));
                self.outlet.dropped(context.ticket.id);
            }
            None => self.sent(self.outlet.join(next, context, part, gather, now)),
        }
    }

    /// Counts before it answers, so that whoever has the answer finds it counted.
    fn answer(&self, context: &Context, mut response: Response, ended: Ended) {
        // What a stage has hung on to its answer is dropped here, where a panic of it does no harm.
        if !response.extensions().is_empty() {
            let _ = caught(|| response.extensions_mut().clear());
        }
        self.metrics.ended(context.ticket.cancelled().map_or(ended, Ended::Cancelled));
        // Once a stage has begun to stream, there is no other answer than to cut that short.
        let reply = if context.ticket.window().is_some() { Reply::Abort } else { Reply::whole(response) };
        self.cancel_others(context);
        self.outlet.reply(context.ticket.id, reply);
    }

    /// Where one part answers, the others are in vain. Before it does: whoever has the answer finds them ended.
    fn cancel_others(&self, context: &Context) {
        if context.part.is_some() {
            self.outlet.cancel_parts(&context.ticket);
        }
    }

    fn construct(&self) -> Result<Box<dyn Runner>, StartError> {
        caught(|| (self.factory)())
            .unwrap_or_else(|message| Err(StartError::ConstructPanicked { stage: self.stage, message }))
    }

    /// Constructs the stage again, however often it takes. `None` once nothing is left to do.
    fn rebuild(&self) -> Option<Box<dyn Runner>> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.construct() {
                Ok(runner) => return Some(runner),
                Err(error) => log(|| tracing::error!(%error, "a worker could not be rebuilt, and tries again")),
            }
            if self.pool.is_closed() {
                return None;
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}
