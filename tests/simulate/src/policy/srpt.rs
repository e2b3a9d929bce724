//! Shortest remaining processing time first: the limit, which knows beforehand what each job takes, and changes jobs at no cost.
//!
//! On one processor no policy has a lower mean sojourn time (Schrage, 1968); on several it is near the best (Leonardi and Raz, 1997).

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use slab::Slab;

use super::{Entry, Machine, Policy};
use crate::job::{Ended, Fate, Job, Nanos};

pub(super) const SRPT: Entry = Entry {
    name: "srpt",
    about: "shortest remaining processing time first, preemptive and clairvoyant: the limit",
    build: |machine| Box::new(Srpt::new(machine)),
};

struct Srpt {
    cores: usize,
    jobs: Slab<Job>,
    /// When those that run will end, and their keys.
    running: BTreeSet<(Nanos, usize)>,
    /// What those that wait have left, and their keys.
    waiting: BinaryHeap<Reverse<(Nanos, usize)>>,
}

impl Srpt {
    fn new(machine: &Machine) -> Self {
        let cores = machine.cores.min(machine.workers);
        Self { cores, jobs: Slab::new(), running: BTreeSet::new(), waiting: BinaryHeap::new() }
    }
}

impl Policy for Srpt {
    fn arrive(&mut self, job: Job, _: &mut Ended<'_>) {
        let now = job.arrives;
        let entrant = (now + job.service, self.jobs.insert(job));
        self.running.insert(entrant);
        if self.running.len() > self.cores
            && let Some((end, key)) = self.running.pop_last()
        {
            self.waiting.push(Reverse((end - now, key)));
        }
    }

    fn due(&self) -> Option<Nanos> {
        self.running.first().map(|(end, _)| *end)
    }

    fn advance(&mut self, now: Nanos, ended: &mut Ended<'_>) {
        while let Some((end, key)) = self.running.pop_first() {
            if end > now {
                self.running.insert((end, key));
                return;
            }
            ended(self.jobs.remove(key), Fate::Done(end));
            if let Some(Reverse((left, key))) = self.waiting.pop() {
                self.running.insert((now + left, key));
            }
        }
    }
}
