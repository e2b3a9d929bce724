//! A pipeline's threads: started in order, watched, drained.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::built::{Built, Definition};
use super::client::{Client, Clients};
use crate::StartError;
use crate::balancer::{Options, WorkerId};
use crate::context::Sink;
use crate::error::BoxError;
use crate::frontend::{FrontEnd, Listener};
use crate::ids::StageId;
use crate::lifecycle::Caught;
use crate::loopback::{Loopback, Note, loopback};
use crate::metrics::Metrics;
use crate::panics::log;
use crate::transport::{Local, LocalStage};
use crate::worker::Worker;

/// How often a job is tried at most, where its stage is idempotent.
const ATTEMPTS: u32 = 3;

/// How long a stopped pipeline waits for workers that are still in the user's code. They cannot be ended, only left behind.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pipeline that runs. Dropped, it stops at once; [`stop`](Self::stop) lets it finish what it has.
///
/// ```
/// use std::io::{Read, Write};
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str {
///     "hello\n"
/// }
///
/// let running = Pipeline::new("hello").stage::<hello>().build()?.start("tcp://127.0.0.1:0")?;
/// let mut client = std::net::TcpStream::connect(running.address().unwrap()).unwrap();
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).unwrap();
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello\n"));
/// assert_eq!(running.stages()[0].jobs, 1);
/// running.stop();
/// # Ok::<(), StartError>(())
/// ```
#[derive(Debug)]
pub struct Running {
    name: String,
    endpoint: Option<String>,
    loopback: Loopback,
    transport: Arc<Local>,
    clients: Arc<Clients>,
    front_end: Option<JoinHandle<()>>,
    /// Disconnected once the last worker has ended.
    workers: Receiver<Infallible>,
}

/// What a stage has done so far.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str { "hello\n" }
///
/// let running = Pipeline::new("hello").stage::<hello>().build()?.start_in_process()?;
/// running.client().call(Request::get("/"))?;
/// let hello = &running.stages()[0];
/// assert_eq!((hello.name, hello.jobs), ("hello", 1));
/// println!("{:.1} % busy", 100.0 * hello.busy.as_secs_f64());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageStats {
    /// The stage's name.
    pub name: &'static str,
    /// Jobs that wait for a worker.
    pub waiting: usize,
    /// Jobs that a worker runs.
    pub running: usize,
    /// Jobs that have run.
    pub jobs: u64,
    /// How long they ran, all together.
    pub busy: Duration,
}

impl Running {
    pub(super) fn start(built: &Built, listener: Option<Box<dyn Listener>>) -> Result<Self, StartError> {
        let (loopback, inbox) = loopback().map_err(|error| system("make an eventfd", error))?;
        let metrics = Arc::new(Metrics::new(&built.name));
        let stages = built.stages.iter().map(|stage| local_stage(built, stage, &metrics)).collect();
        let transport = Arc::new(Local::new(stages, loopback.clone()));
        let endpoint = listener.as_ref().map(|listener| listener.endpoint().to_owned());
        let front_end = FrontEnd::new(
            built.settings.clone(),
            Arc::clone(&built.door),
            listener,
            Arc::clone(&transport),
            inbox,
            metrics,
        );
        let thread = thread::Builder::new().name("front end".to_owned());
        let front_end = thread.spawn(move || front_end.run()).map_err(|error| system("start a thread", error))?;
        let (alive, workers) = crossbeam_channel::bounded(0);
        let running = Self {
            name: built.name.clone(),
            endpoint,
            loopback,
            transport,
            clients: Arc::new(Clients::new(built.settings.max_in_flight)),
            front_end: Some(front_end),
            workers,
        };
        // From here on an error drops `running`, which ends what has been started.
        running.start_workers(built, alive)?;
        running.announce_ready();
        log(|| tracing::info!(pipeline = running.name, endpoint = running.endpoint, "serving"));
        Ok(running)
    }

    /// Returns once each worker has constructed its stage. The workers keep `alive` from being disconnected.
    fn start_workers(&self, built: &Built, alive: Sender<Infallible>) -> Result<(), StartError> {
        let (started, starts) = crossbeam_channel::unbounded();
        for (at, stage) in built.stages.iter().enumerate() {
            for worker in self.workers_of(built, stage, StageId(at as u16)) {
                let (started, alive) = (started.clone(), alive.clone());
                let name = format!("{}-{}", short(stage.name), worker.id.0);
                let run = move || {
                    worker.run(started);
                    drop(alive);
                };
                let thread = thread::Builder::new().name(name).spawn(run);
                thread.map_err(|source| StartError::Worker { stage: stage.name, workers: workers(stage), source })?;
            }
        }
        drop((started, alive));
        starts.into_iter().collect()
    }

    /// Returns once the front end knows, so that whoever started the pipeline finds it healthy.
    fn announce_ready(&self) {
        let (known, wait) = crossbeam_channel::bounded(1);
        self.loopback.send(Note::Ready { known });
        let _ = wait.recv();
    }

