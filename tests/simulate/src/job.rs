//! What is simulated: jobs, and time.

/// A moment, since the simulation began, or a span of time, in nanoseconds.
pub type Nanos = u64;

/// A job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Counts from 0 in the order of arrival.
    pub number: u64,
    /// When it arrives.
    pub arrives: Nanos,
    /// What it takes of a processor, 1 at the least.
    pub service: Nanos,
    /// Which sort of work drew it, the shortest first: figures are given by class.
    pub class: u8,
    /// What the scheduler is told of its class, which may be wrong.
    pub kind: u8,
    /// On whose behalf it comes.
    pub tenant: u32,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ended at that moment.
    Done(Nanos),
    /// It was not taken.
    Refused,
}

/// Who is told of each job's fate.
pub type Ended<'a> = dyn FnMut(Job, Fate) + 'a;
