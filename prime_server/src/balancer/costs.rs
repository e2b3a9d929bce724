//! How long jobs of each kind take, learned from those that have run, and what follows for the order in which they wait.
//!
//! The one that is expected to take least goes first, which is best on average where jobs are not stopped (Conway, Maxwell and Miller, 1967),
//! but a job that has waited [`PATIENCE`] times as long as it takes counts as one that takes no time. So nothing waits much longer for
//! its cost than others do for theirs, and a wrong estimate delays a job by a multiple of the estimate.

use std::time::{Duration, Instant};

use super::sketch::Sketch;
use crate::Kind;

/// A job goes before another that came later by more than so many times what it takes longer.
pub(crate) const PATIENCE: u32 = 32;

/// So many jobs have to be known, and so many new ones to look again.
const FEW: u32 = 16;
const MANY: u32 = 64;

/// What all but this share of a kind's jobs take is what one takes at least.
const AT_LEAST: f64 = 0.05;

/// Of jobs that would be refused, one of so many is let in, so that it is noticed if they have become shorter.
const PROBE: u32 = 16;

/// What a stage has learned of its jobs.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// By the kind's number.
    kinds: Vec<Cost>,
    all: Cost,
    /// The kinds of which nearly every job outruns the quantum, a bit each, and that quantum.
    long: u128,
    quantum: Duration,
}

/// What a run tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// How long one takes.
    Whole,
    /// That of one that would have been refused: it can be done in that time.
    Probe,
    /// It was cut short, and would have taken longer, nobody knows how long: twice that, or what others do if they take longer. So jobs of which
    /// none is ever done are known for long.
    Cut,
}

#[derive(Clone, Debug, Default)]
struct Cost {
    runs: Option<Sketch>,
    unseen: u32,
    /// What half of them take at most, and what nearly all take at least.
    usual: Option<Duration>,
    at_least: Option<Duration>,
    refused: u32,
}

impl Costs {
    /// What a job of that kind is expected to take. One of a kind of which little is known takes what the user has said, or what all do.
    pub(super) fn expected(&self, kind: Kind) -> Duration {
        let learned = self.kinds.get(kind.index()).and_then(|cost| cost.usual);
        learned.or_else(|| kind.said()).or(self.all.usual).unwrap_or_default()
    }

    /// Whether a job of that kind takes longer than until then, by those that have run: what the user has said may be of another stage.
    pub(super) fn is_late(&self, kind: Kind, now: Instant, deadline: Instant) -> bool {
        let at_least = self.kinds.get(kind.index()).and_then(|cost| cost.at_least);
        at_least.is_some_and(|takes| now + takes > deadline)
    }

    /// Whether one that is late is tried all the same.
    pub(super) fn probes(&mut self, kind: Kind) -> bool {
        self.kinds.get_mut(kind.index()).is_some_and(|cost| {
            cost.refused += 1;
            cost.refused.is_multiple_of(PROBE)
        })
    }

    /// A job of that kind has run for so long.
    pub(super) fn learn(&mut self, kind: Kind, ran: Duration, sample: Sample, quantum: Duration) {
        if kind.index() >= self.kinds.len() {
            self.kinds.resize(kind.index() + 1, Cost::default());
        }
        let ran = if sample == Sample::Cut { self.expected(kind).max(2 * ran) } else { ran };
        self.all.learn(ran);
        let cost = &mut self.kinds[kind.index()];
        cost.learn(ran);
        if sample == Sample::Probe {
            cost.at_least = cost.at_least.map(|takes| takes.min(ran));
        }
        if cost.unseen == 0 || self.quantum != quantum {
            self.quantum = quantum;
            self.long = (0..self.kinds.len()).filter(|kind| self.outruns(*kind)).fold(0, |long, kind| long | 1 << kind);
        }
    }

    /// Whether nearly every job of the kind of that number outruns the quantum.
    fn outruns(&self, kind: usize) -> bool {
        let takes = self.kinds[kind].at_least.or_else(|| Kind::from_byte(kind as u8).said());
        takes.is_some_and(|takes| takes > self.quantum)
    }

    /// Whether nearly every job of that kind outruns the quantum.
    pub(super) fn is_long(&self, kind: Kind) -> bool {
        self.long & 1 << kind.index() != 0
    }

    /// The kinds of which that is so, a bit each.
    pub(super) fn long(&self) -> u128 {
        self.long
    }
}

