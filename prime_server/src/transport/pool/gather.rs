//! How a worker comes to several jobs, where its stage takes them in batches.

use std::sync::MutexGuard;
use std::thread;
use std::time::{Duration, Instant};

use super::{Pool, Station};
use crate::balancer::WorkerId;
use crate::transport::Envelope;

/// How many jobs a worker takes at a time, and how long it waits for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batching {
    pub(crate) most: usize,
    pub(crate) wait: Duration,
}

impl Batching {
    /// One job after the other.
    pub(crate) const NONE: Self = Self { most: 1, wait: Duration::ZERO };
}

impl Pool {
    /// Adds to a job that a worker has just taken what its batch lacks: what waits, then what comes while the worker waits.
    pub(super) fn gather<'a>(
        &'a self,
        worker: WorkerId,
        first: &Envelope,
        more: &mut Vec<Envelope>,
        mut station: MutexGuard<'a, Station>,
        mut now: Instant,
    ) -> MutexGuard<'a, Station> {
        let Batching { most, wait } = self.size.batching;
        let mut until = (now + wait).min(latest(first, now));
        loop {
            while more.len() + 1 < most
                && let Some(job) = station.balancer.take_more(worker)
            {
                until = until.min(latest(&job, now));
                more.push(job);
            }
            let lacks = most - 1 - more.len();
            if lacks == 0 || until <= now || station.hurried || station.closed {
                return station;
            }
            station.balancer.gather(worker, lacks);
            drop(station);
            thread::park_timeout(until - now);
            now = Instant::now();
            station = self.lock();
            station.balancer.gathered(worker, now);
        }
    }
}

/// Until when a job may wait for others: for half of the time that it has left, so that it can still be done in the other half.
fn latest(job: &Envelope, now: Instant) -> Instant {
    now + job.context.deadline.saturating_duration_since(now) / 2
}
