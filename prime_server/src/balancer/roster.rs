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
    /// How many jobs a worker takes at most.
    most: usize,
    /// Those that gather a batch, are parked, and have not been woken.
    gathering: Vec<WorkerId>,
    /// How many jobs the batches lack that are gathered, and of these, those whose worker has been woken.
    lacking: usize,
    coming: usize,
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
    /// It has jobs, and has not begun them, as it would take so many more.
    Gathering(Run, usize),
    Busy(Run),
    /// Busy, without a slot.
    Demoted(Run),
}

/// A job that runs, or of several the one that was taken last: its place in the queue, and since when; of a demoted one, since when it is
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) entry: usize,
    pub(super) since: Instant,
}

impl Roster {
    pub(super) fn new(slots: usize, most: usize) -> Self {
        Self {
            workers: vec![Worker::Absent; slots],
            idle: Vec::with_capacity(slots),
            spares: Vec::new(),
            slots,
            held: 0,
            summoned: 0,
            most,
            gathering: Vec::new(),
            lacking: 0,
            coming: 0,
            demoted: 0,
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// From now on there are so many slots. Workers above become spares once they are idle.
    pub(super) fn set_slots(&mut self, slots: usize) {
        self.slots = slots;
        while self.held < slots
            && let Some(spare) = self.spares.pop()
        {
            self.admit(spare);
            self.park(spare);
        }
        while self.held > slots
            && let Some(idle) = self.idle.pop()
        {
            self.held -= 1;
            self.admit(idle);
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// How many jobs the workers will take that have a slot and are idle, gather a batch, or are on their way.
    pub(super) fn at_hand(&self) -> usize {
        (self.idle.len() + self.summoned) * self.most + self.lacking
    }

    /// How many of these the workers will take that are on their way.
    pub(super) fn expected(&self) -> usize {
        self.summoned * self.most + self.coming
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
            Worker::Spare | Worker::Free | Worker::Gathering(..) | Worker::Busy(_) | Worker::Demoted(_) => {}
        }
        if self.held > self.slots && self.workers[worker.0] == Worker::Free {
            self.held -= 1;
            self.admit(worker);
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

    /// A worker to be woken, where more jobs wait than those take that are on their way: one that gathers a batch, or an idle one, of which
    /// so many are left.
    pub(super) fn summon(&mut self, waiting: usize, left: usize) -> Option<WorkerId> {
        if waiting <= self.expected() {
            return None;
        }
        if let Some(worker) = self.gathering.pop() {
            self.coming += self.lacks(worker);
            return Some(worker);
        }
        if self.idle.len() <= left {
            return None;
        }
        let worker = self.idle.pop()?;
        self.workers[worker.0] = Worker::Summoned;
        self.summoned += 1;
        Some(worker)
    }

    /// Of the jobs that a worker has, this is now the one that was taken last.
    pub(super) fn add(&mut self, worker: WorkerId, entry: usize) {
        if let Worker::Gathering(run, _) | Worker::Busy(run) | Worker::Demoted(run) = &mut self.workers[worker.0] {
            run.entry = entry;
        }
    }

    /// A worker waits for so many jobs more before it begins those that it has.
    pub(super) fn gather(&mut self, worker: WorkerId, lacks: usize) {
        if let Worker::Busy(run) = self.workers[worker.0] {
            self.workers[worker.0] = Worker::Gathering(run, lacks);
            self.gathering.push(worker);
            self.lacking += lacks;
        }
    }

    /// A worker does not wait for more any longer.
    pub(super) fn gathered(&mut self, worker: WorkerId, now: Instant) {
        let Some(Worker::Gathering(run, lacks)) = self.workers.get(worker.0).copied() else { return };
        self.lacking -= lacks;
        match self.gathering.iter().position(|gathering| *gathering == worker) {
            Some(at) => _ = self.gathering.remove(at),
            None => self.coming -= lacks,
        }
        self.workers[worker.0] = Worker::Busy(Run { since: now, ..run });
    }

    fn lacks(&self, worker: WorkerId) -> usize {
        match self.workers[worker.0] {
            Worker::Gathering(_, lacks) => lacks,
            _ => 0,
        }
    }

    /// What a worker runs.
    pub(super) fn run(&self, worker: WorkerId) -> Option<Run> {
        match self.workers.get(worker.0)? {
            Worker::Gathering(run, _) | Worker::Busy(run) | Worker::Demoted(run) => Some(*run),
            _ => None,
        }
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

    /// A worker's jobs are over.
    pub(super) fn finish(&mut self, worker: WorkerId) -> Option<Run> {
        match self.workers.get(worker.0).copied()? {
            Worker::Gathering(run, _) => {
                self.gathered(worker, run.since);
                self.finish(worker)
            }
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

    /// What a worker runs with a slot.
    pub(super) fn busy_with(&self, worker: WorkerId) -> Option<Run> {
        match self.workers.get(worker.0)? {
            Worker::Busy(run) => Some(*run),
            _ => None,
        }
    }

    /// Takes the slot of a worker that runs a job still, and gives it to a spare, which is to be woken.
    pub(super) fn demote(&mut self, worker: WorkerId, now: Instant) -> Option<WorkerId> {
        let run = self.busy_with(worker)?;
        let spare = self.spares.pop()?;
        self.workers[worker.0] = Worker::Demoted(Run { since: now, ..run });
        self.demoted += 1;
        self.workers[spare.0] = Worker::Summoned;
        self.summoned += 1;
        Some(spare)
    }

    /// The worker that has been demoted for longest, of those that were after that moment, and since when.
    pub(super) fn longest_demoted(&self, after: Option<Instant>) -> Option<(WorkerId, Instant)> {
        if self.demoted == 0 {
            return None;
        }
        let demoted = self.all().filter_map(|(worker, state)| match state {
            Worker::Demoted(run) if after.is_none_or(|after| run.since > after) => Some((worker, run.since)),
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
