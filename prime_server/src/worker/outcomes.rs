//! What becomes of jobs that have run: each is answered, or goes on.

use std::time::Instant;

use super::{Over, Then, Worker};
use crate::answers;
use crate::context::{Context, Reason};
use crate::ids::StageId;
use crate::metrics::Ended;
use crate::panics::{caught, log};
use crate::payload::Payload;
use crate::response::Reply;
use crate::runner::Job;
use crate::transport::{Gather, Rejected, Source};
use crate::{Response, Step};

impl Worker {
    /// Sees to what becomes of jobs that have run.
    pub(super) fn finish(&self, jobs: &mut Vec<Job>, over: Over, source: &mut Source) -> Then {
        let Over { panic, ended, time } = over;
        let (stage, number, most) = (self.duties.stage, jobs.len(), self.duties.pool.batching().most);
        if most > 1 {
            self.duties.metrics.batch(number);
        }
        let mut then = if panic.is_some() { Then::Rebuild } else { Then::Next };
        if let (Some(panic), Some(Job { context, .. })) = (&panic, jobs.first()) {
            log(|| tracing::error!(stage, request = %context.ticket.id, jobs = number, panic, "a stage panicked"));
        }
        // Of a batch, each job has its part of the time, so that they come to what the worker was busy.
        let each = if number > 1 { time.div_f64(number as f64) } else { time };
        for Job { context, step, .. } in jobs.drain(..) {
            let id = context.ticket.id;
            self.duties.metrics.ran(each);
            self.duties.outlet.ran(id, time, number);
            // What escapes is a panic outside of the stage's run, such as in the drop of a message. It is that job's only.
            if let Err(panic) = caught(|| self.settle(context, step, panic.is_some(), ended)) {
                log(|| tracing::error!(stage, request = %id, panic, "a worker panicked outside of its stage"));
                source.lose(id);
                then = Then::Rebuild;
            }
        }
        source.done(time);
        if number < most {
            self.duties.outlet.ran_with_fewer(self.id);
        }
        then
    }

    fn settle(&self, context: Context, step: Option<Step>, panicked: bool, now: Instant) {
        match step {
            Some(Step::Answer(response)) => self.answer(&context, response, Ended::Answered),
            Some(step) => self.resolve(context, step, now),
            None if panicked => self.answer(&context, answers::failed(), Ended::Panicked),
            None if context.check().is_err() => self.answer(&context, answers::failed(), Ended::Answered),
            None => self.fail(&context, "a stage dropped a job of a batch without a reply"),
        }
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
            Err(Rejected::Hopeless(job)) => return self.answer(&job.context, answers::hopeless(), Ended::Hopeless),
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
}
