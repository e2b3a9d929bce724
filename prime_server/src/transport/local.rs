//! Stages in this process: each queue is a [`Balancer`] behind a mutex, each idle worker a parked thread.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::places::{Places, Room};
use super::{Envelope, Next, Rejected, Source, Transport};
use crate::answers::worker_lost;
use crate::balancer::{Balancer, Expired, Options, WorkerId};
use crate::context::{Place, Reason, Sink, Ticket, weight};
use crate::ids::{RequestId, StageId};
use crate::loopback::{Loopback, Note};
use crate::metrics::{Ended, StageMetrics};
use crate::panics::{caught, log};
use crate::response::Reply;
use crate::{Limits, Response};

/// All stages of a pipeline, in this process.
#[derive(Debug)]
pub(crate) struct Local {
    stages: Box<[LocalStage]>,
    loopback: Loopback,
}

/// One stage's pool.
#[derive(Debug)]
pub(crate) struct LocalStage {
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

/// Workers summoned under one lock.
const SUMMONED_AT_ONCE: usize = 4;

impl LocalStage {
    pub(crate) fn new(metrics: Arc<StageMetrics>, options: Options, workers: usize) -> Self {
        let station = Station { balancer: Balancer::new(options, workers), planned: None, closed: false };
        let threads = (0..workers).map(|_| OnceLock::new()).collect();
        Self { metrics, timeout: options.timeout, station: Mutex::new(station), threads }
    }

    pub(crate) fn metrics(&self) -> &Arc<StageMetrics> {
        &self.metrics
    }

