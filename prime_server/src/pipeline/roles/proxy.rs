//! A process that has the load balancer of one stage.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Common, Control, Process, join, peer_id, system};
use crate::StartError;
use crate::mailbox::{Post, mailbox};
use crate::panics::log;
use crate::transport::zmq::{Proxy, ProxyIdentity, ProxyOrder, Terms};

/// A [`Role::Proxy`](super::Role::Proxy).
#[derive(Clone, Debug)]
pub struct ProxyRole {
    stage: String,
    endpoint: String,
    common: Common,
    terms: Terms,
    drain_limit: Duration,
}

impl ProxyRole {
    /// The proxy of that stage at that endpoint: `tcp://` with an address (`127.0.0.1`, `[::1]`, `*` for all) and a port, where 0 takes
    /// a free one, or `ipc://` with a path.
    #[must_use]
    pub fn new(stage: impl Into<String>, endpoint: impl Into<String>) -> Self {
        let (stage, endpoint, common) = (stage.into(), endpoint.into(), Common::default());
        Self { stage, endpoint, common, terms: Terms::default(), drain_limit: Duration::from_secs(30) }
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

    /// The longest that jobs that run are waited for at the end. Default: 30 s.
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }
}

struct Running {
    post: Post<ProxyOrder>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn start(role: &ProxyRole) -> Result<Process, StartError> {
    let place = format!("proxy of stage `{}`", role.stage);
    let options = role.common.options(&place)?;
    let (post, orders) = mailbox().map_err(|error| system("make an eventfd", error))?;
    let identity = ProxyIdentity {
        peer: peer_id()?,
        name: role.common.name(&format!("proxy of {}", role.stage)),
        stage: role.stage.clone(),
        terms: role.terms,
    };
    let proxy = Proxy::bind(&role.endpoint, identity, options, role.drain_limit, orders)?;
    let endpoint = proxy.endpoint().to_owned();
    let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || proxy.run());
    let thread = thread.map_err(|error| system("start a thread", error))?;
    log(|| tracing::info!(stage = role.stage, endpoint, "a proxy is there"));
    Ok(Process::new(Some(endpoint), Running { post, thread: Some(thread) }))
}

impl Control for Running {
    fn drainer(&self) -> Box<dyn Fn() + Send + Sync> {
        let post = self.post.clone();
        Box::new(move || _ = post.send(ProxyOrder::Drain))
    }

    fn abort(&self) {
        self.post.send(ProxyOrder::Stop);
    }

    fn wait(&mut self) {
        join(self.thread.take(), "proxy");
    }
}
