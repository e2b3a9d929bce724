//! How long a job may run while others wait, before it makes room for them.
//!
//! A multiple of what half of the jobs take at most, where those are the short ones. Where more than half are long, the short are found
//! by how soon jobs end, which is what the Gittins index compares (Aalto, Ayesta and Righter, 2009): of all that are let run up to an
//! age, how many end by then, for the time that all of them take. The age that is best by that splits the short from the long. Where
//! jobs are alike, or the old end as soon as the young, no age is better than that of the longest.

use std::time::Duration;

use super::sketch::Sketch;

/// Up to the age that splits them, jobs end at this part of the best rate at least. It is the largest of ages that are about as good.
const AS_GOOD: f64 = 0.6;

/// A rate that fewer jobs than this part of all have made is chance.
const CHANCE: f64 = 0.02;

/// The quantum is so many times that: where run times differ by less, no job outruns it.
const MULTIPLE: u32 = 4;

/// The least quantum. Below, it would cost more to make room than is gained.
pub(crate) const LEAST: Duration = Duration::from_micros(300);

/// The quantum as long as little is known.
pub(crate) const UNKNOWN: Duration = Duration::from_millis(10);

/// So many jobs have to be known, and so many new ones to look again.
const FEW: u32 = 16;
const MANY: u32 = 64;

/// What a stage has learned of its jobs.
#[derive(Debug)]
pub(crate) struct Quantum {
    runs: Sketch,
    unseen: u32,
    look_after: u32,
    quantum: Duration,
}

impl Quantum {
    pub(crate) fn new() -> Self {
        Self { runs: Sketch::new(), unseen: 0, look_after: FEW, quantum: UNKNOWN }
    }

    /// How long a job may run while others wait.
    pub(crate) fn get(&self) -> Duration {
        self.quantum
    }

    /// A job has ended that ran for so long.
    pub(crate) fn learn(&mut self, ran: Duration) {
        self.runs.record(ran);
        self.unseen += 1;
        if self.unseen >= self.look_after {
            (self.unseen, self.look_after) = (0, MANY);
            let median = self.runs.quantile(0.5).expect("some jobs are known");
            self.quantum = (median.min(best_age(&self.runs)) * MULTIPLE).max(LEAST);
        }
    }
}

/// The largest age up to which jobs end about as soon as they do up to any.
fn best_age(runs: &Sketch) -> Duration {
    let best = rates(runs).map(|(_, rate)| rate).fold(0.0, f64::max);
    let as_good = rates(runs).filter(|(_, rate)| *rate >= AS_GOOD * best).last();
    as_good.map_or(Duration::MAX, |(age, _)| age)
}

/// The ages at which jobs end, and how many do by then, of all that are let run so far, in a second of theirs.
fn rates(runs: &Sketch) -> impl Iterator<Item = (Duration, f64)> {
    let all: f64 = runs.counts().map(|(_, count)| count).sum();
    let (mut ended, mut time) = (0.0, 0.0);
    runs.counts().filter_map(move |(age, count)| {
        ended += count;
        time += count * age.as_secs_f64();
        let rate = ended / (time + (all - ended) * age.as_secs_f64());
        (ended >= CHANCE * all).then_some((age, rate))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(8);
    const LONG: Duration = Duration::from_millis(8);

    fn learned(runs: impl IntoIterator<Item = Duration>) -> Duration {
        let mut quantum = Quantum::new();
        runs.into_iter().for_each(|ran| quantum.learn(ran));
        quantum.get()
    }

    /// So many of the short to each of the long, or the other way round.
    fn mixed(of: usize, one: Duration, others: Duration) -> impl Iterator<Item = Duration> {
        (0..4096).map(move |at| if at % of == 0 { one } else { others })
    }

    #[test]
    fn little_is_known_of_few() {
        assert_eq!(learned([LONG; 15]), UNKNOWN);
        assert_eq!(learned([SHORT; 16]), LEAST);
    }

    #[test]
    fn the_short_are_told_from_the_long_whichever_are_more() {
        for of in [2, 5, 16, 40] {
            assert_eq!(learned(mixed(of, LONG, SHORT)), LEAST, "{of}");
            assert_eq!(learned(mixed(of, SHORT, LONG)), LEAST, "{of}");
        }
        let quantum = learned(mixed(3, Duration::from_secs(3), LONG));
        assert!(quantum >= 3 * LONG && quantum < 100 * LONG, "{quantum:?}");
    }

    #[test]
    fn it_is_four_times_what_half_of_the_jobs_take_or_the_short_ones_where_more_than_half_are_long() {
        for quantum in [learned([LONG; 16]), learned(mixed(3, LONG, 10 * LONG)), learned(mixed(3, 10 * LONG, LONG))] {
            let times = quantum.as_secs_f64() / LONG.as_secs_f64();
            assert!((times / f64::from(MULTIPLE) - 1.0).abs() <= 1.0 / 16.0, "{times}");
        }
    }

    #[test]
    fn jobs_that_differ_by_less_than_four_times_do_not_outrun_it() {
        for longest in [LONG, 2 * LONG, 7 * LONG / 2] {
            let quantum = learned(mixed(3, longest, LONG));
            assert!(quantum > longest, "{longest:?} {quantum:?}");
        }
    }

    #[test]
    fn where_the_old_end_as_soon_as_the_young_few_outrun_it() {
        // The quantiles of an exponential distribution, in an order that mixes them.
        let exponential = (0..4096_u32).map(|at| {
            let share = f64::from(at.wrapping_mul(1597) % 4096) / 4096.0;
            LONG.mul_f64(-(1.0 - share).ln())
        });
        let quantum = learned(exponential.clone());
        assert!(exponential.filter(|ran| *ran > quantum).count() < 4096 / 12, "{quantum:?}");
        assert!(quantum < 4 * LONG, "{quantum:?}: four times what half of them take");
    }

    #[test]
    fn it_changes_with_what_jobs_take() {
        assert!(learned(std::iter::repeat_n(SHORT, 5000).chain(std::iter::repeat_n(LONG, 20_000))) > LONG);
    }
}
