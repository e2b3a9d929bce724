//! The threads of a pipeline's stages.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::Sender;

use super::built::{Built, Definition};
use crate::StartError;
use crate::balancer::WorkerId;
use crate::context::Sink;
use crate::transport::{Outlet, Pool, StreamSink};
use crate::worker::Worker;

/// How many threads a stage has.
pub(super) fn of(stage: &Definition) -> usize {
    stage.options.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Starts the workers of each pool, and returns once each has constructed its stage. They keep `alive` from being disconnected.
pub(super) fn start(
    built: &Built,
    stages: &[(&Definition, Arc<Pool>)],
    outlet: &Arc<dyn Outlet>,
    alive: Sender<Infallible>,
) -> Result<(), StartError> {
    let (started, starts) = crossbeam_channel::unbounded();
    for (stage, pool) in stages {
        for worker in workers(built, stage, pool, outlet) {
            let (started, alive) = (started.clone(), alive.clone());
            let name = format!("{}-{}", short(stage.name), worker.id.0);
            let run = move || {
                worker.run(started);
                drop(alive);
            };
            let thread = thread::Builder::new().name(name).spawn(run);
            thread.map_err(|source| StartError::Worker { stage: stage.name, workers: pool.workers(), source })?;
        }
    }
    drop((started, alive));
    starts.into_iter().collect()
}

fn workers(
    built: &Built,
    stage: &Definition,
    pool: &Arc<Pool>,
    outlet: &Arc<dyn Outlet>,
) -> impl Iterator<Item = Worker> {
    let sink: Arc<dyn Sink> = Arc::new(StreamSink::new(Arc::clone(outlet), &built.settings.limits, pool.workers()));
    (0..pool.workers()).map(move |worker| Worker {
        id: WorkerId(worker),
        stage: stage.name,
        factory: Arc::clone(&stage.factory),
        routes: Arc::clone(&stage.routes),
        max_hops: built.hops.max_hops,
        max_parts: built.hops.max_parts,
        pool: Arc::clone(pool),
        outlet: Arc::clone(outlet),
        metrics: Arc::clone(pool.metrics()),
        sink: Arc::clone(&sink),
        compress: built.settings.compress,
    })
}

/// Linux shows 15 bytes of a thread's name, and the worker's number should be among them.
fn short(stage: &str) -> &str {
    stage
        .char_indices()
        .take_while(|(at, c)| at + c.len_utf8() <= 11)
        .last()
        .map_or("", |(at, c)| &stage[..at + c.len_utf8()])
}
