//! The workers of one stage in this process: their queue is a [`Balancer`] behind a mutex, each idle one a parked thread.

mod choice;
mod gather;
mod source;
mod supervision;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;

pub(crate) use self::gather::Batching;
pub(crate) use self::source::{Next, Source};
pub(crate) use self::supervision::{Overdue, Usage, View};
use super::{Envelope, Rejected};
use crate::affinity::Affinity;
use crate::balancer::{Balancer, Expired, Options, Refused, Turns, WorkerId};
use crate::chooser::Chooser;
use crate::context::Place;
use crate::ids::{RequestId, StageId};
use crate::metrics::{Ended, StageMetrics};
use crate::panics::{caught, log};
use crate::seat::{Call, Seat};

/// One stage's workers.
#[derive(Debug)]
pub(crate) struct Pool {
    stage: StageId,
    metrics: Arc<StageMetrics>,
    timeout: Option<Duration>,
    size: Size,
    supervisor: Arc<Call>,
    /// The user's choice among idle workers.
    chooser: Option<Chooser>,
    station: Mutex<Station>,
}

/// How many workers a pool may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How many workers run at a time: at first, and the least.
    pub(crate) slots: usize,
    /// The most, if that may change.
    pub(crate) most: usize,
    pub(crate) demotes: bool,
    /// How many jobs each takes.
    pub(crate) batching: Batching,
    /// How many workers there are at most, demoted ones among them. Where there are no more than slots, nothing is demoted.
    pub(crate) instances: usize,
    /// Its queue is in another process: jobs may wait that are not here.
    pub(crate) fed_from_afar: bool,
}

#[derive(Debug)]
struct Station {
    balancer: Balancer<Envelope>,
    seats: Slab<Arc<Seat>>,
    /// What workers announce, by their numbers; those that are missing have announced nothing.
    affinities: Vec<Affinity>,
    /// A worker could not be made since the supervisor looked last.
    hired_in_vain: bool,
    /// How many workers there are at most.
    instances: usize,
    /// When the front end will look at this balancer's timeouts next, as far as it has been told.
    planned: Option<Instant>,
    /// The supervisor will look at this pool by itself.
    watched: bool,
    /// It must be since it looked last.
    active: bool,
    /// There is a job that makes room as soon as a short one comes.
    ready: bool,
    fed_from_afar: bool,
    demotes: bool,
    /// More jobs may run at a time than at first.
    may_grow: bool,
    /// No worker waits for more jobs than it has.
    hurried: bool,
    closed: bool,
}

/// What came of jobs that were offered.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    pub(crate) refused: Vec<Rejected>,
    /// The balancer has a timeout sooner than whoever calls [`Pool::tick`] knows.
    pub(crate) plan: bool,
}

/// Workers summoned under one lock.
const SUMMONED_AT_ONCE: usize = 4;

impl Pool {
    pub(crate) fn new(
        stage: StageId,
        metrics: Arc<StageMetrics>,
        options: Options,
        size: Size,
        supervisor: Arc<Call>,
    ) -> Self {
        let station = Station {
            balancer: Balancer::in_batches(options, size.slots, size.batching.most).fed_from_afar(size.fed_from_afar),
            seats: Slab::new(),
            affinities: Vec::new(),
            hired_in_vain: false,
            instances: size.instances.max(size.most),
            planned: None,
            watched: false,
            active: false,
            ready: false,
            fed_from_afar: size.fed_from_afar,
            demotes: size.demotes,
            may_grow: size.most > size.slots,
            hurried: false,
            closed: false,
        };
        metrics.workers.set(size.slots as i64);
        let (timeout, station) = (options.timeout, Mutex::new(station));
        Self { stage, metrics, timeout, size, supervisor, chooser: None, station }
    }

    /// With the user's choice among idle workers, if there is one.
    pub(crate) fn choosing(mut self, chooser: Option<Chooser>) -> Self {
        self.lock().balancer.set_chooses(chooser.is_some());
        self.chooser = chooser;
        self
    }

    /// A pool of so many workers, all of which have their place, and that nobody supervises.
    #[cfg(test)]
    pub(crate) fn of_test(stage: StageId, metrics: StageMetrics, options: Options, workers: usize) -> Self {
        Self::of_test_in_batches(stage, metrics, options, workers, Batching::NONE)
    }

    /// As [`of_test`](Self::of_test), of workers that take several jobs at a time.
    #[cfg(test)]
    pub(crate) fn of_test_in_batches(
        stage: StageId,
        metrics: StageMetrics,
        options: Options,
        workers: usize,
        batching: Batching,
    ) -> Self {
        let size =
            Size { slots: workers, most: workers, demotes: false, batching, instances: workers, fed_from_afar: false };
        let pool = Self::new(stage, Arc::new(metrics), options, size, Arc::default());
        (0..workers).for_each(|_| _ = pool.hire());
        pool
    }

    pub(crate) fn metrics(&self) -> &Arc<StageMetrics> {
        &self.metrics
    }

    /// How many workers run at a time.
    pub(crate) fn slots(&self) -> usize {
        self.lock().balancer.slots()
    }

    /// How many jobs run at a time at the most, where there are enough.
    pub(crate) fn places(&self) -> usize {
        self.size.most * self.size.batching.most
    }

    /// How many parts of one request are to be here at a time: as many as run, so that they hold up nobody. While there may be more workers
    /// yet, half as many again as the most take: fewer would not leave the stage behind until it has them.
    pub(crate) fn parts(&self) -> usize {
        let places = self.places();
        let may_grow = self.size.slots < self.size.most && self.slots() < self.size.most;
        if may_grow { places + places / 2 } else { places }
    }

