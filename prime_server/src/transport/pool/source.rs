//! What a worker has of its pool.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Pool;
use crate::affinity::Affinity;
use crate::answers::{self, worker_lost};
use crate::balancer::WorkerId;
use crate::context::Ticket;
use crate::ids::RequestId;
use crate::kernel::Tid;
use crate::metrics::Ended;
use crate::panics::log;
use crate::response::Reply;
use crate::seat::Seat;
use crate::transport::{Envelope, Outlet};

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// This job, and where the stage takes several at a time, those of [`Source::more`].
    Job(Envelope),
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
    /// The time, where it has just been looked up.
    now: Option<Instant>,
    /// What it has announced.
    affinity: Affinity,
}

impl Pool {
    /// The jobs of one worker, and where to say that it is lost. To be made on the worker's own thread, once it is ready to work.
    pub(crate) fn source(self: &Arc<Self>, worker: WorkerId, outlet: Arc<dyn Outlet>) -> Source {
        let seat = Arc::clone(&self.lock().seats[worker.0]);
        seat.take();
        // A spare is born with the supervisor's slice. What this cannot change, that could not either.
        let _ = Tid::current().set_slice(Duration::ZERO);
        let (more, splits, now, affinity) = (Vec::new(), Vec::new(), None, Affinity::NONE);
        Source { pool: Arc::clone(self), outlet, worker, seat, more, splits, now, affinity }
    }
}

impl Source {
    /// Waits for a job, and for those that are run with it.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            let now = self.now.take().unwrap_or_else(Instant::now);
            let mut station = self.pool.lock();
            if station.closed || self.seat.is_dismissed() {
                return Next::Drained;
            }
            let taken = station.balancer.take(self.worker, now);
            let mut hopeless = station.balancer.hopeless();
            if let Some(job) = taken {
                station.ready |= station.balancer.is_long(self.worker);
                if self.pool.size.batching.most > 1 {
                    station = self.pool.gather(self.worker, &job, &mut self.more, station, now);
                }
                hopeless.append(&mut station.balancer.hopeless());
                let watch = station.must_watch();
                drop(station);
                if watch {
                    self.pool.supervisor.ring();
                }
                self.refuse(hopeless);
                let parts = std::iter::once(&job).chain(&self.more).filter(|job| job.context.part.is_some());
                self.splits.extend(parts.map(|job| Arc::clone(&job.context.ticket)));
                return Next::Job(job);
            }
            // A job may wait that another is to be chosen for, or that waited until this one's was over.
            self.pool.wake(station);
            self.refuse(hopeless);
            thread::park();
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
            log(|| tracing::error!(stage, bytes, "what a worker announces has more than 256 bytes, and is left out"));
        }
        self.pool.lock().announce(self.worker, if is_short { affinity } else { Affinity::NONE });
        self.outlet.announced();
    }

    /// Answers jobs that cannot be done in time.
    fn refuse(&self, hopeless: Vec<Envelope>) {
        for job in hopeless {
            self.pool.metrics.ended(Ended::Hopeless);
            if job.context.part.is_some() {
                self.outlet.cancel_parts(&job.context.ticket);
            }
            self.outlet.reply(job.context.ticket.id, Reply::whole(answers::hopeless()));
            self.pool.discard(job);
        }
    }

    /// What is run with the job that came last.
    pub(crate) fn more(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.more)
    }

    /// A job was not begun, since nobody waits for it any more.
    pub(crate) fn abandon(&mut self, id: RequestId, now: Instant) {
        self.splits.retain(|ticket| ticket.id != id);
        self.now = Some(now);
        self.pool.lock().balancer.not_begun(self.worker, id);
    }

    /// The last jobs are over, at `now`, after they ran for so long: their outcomes are on their way.
    pub(crate) fn done(&mut self, ran: Duration, now: Instant) {
        self.splits.clear();
        self.now = Some(now);
        self.pool.lock().balancer.done(self.worker, ran);
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
