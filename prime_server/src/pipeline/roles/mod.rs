//! A pipeline as processes: what a process of it can be, and how each kind is started and ended.

mod front_end;
mod page;
mod proxy;
mod worker;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::rand::{GetRandomFlags, getrandom};

pub use self::front_end::FrontEndRole;
pub(crate) use self::front_end::{Own, Parts, start as start_front_end};
pub use self::proxy::ProxyRole;
pub(crate) use self::proxy::start as start_proxy;
pub use self::worker::WorkerRole;
use super::built::Built;
use super::running::{PATIENCE, system};
use crate::context::FOREVER;
use crate::discovery::{Place, Watch};
use crate::lifecycle::Caught;
use crate::security::Secured;
use crate::transport::zmq::{LEAST_LIVENESS, Options, PeerId};
use crate::{Discover, Security, StartError};

/// What a process of a pipeline is.
///
/// ```no_run
/// use prime_server::prelude::*;
/// use prime_server::{FrontEndRole, Links, ProxyRole, Role, WorkerRole};
///
/// #[stage]
/// fn hello(_: Request) -> &'static str {
///     "hello\n"
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let pipeline = Pipeline::new("hello").stage::<hello>().build()?;
///     let links = Links::new("fixed:hello=ipc:///run/hello".parse()?);
///     let role = match std::env::args().nth(1).as_deref() {
///         Some("proxy") => Role::Proxy(ProxyRole::new("hello", "ipc:///run/hello")),
///         Some("worker") => Role::Worker(WorkerRole::new("hello", links)),
///         Some("front") => Role::FrontEnd(FrontEndRole::new("tcp://*:8002", links)),
///         _ => Role::All("tcp://*:8002".to_owned()),
///     };
///     Ok(pipeline.run(role)?)
/// }
/// ```
///
/// [`Built::main`] has a command line for this. No process needs to start before another one, and each may be restarted at any time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Role {
    /// All of it: it listens at that endpoint, and its stages are threads.
    All(String),
    /// It speaks HTTP with clients, and has its stages elsewhere.
    FrontEnd(FrontEndRole),
    /// It has the load balancer of one stage.
    Proxy(ProxyRole),
    /// It runs one stage.
    Worker(WorkerRole),
}

/// How a front end or a worker finds the proxies, and what it expects of them.
#[derive(Clone, Debug)]
pub struct Links {
    pub(super) discover: Vec<Discover>,
    pub(super) common: Common,
    pub(super) ahead: Duration,
}

/// What holds for all links of a process.
#[derive(Clone, Debug)]
pub(super) struct Common {
    name: Option<String>,
    liveness: Duration,
    wait: Duration,
    drain_limit: Option<Duration>,
    security: Security,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            name: None,
            liveness: Duration::from_secs(1),
            wait: Duration::from_secs(5),
            drain_limit: None,
            security: Security::new(),
        }
    }
}

impl Common {
    fn options(&self, place: &str, secured: Secured) -> Result<Options, StartError> {
        if self.liveness < LEAST_LIVENESS {
            let problem = format!("`liveness` is {:?}, and has to be 20 ms at least", self.liveness);
            return Err(StartError::Option { place: place.to_owned(), problem });
        }
        Ok(Options { liveness: self.liveness.min(FOREVER), wait: self.wait.min(FOREVER), secured })
    }

    fn drain_limit(&self, otherwise: Duration) -> Duration {
        self.drain_limit.unwrap_or(otherwise).min(FOREVER)
    }

    /// What this process is called where people read of it.
    fn name(&self, role: &str) -> String {
        self.name.clone().unwrap_or_else(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{role} {}@{host}", std::process::id())
        })
    }
}

impl Links {
    /// To the proxies that this way finds, with the defaults for all else.
    #[must_use]
    pub fn new(discover: Discover) -> Self {
        Self { discover: vec![discover], common: Common::default(), ahead: Duration::from_millis(1) }
    }

    /// Finds proxies in this way too.
    #[must_use]
    pub fn and(mut self, discover: Discover) -> Self {
        self.discover.push(discover);
        self
    }

    /// What this process is called in the logs of others. Default: what it is, its number and its host.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.common.name = Some(name.into());
        self
    }

    /// A proxy that is silent for so long is dead; of its setting and this one the smaller counts. Default: 1 s.
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

    /// What is wrong with ways that can never lead to a proxy of each of these stages.
    fn unreachable<'a>(&self, stages: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let fixed = self.discover.iter().map(Discover::fixed_stages).collect::<Option<Vec<_>>>()?;
        let fixed: BTreeSet<&str> = fixed.into_iter().flatten().collect();
        let missing = stages.into_iter().find(|stage| !fixed.contains(stage))?;
        let named: Vec<String> = fixed.iter().map(|stage| format!("`{stage}`")).collect();
        Some(format!(
            "`discover` names no proxy of stage `{missing}`, only of {}: add `{missing}=ENDPOINT`",
            named.join(", ")
        ))
    }

    fn options(&self, place: &str) -> Result<Options, StartError> {
        self.common.options(place, self.common.security.connects(&self.discover)?)
    }

    /// The longest that a front end keeps a job for a stage that has no proxy; then it is answered 503. Default: 5 s.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Self {
        self.common.wait = limit;
        self
    }

    /// The longest that this process waits at its end for what it has in flight. Default: the pipeline's `drain_limit`.
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.common.drain_limit = Some(limit);
        self
    }

    /// How much work, in time, a worker takes ahead of its turn. With more, a worker that is far away is never idle; with less, a job
    /// waits less behind another one while a worker elsewhere is idle: so long at most. Zero takes none, and each job costs its thread
    /// a round trip. Default: 1 ms.
    #[must_use]
    pub fn ahead(mut self, time: Duration) -> Self {
        self.ahead = time;
        self
    }
}

