//! The policies: who runs when. Each is a file, and a line of [`ALL`].

mod demotion;
mod fifo;
mod kinds;
mod priorities;
mod srpt;

use crate::job::{Ended, Job, Nanos};

/// Who runs when. Time is an argument, and never goes back.
pub trait Policy {
    /// A job arrives, now.
    fn arrive(&mut self, job: Job, ended: &mut Ended<'_>);
    /// When there is something to do, if no job arrives before.
    fn due(&self) -> Option<Nanos>;
    /// Does what is due now, and tells what has ended.
    fn advance(&mut self, now: Nanos, ended: &mut Ended<'_>);
}

/// What the jobs run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// How many jobs have a slot at a time.
    pub workers: usize,
    /// How many processors there are.
    pub cores: usize,
    /// How many jobs run at the most, demoted ones among them.
    pub instances: usize,
    /// The most jobs that may wait.
    pub queue: usize,
    /// What a demotion costs: whoever takes the slot has so much more to do.
    pub overhead: Nanos,
}

impl Machine {
    /// As many processors as workers, without limits, and demotion costs nothing.
    #[must_use]
    pub const fn new(workers: usize) -> Self {
        Self { workers, cores: workers, instances: usize::MAX, queue: usize::MAX, overhead: 0 }
    }
}

/// A policy by its name.
#[derive(Debug)]
pub struct Entry {
    /// As it is called on the command line.
    pub name: &'static str,
    /// In a line.
    pub about: &'static str,
    /// Makes one that has nothing to do yet.
    pub build: fn(&Machine) -> Box<dyn Policy>,
}

/// The policies that there are, the plainest first.
pub const ALL: [&Entry; 7] = [
    &fifo::FIFO,
    &demotion::DEMOTION,
    &kinds::KINDS,
    &kinds::TENANTS,
    &priorities::WEIGHTED,
    &priorities::STRICT,
    &srpt::SRPT,
];

/// The policy of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.into_iter().find(|entry| entry.name == name)
}
