//! Which of several crews with a free thread has a job, where the user chooses.
//!
//! A crew announces what each of its threads does, and not which of them are free. What a job was given to it for counts as busy until the
//! job is done; jobs that were given for nothing in particular may be with any.
//!
//! What is free is kept in one list, which the user is shown as it is. So a job costs what it changes there: the value that it was given
//! for, and where it has the crew's last free thread, all that are left of that crew.

use std::collections::HashMap;
use std::hash::Hash;

use super::{CrewId, Crews};
use crate::affinity::Affinity;
use crate::balancer::Job;

/// The user's choice among what threads announce that may be free.
pub(crate) type Choose<'a, J> = dyn FnMut(&J, &[Affinity]) -> Option<usize> + 'a;

/// What threads announce that may be free, of all crews that have a free one; at least one value of each.
#[derive(Debug)]
pub(super) struct Choices<A = Affinity> {
    values: Vec<A>,
    /// Whose each value is.
    crews: Vec<CrewId>,
}

/// What a crew's threads announce.
#[derive(Debug, Default)]
pub(super) struct Announced<A = Affinity> {
    /// What was announced last, until it is looked at: a crew may say something else many times before there is something to choose.
    news: Option<Vec<A>>,
    counts: HashMap<A, Count>,
    /// What jobs that it holds were given to it for, by their slots in the queue.
    given: HashMap<usize, A>,
    /// What may be free and is not among the choices.
    aside: Vec<A>,
    /// How many of the choices are its.
    listed: usize,
    /// It has one of them, which stands for all that is not known.
    stands_in: bool,
}

/// Of a value, how many threads announce it, and how many jobs were given for it. What is more than these is free.
#[derive(Debug, Default)]
struct Count {
    threads: usize,
    given: usize,
}

impl<A: Clone + Default + Eq + Hash> Announced<A> {
    /// Looks at what its threads announce now. None of its values is among the choices.
    fn renew(&mut self) {
        let Some(all) = self.news.take() else { return };
        self.aside.clear();
        self.counts.retain(|_, count| {
            count.threads = 0;
            count.given > 0
        });
        for value in all {
            let count = self.counts.entry(value.clone()).or_default();
            count.threads += 1;
            if count.threads > count.given {
                self.aside.push(value);
            }
        }
    }

    /// A job is given to it for a value that was among the choices.
    pub(super) fn give(&mut self, slot: usize, value: A) {
        match self.counts.get_mut(&value) {
            Some(count) => count.given += 1,
            None => _ = self.counts.insert(value.clone(), Count { threads: 0, given: 1 }),
        }
        self.given.insert(slot, value);
    }

    /// It does not have a job any more.
    pub(super) fn release(&mut self, slot: usize) {
        let Some(value) = self.given.remove(&slot) else { return };
        let count = self.counts.get_mut(&value).expect("what jobs were given for is counted");
        count.given -= 1;
        if count.threads > count.given {
            self.aside.push(value);
        } else if count.given == 0 {
            self.counts.remove(&value);
        }
    }
}

impl<A: Clone + Default + Eq + Hash> Choices<A> {
    fn none() -> Self {
        Self { values: Vec::new(), crews: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.crews.is_empty()
    }

    /// A crew has a free thread, or none: so has it values here, or none.
    pub(super) fn keep(&mut self, crew: CrewId, is_free: bool, announced: &mut Announced<A>) {
        if !is_free || announced.stands_in && !announced.aside.is_empty() {
            self.set_aside(crew, announced);
        }
        if is_free {
            announced.listed += announced.aside.len();
            self.values.append(&mut announced.aside);
            if announced.listed == 0 {
                (announced.listed, announced.stands_in) = (1, true);
                self.values.push(A::default());
            }
            self.crews.resize(self.values.len(), crew);
        }
    }

    /// A crew has no values here any more.
    pub(super) fn set_aside(&mut self, crew: CrewId, announced: &mut Announced<A>) {
        // Last to first, as what is last comes to the place of what is removed.
        let mut at = self.crews.len();
        while announced.listed > 0 {
            at -= 1;
            if self.crews[at] == crew {
                let stands_in = announced.stands_in;
                let value = self.take(at, announced);
                announced.aside.extend(Some(value).filter(|_| !stands_in));
            }
        }
    }

    /// A crew's value is chosen.
    fn take(&mut self, at: usize, announced: &mut Announced<A>) -> A {
        announced.listed -= 1;
        announced.stands_in = false;
        self.crews.swap_remove(at);
        self.values.swap_remove(at)
    }
}

impl<J: Job> Crews<J> {
    /// A crew says what each of its threads announces.
    pub(crate) fn announce_affinities(&mut self, crew: CrewId, affinities: Vec<Affinity>) {
        if let Some(at) = self.find(crew) {
            self.crews[at].announced.news = Some(affinities);
            self.news = true;
        }
    }

