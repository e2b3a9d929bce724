//! How a worker comes to several jobs, where its stage takes them in batches.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::{Pool, Station};
use crate::balancer::WorkerId;
use crate::seat::Seat;
use crate::transport::{Envelope, Outlet};

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

/// A worker that comes to several jobs.
pub(super) struct Gathering<'a> {
    pub(super) pool: &'a Pool,
    pub(super) outlet: &'a dyn Outlet,
    pub(super) worker: WorkerId,
    pub(super) seat: &'a Seat,
}

impl<'a> Gathering<'a> {
    /// Adds to a job that it has just taken what its batch lacks: what waits, then what comes while it waits. Returns when that was over.
    pub(super) fn fill(
        &self,
        first: &Envelope,
        more: &mut Vec<Envelope>,
        mut station: MutexGuard<'a, Station>,
        mut now: Instant,
    ) -> (MutexGuard<'a, Station>, Instant) {
        let Batching { most, wait } = self.pool.size.batching;
        let mut until = (now + wait).min(latest(first, now));
        loop {
            while more.len() + 1 < most
                && let Some(job) = station.balancer.take_more(self.worker, now)
            {
                until = until.min(latest(&job, now));
                more.push(job);
            }
            let lacks = most - 1 - more.len();
            if lacks == 0 || until <= now || station.hurried || station.closed {
                return (station, now);
            }
            station.balancer.gather(self.worker, lacks);
            let hopeless = station.balancer.hopeless();
            drop(station);
            // Whoever is refused hears it at once, and the time that their messages take is no longer a wait.
            self.pool.refuse(hopeless, self.outlet);
            self.seat.park_timeout(until.saturating_duration_since(Instant::now()));
            now = Instant::now();
            station = self.pool.lock();
            station.balancer.gathered(self.worker, now);
        }
    }
}

/// Until when a job may wait for others: for half of the time that it has left, so that it can still be done in the other half.
fn latest(job: &Envelope, now: Instant) -> Instant {
    now + job.context.deadline.saturating_duration_since(now) / 2
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;
    use crate::Request;
    use crate::balancer::Options;
    use crate::context::{Context, Ticket};
    use crate::ids::{RequestId, StageId};
    use crate::loopback::Inbox;
    use crate::mailbox::mailbox;
    use crate::metrics::{Metrics, Share};
    use crate::payload::Payload;
    use crate::transport::{Local, Next, Transport};

    const STAGE: StageId = StageId(0);
    const HOUR: Duration = Duration::from_secs(3600);
    const LIMIT: Duration = Duration::from_secs(30);

    struct Scene {
        local: Arc<Local>,
        _inbox: Inbox,
    }

    impl Scene {
        /// A pool whose workers take three jobs at a time, and wait for them so long.
        fn new(workers: usize, wait: Duration) -> Self {
            let (loopback, inbox) = mailbox().unwrap();
            let options = Options { queue: 9, ..Options::PLAIN };
            let metrics = Metrics::new("test").stage("stage", Share::Whole);
            let pool = Pool::of_test_in_batches(STAGE, metrics, options, workers, Batching { most: 3, wait });
            Self { local: Arc::new(Local::new(vec![pool], loopback)), _inbox: inbox }
        }

        /// So many workers that say how many jobs they have each time.
        fn workers(&self, number: usize) -> Receiver<usize> {
            let (say, said) = channel();
            for worker in (0..number).map(WorkerId) {
                let (pool, outlet) = (Arc::clone(&self.local.pools()[0]), Arc::clone(&self.local) as Arc<dyn Outlet>);
                let say = say.clone();
                thread::spawn(move || {
                    let mut source = pool.source(worker, outlet);
                    while let Next::Job(..) = source.next() {
                        say.send(1 + source.more().len()).unwrap();
                        source.done(Duration::ZERO);
                    }
                });
            }
            said
        }

        fn offer(&self, key: u32, left: Duration) {
            let head = Request::get("/").shared_head();
            let ticket = Ticket::new(RequestId { key, generation: 0 }, head, Instant::now() + left);
            let job = Envelope::new(Context::new(ticket), Payload::new(Request::get("/")), Instant::now());
            assert!(self.local.dispatch_all(STAGE, &mut std::iter::once(job), Instant::now()).is_empty());
        }

        fn until_running(&self, jobs: usize) {
            let start = Instant::now();
            while self.local.pools()[0].load().1 != jobs {
                assert!(start.elapsed() < LIMIT, "never so many run");
                thread::yield_now();
            }
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            self.local.close();
        }
    }

    #[test]
    fn a_worker_waits_until_its_batch_is_full_and_the_others_are_left_alone() {
        let scene = Scene::new(2, HOUR);
        let said = scene.workers(2);
        for n in 1..3 {
            scene.offer(n, 10 * HOUR);
            scene.until_running(n as usize);
        }
        scene.offer(3, 10 * HOUR);
        assert_eq!(said.recv_timeout(LIMIT), Ok(3));
    }

    #[test]
    fn it_waits_for_half_of_the_time_that_a_job_has_left() {
        let scene = Scene::new(1, HOUR);
        let said = scene.workers(1);
        let left = Duration::from_millis(500);
        let start = Instant::now();
        scene.offer(1, 10 * HOUR);
        scene.until_running(1);
        scene.offer(2, left);
        assert_eq!(said.recv_timeout(LIMIT), Ok(2));
        assert!(start.elapsed() >= left / 2);
        let latest = latest(&envelope(left), Instant::now());
        assert!(latest < Instant::now() + left * 2 / 3, "so that it is done in time");
    }

    fn envelope(left: Duration) -> Envelope {
        Envelope::new(Context::test_within(left), Payload::new(Request::get("/")), Instant::now())
    }

    #[test]
    fn it_does_not_wait_where_it_is_not_to() {
        let scene = Scene::new(1, Duration::ZERO);
        let said = scene.workers(1);
        scene.offer(1, HOUR);
        assert_eq!(said.recv_timeout(LIMIT), Ok(1));
    }

    #[test]
    fn it_does_not_wait_once_no_more_requests_come() {
        let scene = Scene::new(1, HOUR);
        let said = scene.workers(1);
        scene.offer(1, 10 * HOUR);
        scene.until_running(1);
        scene.local.drain();
        assert_eq!(said.recv_timeout(LIMIT), Ok(1));
        scene.offer(2, 10 * HOUR);
        assert_eq!(said.recv_timeout(LIMIT), Ok(1));
    }
}
