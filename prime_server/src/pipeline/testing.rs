//! A request's way through the stages on the caller's thread.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use super::built::Built;
use crate::answers::{failed, too_many_hops};
use crate::compression::compress;
use crate::context::{Collected, Context, Sink, Ticket};
use crate::fork::Fork;
use crate::ids::{RequestId, StageId};
use crate::payload::Payload;
use crate::runner::Job;
use crate::{Request, Response, StartError, Step};

/// A job that waits its turn.
struct Waiting {
    stage: StageId,
    context: Context,
    payload: Payload,
}

/// Runs a request from that stage on until it is answered, one job after the other.
pub(super) fn run(built: &Built, (entry, route): (StageId, usize), request: Request) -> Result<Response, StartError> {
    let id = RequestId { key: 0, generation: 0 };
    let time = match built.settings.time_of(request.head()) {
        ControlFlow::Continue(time) => time,
        ControlFlow::Break(response) => return Ok(response),
    };
    let labels = built.settings.labelling.of(request.head(), route);
    let mut context = Context::new(Ticket::named(id, id, request.shared_head(), labels, Instant::now() + time));
    let collected = Arc::new(Collected::default());
    context.sink = Some(Arc::clone(&collected) as Arc<dyn Sink>);
    let mut waiting = vec![Waiting { stage: entry, context, payload: Payload::new(request) }];
    while let Some(Waiting { stage, context, payload }) = waiting.pop() {
        let definition = &built.stages[stage.index()];
        let mut runner = (definition.factory)()?;
        let mut job = Job::new(context, payload);
        runner.run(std::slice::from_mut(&mut job));
        let Job { context, step, .. } = job;
        let (step, route) = match step {
            // As a client would see it: what was begun and not finished is no answer.
            Some(Step::Answer(_)) if collected.take().is_some() => return Ok(failed()),
            Some(Step::Answer(mut response)) => {
                if let Some(least) = built.settings.compress {
                    compress(&context.ticket.head, &mut response, least);
                }
                return Ok(response);
            }
            Some(Step::Streamed(_)) => return Ok(collected.take().unwrap_or_else(failed)),
            Some(step @ (Step::Send { route, .. } | Step::Split { route, .. } | Step::Join { route, .. })) => {
                (step, route)
            }
            None => return Ok(failed()),
        };
        if context.hops >= built.hops.max_hops {
            return Ok(too_many_hops());
        }
        let Some(next) = definition.routes.get(route) else { return Ok(failed()) };
        match follow(step, *next, context.hop(), built.hops.max_parts) {
            Some(jobs) => waiting.extend(jobs.into_iter().rev()),
            None => return Ok(failed()),
        }
    }
    Ok(failed())
}

/// As it would be behind a process's border.
fn sent(payload: Payload) -> Option<Payload> {
    let frame = payload.into_wire().inspect_err(|error| tracing::error!(%error, "a message could not be written"));
    frame.ok().map(Payload::from_wire)
}

/// The jobs that a step makes, the first first. Nothing where it cannot be taken.
fn follow(step: Step, stage: StageId, mut context: Context, max_parts: usize) -> Option<Vec<Waiting>> {
    match step {
        Step::Send { payload, .. } => Some(vec![Waiting { stage, context, payload: sent(payload)? }]),
        Step::Split { parts, .. } => {
            if parts.is_empty() || parts.len() > max_parts {
                return None;
            }
            let fork = Fork::new(context.part.take(), stage, context.hops, parts);
            let parts = std::iter::from_fn(|| fork.next_part(usize::MAX));
            let waiting = |(part, payload)| {
                let context = context.of_part(part, &fork);
                Some(Waiting { stage, context, payload: sent(payload)? })
            };
            parts.map(waiting).collect()
        }
        Step::Join { part, gather, .. } => {
            let place = context.part.take()?;
            let Some(whole) = place.join(sent(part)?, context.hops) else { return Some(Vec::new()) };
            let payload = gather(whole.parts).ok()?;
            Some(vec![Waiting { stage, context: context.of_whole(whole.outer, whole.hops), payload }])
        }
        Step::Answer(_) | Step::Streamed(_) => None,
    }
}