    /// Drops a cancelled job. Its message is the user's, and must not take the front end with it if its `drop` panics.
    fn discard(&self, job: Envelope) {
        if let Some(reason) = job.context.ticket.cancelled() {
            self.metrics.ended(Ended::Cancelled(reason));
        }
        if let Err(panic) = caught(|| drop(job)) {
            log(|| tracing::error!(stage = self.metrics.stage(), panic, "a message panicked when it was dropped"));
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.threads.len()
    }

    /// How many jobs wait, and how many run.
    pub(crate) fn load(&self) -> (usize, usize) {
        let station = self.lock();
        (station.balancer.waiting(), station.balancer.running())
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

    /// Queues a job. One that was cancelled on its way comes back, to be discarded without the lock.
    fn offer(
        &self,
        station: &mut Station,
        mut job: Envelope,
        to: StageId,
        now: Instant,
    ) -> Result<Option<Envelope>, Rejected> {
        if station.closed {
            return Err(Rejected::Gone(job));
        }
        job.queued = now;
        job.returns = job.context.passed & to.bit() != 0;
        job.context.passed |= to.bit();
        let ticket = Arc::clone(&job.context.ticket);
        job.context.deadline = self.timeout.map_or(ticket.deadline, |timeout| ticket.deadline.min(now + timeout));
        let is_part = job.context.part.is_some();
        let entry = station.balancer.offer(job, now).map_err(Rejected::Full)?;
        let place = if is_part { Place::Parts } else { Place::At(to, entry) };
        Ok(if ticket.queued_at(place) { station.balancer.cancel(entry, ticket.id) } else { None })
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

impl Local {
    pub(crate) fn new(stages: Vec<LocalStage>, loopback: Loopback) -> Self {
        Self { stages: stages.into(), loopback }
    }

    /// Where streamed answers of a stage of so many workers go.
    pub(crate) fn sink(&self, limits: &Limits, workers: usize) -> LocalSink {
        LocalSink::new(self.loopback.clone(), limits, workers)
    }

    pub(crate) fn stages(&self) -> &[LocalStage] {
        &self.stages
    }

    fn stage(&self, id: StageId) -> &LocalStage {
        &self.stages[id.index()]
    }

    /// As [`dispatch`](Transport::dispatch) for many jobs, under one lock. Returns what was refused.
    pub(crate) fn dispatch_all(
        &self,
        to: StageId,
        jobs: impl Iterator<Item = Envelope>,
        now: Instant,
    ) -> Vec<Rejected> {
        let stage = self.stage(to);
        let mut station = stage.lock();
        let (mut refused, mut cancelled) = (Vec::new(), Vec::new());
        for job in jobs {
            match stage.offer(&mut station, job, to, now) {
                Ok(taken_out) => cancelled.extend(taken_out),
                Err(rejected) => refused.push(rejected),
            }
        }
        self.settle(to, station);
        cancelled.into_iter().for_each(|job| stage.discard(job));
        refused
    }

    /// After an offer: wakes workers, tells the front end what it must know.
    fn settle<'a>(&'a self, to: StageId, mut station: MutexGuard<'a, Station>) {
        let stage = self.stage(to);
        let plan = stage.timeout.is_some() && station.must_plan();
        stage.wake(station);
        if plan {
            self.loopback.send(Note::Plan(to));
        }
    }

    /// Ends what has outlived a stage's timeout, and returns it with the moment to call again. The front end's to call.
    pub(crate) fn tick(&self, stage: StageId, now: Instant) -> (Vec<Expired<Envelope>>, Option<Instant>) {
        let mut station = self.stage(stage).lock();
        let expired = std::iter::from_fn(|| station.balancer.tick(now)).collect();
        station.planned = station.balancer.next_event();
        (expired, station.planned)
    }

    /// Drops a cancelled job that was waiting at a stage.
    pub(crate) fn discard(&self, stage: StageId, job: Envelope) {
        self.stage(stage).discard(job);
    }

    /// When the front end should call [`tick`](Self::tick).
    pub(crate) fn planned(&self, stage: StageId) -> Option<Instant> {
        self.stage(stage).lock().planned
    }

    /// Nothing is taken any more: what waits is dropped, and workers end once they are free.
    pub(crate) fn close(&self) {
        for stage in &self.stages {
            let waiting = {
                let mut station = stage.lock();
                station.closed = true;
                station.balancer.clear()
            };
            waiting.into_iter().for_each(|job| stage.discard(job));
            for thread in stage.threads.iter().filter_map(OnceLock::get) {
                thread.unpark();
            }
        }
    }

    pub(crate) fn is_closed(&self, stage: StageId) -> bool {
        self.stage(stage).lock().closed
    }

    /// The jobs of one worker. To be made on the worker's own thread.
    pub(crate) fn source(self: &Arc<Self>, stage: StageId, worker: WorkerId) -> LocalSource {
        self.stage(stage).threads[worker.0].get_or_init(thread::current);
        LocalSource { local: Arc::clone(self), stage, worker, split: None }
    }
}

impl Transport for Local {
    fn dispatch(&self, to: StageId, job: Envelope, now: Instant) -> Result<(), Rejected> {
        let stage = self.stage(to);
        let mut station = stage.lock();
        let cancelled = stage.offer(&mut station, job, to, now)?;
        self.settle(to, station);
        cancelled.into_iter().for_each(|job| stage.discard(job));
        Ok(())
    }

    fn reply(&self, id: RequestId, reply: Reply) {
        self.loopback.send(Note::Reply(id, reply));
    }

    fn cancel(&self, ticket: &Ticket, why: Reason) {
        match ticket.cancel(why) {
            None => {}
            Some(Place::At(stage, entry)) => {
                let stage = self.stage(stage);
                let waiting = stage.lock().balancer.cancel(entry, ticket.id);
                waiting.into_iter().for_each(|job| stage.discard(job));
            }
            Some(Place::Parts) => {
                for stage in &self.stages {
                    let waiting = stage.lock().balancer.cancel_all(ticket.id);
                    waiting.into_iter().for_each(|job| stage.discard(job));
                }
            }
        }
    }
}

/// Where the streamed answers of one stage go: through the loopback.
#[derive(Debug)]
pub(crate) struct LocalSink {
    loopback: Loopback,
    /// How far a stage may be ahead of a client, in bytes, and how long it waits for one.
    buffer: usize,
    patience: Duration,
    places: Places,
}

impl LocalSink {
    pub(crate) fn new(loopback: Loopback, limits: &Limits, workers: usize) -> Self {
        let (buffer, patience) = (limits.stream_buffer, limits.take_answer);
        Self { loopback, buffer, patience, places: Places::new(workers) }
    }
}

impl Sink for LocalSink {
    fn begin(&self, ticket: &Ticket, head: Response) {
        self.loopback.send(Note::Reply(ticket.id, Reply::Head(head)));
    }

    fn send(&self, ticket: &Arc<Ticket>, piece: Bytes) -> Result<(), Reason> {
        let bytes = weight(&piece);
        if let Some(window) = ticket.window()
            && !window.try_reserve(bytes, self.buffer)
        {
            self.places.wait(ticket, Room { window, bytes, most: self.buffer, patience: self.patience })?;
        }
        self.loopback.send(Note::Reply(ticket.id, Reply::Chunk(piece)));
        Ok(())
    }
}

/// One worker's jobs. Dropped before its job is done, it is a worker lost: the job is answered 502.
#[derive(Debug)]
pub(crate) struct LocalSource {
    local: Arc<Local>,
    stage: StageId,
    worker: WorkerId,
    /// The request of its job, where that is a part: if it is lost, the other parts are in vain.
    split: Option<Arc<Ticket>>,
}

impl Source for LocalSource {
    fn next(&mut self) -> Next {
        let stage = self.local.stage(self.stage);
        loop {
            let mut station = stage.lock();
            if station.closed {
                return Next::Drained;
            }
            if let Some(job) = station.balancer.take(self.worker) {
                if job.context.part.is_some() {
                    self.split = Some(Arc::clone(&job.context.ticket));
                }
                return Next::Job(job);
            }
            // A lost job that this worker may not have can be waiting for another one.
            stage.wake(station);
            thread::park();
        }
    }

    fn done(&mut self) {
        self.split = None;
        self.local.stage(self.stage).lock().balancer.done(self.worker);
    }
}

impl Drop for LocalSource {
    fn drop(&mut self) {
        let stage = self.local.stage(self.stage);
        let mut station = stage.lock();
        let lost = station.balancer.lost(self.worker);
        stage.wake(station);
        if let Some(ticket) = self.split.take() {
            self.local.cancel(&ticket, Reason::Answered);
        }
        if let Some(lost) = lost {
            // The message went with the worker, so that even an idempotent stage has nothing left to try again.
            stage.metrics.ended(Ended::Lost);
            self.local.reply(lost.id(), Reply::Whole(worker_lost()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    use crate::Request;
    use crate::context::Context;
    use crate::fork::Fork;
    use crate::loopback::{Inbox, loopback};
    use crate::metrics::Metrics;
    use crate::payload::Payload;

    const STAGE: StageId = StageId(0);

    fn pool(timeout: Option<Duration>) -> (Arc<Local>, Inbox) {
        let (loopback, inbox) = loopback().expect("an eventfd");
        let options = Options { queue: 8, timeout, idempotent: true, attempts: 3 };
        let stage = LocalStage::new(Arc::new(Metrics::new("test").stage("stage")), options, 2);
        (Arc::new(Local::new(vec![stage], loopback)), inbox)
    }

    fn job(key: u32) -> Envelope {
        let id = RequestId { key, generation: 1 };
        let now = Instant::now();
        let ticket = Ticket::new(id, Request::get("/").shared_head(), now + Duration::from_secs(60));
        Envelope::new(Context::new(ticket), Payload::new(Request::get("/")), now)
    }

    fn offer(local: &Local, job: Envelope) {
        assert!(local.dispatch(STAGE, job, Instant::now()).is_ok());
    }

    #[test]
    fn a_worker_that_is_lost_with_its_job_answers_502() {
        let (local, inbox) = pool(None);
        let mut source = local.source(STAGE, WorkerId(0));
        offer(&local, job(1));
        assert!(matches!(source.next(), Next::Job(_)));
        drop(source);
        let Ok(Note::Reply(id, Reply::Whole(answer))) = inbox.notes.try_recv() else { panic!("no answer") };
        assert_eq!((id.key, answer.status()), (1, StatusCode::BAD_GATEWAY));
        assert_eq!(local.stages()[0].load(), (0, 0));
    }

    #[test]
    fn a_worker_that_is_lost_with_a_part_leaves_the_other_parts_in_vain() {
        let (local, inbox) = pool(None);
        let mut source = local.source(STAGE, WorkerId(0));
        let Envelope { context, .. } = job(1);
        let fork = Fork::new(None, STAGE, 1, (0..3).map(|_| Payload::new(Request::get("/"))).collect());
        for (part, payload) in std::iter::from_fn(|| fork.next_part()) {
            let context = Context { part: Some(part), ..context.clone() };
            offer(&local, Envelope::new(context, payload, Instant::now()));
        }
        assert!(matches!(source.next(), Next::Job(_)));
        source.done();
        assert!(matches!(source.next(), Next::Job(_)));
        assert!(context.check().is_ok());
        drop(source);
        assert_eq!(context.check().map_err(|cancelled| cancelled.reason), Err(Reason::Answered));
        assert_eq!(local.stages()[0].load(), (0, 0));
        assert_eq!(inbox.notes.len(), 1);
    }

    #[test]
    fn a_worker_that_ends_after_its_job_answers_nothing() {
        let (local, inbox) = pool(None);
        let mut source = local.source(STAGE, WorkerId(0));
        offer(&local, job(1));
        assert!(matches!(source.next(), Next::Job(_)));
        source.done();
        drop(source);
        assert!(inbox.notes.is_empty());
    }

    #[test]
    fn a_lost_worker_leaves_what_waits_to_the_others() {
        let (local, _inbox) = pool(None);
        let (mut lost, mut other) = (local.source(STAGE, WorkerId(0)), local.source(STAGE, WorkerId(1)));
        offer(&local, job(1));
        offer(&local, job(2));
        assert!(matches!(lost.next(), Next::Job(_)));
        drop(lost);
        let Next::Job(job) = other.next() else { panic!("a job waits") };
        assert_eq!(job.context.ticket.id.key, 2);
    }

    #[test]
    fn a_cancelled_job_leaves_the_queue_or_is_flagged_where_it_runs() {
        let (local, _inbox) = pool(None);
        let mut source = local.source(STAGE, WorkerId(0));
        let (first, second) = (job(1), job(2));
        let tickets = [&first, &second].map(|job| Arc::clone(&job.context.ticket));
        offer(&local, first);
        offer(&local, second);
        let Next::Job(running) = source.next() else { panic!("a job waits") };
        assert_eq!(local.stages()[0].load(), (1, 1));
        local.cancel(&tickets[1], Reason::TimedOut);
        assert_eq!(local.stages()[0].load(), (0, 1));
        assert!(running.context.check().is_ok());
        local.cancel(&tickets[0], Reason::Disconnected);
        assert_eq!(running.context.check().map_err(|cancelled| cancelled.reason), Err(Reason::Disconnected));
    }

    #[test]
    fn a_job_that_was_cancelled_on_its_way_is_not_queued() {
        let (local, _inbox) = pool(None);
        let (first, second) = (job(1), job(2));
        for job in [&first, &second] {
            local.cancel(&job.context.ticket, Reason::Disconnected);
        }
        offer(&local, first);
        assert!(local.dispatch_all(STAGE, [second].into_iter(), Instant::now()).is_empty());
        assert_eq!(local.stages()[0].load(), (0, 0));
    }

    #[test]
    fn the_front_end_is_told_of_a_timeout_only_where_it_does_not_look_anyway() {
        let (local, inbox) = pool(Some(Duration::from_secs(1)));
        offer(&local, job(1));
        assert!(matches!(inbox.notes.try_recv(), Ok(Note::Plan(STAGE))));
        offer(&local, job(2));
        assert!(inbox.notes.is_empty(), "it will look at the first job's timeout, which is sooner");
        let later = Instant::now() + Duration::from_secs(2);
        let (expired, planned) = local.tick(STAGE, later);
        assert_eq!((expired.len(), planned), (2, None));
        offer(&local, job(3));
        assert!(matches!(inbox.notes.try_recv(), Ok(Note::Plan(STAGE))));
    }

    #[test]
    fn a_closed_stage_hands_jobs_back_and_lets_workers_go() {
        let (local, _inbox) = pool(None);
        let mut source = local.source(STAGE, WorkerId(0));
        offer(&local, job(1));
        local.close();
        assert!(matches!(local.dispatch(STAGE, job(2), Instant::now()), Err(Rejected::Gone(_))));
        assert!(matches!(source.next(), Next::Drained));
        assert_eq!(local.stages()[0].load(), (0, 0));
    }
}
