//! What a worker has of its pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pool;
use super::gather::Gathering;
use crate::affinity::Affinity;
use crate::answers::{self, worker_lost};
use crate::balancer::WorkerId;
use crate::context::Ticket;
use crate::ids::RequestId;
use crate::metrics::Ended;
use crate::panics::log;
use crate::response::Reply;
use crate::seat::Seat;
use crate::transport::{Envelope, Outlet};

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// This job, which counts as running from then on, and where the stage takes several at a time, those of [`Source::more`].
    Job(Envelope, Instant),
    /// No job will come any more.
    Drained,
}

/// One worker's jobs. Dropped before they are done, it is a worker lost: they are answered 502.
#[derive(Debug)]
pub(crate) struct Source {
    pool: Arc<Pool>,
    outlet: Arc<dyn Outlet>,
    worker: WorkerId,
    seat: Arc<Seat>,
    /// What its batch has besides the job that came first.
    more: Vec<Envelope>,
    /// The requests of those of its jobs that are parts: if it is lost, the other parts are in vain.
    splits: Vec<Arc<Ticket>>,
    /// How long the jobs ran that are over, as long as the pool has not been told: it is when the next one is taken, under one lock.
    ran: Option<Duration>,
    /// What it has announced.
    affinity: Affinity,
}

impl Pool {
    /// The jobs of one worker, and where to say that it is lost. To be made on the worker's own thread, once it is ready to work.
    pub(crate) fn source(self: &Arc<Self>, worker: WorkerId, outlet: Arc<dyn Outlet>) -> Source {
        let seat = Arc::clone(&self.lock().seats[worker.0]);
        seat.take();
        let (more, splits, ran, affinity) = (Vec::new(), Vec::new(), None, Affinity::NONE);
        Source { pool: Arc::clone(self), outlet, worker, seat, more, splits, ran, affinity }
    }

    /// Answers jobs that cannot be done in time.
    pub(super) fn refuse(&self, mut hopeless: Vec<Envelope>, outlet: &dyn Outlet) {
        while let Some(job) = hopeless.pop() {
            self.metrics.ended(Ended::Hopeless);
            if job.context.part.is_some() {
                outlet.cancel_parts(&job.context.ticket);
            }
            outlet.reply(job.context.ticket.id, Reply::whole(answers::hopeless()));
            self.drop_job(job);
        }
    }
}

impl Source {
    /// Waits for a job, and for those that are run with it.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            // Not before: what the worker has done since its last job is no part of the next one's run.
            let mut now = Instant::now();
            let mut station = self.pool.lock();
            station.over(self.worker, self.ran.take());
            if station.closed || self.seat.is_dismissed() {
                return Next::Drained;
            }
            let taken = station.balancer.take(self.worker, now);
            if let Some(job) = taken {
                station.ready |= station.balancer.is_long(self.worker);
                if self.pool.size.batching.most > 1 {
                    let gathering = Gathering {
                        pool: &self.pool,
                        outlet: self.outlet.as_ref(),
                        worker: self.worker,
                        seat: &self.seat,
                    };
                    (station, now) = gathering.fill(&job, &mut self.more, station, now);
                }
                let hopeless = station.balancer.hopeless();
                let watch = station.must_watch();
                let plan = station.balancer.is_overloaded() && station.must_plan();
                drop(station);
                if plan {
                    self.outlet.plan(self.pool.stage);
                }
                if watch {
                    self.pool.supervisor.ring();
                }
                self.pool.refuse(hopeless, self.outlet.as_ref());
                let parts = std::iter::once(&job).chain(&self.more).filter(|job| job.context.part.is_some());
                self.splits.extend(parts.map(|job| Arc::clone(&job.context.ticket)));
                return Next::Job(job, now);
            }
            let hopeless = station.balancer.hopeless();
            // A job may wait that another is to be chosen for, or that waited until this one's was over.
            self.pool.wake(station);
            self.pool.refuse(hopeless, self.outlet.as_ref());
            self.seat.park();
        }
    }

    /// What the worker announces from now on. What is too long is nothing.
    pub(crate) fn announce(&mut self, affinity: Affinity) {
        if affinity == self.affinity {
            return;
        }
        self.affinity = affinity.clone();
        let bytes = affinity.as_bytes().len();
        let is_short = bytes <= Affinity::MOST;
        if !is_short {
            let stage = self.pool.metrics.stage();
            let most = Affinity::MOST;
            log(|| tracing::error!(stage, bytes, most, "what a worker announces has too many bytes, and is left out"));
        }
        self.pool.lock().announce(self.worker, if is_short { affinity } else { Affinity::NONE });
        self.outlet.announced();
    }

    /// What is run with the job that came last.
    pub(crate) fn more(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.more)
    }

    /// A job was not begun, since nobody waits for it any more.
    pub(crate) fn abandon(&mut self, id: RequestId) {
        self.splits.retain(|ticket| ticket.id != id);
        self.pool.lock().balancer.not_begun(self.worker, id);
    }

    /// The last jobs are over, after they ran for so long: their outcomes are on their way.
    pub(crate) fn done(&mut self, ran: Duration) {
        self.splits.clear();
        self.ran = Some(ran);
    }

    /// A job is lost.
    pub(crate) fn lose(&self, id: RequestId) {
        self.splits.iter().filter(|ticket| ticket.id == id).for_each(|ticket| self.outlet.cancel_parts(ticket));
        self.pool.metrics.ended(Ended::Lost);
        self.outlet.reply(id, Reply::whole(worker_lost()));
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut station = self.pool.lock();
        station.over(self.worker, self.ran.take());
        let lost = station.balancer.lost(self.worker);
        station.announce(self.worker, Affinity::NONE);
        // If it had been summoned, another one is to come.
        self.pool.wake(station);
        self.outlet.ran_with_fewer(self.worker);
        if self.affinity != Affinity::NONE {
            self.outlet.announced();
        }
        lost.into_iter().for_each(|id| self.lose(id));
    }
}

#[cfg(test)]
mod tests;