    fn workers_of(&self, built: &Built, stage: &Definition, id: StageId) -> impl Iterator<Item = Worker> {
        let metrics = Arc::clone(self.transport.stages()[id.index()].metrics());
        let sink: Arc<dyn Sink> = Arc::new(self.transport.sink(&built.settings.limits, workers(stage)));
        (0..workers(stage)).map(move |worker| Worker {
            id: WorkerId(worker),
            stage: id,
            factory: Arc::clone(&stage.factory),
            routes: Arc::clone(&stage.routes),
            max_hops: built.hops.max_hops,
            max_parts: built.hops.max_parts,
            transport: Arc::clone(&self.transport),
            metrics: Arc::clone(&metrics),
            sink: Arc::clone(&sink),
            compress: built.settings.compress,
        })
    }

    /// Where it listens, with the port that it got: `tcp://127.0.0.1:8002`. `None` where it does not listen.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// As [`endpoint`](Self::endpoint), as an address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.endpoint.as_deref()?.strip_prefix("tcp://")?.parse().ok()
    }

    /// A client of this pipeline within this process.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.loopback.clone(), Arc::clone(&self.clients))
    }

    /// What each stage has done so far, in the pipeline's order.
    #[must_use]
    pub fn stages(&self) -> Vec<StageStats> {
        let stats = |stage: &LocalStage| {
            let (waiting, running) = stage.load();
            let (jobs, busy) = stage.metrics().runs();
            StageStats { name: stage.metrics().stage(), waiting, running, jobs, busy }
        };
        self.transport.stages().iter().map(stats).collect()
    }

    /// Begins to drain: nothing new is taken, and the pipeline ends once what is in flight is answered. Does not wait.
    pub fn drain(&self) {
        self.loopback.send(Note::Drain);
    }

    /// Ends at once: what is in flight is cancelled and answered 503. Does not wait.
    pub fn abort(&self) {
        self.loopback.send(Note::Stop);
    }

    /// Drains, and waits until the pipeline has ended: as soon as it is idle, at the drain limit at the latest.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    pub fn stop(self) {
        self.drain();
        self.wait();
    }

    /// Lets the first signal drain the pipeline.
    pub(super) fn drain_at(&self, signals: &Caught) {
        signals.drains(self.loopback.clone());
    }

    /// Waits until the pipeline has ended, by [`drain`](Self::drain) or [`abort`](Self::abort).
    ///
    /// # Panics
    /// With the front end's panic, if it ended by one. No stage, message or answer of yours causes that: it would be a bug here.
    pub fn wait(mut self) {
        if let Err(panic) = self.join() {
            resume_unwind(panic);
        }
    }

    fn join(&mut self) -> thread::Result<()> {
        let ended = self.front_end.take().map_or(Ok(()), JoinHandle::join);
        if ended.is_err() {
            tracing::error!(pipeline = self.name, "the front end panicked");
        }
        if self.workers.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(pipeline = self.name, "workers are left behind that do not come back from their stage");
        }
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.front_end.is_some() {
            self.loopback.send(Note::Stop);
            let _ = self.join();
        }
    }
}

fn local_stage(built: &Built, stage: &Definition, metrics: &Metrics) -> LocalStage {
    let options = Options {
        queue: stage.options.queue.unwrap_or(built.settings.max_in_flight),
        timeout: stage.options.timeout,
        idempotent: stage.options.idempotent,
        attempts: ATTEMPTS,
    };
    LocalStage::new(Arc::new(metrics.stage(stage.name)), options, workers(stage))
}

pub(super) fn workers(stage: &Definition) -> usize {
    stage.options.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Linux shows 15 bytes of a thread's name, and the worker's number should be among them.
fn short(stage: &str) -> &str {
    stage
        .char_indices()
        .take_while(|(at, c)| at + c.len_utf8() <= 11)
        .last()
        .map_or("", |(at, c)| &stage[..at + c.len_utf8()])
}

fn system(doing: &'static str, source: impl Into<BoxError>) -> StartError {
    StartError::System { doing, source: source.into() }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[derive(Default)]
    struct Hello;

    impl Stage for Hello {
        const NAME: &'static str = "hello";
    }

    impl Run for Hello {
        type In = Request;
        type Out = &'static str;

        fn run(&mut self, _: Request, _: &Context) -> &'static str {
            "hello\n"
        }
    }

    #[test]
    fn a_log_that_panics_stops_no_start() {
        let full = || -> std::io::Sink { panic!("the disk is full") };
        let subscriber = tracing_subscriber::fmt().with_writer(full).finish();
        let pipeline = Pipeline::new("hello").stage::<Hello>().build().unwrap();
        let running = tracing::subscriber::with_default(subscriber, || pipeline.start("tcp://127.0.0.1:0")).unwrap();
        assert_eq!(running.client().call(Request::get("/")).unwrap().body().as_bytes(), b"hello\n");
    }
}