impl Cost {
    fn learn(&mut self, ran: Duration) {
        let runs = self.runs.get_or_insert_with(Sketch::new);
        runs.record(ran);
        self.unseen += 1;
        let enough = if self.usual.is_some() { MANY } else { FEW };
        if self.unseen >= enough {
            self.unseen = 0;
            self.usual = runs.quantile(0.5);
            self.at_least = runs.quantile(AT_LEAST).filter(|_| runs.samples() >= MANY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(10);
    const LONG: Duration = Duration::from_millis(10);
    const QUANTUM: Duration = Duration::from_micros(300);

    fn learned(runs: &[(Kind, Duration, u32)]) -> Costs {
        let mut costs = Costs::default();
        for (kind, ran, times) in runs {
            (0..*times).for_each(|_| costs.learn(*kind, *ran, Sample::Whole, QUANTUM));
        }
        costs
    }

    fn about(found: Duration, right: Duration) -> bool {
        (found.as_secs_f64() / right.as_secs_f64() - 1.0).abs() < 0.1
    }

    #[test]
    fn what_little_is_known_of_takes_what_all_do() {
        let (short, new) = (Kind::number(1), Kind::number(2));
        assert_eq!(Costs::default().expected(short), Duration::ZERO);
        let costs = learned(&[(short, SHORT, FEW), (new, LONG, FEW - 1)]);
        assert!(about(costs.expected(short), SHORT));
        assert_eq!(costs.expected(new), costs.expected(short));
        assert!(about(learned(&[(short, SHORT, FEW), (new, LONG, FEW)]).expected(new), LONG));
    }

    #[test]
    fn a_kind_is_long_where_nearly_all_outrun_the_quantum() {
        let kind = Kind::number(3);
        assert!(learned(&[(kind, LONG, MANY + FEW)]).is_long(kind));
        assert!(!learned(&[(kind, SHORT, 8), (kind, LONG, MANY + FEW - 8)]).is_long(kind));
        assert!(!learned(&[(kind, LONG, MANY + FEW), (kind, SHORT, 4 * MANY)]).is_long(kind));
        assert_eq!(learned(&[(kind, LONG, MANY + FEW)]).long(), 1 << 3);
        let hardly_ever_short = [(kind, SHORT, 3), (kind, LONG, 2 * MANY + FEW - 3)];
        assert!(learned(&hardly_ever_short).is_long(kind));
    }

    #[test]
    fn what_is_long_changes_with_the_quantum_at_once() {
        let kind = Kind::number(3);
        let mut costs = learned(&[(kind, LONG, MANY + FEW)]);
        costs.learn(kind, LONG, Sample::Whole, 2 * LONG);
        assert!(!costs.is_long(kind));
        costs.learn(kind, LONG, Sample::Whole, QUANTUM);
        assert!(costs.is_long(kind));
    }

    #[test]
    fn a_kind_is_expected_to_take_what_half_of_its_jobs_do() {
        let kind = Kind::number(3);
        let mixed: Vec<_> = (0..MANY).map(|at| (kind, if at % 4 == 0 { LONG } else { SHORT }, 1)).collect();
        assert!(about(learned(&mixed).expected(kind), SHORT));
    }

    #[test]
    fn of_few_jobs_it_is_not_known_what_one_takes_at_least() {
        let (kind, now) = (Kind::number(3), Instant::now());
        assert!(!learned(&[(kind, LONG, MANY - 1)]).is_late(kind, now, now));
        assert!(learned(&[(kind, LONG, MANY + FEW)]).is_late(kind, now, now));
    }

    #[test]
    fn one_of_some_is_tried_that_would_be_late() {
        let (kind, now) = (Kind::number(0), Instant::now());
        let mut costs = learned(&[(kind, LONG, MANY + FEW)]);
        assert!(!costs.is_late(kind, now, now + 2 * LONG) && costs.is_late(kind, now, now + LONG / 2));
        assert_eq!((0..4 * PROBE).filter(|_| costs.probes(kind)).count(), 4);
        assert!(!costs.is_late(Kind::number(1), now, now), "nothing is known of it");
    }

    #[test]
    fn what_the_user_says_counts_until_more_is_known() {
        let (kind, now) = (Kind::taking(LONG), Instant::now());
        let costs = learned(&[(Kind::number(0), SHORT, MANY), (kind, SHORT, FEW - 1)]);
        assert!(costs.expected(kind) > LONG / 2 && !costs.is_late(kind, now, now + LONG / 2));
        let costs = learned(&[(kind, SHORT, MANY + FEW)]);
        assert!(about(costs.expected(kind), SHORT) && !costs.is_long(kind));
        assert!(!costs.is_late(kind, now, now + LONG / 2) && costs.is_late(kind, now, now + SHORT / 2));
    }

    #[test]
    fn what_is_always_cut_short_is_known_for_long_and_what_is_at_times_for_what_it_takes() {
        let (kind, now) = (Kind::number(0), Instant::now());
        let mut costs = Costs::default();
        (0..MANY + FEW).for_each(|_| costs.learn(kind, LONG, Sample::Cut, QUANTUM));
        assert!(costs.is_late(kind, now, now + LONG));
        let mut costs = learned(&[(kind, LONG, MANY + FEW)]);
        (0..8 * MANY).for_each(|_| costs.learn(kind, SHORT, Sample::Cut, QUANTUM));
        assert!(about(costs.expected(kind), LONG));
    }
}
