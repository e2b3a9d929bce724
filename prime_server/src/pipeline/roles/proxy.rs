//! A process that has the load balancer of one stage.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::page::{Loads, Page};
use super::{Common, Control, Process, join, peer_id, system};
use crate::chooser::Chooser;
use crate::context::FOREVER;
use crate::discovery::{Announcement, announce};
use crate::mailbox::{Post, mailbox};
use crate::metrics::{Metrics, Share};
use crate::panics::log;
use crate::transport::Standing;
use crate::transport::zmq::{Load, PeerId, Proxy, ProxyGauges as Gauges, ProxyIdentity, ProxyOrder, Terms};
use crate::{Security, StartError};

/// A [`Role::Proxy`](super::Role::Proxy).
#[derive(Clone, Debug)]
pub struct ProxyRole {
    stage: String,
    endpoint: String,
    common: Common,
    terms: Terms,
    http: Option<String>,
    /// From which interface, if not from all.
    announce: Option<Option<String>>,
}

impl ProxyRole {
    /// The proxy of that stage at that endpoint: `tcp://` with an address (`127.0.0.1`, `[::1]`, `*` for all) and a port, where 0 takes
    /// a free one, or `ipc://` with a path.
    #[must_use]
    pub fn new(stage: impl Into<String>, endpoint: impl Into<String>) -> Self {
        let (stage, endpoint, common) = (stage.into(), endpoint.into(), Common::default());
        Self { stage, endpoint, common, terms: Terms::default(), http: None, announce: None }
    }

    pub(super) fn stage(&self) -> &str {
        &self.stage
    }

    /// As [`Links::name`](super::Links::name).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.common.name = Some(name.into());
        self
    }

    /// A front end or a worker that is silent for so long is dead; of its setting and this one the smaller counts. Default: 1 s.
    #[must_use]
    pub fn liveness(mut self, limit: Duration) -> Self {
        self.common.liveness = limit;
        self
    }

    /// How the links are secured. Default: they are not, and stay on this machine.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.common.security = security;
        self
    }

    /// Announces it on the local network by a beacon, for front ends and workers that discover by `beacon:`; from one interface, by its
    /// name or address, or from all. It has to listen on tcp, at an address that others reach.
    #[must_use]
    pub fn announce(mut self, interface: Option<String>) -> Self {
        self.announce = Some(interface);
        self
    }

    /// The longest that a job waits while the stage has no worker at all; then it is answered 503. Default: 5 s.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Self {
        self.common.wait = limit;
        self
    }

    /// The most jobs that wait, whatever the workers say.
    #[must_use]
    pub fn queue(mut self, jobs: usize) -> Self {
        self.terms.queue = Some(jobs);
        self
    }

    /// The longest that a job may wait and run, whatever the workers say.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.terms.timeout = Some(limit);
        self
    }

    /// Whether a job may be tried again whose worker was lost, whatever the workers say.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.terms.idempotent = Some(idempotent);
        self
    }

    /// Answers `/healthz` and `/metrics` there, for whoever looks after it. Default: nowhere.
    #[must_use]
    pub fn http(mut self, endpoint: impl Into<String>) -> Self {
        self.http = Some(endpoint.into());
        self
    }

    /// The longest that jobs that run are waited for at the end. Default: 30 s.
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.common.drain_limit = Some(limit);
        self
    }
}

/// Of a proxy that is told none: as of a pipeline.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

struct Running {
    post: Post<ProxyOrder>,
    thread: Option<JoinHandle<()>>,
    /// End with this.
    page: Option<Page>,
    announcement: Option<Announcement>,
}

/// `pipeline` is its name in metrics. Without the pipeline itself, there is nobody who chooses among workers.
pub(crate) fn start(role: &ProxyRole, pipeline: &str, chooser: Option<Chooser>) -> Result<Process, StartError> {
    let place = format!("proxy of stage `{}`", role.stage);
    if role.stage.is_empty() {
        let problem = "the stage's name is empty".to_owned();
        return Err(StartError::Option { place, problem });
    }
    if role.terms.timeout.is_some_and(|limit| limit.is_zero()) {
        let problem = "the timeout is 0, so that every job would be answered 504".to_owned();
        return Err(StartError::Option { place, problem });
    }
    if !["tcp://", "ipc://"].iter().any(|scheme| role.endpoint.starts_with(scheme)) {
        let problem = "a proxy listens at `tcp://ADDRESS:PORT` or `ipc://PATH`".to_owned();
        return Err(StartError::Endpoint { endpoint: role.endpoint.clone(), problem });
    }
    let options = role.common.options(&place, role.common.security.binds(&role.endpoint)?)?;
    let (post, orders) = mailbox().map_err(|error| system("make an eventfd", error))?;
    let peer = peer_id()?;
    let identity = ProxyIdentity {
        peer,
        name: role.common.name(&format!("proxy of {}", role.stage)),
        stage: role.stage.clone(),
        terms: Terms { timeout: role.terms.timeout.map(|limit| limit.min(FOREVER)), ..role.terms },
        chooser,
    };
    let metrics = Arc::new(Metrics::new(pipeline));
    let (counts, load) = (Arc::new(metrics.stage(&role.stage, Share::Queue)), Arc::new(Load::default()));
    let standing = Arc::new(Standing::default());
    let proxy = Proxy::bind(
        &role.endpoint,
        identity,
        options,
        role.common.drain_limit(DRAIN_LIMIT),
        orders,
        Gauges {
            counts,
            load: Arc::clone(&load),
            standing: Arc::clone(&standing),
            malformed: metrics.malformed.clone(),
        },
    )?;
    let stage = role.stage.clone();
    let loads: Loads = Box::new(move || vec![load.of(&stage)]);
    let page = role.http.as_ref().map(|endpoint| Page::start(endpoint, metrics, loads, standing)).transpose()?;
    let endpoint = proxy.endpoint().to_owned();
    let announcement = announced(role, peer, &endpoint)?;
    let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || proxy.run());
    let thread = thread.map_err(|error| system("start a thread", error))?;
    log(|| tracing::info!(stage = role.stage, endpoint, "a proxy is there"));
    let at = page.as_ref().map(|page| page.endpoint().to_owned());
    Ok(Process::new(Some(endpoint), Running { post, thread: Some(thread), page, announcement }).with_page(at))
}

fn announced(role: &ProxyRole, peer: PeerId, endpoint: &str) -> Result<Option<Announcement>, StartError> {
    let Some(interface) = &role.announce else { return Ok(None) };
    let port = endpoint.strip_prefix("tcp://").and_then(|address| address.rsplit_once(':')?.1.parse().ok());
    let Some(port) = port else {
        let problem = "a beacon announces a tcp port: bind the proxy to `tcp://*:PORT`".to_owned();
        return Err(StartError::Endpoint { endpoint: endpoint.to_owned(), problem });
    };
    announce(interface.as_deref(), peer, port).map(Some)
}

impl Control for Running {
    fn drainer(&self) -> Box<dyn Fn() + Send + Sync> {
        let post = self.post.clone();
        Box::new(move || _ = post.send(ProxyOrder::Drain))
    }

    fn abort(&self) {
        self.post.send(ProxyOrder::Stop);
    }

    fn wait(&mut self) -> thread::Result<()> {
        let ended = join(self.thread.take(), "proxy");
        (self.page, self.announcement) = (None, None);
        ended
    }
}
