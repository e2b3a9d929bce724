//! The workers of one stage in this process: their queue is a [`Balancer`] behind a mutex, each idle one a parked thread.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::{Envelope, Outlet, Rejected};
use crate::answers::worker_lost;
use crate::balancer::{Balancer, Expired, Options, WorkerId};
use crate::context::{Place, Ticket};
use crate::ids::{RequestId, StageId};
use crate::metrics::{Ended, StageMetrics};
use crate::panics::{caught, log};
use crate::response::Reply;

/// One stage's workers.
#[derive(Debug)]
pub(crate) struct Pool {
    stage: StageId,
    metrics: Arc<StageMetrics>,
    timeout: Option<Duration>,
    station: Mutex<Station>,
    /// Set by each worker before it first asks for a job, so before it can be summoned.
    threads: Box<[OnceLock<Thread>]>,
}

#[derive(Debug)]
struct Station {
    balancer: Balancer<Envelope>,
    /// When the front end will look at this balancer's timeouts next, as far as it has been told.
    planned: Option<Instant>,
    closed: bool,
}

/// What came of jobs that were offered.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    pub(crate) refused: Vec<Rejected>,
    /// The balancer has a timeout sooner than whoever calls [`Pool::tick`] knows.
    pub(crate) plan: bool,
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next {
    Job(Envelope),
    /// No job will come any more.
    Drained,
}

/// Workers summoned under one lock.
const SUMMONED_AT_ONCE: usize = 4;

impl Pool {
    pub(crate) fn new(stage: StageId, metrics: Arc<StageMetrics>, options: Options, workers: usize) -> Self {
        let station = Station { balancer: Balancer::new(options, workers), planned: None, closed: false };
        let threads = (0..workers).map(|_| OnceLock::new()).collect();
        Self { stage, metrics, timeout: options.timeout, station: Mutex::new(station), threads }
    }

    pub(crate) fn metrics(&self) -> &Arc<StageMetrics> {
        &self.metrics
    }

    pub(crate) fn workers(&self) -> usize {
        self.threads.len()
    }

    /// How many jobs wait, and how many run.
    pub(crate) fn load(&self) -> (usize, usize) {
        let station = self.lock();
        (station.balancer.waiting(), station.balancer.running())
    }

    /// Queues jobs, all under one lock, and wakes the workers that they need.
    pub(crate) fn offer(&self, jobs: &mut dyn Iterator<Item = Envelope>, now: Instant) -> Offered {
        let mut station = self.lock();
        let (mut refused, mut cancelled) = (Vec::new(), Vec::new());
        for job in jobs {
            match self.offer_one(&mut station, job, now) {
                Ok(taken_out) => cancelled.extend(taken_out),
                Err(rejected) => refused.push(rejected),
            }
        }
        let plan = self.timeout.is_some() && station.must_plan();
        self.wake(station);
        cancelled.into_iter().for_each(|job| self.discard(job));
        Offered { refused, plan }
    }

    /// Queues a job. One that was cancelled on its way comes back, to be discarded without the lock.
    fn offer_one(&self, station: &mut Station, mut job: Envelope, now: Instant) -> Result<Option<Envelope>, Rejected> {
        if station.closed {
            return Err(Rejected::Gone(job));
        }
        job.queued = now;
        job.returns = job.context.passed & self.stage.bit() != 0;
        job.context.passed |= self.stage.bit();
        let ticket = Arc::clone(&job.context.ticket);
        job.context.deadline = self.timeout.map_or(ticket.deadline, |timeout| ticket.deadline.min(now + timeout));
        // Those whose fork is elsewhere have a ticket each.
        let shares_ticket = job.context.part.as_ref().is_some_and(|part| part.fork().is_some());
        let entry = station.balancer.offer(job, now).map_err(Rejected::Full)?;
        let place = if shares_ticket { Place::Parts } else { Place::At(self.stage, entry) };
        Ok(if ticket.queued_at(place) { station.balancer.cancel(entry, ticket.id) } else { None })
    }

    /// Takes a job out of the queue, and drops it. Returns whether it was there.
    pub(crate) fn cancel(&self, entry: u32, id: RequestId) -> bool {
        let waiting = self.lock().balancer.cancel(entry, id);
        let found = waiting.is_some();
        waiting.into_iter().for_each(|job| self.discard(job));
        found
    }

