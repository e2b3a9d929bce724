//! The load balancer before a pool: which job waits, which worker is idle, who gets what.
//!
//! No socket, thread or clock in here: time is an argument, and a worker is a number. The local transport keeps a [`Balancer`]
//! behind a mutex for each stage; [`crews`] has what a proxy process keeps in its loop. Both share the queue.
//!
//! Binding is late: a job stays in the queue until a worker has come for it ([`Balancer::take`]). A parked worker that is woken
//! by [`summon`](Balancer::summon) may find that another, which became free while it woke up, was faster.

use std::time::Instant;

pub(crate) use self::queue::{Job, Options};
use self::queue::{JobKey, Queue};
use crate::ids::RequestId;

pub(crate) mod crews;
pub(crate) mod queue;

/// A worker's number within its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkerId(pub(crate) usize);

/// A job whose time in this stage is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expired<J> {
    /// It waited still, and is handed back.
    Waiting(J),
    /// It runs still, and its worker keeps it until it is [`done`](Balancer::done).
    Running(RequestId),
}

/// See the [module's docs](self).
#[derive(Debug)]
pub(crate) struct Balancer<J> {
    queue: Queue<J, (), ()>,
    workers: Vec<Worker>,
    /// The parked ones; the last to park is the first to be woken, since its cache is the warmest.
    idle: Vec<WorkerId>,
    summoned: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    /// Not there yet, or lost.
    Absent,
    Idle,
    /// Woken, on its way.
    Summoned,
    /// Between two jobs, or not yet parked.
    Free,
    Busy {
        entry: usize,
    },
}

impl<J: Job> Balancer<J> {
    /// A balancer for workers numbered from 0, none of which is there yet.
    pub(crate) fn new(options: Options, workers: usize) -> Self {
        Self {
            queue: Queue::new(options),
            workers: vec![Worker::Absent; workers],
            idle: Vec::with_capacity(workers),
            summoned: 0,
        }
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// How many jobs run.
    pub(crate) fn running(&self) -> usize {
        self.queue.taken()
    }

    /// Queues a job and gives its place, for [`cancel`](Self::cancel), or hands it back if the queue is full. Jobs that an
    /// idle or summoned worker will take at once do not count as waiting. Afterwards, [`summon`](Self::summon).
    pub(crate) fn offer(&mut self, job: J, now: Instant) -> Result<u32, J> {
        let JobKey { slot, .. } = self.queue.offer(job, (), self.idle.len() + self.summoned, now)?;
        Ok(slot)
    }

    /// The idle worker to wake, where more jobs wait than workers are on their way. To be asked after an offer, after a worker
    /// was lost, and after one went idle.
    pub(crate) fn summon(&mut self) -> Option<WorkerId> {
        if self.summoned >= self.waiting() {
            return None;
        }
        let worker = self.idle.pop()?;
        self.workers[worker.0] = Worker::Summoned;
        self.summoned += 1;
        Some(worker)
    }

    /// A free worker asks for work. `None` makes it idle: it parks until an offer summons it.
    pub(crate) fn take(&mut self, worker: WorkerId) -> Option<J> {
        self.leave(worker);
        if let Some(entry) = self.queue.first() {
            self.workers[worker.0] = Worker::Busy { entry };
            return Some(self.queue.take(entry, ()));
        }
        self.workers[worker.0] = Worker::Idle;
        self.idle.push(worker);
        None
    }

    /// A worker's job is over: answered, or accepted by the next stage.
    pub(crate) fn done(&mut self, worker: WorkerId) {
        if let Worker::Busy { entry } = self.workers[worker.0] {
            self.queue.finish(entry);
            self.workers[worker.0] = Worker::Free;
        }
    }

    /// A worker is gone, with the job that it ran, if it ran one: a thread takes its job's message with it, so that even of an
    /// idempotent stage there is nothing left to try again.
    pub(crate) fn lost(&mut self, worker: WorkerId) -> Option<RequestId> {
        self.leave(worker);
        let Worker::Busy { entry } = std::mem::replace(&mut self.workers[worker.0], Worker::Absent) else {
            return None;
        };
        let id = self.queue.id(entry);
        self.queue.finish(entry);
        Some(id)
    }

    /// Takes a waiting job out. `None` where it no longer waits.
    pub(crate) fn cancel(&mut self, entry: u32, id: RequestId) -> Option<J> {
        self.queue.cancel(entry as usize, id)
    }

    /// Takes all waiting jobs of a request out, where it is split and they may be many.
    pub(crate) fn cancel_all(&mut self, id: RequestId) -> Vec<J> {
        self.queue.cancel_all(id)
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_event(&mut self) -> Option<Instant> {
        self.queue.next_expiry()
    }

    /// Takes one job whose time is over at `now`; call it until it gives `None`.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Expired<J>> {
        let entry = self.queue.pop_expired(now)?;
        let id = self.queue.id(entry);
        Some(self.queue.take_out(entry).map_or(Expired::Running(id), Expired::Waiting))
    }

    /// Gives up all waiting jobs, first come first.
    pub(crate) fn clear(&mut self) -> Vec<J> {
        self.queue.clear()
    }

    /// Forgets that a worker was idle or summoned.
    fn leave(&mut self, worker: WorkerId) {
        match self.workers[worker.0] {
            Worker::Idle => self.idle.retain(|idle| *idle != worker),
            Worker::Summoned => self.summoned -= 1,
            Worker::Absent | Worker::Free | Worker::Busy { .. } => {}
        }
        if matches!(self.workers[worker.0], Worker::Idle | Worker::Summoned) {
            self.workers[worker.0] = Worker::Free;
        }
    }
}

#[cfg(test)]
mod test_job;
#[cfg(test)]
mod tests;
