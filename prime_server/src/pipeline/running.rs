//! A pipeline's threads: started in order, watched, drained.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::built::Built;
use super::client::{Client, Clients};
use super::workers;
use crate::balancer::{Options, Order};
use crate::error::BoxError;
use crate::frontend::{FrontEnd, Listener};
use crate::ids::StageId;
use crate::loopback::{Loopback, Note};
use crate::mailbox::mailbox;
use crate::metrics::{Metrics, Share};
use crate::panics::log;
use crate::seat::Call;
use crate::transport::{Local, Outlet, Pool, Transport};
use crate::{StartError, Workers};

/// How often a job is tried at most, where its stage is idempotent.
pub(super) const ATTEMPTS: u32 = 3;

/// How long a stopped pipeline waits for workers that are still in the user's code. They cannot be ended, only left behind.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

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
    stages: Vec<&'static str>,
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
    /// Workers that have nothing to do.
    pub idle: usize,
    /// Jobs that have run.
    pub jobs: u64,
    /// How long they ran, all together.
    pub busy: Duration,
}

impl Running {
    pub(super) fn start(built: &Built, listener: Option<Box<dyn Listener>>) -> Result<Self, StartError> {
        let (loopback, inbox) = mailbox().map_err(|error| system("make an eventfd", error))?;
        let metrics = Arc::new(Metrics::new(&built.name));
        let call = Arc::new(Call::default());
        let workers = workers::in_one_process(built).into_iter().enumerate();
        let pools = workers.map(|(at, workers)| pool(built, StageId(at as u16), workers, &metrics, &call)).collect();
        let transport = Arc::new(Local::new(pools, loopback.clone()));
        let endpoint = listener.as_ref().map(|listener| listener.endpoint().to_owned());
        let front_end = FrontEnd::new(
            built.settings.clone(),
            Arc::clone(&built.door),
            listener,
            Arc::clone(&transport) as Arc<dyn Transport>,
            inbox,
            metrics,
        );
        let thread = thread::Builder::new().name("front end".to_owned());
        let front_end = thread.spawn(move || front_end.run()).map_err(|error| system("start a thread", error))?;
        let (alive, ended) = crossbeam_channel::bounded(0);
        let outlet = Arc::clone(&transport) as Arc<dyn Outlet>;
        let stages: Vec<_> =
            std::iter::zip(&built.stages, transport.pools()).map(|(stage, pool)| (stage, Arc::clone(pool))).collect();
        let running = Self {
            name: built.name.clone(),
            stages: built.stages.iter().map(|stage| stage.name).collect(),
            endpoint,
            loopback,
            transport,
            clients: Arc::new(Clients::new(built.settings.max_in_flight)),
            front_end: Some(front_end),
            workers: ended,
        };
        // From here on an error drops `running`, which ends what has been started.
        workers::start(built, &stages, &outlet, alive, call)?;
        running.announce_ready();
        log(|| tracing::info!(pipeline = running.name, endpoint = running.endpoint, "serving"));
        Ok(running)
    }

    /// Returns once the front end knows, so that whoever started the pipeline finds it healthy.
    fn announce_ready(&self) {
        let (known, wait) = crossbeam_channel::bounded(1);
        self.loopback.send(Note::Ready { known });
        let _ = wait.recv();
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
        let stats = |(name, pool): (&&'static str, &Arc<Pool>)| {
            let (waiting, running) = pool.load();
            let (jobs, busy) = pool.metrics().runs();
            StageStats { name, waiting, running, idle: pool.idle(), jobs, busy }
        };
        std::iter::zip(&self.stages, self.transport.pools()).map(stats).collect()
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

    /// What drains it, from anywhere.
    pub(super) fn drainer(&self) -> Box<dyn Fn() + Send + Sync> {
        let loopback = self.loopback.clone();
        Box::new(move || _ = loopback.send(Note::Drain))
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

fn pool(built: &Built, id: StageId, workers: Workers, metrics: &Metrics, call: &Arc<Call>) -> Pool {
    let stage = &built.stages[id.index()];
    let options = Options {
        queue: stage.options.queue.unwrap_or(built.settings.max_in_flight),
        timeout: stage.options.timeout,
        wait: None,
        max_delay: Some(workers::max_delay(stage, built.settings.deadline)),
        refuse_hopeless: stage.options.refuse_hopeless.unwrap_or(true),
        idempotent: stage.options.idempotent,
        attempts: ATTEMPTS,
        order: Order::new(stage.options.strict_priority),
    };
    let size = workers::size(stage, workers, built.settings.max_in_flight);
    let metrics = Arc::new(workers::metrics(stage, metrics, Share::Whole));
    Pool::new(id, metrics, options, size, Arc::clone(call)).choosing(stage.choose.clone())
}

pub(super) fn system(doing: &'static str, source: impl Into<BoxError>) -> StartError {
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

    /// What a pipeline of one stage with two to four workers says when it starts with that budget.
    fn said(budget: usize) -> String {
        let (read, write) = std::io::pipe().unwrap();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || write.try_clone().unwrap());
        let pipeline = Pipeline::new("hello").core_budget(budget).stage::<Hello>().workers(2..=4).build().unwrap();
        drop(tracing::subscriber::with_default(subscriber.finish(), || pipeline.start_in_process()).unwrap());
        std::io::read_to_string(read).unwrap()
    }

    #[test]
    fn the_log_says_which_stage_will_never_grow_and_what_to_do() {
        let said_of_two = said(2);
        assert!(said_of_two.contains("no more than its least workers"), "{said_of_two}");
        assert!(said_of_two.contains("set `core_budget` to more than 2"), "{said_of_two}");
        assert!(!said(3).contains("its least workers"));
    }
}