    /// Brings what there is to choose up to date.
    fn renew_choices(&mut self) {
        let is_new = self.choices.is_none();
        let choices = self.choices.get_or_insert_with(Choices::none);
        if std::mem::take(&mut self.news) || is_new {
            for crew in self.crews.iter_mut().filter(|crew| crew.announced.news.is_some() || is_new) {
                choices.set_aside(crew.id, &mut crew.announced);
                crew.announced.renew();
                choices.keep(crew.id, crew.free() > 0, &mut crew.announced);
            }
        }
    }

    /// The crew that the user chooses for a job that waits, and what for, to be given to it. `None` where there is nothing to choose, or it
    /// is all the same.
    pub(super) fn choose(&mut self, slot: usize, choose: &mut Choose<'_, J>) -> Option<(usize, Affinity)> {
        self.renew_choices();
        let choices = self.choices.as_mut().filter(|choices| choices.values.len() > 1)?;
        let job = self.queue.waiting_at(slot)?;
        let chosen = choose(job, &choices.values).filter(|chosen| *chosen < choices.values.len())?;
        let crew = choices.crews[chosen];
        let at =
            self.crews.binary_search_by_key(&crew, |crew| crew.id).expect("a crew that has a free thread is there");
        Some((at, choices.take(chosen, &mut self.crews[at].announced)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hash::Hasher;
    use std::time::Instant;

    use super::*;
    use crate::balancer::Options;
    use crate::balancer::test_job::{TestJob, job};

    const THREADS: usize = 1000;

    thread_local! {
        static CLONED: Cell<usize> = const { Cell::new(0) };
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    /// Counts what is done with it.
    #[derive(Debug, Default)]
    struct Value(usize);

    impl Clone for Value {
        fn clone(&self) -> Self {
            CLONED.set(CLONED.get() + 1);
            Self(self.0)
        }
    }

    impl PartialEq for Value {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.set(COMPARED.get() + 1);
            self.0 == other.0
        }
    }

    impl Eq for Value {}

    impl Hash for Value {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    #[test]
    fn what_a_job_costs_does_not_depend_on_how_many_values_there_are() {
        let (crew, mut announced, mut choices) = (CrewId(1), Announced::default(), Choices::none());
        announced.news = Some((0..THREADS).map(Value).collect());
        announced.renew();
        choices.keep(crew, true, &mut announced);
        assert_eq!(choices.values.len(), THREADS);
        CLONED.set(0);
        COMPARED.set(0);
        for slot in 0..THREADS {
            let chosen = choices.values.iter().position(|value| value.0 == slot).expect("it is free");
            let value = choices.take(chosen, &mut announced);
            announced.give(slot, value);
            choices.keep(crew, slot + 1 < THREADS, &mut announced);
        }
        assert!(choices.is_empty());
        for slot in 0..THREADS {
            announced.release(slot);
            choices.keep(crew, true, &mut announced);
        }
        assert_eq!(choices.values.len(), THREADS);
        assert_eq!(CLONED.get(), 0);
        // Found by its hash, once as it is given and once as it is free again; hashes may be nearly the same.
        assert!(COMPARED.get() < 3 * THREADS);
    }

    #[test]
    fn what_a_crew_announces_is_looked_at_once_there_is_something_to_choose() {
        let now = Instant::now();
        let mut crews = Crews::new(Options::PLAIN);
        let ids = [crews.enlist(), crews.enlist()];
        for id in ids {
            crews.announce(id, 1, 0);
            crews.announce_affinities(id, vec!["old".into()]);
        }
        let mut seen = Vec::new();
        for value in ["new", "newer"] {
            crews.announce_affinities(ids[0], vec![value.into()]);
            assert!(crews.crews[0].announced.news.is_some());
        }
        crews.offer(job(1), now).expect("it is taken");
        let mut choose = |_: &TestJob, free: &[Affinity]| {
            seen.extend_from_slice(free);
            free.iter().position(|affinity| affinity == "newer")
        };
        let given = crews.assign(Some(&mut choose), now).map(|(crew, ..)| crew);
        assert_eq!(given, Some(ids[0]));
        seen.sort();
        assert_eq!(seen, ["newer", "old"].map(Affinity::from));
    }
}
