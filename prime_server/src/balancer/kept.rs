//! Jobs that were taken out of the queue for one of several idle workers, while that is chosen and until it comes.

use super::WorkerId;
use super::job::{Job, JobKey};
use crate::ids::RequestId;

#[derive(Debug)]
pub(super) struct Kept<J>(Vec<KeptJob<J>>);

#[derive(Debug)]
pub(super) struct KeptJob<J> {
    pub(super) key: JobKey,
    pub(super) job: J,
    pub(super) whose: Whose,
}

/// Who is to have a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// That is being chosen.
    Open,
    /// This worker, and no other.
    Only(WorkerId),
    /// This worker, or another one that is there first.
    Rather(WorkerId),
}

impl Whose {
    fn worker(self) -> Option<WorkerId> {
        match self {
            Whose::Open => None,
            Whose::Only(worker) | Whose::Rather(worker) => Some(worker),
        }
    }
}

impl<J> KeptJob<J> {
    /// Its place in the queue.
    pub(super) fn entry(&self) -> usize {
        self.key.slot as usize
    }

    /// The worker that was woken for it.
    pub(super) fn worker(&self) -> Option<WorkerId> {
        self.whose.worker()
    }
}

impl<J: Job> Kept<J> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many are there for which a worker is being chosen.
    pub(super) fn open(&self) -> usize {
        self.0.iter().filter(|kept| kept.whose == Whose::Open).count()
    }

    pub(super) fn open_one(&mut self, key: JobKey, job: J) -> &J {
        self.0.push(KeptJob { key, job, whose: Whose::Open });
        &self.0[self.0.len() - 1].job
    }

    /// One for which a worker is being chosen, unless it has been taken out meanwhile.
    pub(super) fn get_mut(&mut self, key: JobKey) -> Option<&mut KeptJob<J>> {
        self.0.iter_mut().find(|kept| kept.key == key)
    }

    pub(super) fn take(&mut self, key: JobKey) -> Option<KeptJob<J>> {
        self.take_if(|kept| kept.key == key)
    }

    /// That of a worker which has come for it.
    pub(super) fn take_of(&mut self, worker: WorkerId) -> Option<KeptJob<J>> {
        self.take_if(|kept| kept.worker() == Some(worker))
    }

    /// The first that any worker may have.
    pub(super) fn take_any(&mut self) -> Option<KeptJob<J>> {
        self.take_if(|kept| matches!(kept.whose, Whose::Rather(_)))
    }

    /// One of a request: that in an entry of the queue, or any.
    pub(super) fn take_request(&mut self, entry: Option<usize>, id: RequestId) -> Option<KeptJob<J>> {
        self.take_if(|kept| kept.job.id() == id && entry.is_none_or(|entry| kept.entry() == entry))
    }

    pub(super) fn take_entry(&mut self, entry: usize) -> Option<KeptJob<J>> {
        self.take_if(|kept| kept.entry() == entry)
    }

    pub(super) fn take_first(&mut self) -> Option<KeptJob<J>> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, is_it: impl FnMut(&KeptJob<J>) -> bool) -> Option<KeptJob<J>> {
        let at = self.0.iter().position(is_it)?;
        Some(self.0.remove(at))
    }
}
