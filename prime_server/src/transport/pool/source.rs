//! What a worker has of its pool.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Pool;
use crate::answers::{self, worker_lost};
use crate::balancer::WorkerId;
use crate::context::Ticket;
use crate::kernel::Tid;
use crate::metrics::Ended;
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
        Source { pool: Arc::clone(self), outlet, worker, seat, split: None, now: None }
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
            let taken = station.balancer.take(self.worker, now);
            let hopeless = station.balancer.hopeless();
            if let Some(job) = taken {
                station.ready |= station.balancer.is_long(self.worker);
                let watch = station.must_watch();
                drop(station);
                if watch {
                    self.pool.supervisor.ring();
                }
                self.refuse(hopeless);
                if job.context.part.is_some() {
                    self.split = Some(Arc::clone(&job.context.ticket));
                }
                return Next::Job(job);
            }
            drop(station);
            self.refuse(hopeless);
            thread::park();
        }
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
