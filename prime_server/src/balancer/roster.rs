//! Who works: which of a pool's workers has a slot, which is a spare, which was demoted.
//!
//! A slot is the right to take jobs, and there are as many as the pool is to run at a time. A worker whose job outruns its quantum loses
//! its slot to a spare, and goes on with the job beside the others (see [`quantum`](super::quantum)).

use std::time::Instant;

use super::WorkerId;

#[derive(Debug)]
pub(super) struct Roster {
    workers: Vec<Worker>,
    /// Those with a slot that are parked; the last to park is the first to be woken, since its cache is the warmest.
    idle: Vec<WorkerId>,
    /// Those without a slot that have nothing to do.
    spares: Vec<WorkerId>,
    slots: usize,
    /// How many slots are taken.
    held: usize,
    summoned: usize,
    demoted: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    /// Not there yet, or lost.
    Absent,
    Spare,
    Idle,
    /// Woken, on its way.
    Summoned,
    /// Woken, on its way to a job that is kept for it.
    Chosen,
    /// Between two jobs, or not yet parked.
    Free,
    Busy(Run),
    /// Busy, without a slot.
    Demoted(Run),
}

/// A job that runs: its place in the queue, and since when; of a demoted one, since when it is that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) entry: usize,
    pub(super) since: Instant,
}

