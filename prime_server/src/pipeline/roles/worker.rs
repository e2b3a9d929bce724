//! A process that runs one stage.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::Receiver;

use super::super::built::Built;
use super::super::options::MAX_WORKERS;
use super::super::running::ATTEMPTS;
use super::super::workers;
use super::page::{Loads, Page};
use super::{Control, Links, Process, ended_within, join, peer_id, system};
use crate::balancer::{Options, Order};
use crate::discovery::Watch;
use crate::ids::StageId;
use crate::mailbox::{Post, mailbox};
use crate::metrics::{Metrics, Share};
use crate::panics::log;
use crate::seat::Call;
use crate::transport::zmq::{
    Host, HostNote, HostOutlet, HostTerms, LinkIdentity, LinkRole, Links as Connected, StageTerms,
};
use crate::transport::{Outlet, Pool, Size, Standing};
use crate::{Request, Schema, StartError};

/// A [`Role::Worker`](super::Role::Worker).
#[derive(Clone, Debug)]
pub struct WorkerRole {
    stage: String,
    threads: Option<usize>,
    links: Links,
    http: Option<String>,
}

impl WorkerRole {
    /// Runs that stage of the pipeline for all proxies of it.
    #[must_use]
    pub fn new(stage: impl Into<String>, links: Links) -> Self {
        Self { stage: stage.into(), threads: None, links, http: None }
    }

    /// Answers `/healthz` and `/metrics` there, for whoever looks after it. Default: nowhere.
    #[must_use]
    pub fn http(mut self, endpoint: impl Into<String>) -> Self {
        self.http = Some(endpoint.into());
        self
    }

    /// How many threads run it. Default: the stage's `workers`.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }
}

struct Running {
    post: Post<HostNote>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected once the last worker has ended.
    workers: Receiver<Infallible>,
    /// Ends with this.
    page: Option<Page>,
    /// Tell of proxies as long as it is there.
    _watches: Vec<Watch>,
}

pub(super) fn start(built: &Built, role: &WorkerRole) -> Result<Process, StartError> {
    let place = format!("worker of stage `{}` of pipeline `{}`", role.stage, built.name);
    let refuse = |problem: String| StartError::Option { place: place.clone(), problem };
    let at = built.find_stage(&role.stage, &place)?;
    let threads =
        role.threads.unwrap_or_else(|| workers::of(&built.stages[at]).in_a_process_of_its_own(workers::budget(built)));
    if threads == 0 {
        return Err(refuse("it has 0 threads, so that no job would ever run".to_owned()));
    }
    if threads > MAX_WORKERS {
        return Err(refuse(format!("it has {threads} threads, and {MAX_WORKERS} are the most")));
    }
    if let Some(problem) = role.links.unreachable([role.stage.as_str()]) {
        return Err(refuse(problem));
    }
    let options = role.links.options(&place)?;
    let (stage, id) = (&built.stages[at], StageId(at as u16));
    let (post, notes) = mailbox().map_err(|error| system("make an eventfd", error))?;
    let all_metrics = Arc::new(Metrics::new(&built.name));
    let metrics = Arc::new(workers::metrics(stage, &all_metrics, Share::Work));
    // The proxies have the queue, the timeout and the attempts; what they have given ahead keeps its order.
    let queueing = Options { attempts: ATTEMPTS, order: Order::new(stage.options.strict_priority), ..Options::PLAIN };
    let (call, size) = (
        Arc::new(Call::default()),
        Size { fed_from_afar: true, ..workers::size(stage, threads.into(), built.settings.max_in_flight) },
    );
    let pool = Pool::new(id, metrics, queueing, size, Arc::clone(&call)).choosing(stage.choose.clone());
    let pool = Arc::new(pool);
    let stages = built.stages.iter().map(|stage| (stage.name.to_owned(), stage.takes.message().1)).collect();
    let outlet: Arc<dyn Outlet> = Arc::new(HostOutlet::new(post.clone(), stages));

    let (message, schema) = stage.takes.message();
    let identity = LinkIdentity {
        peer: peer_id()?,
        name: role.links.common.name(&format!("worker of {}", role.stage)),
        role: LinkRole::Worker,
        only: Some(role.stage.clone()),
        messages: vec![(role.stage.clone(), message.to_owned(), schema)],
        worker: Some(StageTerms {
            slots: u32::try_from(pool.places()).unwrap_or(u32::MAX),
            queue: stage.options.queue.unwrap_or(built.settings.max_in_flight) as u64,
            timeout: stage.options.timeout.map(crate::transport::zmq::millis),
            idempotent: stage.options.idempotent,
            strict_priority: stage.options.strict_priority,
            max_delay: Some(crate::transport::zmq::millis(workers::max_delay(stage, built.settings.deadline))),
            refuse_hopeless: stage.options.refuse_hopeless.unwrap_or(true),
        }),
    };
    let peer = identity.peer;
    let drain_limit = role.links.common.drain_limit(built.settings.drain_limit);
    let links = Connected::new(zmq::Context::new(), options, identity);
    let takes = (schema, schema == Request::SCHEMA);
    let standing = Arc::new(Standing::default());
    let host = Host::new(
        links,
        notes,
        Arc::clone(&pool),
        HostTerms { takes, ahead: role.links.ahead, drain_limit },
        Arc::clone(&standing),
        all_metrics.malformed.clone(),
    );
    // No proxy is told of this process before each of its threads can work.
    let (alive, ended) = crossbeam_channel::bounded(0);
    let (closed, seen) = (Closes(Arc::clone(&pool)), Arc::clone(&pool));
    workers::start(built, &[(stage, pool)], &outlet, alive, call)?;
    let thread = thread::Builder::new().name("links".to_owned()).spawn(move || host.run());
    let thread = thread.map_err(|error| system("start a thread", error))?;
    std::mem::forget(closed);
    let loads: Loads = Box::new(move || {
        let (waiting, running) = seen.load();
        vec![(seen.metrics().stage().to_owned(), waiting, running)]
    });
    let mut running =
        Running { post: post.clone(), thread: Some(thread), workers: ended, page: None, _watches: Vec::new() };
    let page = role.http.as_ref().map(|endpoint| Page::start(endpoint, all_metrics, loads, standing)).transpose();
    let watches = page.and_then(|page| {
        Ok((page, super::watch(&role.links, peer, move |places| _ = post.send(HostNote::Found(places)))?))
    });
    match watches {
        Ok((page, watches)) => (running.page, running._watches) = (page, watches),
        Err(error) => {
            running.abort();
            let _ = running.wait();
            return Err(error);
        }
    }
    log(|| tracing::info!(stage = role.stage, threads, "a worker is there"));
    let at = running.page.as_ref().map(|page| page.endpoint().to_owned());
    Ok(Process::new(None, running).with_page(at))
}

/// Lets the workers that have started go where others could not.
struct Closes(Arc<Pool>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Control for Running {
    fn drainer(&self) -> Box<dyn Fn() + Send + Sync> {
        let post = self.post.clone();
        Box::new(move || _ = post.send(HostNote::Drain))
    }

    fn abort(&self) {
        self.post.send(HostNote::Stop);
    }

    fn wait(&mut self) -> thread::Result<()> {
        let ended = join(self.thread.take(), "links");
        self.page = None;
        if !ended_within(&self.workers) {
            tracing::warn!("workers are left behind that do not come back from their stage");
        }
        ended
    }
}
