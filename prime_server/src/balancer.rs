//! The load balancer before a pool: which job waits, which worker is idle, who gets what.
//!
//! No socket, thread or clock in here: time is an argument, and a worker is a number. The local transport keeps one behind a
//! mutex for each stage; a proxy process can keep one in its loop.
//!
//! Binding is late: a job stays in the queue until a worker has come for it ([`Balancer::take`]). A parked worker that is woken
//! by [`summon`](Balancer::summon) may find that another, which became free while it woke up, was faster.

use std::time::{Duration, Instant};

use slab::Slab;

use crate::deadlines::Deadlines;
use crate::ids::RequestId;

/// A worker's number within its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkerId(pub(crate) usize);

/// What the balancer needs to know of a job.
pub(crate) trait Job {
    fn id(&self) -> RequestId;
    /// Which attempt this is, from 1.
    fn attempt(&self) -> u32;
    /// The job has passed this stage before. It is always taken, since its sender must never be stuck with it: in a cycle
    /// the sender may be the one who should make room.
    fn returns(&self) -> bool;
    /// The job is a part of a request. It is always taken too, and does not count among those that wait, since no more are sent
    /// at a time than there are workers.
    fn is_part(&self) -> bool;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The most jobs that may wait.
    pub(crate) queue: usize,
    /// The longest that a job may wait and run.
    pub(crate) timeout: Option<Duration>,
    /// A job whose worker was lost may be tried again.
    pub(crate) idempotent: bool,
    /// How often a job is tried at most.
    pub(crate) attempts: u32,
}

/// A job whose time in this stage is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expired<J> {
    /// It waited still, and is handed back.
    Waiting(J),
    /// It runs still, and its worker keeps it until it is [`done`](Balancer::done).
    Running(RequestId),
}

/// What to do about a job whose worker was lost.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Offer it [`again`](Balancer::offer_again).
    Retry(RequestId),
    /// Answer 502.
    GiveUp(RequestId),
}

impl Lost {
    pub(crate) fn id(&self) -> RequestId {
        match self {
            Lost::Retry(id) | Lost::GiveUp(id) => *id,
        }
    }
}

/// See the [module's docs](self).
#[derive(Debug)]
pub(crate) struct Balancer<J> {
    options: Options,
    entries: Slab<Entry<J>>,
    serial: u64,
    first: Option<usize>,
    last: Option<usize>,
    waiting: usize,
    /// How many of the waiting jobs are parts.
    parts: usize,
    workers: Vec<Worker>,
    /// The parked ones; the last to park is the first to be woken, since its cache is the warmest.
    idle: Vec<WorkerId>,
    summoned: usize,
    expiries: Deadlines<(u64, usize)>,
}

/// A job from its offer until it is done.
#[derive(Debug)]
struct Entry<J> {
    serial: u64,
    id: RequestId,
    attempt: u32,
    expires: bool,
    state: State<J>,
}