impl Roster {
    pub(super) fn new(slots: usize) -> Self {
        let (workers, idle) = (vec![Worker::Absent; slots], Vec::with_capacity(slots));
        Self { workers, idle, spares: Vec::new(), slots, held: 0, summoned: 0, demoted: 0 }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// How many workers with a slot are idle, or on their way since they were.
    pub(super) fn at_hand(&self) -> usize {
        self.idle.len() + self.summoned
    }

    pub(super) fn summoned(&self) -> usize {
        self.summoned
    }

    pub(super) fn spares(&self) -> usize {
        self.spares.len()
    }

    pub(super) fn demoted(&self) -> usize {
        self.demoted
    }

    pub(super) fn is_demoted(&self, worker: WorkerId) -> bool {
        matches!(self.workers.get(worker.0), Some(Worker::Demoted(_)))
    }

    /// A worker is there that asks for work. Whether it has a slot, and may have some.
    pub(super) fn ask(&mut self, worker: WorkerId) -> bool {
        if worker.0 >= self.workers.len() {
            self.workers.resize(worker.0 + 1, Worker::Absent);
        }
        match self.workers[worker.0] {
            Worker::Absent => self.admit(worker),
            Worker::Idle | Worker::Summoned | Worker::Chosen => self.unpark(worker),
            Worker::Spare | Worker::Free | Worker::Busy(_) | Worker::Demoted(_) => {}
        }
        self.workers[worker.0] == Worker::Free
    }

    /// A worker that may have work has some.
    pub(super) fn begin(&mut self, worker: WorkerId, run: Run) {
        debug_assert_eq!(self.workers[worker.0], Worker::Free);
        self.workers[worker.0] = Worker::Busy(run);
    }

    /// There is nothing to do for a worker that asked.
    pub(super) fn park(&mut self, worker: WorkerId) {
        if self.workers[worker.0] == Worker::Free {
            self.workers[worker.0] = Worker::Idle;
            self.idle.push(worker);
        }
    }

    /// An idle worker, to be woken.
    pub(super) fn summon(&mut self) -> Option<WorkerId> {
        let worker = self.idle.pop()?;
        self.workers[worker.0] = Worker::Summoned;
        self.summoned += 1;
        Some(worker)
    }

    /// Those with a slot that are parked, the last to park last.
    pub(super) fn idle(&self) -> &[WorkerId] {
        &self.idle
    }

    /// An idle worker is to be woken for a job that is kept for it. Returns whether it is idle.
    pub(super) fn choose(&mut self, worker: WorkerId) -> bool {
        let is_idle = self.workers[worker.0] == Worker::Idle;
        if is_idle {
            self.idle.retain(|idle| *idle != worker);
            self.workers[worker.0] = Worker::Chosen;
        }
        is_idle
    }

    /// The job is gone that was kept for a worker: it comes for whatever there is.
    pub(super) fn release(&mut self, worker: WorkerId) {
        debug_assert_eq!(self.workers[worker.0], Worker::Chosen);
        self.workers[worker.0] = Worker::Summoned;
        self.summoned += 1;
    }

    /// A worker's job is over.
    pub(super) fn finish(&mut self, worker: WorkerId) -> Option<Run> {
        match self.workers.get(worker.0).copied()? {
            Worker::Busy(run) => {
                self.workers[worker.0] = Worker::Free;
                Some(run)
            }
            Worker::Demoted(run) => {
                self.demoted -= 1;
                self.admit(worker);
                Some(run)
            }
            _ => None,
        }
    }

    /// A worker is gone, with the job that it ran, if it ran one. A spare takes its slot.
    pub(super) fn lose(&mut self, worker: WorkerId) -> Option<Run> {
        let run = self.finish(worker);
        let state = self.workers.get(worker.0).copied()?;
        if matches!(state, Worker::Idle | Worker::Summoned | Worker::Chosen) {
            self.unpark(worker);
        }
        match std::mem::replace(&mut self.workers[worker.0], Worker::Absent) {
            Worker::Spare => self.spares.retain(|spare| *spare != worker),
            Worker::Free => {
                self.held -= 1;
                if let Some(spare) = self.spares.pop() {
                    self.admit(spare);
                    self.park(spare);
                }
            }
            _ => {}
        }
        run
    }

    /// Those that run a job with a slot.
    pub(super) fn busy(&self) -> impl Iterator<Item = (WorkerId, Run)> {
        self.all().filter_map(|(worker, state)| match state {
            Worker::Busy(run) => Some((worker, run)),
            _ => None,
        })
    }

    /// Takes the slot of a worker that runs a job still, and gives it to a spare, which is to be woken.
    pub(super) fn demote(&mut self, worker: WorkerId, now: Instant) -> Option<WorkerId> {
        let Worker::Busy(run) = self.workers[worker.0] else { return None };
        let spare = self.spares.pop()?;
        self.workers[worker.0] = Worker::Demoted(Run { since: now, ..run });
        self.demoted += 1;
        self.workers[spare.0] = Worker::Summoned;
        self.summoned += 1;
        Some(spare)
    }

    /// The worker that has been demoted for longest, and since when.
    pub(super) fn longest_demoted(&self) -> Option<(WorkerId, Instant)> {
        if self.demoted == 0 {
            return None;
        }
        let demoted = self.all().filter_map(|(worker, state)| match state {
            Worker::Demoted(run) => Some((worker, run.since)),
            _ => None,
        });
        demoted.min_by_key(|(_, since)| *since)
    }

    /// A spare that is not needed any more.
    pub(super) fn dismiss(&mut self) -> Option<WorkerId> {
        let spare = self.spares.pop()?;
        self.workers[spare.0] = Worker::Absent;
        Some(spare)
    }

    /// Gives a worker a slot, or makes it a spare.
    fn admit(&mut self, worker: WorkerId) {
        if self.held < self.slots {
            self.held += 1;
            self.workers[worker.0] = Worker::Free;
        } else {
            self.workers[worker.0] = Worker::Spare;
            self.spares.push(worker);
        }
    }

    /// Forgets that a worker was idle, summoned or chosen.
    fn unpark(&mut self, worker: WorkerId) {
        match self.workers[worker.0] {
            Worker::Idle => self.idle.retain(|idle| *idle != worker),
            Worker::Summoned => self.summoned -= 1,
            _ => {}
        }
        self.workers[worker.0] = Worker::Free;
    }

    fn all(&self) -> impl Iterator<Item = (WorkerId, Worker)> {
        self.workers.iter().enumerate().map(|(at, state)| (WorkerId(at), *state))
    }
}
