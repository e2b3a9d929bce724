//! Workers that take several jobs at a time.
//!
//! The jobs of one worker are a chain through the notes on them: each names the one that was taken before it, so that a batch costs no
//! more than its jobs do.

use std::time::{Duration, Instant};

use super::job::Job;
use super::roster::Run;
use super::{Balancer, Held, WorkerId};
use crate::ids::RequestId;

impl<J: Job> Balancer<J> {
    /// The next job for a worker that has just [taken](Self::take) one, or waits for [more](Self::gather) of them.
    pub(crate) fn take_more(&mut self, worker: WorkerId, now: Instant) -> Option<J> {
        let Run { entry: before, .. } = self.roster.run(worker)?;
        if self.held == Held::All {
            return None;
        }
        let entry = self.queue.first_in_time(&mut self.hopeless, now)?;
        self.roster.add(worker, entry);
        Some(self.queue.take(entry, Some(before), now))
    }

    /// A worker waits before it begins the jobs that it has, for so many more. The next ones that come are for it: it is woken by
    /// [`summon`](Self::summon), and says that it has [gathered](Self::gathered) before it takes them.
    pub(crate) fn gather(&mut self, worker: WorkerId, lacks: usize) {
        self.roster.gather(worker, lacks);
    }

    /// A worker does not wait for more any longer. Its run counts from now on.
    pub(crate) fn gathered(&mut self, worker: WorkerId, now: Instant) {
        self.roster.gathered(worker, now);
    }

    /// A job of a worker is over without having run.
    pub(crate) fn not_begun(&mut self, worker: WorkerId, id: RequestId) {
        let Some(run) = self.roster.run(worker) else { return };
        let (mut after, mut place) = (None, Some(run.entry));
        while let Some(entry) = place.filter(|entry| self.queue.id(*entry) != id) {
            (after, place) = (Some(entry), self.before(entry));
        }
        let Some(entry) = place else { return };
        let before = self.queue.finish(entry);
        match (after, before) {
            (Some(after), _) => *self.queue.taken_at_mut(after).expect("it is of the same run") = before,
            (None, Some(before)) => self.roster.add(worker, before),
            (None, None) => _ = self.roster.finish(worker),
        }
    }

    /// The jobs of a run have run for so long, each of them.
    pub(super) fn learn(&mut self, run: Run, ran: Duration) {
        let quantum = self.quantum.get();
        let mut next = Some(run.entry);
        while let Some(entry) = next {
            self.queue.learn(entry, ran, quantum);
            next = self.before(entry);
        }
    }

    /// Ends the jobs of a run.
    pub(super) fn finish(&mut self, run: Run) {
        let mut next = Some(run.entry);
        while let Some(entry) = next {
            next = self.queue.finish(entry);
        }
    }

    /// The jobs of a run have had a slot for so long, all together.
    pub(super) fn turn(&mut self, run: Run, time: Duration) {
        let jobs = self.entries(run).count();
        let each = if jobs == 1 { time } else { time / u32::try_from(jobs).unwrap_or(u32::MAX) };
        let mut next = Some(run.entry);
        while let Some(entry) = next {
            self.queue.charge(entry, each);
            next = self.before(entry);
        }
        self.turns.jobs += jobs as u64;
        self.turns.time += time;
    }

    pub(super) fn ids(&self, run: Run) -> Vec<RequestId> {
        self.entries(run).map(|entry| self.queue.id(entry)).collect()
    }

    /// The places of the jobs of a run, the last taken first.
    fn entries(&self, run: Run) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(run.entry), |entry| self.before(*entry))
    }

    /// The job that a worker took before that one.
    fn before(&self, entry: usize) -> Option<usize> {
        self.queue.taken_at(entry).copied().flatten()
    }
}

#[cfg(test)]
mod tests;