    /// How many jobs a worker takes.
    pub(crate) fn batching(&self) -> Batching {
        self.size.batching
    }

    /// What jobs have had of the slots so far.
    pub(crate) fn turns(&self) -> Turns {
        self.lock().balancer.turns()
    }

    /// How many jobs wait, and how many run.
    pub(crate) fn load(&self) -> (usize, usize) {
        let station = self.lock();
        (station.balancer.waiting(), station.balancer.running())
    }

    /// How many workers have nothing to do.
    pub(crate) fn idle(&self) -> usize {
        self.lock().balancer.idle()
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
        let plan = (self.timeout.is_some() || station.balancer.is_overloaded()) && station.must_plan();
        let watch = station.must_watch();
        self.wake(station);
        if watch {
            self.supervisor.ring();
        }
        while let Some(job) = cancelled.pop() {
            self.discard(job);
        }
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
        let entry = station.balancer.offer(job, now).map_err(|refused| match refused {
            Refused::Full(job) => Rejected::Full(job),
            Refused::Hopeless(job) => Rejected::Hopeless(job),
        })?;
        let place = if shares_ticket { Place::Parts } else { Place::At(self.stage, entry) };
        Ok(if ticket.queued_at(place) { station.balancer.cancel(entry, ticket.id) } else { None })
    }

    /// Takes a job out of the queue that nobody waits for any more, and drops it. Returns whether it was there.
    pub(crate) fn cancel(&self, entry: u32, id: RequestId) -> bool {
        let waiting = self.lock().balancer.cancel(entry, id);
        self.discard_if_any(waiting)
    }

    /// As [`cancel`](Self::cancel), to give the job to somebody else.
    pub(crate) fn take_back(&self, entry: u32, id: RequestId) -> bool {
        let waiting = self.lock().balancer.take_back(entry, id);
        self.discard_if_any(waiting)
    }

    fn discard_if_any(&self, job: Option<Envelope>) -> bool {
        let found = job.is_some();
        job.into_iter().for_each(|job| self.discard(job));
        found
    }

    /// How many jobs run that nobody waits for.
    #[cfg(test)]
    pub(crate) fn abandoned(&self) -> usize {
        self.lock().balancer.abandoned()
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

    /// From now on, no worker waits for more jobs than it has.
    pub(crate) fn hurry(&self) {
        let seats = {
            let mut station = self.lock();
            station.hurried = true;
            station.all_seats()
        };
        seats.iter().for_each(|seat| seat.unpark());
    }

    /// Nothing is taken any more: what waits is dropped, and workers end once they are free.
    pub(crate) fn close(&self) {
        let (waiting, seats) = {
            let mut station = self.lock();
            station.closed = true;
            (station.balancer.clear(), station.all_seats())
        };
        waiting.into_iter().for_each(|job| self.discard(job));
        seats.iter().for_each(|seat| seat.unpark());
        self.supervisor.ring();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Drops a cancelled job. Its message is the user's, and must not take the front end with it if its `drop` panics.
    pub(crate) fn discard(&self, job: Envelope) {
        if let Some(reason) = job.context.ticket.cancelled() {
            self.metrics.ended(Ended::Cancelled(reason));
        }
        self.drop_job(job);
    }

    /// As [`discard`](Self::discard), of one whose end is counted.
    fn drop_job(&self, job: Envelope) {
        if let Err(panic) = caught(|| drop(job)) {
            log(|| tracing::error!(stage = self.metrics.stage(), panic, "a message panicked when it was dropped"));
        }
    }

    /// A place for a new worker, which is to call [`source`](Self::source) when it is ready to work, and [`quit`](Self::quit) at its
    /// end.
    pub(crate) fn hire(&self) -> (WorkerId, Arc<Seat>) {
        let seat = Arc::new(Seat::new(Arc::clone(&self.supervisor)));
        (WorkerId(self.lock().seats.insert(Arc::clone(&seat))), seat)
    }

    /// A worker has ended, or could not be made.
    pub(crate) fn quit(&self, worker: WorkerId) {
        let mut station = self.lock();
        let seat = station.seats.remove(worker.0);
        station.hired_in_vain |= seat.tid().is_none();
        if station.closed {
            drop(station);
            self.supervisor.ring();
        }
    }

    /// No user code runs under this lock, so even a poisoned one guards what is whole.
    fn lock(&self) -> MutexGuard<'_, Station> {
        self.station.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the idle workers that the waiting jobs need. The system calls are made without the lock.
    fn wake<'a>(&'a self, mut station: MutexGuard<'a, Station>) {
        if let Some(chooser) = &self.chooser {
            return self.choose(chooser, station);
        }
        while let Some(first) = station.summon() {
            let others: [_; SUMMONED_AT_ONCE - 1] = std::array::from_fn(|_| station.summon());
            drop(station);
            first.unpark();
            others.iter().flatten().for_each(|seat| seat.unpark());
            if others.last().is_none_or(Option::is_none) {
                return;
            }
            station = self.lock();
        }
    }
}

impl Station {
    fn all_seats(&self) -> Vec<Arc<Seat>> {
        self.seats.iter().map(|(_, seat)| Arc::clone(seat)).collect()
    }

    /// A worker's jobs are over, if it had any, after they ran for so long.
    fn over(&mut self, worker: WorkerId, ran: Option<Duration>) {
        ran.into_iter().for_each(|ran| self.balancer.done(worker, ran));
    }

    fn summon(&mut self) -> Option<Arc<Seat>> {
        self.balancer.summon().map(|worker| Arc::clone(&self.seats[worker.0]))
    }

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
