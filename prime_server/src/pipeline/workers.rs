//! The threads of a pipeline's stages.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::built::{Built, Definition};
use super::options::MAX_WORKERS;
use super::running::system;
use crate::kernel::CAN_DEMOTE;
use crate::metrics::{Metrics, Share, StageMetrics};
use crate::panics::log;
use crate::seat::Call;
use crate::supervisor;
use crate::transport::{Batching, Outlet, Pool, Size, StreamSink};
use crate::worker::{Duties, Worker};
use crate::{StartError, Workers};

/// A stage whose constructor takes longer has no spare workers.
const SLOW: Duration = Duration::from_millis(100);

/// How many threads a stage has.
pub(super) fn of(stage: &Definition) -> Workers {
    stage.options.workers.unwrap_or_else(|| cores().into())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// How many threads each stage has where all are in one process: those with a range have no more together than the budget.
pub(super) fn in_one_process(built: &Built) -> Vec<Workers> {
    let all: Vec<Workers> = built.stages.iter().map(of).collect();
    let least: usize = all.iter().filter(|workers| workers.is_range()).map(|workers| workers.least).sum();
    let budget = budget(built);
    let room = budget.saturating_sub(least);
    let share = |(stage, wanted): (&Definition, Workers)| {
        let Workers { least: own, most } = wanted;
        let workers = Workers { least: own, most: most.min(own.saturating_add(room)) };
        if wanted.is_range() && !workers.is_range() {
            let remedy = format!("set `core_budget` to more than {least}, or a range that begins with less");
            log(|| {
                tracing::warn!(
                    stage = stage.name,
                    %wanted,
                    budget,
                    remedy,
                    "the budget leaves the stage no more than its least workers"
                )
            });
        }
        workers
    };
    std::iter::zip(&built.stages, all).map(share).collect()
}

/// How many threads the stages with a range have together, those of demoted jobs not counted.
pub(super) fn budget(built: &Built) -> usize {
    built.core_budget.unwrap_or_else(cores)
}

/// How long a stage's jobs may wait in a queue that stands.
pub(super) fn max_delay(stage: &Definition, deadline: Duration) -> Duration {
    stage
        .options
        .max_delay
        .unwrap_or_else(|| stage.options.timeout.map_or(deadline, |timeout| timeout.min(deadline)) / 2)
}

/// How many workers a stage may have of which so many run at a time.
pub(super) fn size(stage: &Definition, workers: Workers, max_in_flight: usize) -> Size {
    let Workers { least, most } = workers;
    let usual = if stage.is_stateless { max_in_flight } else { 2 * most };
    let instances = stage.options.max_instances.unwrap_or(usual).clamp(most, MAX_WORKERS);
    let demotes = CAN_DEMOTE && stage.options.demote.unwrap_or(true);
    let instances = if demotes { instances } else { most };
    Size { slots: least, most, demotes, batching: batching(stage), instances, fed_from_afar: false }
}

/// How many jobs a worker takes at a time.
pub(super) fn batching(stage: &Definition) -> Batching {
    let wait = stage.options.batch_wait.unwrap_or_default();
    stage.options.batch.map_or(Batching::NONE, |most| Batching { most, wait })
}

/// What a process counts of a stage that it has workers of.
pub(super) fn metrics(stage: &Definition, all: &Metrics, share: Share) -> StageMetrics {
    if stage.takes_batches { all.stage_in_batches(stage.name, share) } else { all.stage(stage.name, share) }
}

/// Starts the workers of each pool, and returns once each has constructed its stage. They keep `alive` from being disconnected.
pub(super) fn start(
    built: &Built,
    stages: &[(&Definition, Arc<Pool>)],
    outlet: &Arc<dyn Outlet>,
    alive: Sender<Infallible>,
    call: Arc<Call>,
) -> Result<(), StartError> {
    let (started, starts) = crossbeam_channel::unbounded();
    let mut all = Vec::new();
    for (stage, pool) in stages {
        let duties = Arc::new(duties(built, stage, pool, outlet));
        for _ in 0..pool.slots() {
            let (worker, alive, started) = (Worker::hire(&duties), alive.clone(), started.clone());
            let spawned = spawn(worker, stage.name, alive, move |made| _ = started.send(made));
            spawned.map_err(|source| StartError::Worker { stage: stage.name, workers: pool.slots(), source })?;
        }
        all.push(duties);
    }
    let hire = move |duties: &Arc<Duties>| {
        let stage = duties.stage;
        spawn(Worker::hire(duties), stage, alive.clone(), move |(_, made)| match made {
            Ok(_) => supervisor::give_up_precedence(),
            Err(error) => log(|| tracing::warn!(stage, %error, "a spare worker could not be made")),
        })
    };
    drop(started);
    for (duties, made) in starts {
        let took = made?;
        if took > SLOW {
            log(|| {
                tracing::info!(
                    stage = duties.stage,
                    ?took,
                    "the constructor is too slow for spare workers: nothing is demoted"
                )
            });
            duties.pool.never_demote();
        }
    }
    supervisor::start(all, budget(built), call, Box::new(hire)).map_err(|error| system("start a thread", error))
}

type Made = (Arc<Duties>, Result<Duration, StartError>);

/// Runs a worker on a thread of its own, and says whether its stage could be constructed and how long that took.
fn spawn(
    worker: Worker,
    stage: &str,
    alive: Sender<Infallible>,
    made: impl FnOnce(Made) + Send + 'static,
) -> io::Result<()> {
    let name = format!("{}-{}", short(stage), worker.id().0);
    let run = move || {
        worker.run(made);
        drop(alive);
    };
    thread::Builder::new().name(name).spawn(run).map(drop)
}

fn duties(built: &Built, stage: &Definition, pool: &Arc<Pool>, outlet: &Arc<dyn Outlet>) -> Duties {
    let of_sink = Arc::clone(pool);
    Duties {
        stage: stage.name,
        factory: Arc::clone(&stage.factory),
        routes: Arc::clone(&stage.routes),
        max_hops: built.hops.max_hops,
        max_parts: built.hops.max_parts,
        pool: Arc::clone(pool),
        outlet: Arc::clone(outlet),
        metrics: Arc::clone(pool.metrics()),
        sink: Arc::new(StreamSink::new(Arc::clone(outlet), &built.settings.limits, move || of_sink.slots())),
        compress: built.settings.compress,
        announces: stage.choose.is_some(),
    }
}

/// Linux shows 15 bytes of a thread's name, and the worker's number should be among them.
fn short(stage: &str) -> &str {
    stage
        .char_indices()
        .take_while(|(at, c)| at + c.len_utf8() <= 11)
        .last()
        .map_or("", |(at, c)| &stage[..at + c.len_utf8()])
}