/// A process's part of a pipeline, once it has started; made by [`Built::start_as`]. Dropped, it ends at once;
/// [`stop`](Self::stop) lets it finish what it has.
pub struct Process {
    endpoint: Option<String>,
    page: Option<String>,
    control: Box<dyn Control>,
}

/// How a part is ended.
pub(super) trait Control: Send {
    /// Takes nothing more, and ends once what is there is done.
    fn drainer(&self) -> Box<dyn Fn() + Send + Sync>;
    fn abort(&self);
    /// Waits for its end, which is a panic where one of its threads has ended by one.
    fn wait(&mut self) -> thread::Result<()>;
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Process {
    pub(super) fn new(endpoint: Option<String>, control: impl Control + 'static) -> Self {
        Self { endpoint, page: None, control: Box::new(control) }
    }

    fn with_page(mut self, page: Option<String>) -> Self {
        self.page = page;
        self
    }

    /// Where it listens, with the port that it got. `None` for a worker, which only connects.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Where a proxy or a worker answers `/healthz` and `/metrics`, if it does.
    #[must_use]
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    /// Begins to drain: it takes nothing more, and ends once what it has is done. Does not wait.
    pub fn drain(&self) {
        self.control.drainer()();
    }

    /// Ends at once. Does not wait.
    pub fn abort(&self) {
        self.control.abort();
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// With the panic of a thread of its own, if one ended by that: it would be a bug here.
    pub fn wait(mut self) {
        if let Err(panic) = self.control.wait() {
            resume_unwind(panic);
        }
    }

    /// Drains, and waits until it has ended.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    pub fn stop(self) {
        self.drain();
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.control.abort();
        // Who waits is told of a panic, and the log is.
        let _ = self.control.wait();
    }
}

impl Built {
    /// Runs this process's part of the pipeline until SIGTERM or SIGINT, then drains. A second signal ends it at once.
    ///
    /// # Errors
    /// As [`serve`](Self::serve); and where the role names a stage that the pipeline does not have, or what cannot work.
    pub fn run(&self, role: Role) -> Result<(), StartError> {
        self.run_with(role, |_| ())
    }

    /// As [`run`](Self::run), and calls `ready` once it has started, with what says where it listens.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(&self, role: Role, ready: impl FnOnce(&Process)) -> Result<(), StartError> {
        let signals = Caught::new()?;
        let process = self.start_as(role)?;
        run_until_signalled(process, &signals, ready);
        Ok(())
    }

    /// Starts this process's part of the pipeline.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn start_as(&self, role: Role) -> Result<Process, StartError> {
        match role {
            Role::All(endpoint) => front_end::all(self, &endpoint),
            Role::FrontEnd(role) => front_end::start(&Parts::of(self), &role),
            Role::Proxy(role) => {
                let place = format!("proxy of stage `{}` of pipeline `{}`", role.stage(), self.name);
                let stage = &self.stages[self.find_stage(role.stage(), &place)?];
                proxy::start(&role, &self.name, stage.choose.clone())
            }
            Role::Worker(role) => worker::start(self, &role),
        }
    }
}

impl Built {
    /// The place of a stage that a process names.
    fn find_stage(&self, stage: &str, place: &str) -> Result<usize, StartError> {
        self.stages.iter().position(|known| known.name == stage).ok_or_else(|| {
            let names: Vec<&str> = self.stages.iter().map(|stage| stage.name).collect();
            let problem = format!("the pipeline has no stage of that name: it has {}", names.join(", "));
            StartError::Option { place: place.to_owned(), problem }
        })
    }
}

/// A role that needs no pipeline: [`Role::FrontEnd`] by its routes, [`Role::Proxy`].
pub(crate) fn run_process(
    start: impl FnOnce() -> Result<Process, StartError>,
    ready: impl FnOnce(&Process),
) -> Result<(), StartError> {
    let signals = Caught::new()?;
    run_until_signalled(start()?, &signals, ready);
    Ok(())
}

fn run_until_signalled(process: Process, signals: &Caught, ready: impl FnOnce(&Process)) {
    signals.drains(process.control.drainer());
    ready(&process);
    process.wait();
}

/// Tells of the proxies that are found in all ways together.
fn watch(
    links: &Links,
    own: PeerId,
    found: impl Fn(BTreeSet<Place>) + Send + Sync + 'static,
) -> Result<Vec<Watch>, StartError> {
    let all = Arc::new(Mutex::new(vec![BTreeSet::new(); links.discover.len()]));
    let found = Arc::new(found);
    let watch = |(at, discover): (usize, &Discover)| {
        let (all, found) = (Arc::clone(&all), Arc::clone(&found));
        discover.watch(own, move |places| {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all[at] = places;
            found(all.iter().flatten().cloned().collect());
        })
    };
    links.discover.iter().enumerate().map(watch).collect()
}

/// A random name for this process.
fn peer_id() -> Result<PeerId, StartError> {
    let mut id = PeerId::default();
    getrandom(&mut id, GetRandomFlags::empty()).map_err(|error| system("read random bytes", error))?;
    Ok(id)
}

/// Waits for a thread, and says it if it has panicked.
fn join(thread: Option<JoinHandle<()>>, name: &str) -> thread::Result<()> {
    let ended = thread.map_or(Ok(()), JoinHandle::join);
    if ended.is_err() {
        tracing::error!(thread = name, "a thread panicked");
    }
    ended
}

/// Whether all that keep it from being disconnected end soon.
fn ended_within<T>(ended: &Receiver<T>) -> bool {
    let until = Instant::now() + PATIENCE;
    !matches!(ended.recv_deadline(until), Err(RecvTimeoutError::Timeout))
}