    /// As [`cancel`](Self::cancel), all the jobs of a request.
    pub(crate) fn cancel_all(&self, id: RequestId) {
        let waiting = self.lock().balancer.cancel_all(id);
        waiting.into_iter().for_each(|job| self.discard(job));
    }

    /// Takes out what has outlived the stage's timeout, and says when to call again.
    pub(crate) fn tick(&self, now: Instant) -> (Vec<Expired<Envelope>>, Option<Instant>) {
        let mut station = self.lock();
        let expired = std::iter::from_fn(|| station.balancer.tick(now)).collect();
        station.planned = station.balancer.next_event();
        (expired, station.planned)
    }

    /// When [`tick`](Self::tick) is to be called.
    pub(crate) fn planned(&self) -> Option<Instant> {
        self.lock().planned
    }

    /// Nothing is taken any more: what waits is dropped, and workers end once they are free.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut station = self.lock();
            station.closed = true;
            station.balancer.clear()
        };
        waiting.into_iter().for_each(|job| self.discard(job));
        for thread in self.threads.iter().filter_map(OnceLock::get) {
            thread.unpark();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Drops a cancelled job. Its message is the user's, and must not take the front end with it if its `drop` panics.
    pub(crate) fn discard(&self, job: Envelope) {
        if let Some(reason) = job.context.ticket.cancelled() {
            self.metrics.ended(Ended::Cancelled(reason));
        }
        if let Err(panic) = caught(|| drop(job)) {
            log(|| tracing::error!(stage = self.metrics.stage(), panic, "a message panicked when it was dropped"));
        }
    }

    /// The jobs of one worker, and where to say that it is lost. To be made on the worker's own thread.
    pub(crate) fn source(self: &Arc<Self>, worker: WorkerId, outlet: Arc<dyn Outlet>) -> Source {
        self.threads[worker.0].get_or_init(thread::current);
        Source { pool: Arc::clone(self), outlet, worker, split: None }
    }

    /// No user code runs under this lock, so even a poisoned one guards what is whole.
    fn lock(&self) -> MutexGuard<'_, Station> {
        self.station.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the idle workers that the waiting jobs need. The system calls are made without the lock.
    fn wake<'a>(&'a self, mut station: MutexGuard<'a, Station>) {
        loop {
            let summoned: [_; SUMMONED_AT_ONCE] = std::array::from_fn(|_| station.balancer.summon());
            drop(station);
            for worker in summoned.iter().flatten() {
                if let Some(thread) = self.threads[worker.0].get() {
                    thread.unpark();
                }
            }
            if summoned.last().is_none_or(Option::is_none) {
                return;
            }
            station = self.lock();
        }
    }
}

impl Station {
    /// Whether the front end must be told that this balancer has an event sooner than it plans to look. With equal timeouts
    /// that is so only where there was none, since the one it waits for came first.
    fn must_plan(&mut self) -> bool {
        let next = self.balancer.next_event();
        let sooner = next.is_some_and(|next| self.planned.is_none_or(|planned| next < planned));
        if sooner {
            self.planned = next;
        }
        sooner
    }
}

/// One worker's jobs. Dropped before its job is done, it is a worker lost: the job is answered 502.
#[derive(Debug)]
pub(crate) struct Source {
    pool: Arc<Pool>,
    outlet: Arc<dyn Outlet>,
    worker: WorkerId,
    /// The request of its job, where that is a part: if it is lost, the other parts are in vain.
    split: Option<Arc<Ticket>>,
}

impl Source {
    /// Waits for a job.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            let mut station = self.pool.lock();
            if station.closed {
                return Next::Drained;
            }
            if let Some(job) = station.balancer.take(self.worker) {
                if job.context.part.is_some() {
                    self.split = Some(Arc::clone(&job.context.ticket));
                }
                return Next::Job(job);
            }
            drop(station);
            thread::park();
        }
    }

    /// The last job is over: its outcome is on its way.
    pub(crate) fn done(&mut self) {
        self.split = None;
        self.pool.lock().balancer.done(self.worker);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut station = self.pool.lock();
        let lost = station.balancer.lost(self.worker);
        // If it had been summoned, another one is to come.
        self.pool.wake(station);
        if let Some(ticket) = self.split.take() {
            self.outlet.cancel_parts(&ticket);
        }
        if let Some(lost) = lost {
            self.pool.metrics.ended(Ended::Lost);
            self.outlet.reply(lost, Reply::whole(worker_lost()));
        }
    }
}
