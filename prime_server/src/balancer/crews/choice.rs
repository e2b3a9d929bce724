//! Which of several crews with a free thread has a job, where the user chooses.
//!
//! A crew announces what each of its threads does, and not which of them are free. What a job was given to it for counts as busy until the
//! job is done; jobs that were given for nothing in particular may be with any.

use super::Crews;
use crate::affinity::Affinity;
use crate::balancer::Job;

/// The user's choice among what threads announce that may be free.
pub(crate) type Choose<'a, J> = dyn FnMut(&J, &[Affinity]) -> Option<usize> + 'a;

/// What a crew's threads announce.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// Of each thread, as far as it is known.
    all: Vec<Affinity>,
    /// What jobs that it holds were given to it for, by their slots in the queue.
    given: Vec<(usize, Affinity)>,
}

impl Announced {
    pub(super) fn set(&mut self, all: Vec<Affinity>) {
        self.all = all;
    }

    pub(super) fn give(&mut self, slot: usize, affinity: Affinity) {
        self.given.push((slot, affinity));
    }

    pub(super) fn release(&mut self, slot: usize) {
        self.given.retain(|(given, _)| *given != slot);
    }

    /// What its threads announce that are free, as far as that is known; one at least.
    fn free(&self) -> Vec<Affinity> {
        let mut free = self.all.clone();
        for (_, given) in &self.given {
            if let Some(at) = free.iter().position(|affinity| affinity == given) {
                free.remove(at);
            }
        }
        if free.is_empty() { vec![Affinity::NONE] } else { free }
    }
}

impl<J: Job> Crews<J> {
    /// The crew that the user chooses for a job, and what for. `None` where there is nothing to choose, or it is all the same.
    pub(super) fn chosen(&self, job: &J, choose: &mut Choose<'_, J>) -> Option<(usize, Affinity)> {
        let free = self.crews.iter().enumerate().filter(|(_, crew)| crew.free() > 0);
        let each = free.flat_map(|(at, crew)| crew.announced.free().into_iter().map(move |affinity| (at, affinity)));
        let (mut crews, affinities): (Vec<usize>, Vec<Affinity>) = each.unzip();
        if crews.len() < 2 {
            return None;
        }
        let chosen = choose(job, &affinities).filter(|chosen| *chosen < crews.len())?;
        Some((crews.swap_remove(chosen), affinities[chosen].clone()))
    }
}
