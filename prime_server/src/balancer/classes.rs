//! Whose turn it is, where jobs of several priorities wait: strictly the most urgent, or each by its [share](super::shares), a level
//! twice that of the next one.

use std::time::Duration;

use super::shares::Shares;
use crate::Priority;

/// How the priorities of a stage's jobs are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// As long as there is a job of a more urgent level, none of a less urgent one is taken.
    Strict,
    /// Each level has twice the share of the next.
    #[default]
    Weighted,
}

impl Order {
    pub(crate) fn new(strict: bool) -> Self {
        if strict { Self::Strict } else { Self::Weighted }
    }
}

#[derive(Debug, Default)]
pub(super) struct Classes(Shares);

impl Classes {
    /// Whose job is to be taken next.
    pub(super) fn next(&self, order: Order) -> Option<usize> {
        match order {
            Order::Strict => self.0.first(),
            Order::Weighted => self.0.next(),
        }
    }

    /// The levels of which jobs wait.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> + use<> {
        self.0.all()
    }

    /// A job of a level waits of which none did.
    pub(super) fn wait(&mut self, level: usize) {
        self.0.wait(level);
    }

    /// No job of a level waits any more.
    pub(super) fn none_waits(&mut self, level: usize) {
        self.0.none_waits(level);
    }

    /// A job of a level gets a slot.
    pub(super) fn begin(&mut self, level: usize) {
        self.0.ledger_mut().begin(level);
    }

    /// A job of a level has no slot any more.
    pub(super) fn end(&mut self, level: usize) {
        self.0.ledger_mut().end(level);
    }

    /// A job of a level has had a slot for so long.
    pub(super) fn charge(&mut self, level: usize, time: Duration) {
        self.0.ledger_mut().charge(level, time.as_secs_f64() / weight(level));
    }
}

fn weight(level: usize) -> f64 {
    f64::from(1 << (Priority::LEVELS - 1 - level))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many jobs while all of these levels wait, each for its time, and gives what each has had.
    fn shares(order: Order, levels: &[(usize, Duration)], jobs: u32) -> Vec<f64> {
        let (mut classes, mut had) = (Classes::default(), vec![0.0; levels.len()]);
        levels.iter().for_each(|(level, _)| classes.wait(*level));
        for _ in 0..jobs {
            let next = classes.next(order).unwrap();
            let at = levels.iter().position(|(level, _)| *level == next).unwrap();
            classes.begin(next);
            classes.end(next);
            classes.charge(next, levels[at].1);
            had[at] += levels[at].1.as_secs_f64();
        }
        had
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn strictly_only_the_most_urgent_is_taken() {
        let had = shares(Order::Strict, &[(6, MS), (2, MS), (4, MS)], 10);
        assert!(had[0] == 0.0 && had[1] > 0.0 && had[2] == 0.0);
    }

    #[test]
    fn a_level_has_twice_the_share_of_the_next_in_time_whatever_its_jobs_take() {
        for (long, short) in [(MS, MS), (100 * MS, MS), (MS, 100 * MS)] {
            let had = shares(Order::Weighted, &[(3, long), (4, short)], 30_000);
            assert!((had[0] / had[1] / 2.0 - 1.0).abs() < 0.02, "{had:?}");
        }
        let had = shares(Order::Weighted, &[(2, MS), (4, MS), (6, MS)], 2_100);
        assert_eq!(had.iter().map(|had| (had * 1e3).round() as u32).collect::<Vec<_>>(), [1600, 400, 100]);
    }

    #[test]
    fn a_level_that_had_nothing_to_do_has_saved_nothing_up() {
        let mut classes = Classes::default();
        classes.wait(4);
        for _ in 0..1000 {
            classes.begin(4);
            classes.end(4);
            classes.charge(4, MS);
        }
        classes.wait(5);
        let fives = (0..300).filter(|_| {
            let next = classes.next(Order::Weighted).unwrap();
            classes.begin(next);
            classes.end(next);
            classes.charge(next, MS);
            next == 5
        });
        assert!((99..=102).contains(&fives.count()));
        classes.none_waits(4);
        classes.none_waits(5);
        assert_eq!(classes.next(Order::Weighted), None);
    }
}