#[derive(Debug)]
enum State<J> {
    /// In the queue, a list linked through the entries so that a cancelled job leaves from the middle in O(1).
    Waiting {
        job: J,
        avoid: Option<WorkerId>,
        before: Option<usize>,
        after: Option<usize>,
    },
    Running,
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
            options,
            entries: Slab::new(),
            serial: 0,
            first: None,
            last: None,
            waiting: 0,
            parts: 0,
            workers: vec![Worker::Absent; workers],
            idle: Vec::with_capacity(workers),
            summoned: 0,
            expiries: Deadlines::new(),
        }
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many jobs run.
    pub(crate) fn running(&self) -> usize {
        self.entries.len() - self.waiting
    }

    /// Queues a job and gives its place, for [`cancel`](Self::cancel), or hands it back if the queue is full. Jobs that an
    /// idle or summoned worker will take at once do not count as waiting. Afterwards, [`summon`](Self::summon).
    pub(crate) fn offer(&mut self, job: J, now: Instant) -> Result<u32, J> {
        let at_once = (self.idle.len() + self.summoned).saturating_sub(self.parts);
        let room = self.options.queue.saturating_add(at_once);
        if self.waiting - self.parts >= room && !job.returns() && !job.is_part() {
            return Err(job);
        }
        let entry = self.insert(job, None, now);
        self.link_last(entry);
        Ok(entry as u32)
    }

    /// Queues a job once more after its worker was [`lost`](Self::lost): before the others, whatever the queue's limit, and
    /// not for that worker while another is there.
    #[allow(dead_code, reason = "a thread takes its job's message with it; a proxy process still has it")]
    pub(crate) fn offer_again(&mut self, job: J, lost_by: WorkerId, now: Instant) -> u32 {
        let entry = self.insert(job, Some(lost_by), now);
        self.link_first(entry);
        entry as u32
    }

    /// The idle worker to wake, where more jobs wait than workers are on their way. To be asked after an offer, after a worker
    /// was lost, and after one went idle.
    pub(crate) fn summon(&mut self) -> Option<WorkerId> {
        if self.summoned >= self.waiting {
            return None;
        }
        let at = (0..self.idle.len()).rev().find(|at| self.first_for(self.idle[*at]).is_some())?;
        let worker = self.idle.remove(at);
        self.workers[worker.0] = Worker::Summoned;
        self.summoned += 1;
        Some(worker)
    }

    /// A free worker asks for work. `None` makes it idle: it parks until an offer summons it.
    pub(crate) fn take(&mut self, worker: WorkerId) -> Option<J> {
        self.leave(worker);
        if let Some(entry) = self.first_for(worker) {
            self.workers[worker.0] = Worker::Busy { entry };
            return Some(self.unlink(entry));
        }
        self.workers[worker.0] = Worker::Idle;
        self.idle.push(worker);
        None
    }

    /// A worker's job is over: answered, or accepted by the next stage.
    pub(crate) fn done(&mut self, worker: WorkerId) {
        if let Worker::Busy { entry } = self.workers[worker.0] {
            self.remove(entry);
            self.workers[worker.0] = Worker::Free;
        }
    }

    /// A worker is gone, with the job that it ran.
    pub(crate) fn lost(&mut self, worker: WorkerId) -> Option<Lost> {
        self.leave(worker);
        let Worker::Busy { entry } = std::mem::replace(&mut self.workers[worker.0], Worker::Absent) else {
            return None;
        };
        let entry = self.remove(entry);
        let again = self.options.idempotent && entry.attempt < self.options.attempts;
        Some(if again { Lost::Retry(entry.id) } else { Lost::GiveUp(entry.id) })
    }

    /// Takes a waiting job out. `None` where it no longer waits.
    pub(crate) fn cancel(&mut self, entry: u32, id: RequestId) -> Option<J> {
        let entry = entry as usize;
        match self.entries.get(entry) {
            Some(Entry { id: there, state: State::Waiting { .. }, .. }) if *there == id => {
                let job = self.unlink(entry);
                self.remove(entry);
                Some(job)
            }
            _ => None,
        }
    }

    /// Takes all waiting jobs of a request out, where it is split and they may be many.
    pub(crate) fn cancel_all(&mut self, id: RequestId) -> Vec<J> {
        let waits = |entry: &Entry<J>| entry.id == id && matches!(entry.state, State::Waiting { .. });
        let entries: Vec<usize> = self.entries.iter().filter(|(_, entry)| waits(entry)).map(|(key, _)| key).collect();
        entries.into_iter().filter_map(|entry| self.cancel(entry as u32, id)).collect()
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_event(&mut self) -> Option<Instant> {
        let entries = &self.entries;
        self.expiries.next(|key| is_live(entries, key))
    }

    /// Takes one job whose time is over at `now`; call it until it gives `None`.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Expired<J>> {
        let entries = &self.entries;
        let (_, entry) = self.expiries.pop_due(now, |key| is_live(entries, key))?;
        self.entries[entry].expires = false;
        Some(match self.entries[entry].state {
            State::Waiting { .. } => {
                let job = self.unlink(entry);
                self.remove(entry);
                Expired::Waiting(job)
            }
            State::Running => Expired::Running(self.entries[entry].id),
        })
    }

    /// Gives up all waiting jobs, first come first.
    pub(crate) fn clear(&mut self) -> Vec<J> {
        std::iter::from_fn(|| {
            let entry = self.first?;
            let job = self.unlink(entry);
            self.remove(entry);
            Some(job)
        })
        .collect()
    }

    fn insert(&mut self, job: J, avoid: Option<WorkerId>, now: Instant) -> usize {
        self.serial += 1;
        let serial = self.serial;
        let expires = self.options.timeout.map(|timeout| now + timeout);
        let entry = self.entries.insert(Entry {
            serial,
            id: job.id(),
            attempt: job.attempt(),
            expires: expires.is_some(),
            state: State::Waiting { job, avoid, before: None, after: None },
        });
        if let Some(due) = expires {
            self.expiries.insert(due, (serial, entry));
        }
        entry
    }

    /// The first waiting job that a worker may have.
    fn first_for(&self, worker: WorkerId) -> Option<usize> {
        let mut next = self.first;
        while let Some(entry) = next {
            let State::Waiting { avoid, after, .. } = &self.entries[entry].state else {
                unreachable!("a queued entry waits")
            };
            if *avoid != Some(worker) || self.is_alone(worker) {
                return next;
            }
            next = *after;
        }
        None
    }

    fn is_alone(&self, worker: WorkerId) -> bool {
        self.workers.iter().enumerate().all(|(n, state)| n == worker.0 || *state == Worker::Absent)
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

    fn remove(&mut self, entry: usize) -> Entry<J> {
        let removed = self.entries.remove(entry);
        if removed.expires {
            let entries = &self.entries;
            self.expiries.remove(|key| is_live(entries, key));
        }
        removed
    }

    fn link_last(&mut self, entry: usize) {
        self.set_links(entry, self.last, None);
        match self.last.replace(entry) {
            Some(before) => *self.after_mut(before) = Some(entry),
            None => self.first = Some(entry),
        }
        self.count(entry);
    }

    fn link_first(&mut self, entry: usize) {
        self.set_links(entry, None, self.first);
        match self.first.replace(entry) {
            Some(after) => *self.before_mut(after) = Some(entry),
            None => self.last = Some(entry),
        }
        self.count(entry);
    }

    fn count(&mut self, entry: usize) {
        self.waiting += 1;
        self.parts += usize::from(matches!(&self.entries[entry].state, State::Waiting { job, .. } if job.is_part()));
    }

    /// Takes an entry out of the queue and marks it running.
    fn unlink(&mut self, entry: usize) -> J {
        let State::Waiting { job, before, after, .. } =
            std::mem::replace(&mut self.entries[entry].state, State::Running)
        else {
            unreachable!("only waiting entries are unlinked")
        };
        match before {
            Some(before) => *self.after_mut(before) = after,
            None => self.first = after,
        }
        match after {
            Some(after) => *self.before_mut(after) = before,
            None => self.last = before,
        }
        self.waiting -= 1;
        self.parts -= usize::from(job.is_part());
        job
    }

    fn set_links(&mut self, entry: usize, to_before: Option<usize>, to_after: Option<usize>) {
        *self.before_mut(entry) = to_before;
        *self.after_mut(entry) = to_after;
    }

    fn before_mut(&mut self, entry: usize) -> &mut Option<usize> {
        match &mut self.entries[entry].state {
            State::Waiting { before, .. } => before,
            State::Running => unreachable!("a neighbour in the queue waits"),
        }
    }

    fn after_mut(&mut self, entry: usize) -> &mut Option<usize> {
        match &mut self.entries[entry].state {
            State::Waiting { after, .. } => after,
            State::Running => unreachable!("a neighbour in the queue waits"),
        }
    }
}

fn is_live<J>(entries: &Slab<Entry<J>>, (serial, entry): (u64, usize)) -> bool {
    entries.get(entry).is_some_and(|there| there.serial == serial && there.expires)
}

#[cfg(test)]
mod tests;
