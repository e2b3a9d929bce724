//! The balancer, the jobs that its workers run, and the processors that they run on.

use std::time::{Duration, Instant};

use crate::balancer::{self, Balancer, Options, Order, Refused, WorkerId};
use crate::ids::RequestId;
use crate::job::{Ended, Fate, Job, Nanos};
use crate::labels::Labels;
use crate::policy::Machine;
use crate::processors::Processors;

/// A job as the balancer sees it.
#[derive(Debug)]
pub(super) struct Offered {
    job: Job,
    labels: Labels,
}

impl balancer::Job for Offered {
    fn id(&self) -> RequestId {
        RequestId { key: self.job.number as u32, generation: (self.job.number >> 32) as u32 }
    }
    fn attempt(&self) -> u32 {
        1
    }
    fn next_attempt(&mut self) {}
    fn returns(&self) -> bool {
        false
    }
    fn is_part(&self) -> bool {
        false
    }
    fn labels(&self) -> Labels {
        self.labels
    }
    fn deadline(&self) -> Instant {
        unreachable!("no job is refused for what it takes")
    }
}

/// A job and when it was begun.
type Run = (Job, Nanos);

pub(super) struct Station {
    /// The moment 0 on the balancer's clock. Only differences matter to it.
    start: Instant,
    pub(super) balancer: Balancer<Offered>,
    pub(super) processors: Processors,
    /// By worker.
    runs: Vec<Option<Run>>,
    /// What whoever takes the slot of a demoted worker has to do more.
    overhead: Nanos,
    /// A job that is known to be long has begun since somebody asked.
    long_begun: bool,
}

impl Station {
    pub(super) fn new(machine: &Machine, order: Order) -> Self {
        let options = Options { queue: machine.queue, order, ..Options::PLAIN };
        let mut station = Self {
            start: Instant::now(),
            balancer: Balancer::in_batches(options, machine.workers, 1),
            processors: Processors::new(machine.cores),
            runs: Vec::new(),
            overhead: machine.overhead,
            long_begun: false,
        };
        (0..machine.workers).for_each(|_| station.hire(0));
        station
    }

    pub(super) fn instant(&self, now: Nanos) -> Instant {
        self.start + Duration::from_nanos(now)
    }

    pub(super) fn nanos(&self, at: Instant) -> Nanos {
        at.saturating_duration_since(self.start).as_nanos() as Nanos
    }

    /// How many workers there are.
    pub(super) fn instances(&self) -> usize {
        self.runs.len()
    }

    /// Whether a job that is known to be long has begun since this was asked last.
    pub(super) fn has_begun_long(&mut self) -> bool {
        std::mem::take(&mut self.long_begun)
    }

    pub(super) fn is_behind(&self) -> bool {
        self.balancer.is_behind()
    }

    /// When the next job ends.
    pub(super) fn due(&self) -> Option<Nanos> {
        self.processors.due()
    }

    /// There is one more worker.
    pub(super) fn hire(&mut self, now: Nanos) {
        self.runs.push(None);
        self.ask(WorkerId(self.runs.len() - 1), now);
    }

    pub(super) fn offer(&mut self, job: Job, labels: Labels, ended: &mut Ended<'_>) {
        let now = self.instant(job.arrives);
        if let Err(Refused::Full(refused) | Refused::Hopeless(refused)) =
            self.balancer.offer(Offered { job, labels }, now)
        {
            ended(refused.job, Fate::Refused);
        }
    }

    /// Wakes the idle workers that the waiting jobs need.
    pub(super) fn wake(&mut self, now: Nanos) {
        while let Some(worker) = self.balancer.summon() {
            self.ask(worker, now);
        }
    }

    /// A worker asks for a job, and begins it. Whether there was one.
    pub(super) fn ask(&mut self, worker: WorkerId, now: Nanos) -> bool {
        self.begin(worker, 0, now)
    }

    /// A job that has not ended since that moment loses its slot to a spare. Whether it did.
    pub(super) fn demote(&mut self, worker: WorkerId, since: Instant, now: Nanos) -> bool {
        let demoted = self.balancer.demote(worker, since, self.instant(now));
        if let Some(spare) = demoted {
            self.processors.set_back(worker.0, now);
            self.begin(spare, self.overhead, now);
        }
        demoted.is_some()
    }

    /// Ends one of the jobs that are over by now, and says which worker is free.
    pub(super) fn end_one(&mut self, now: Nanos, ended: &mut Ended<'_>) -> Option<WorkerId> {
        let worker = self.processors.ended(now)?;
        let (job, since) = self.runs[worker].take().expect("who ends a job has begun it");
        self.balancer.done(WorkerId(worker), Duration::from_nanos(now - since));
        ended(job, Fate::Done(now));
        Some(WorkerId(worker))
    }

    fn begin(&mut self, worker: WorkerId, overhead: Nanos, now: Nanos) -> bool {
        let Some(Offered { job, .. }) = self.balancer.take(worker, self.instant(now)) else { return false };
        self.processors.begin(worker.0, job.service + overhead, now);
        self.long_begun |= self.balancer.is_long(worker);
        self.runs[worker.0] = Some((job, now));
        true
    }
}
