//! What a worker has of its pool.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Pool;
use crate::affinity::Affinity;
use crate::answers::worker_lost;
use crate::balancer::WorkerId;
use crate::context::Ticket;
use crate::kernel::Tid;
use crate::metrics::Ended;
use crate::panics::log;
use crate::response::Reply;
use crate::seat::Seat;
use crate::transport::{Envelope, Outlet};

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next {
    Job(Envelope),
    /// No job will come any more.
    Drained,
}

/// One worker's jobs. Dropped before its job is done, it is a worker lost: the job is answered 502.
#[derive(Debug)]
pub(crate) struct Source {
    pool: Arc<Pool>,
    outlet: Arc<dyn Outlet>,
    worker: WorkerId,
    seat: Arc<Seat>,
    /// The request of its job, where that is a part: if it is lost, the other parts are in vain.
    split: Option<Arc<Ticket>>,
    /// The time, where it has just been looked up.
    now: Option<Instant>,
    /// What it has announced.
    affinity: Affinity,
}

impl Pool {
    /// The jobs of one worker, and where to say that it is lost. To be made on the worker's own thread, once it is ready to work.
    pub(crate) fn source(self: &Arc<Self>, worker: WorkerId, outlet: Arc<dyn Outlet>) -> Source {
        let seat = {
            let mut station = self.lock();
            let seat = Arc::clone(&station.seats[worker.0]);
            station.hired -= usize::from(seat.take());
            seat
        };
        // A spare is born with the supervisor's slice. What this cannot change, that could not either.
        let _ = Tid::current().set_slice(Duration::ZERO);
        Source { pool: Arc::clone(self), outlet, worker, seat, split: None, now: None, affinity: Affinity::NONE }
    }
}

impl Source {
    /// Waits for a job.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            let now = self.now.take().unwrap_or_else(Instant::now);
            let mut station = self.pool.lock();
            if station.closed || self.seat.is_dismissed() {
                return Next::Drained;
            }
            if let Some(job) = station.balancer.take(self.worker, now) {
                let watch = station.must_watch();
                drop(station);
                if watch {
                    self.pool.supervisor.ring();
                }
                if job.context.part.is_some() {
                    self.split = Some(Arc::clone(&job.context.ticket));
                }
                return Next::Job(job);
            }
            if self.pool.chooser.is_some() {
                // It has gone idle as others are, while a job may wait that one of them is to be chosen for.
                self.pool.wake(station);
            } else {
                drop(station);
            }
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

    /// The last job was not begun, since nobody waits for it any more.
    pub(crate) fn abandon(&mut self, now: Instant) {
        self.split = None;
        self.now = Some(now);
        self.pool.lock().balancer.not_begun(self.worker);
    }

    /// The last job is over, at `now`, after it ran for so long: its outcome is on its way.
    pub(crate) fn done(&mut self, ran: Duration, now: Instant) {
        self.split = None;
        self.now = Some(now);
        self.pool.lock().balancer.done(self.worker, ran);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut station = self.pool.lock();
        let lost = station.balancer.lost(self.worker);
        station.announce(self.worker, Affinity::NONE);
        // If it had been summoned, another one is to come.
        self.pool.wake(station);
        if self.affinity != Affinity::NONE {
            self.outlet.announced();
        }
        if let Some(ticket) = self.split.take() {
            self.outlet.cancel_parts(&ticket);
        }
        if let Some(lost) = lost {
            self.pool.metrics.ended(Ended::Lost);
            self.outlet.reply(lost, Reply::whole(worker_lost()));
        }
    }
}
