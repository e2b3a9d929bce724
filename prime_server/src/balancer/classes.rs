//! Whose turn it is, where jobs of several priorities wait.
//!
//! Strictly the most urgent, or each by its weight: a level has twice the share of the next one, of the time that jobs have slots, not of
//! their number, so that a level whose jobs are long gets no more for it. That is stride scheduling (Waldspurger, 1995): the level goes next that
//! has had least for its weight. One that had nothing to do meanwhile has saved nothing up.

use std::time::Duration;

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

/// A new sample's part of the mean time of a level's jobs.
const NEW: f64 = 1.0 / 16.0;

#[derive(Debug, Default)]
pub(super) struct Classes {
    /// The levels of which jobs wait, a bit each.
    waiting: u8,
    levels: [Level; Priority::LEVELS],
    /// What the level that was served last had had before.
    clock: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// The seconds that its jobs have had slots, for its weight.
    had: f64,
    /// What one takes, as long as that is not known.
    mean: f64,
}

impl Classes {
    /// Whose job is to be taken next.
    pub(super) fn next(&self, order: Order) -> Option<usize> {
        let first = self.waiting.trailing_zeros() as usize;
        if self.waiting.count_ones() <= 1 || order == Order::Strict {
            return (first < Priority::LEVELS).then_some(first);
        }
        let waits = |level: &usize| self.waiting & 1 << level != 0;
        (first..Priority::LEVELS).filter(waits).min_by(|a, b| self.levels[*a].had.total_cmp(&self.levels[*b].had))
    }

    /// A job of a level waits of which none did.
    pub(super) fn wait(&mut self, level: usize) {
        self.waiting |= 1 << level;
        let level = &mut self.levels[level];
        level.had = level.had.max(self.clock);
    }

    /// No job of a level waits any more.
    pub(super) fn none_waits(&mut self, level: usize) {
        self.waiting &= !(1 << level);
    }

    /// A job of a level is taken.
    pub(super) fn take(&mut self, level: usize) {
        let Level { had, mean } = &mut self.levels[level];
        self.clock = self.clock.max(*had);
        *had += *mean / weight(level);
    }

    /// A job of a level has had a slot for so long.
    pub(super) fn charge(&mut self, level: usize, time: Duration) {
        let Level { had, mean } = &mut self.levels[level];
        let above = time.as_secs_f64() - *mean;
        *had += above / weight(level);
        *mean += above * NEW;
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
            classes.take(next);
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
            classes.take(4);
            classes.charge(4, MS);
        }
        classes.wait(5);
        let fives = (0..300).filter(|_| {
            let next = classes.next(Order::Weighted).unwrap();
            classes.take(next);
            classes.charge(next, MS);
            next == 5
        });
        assert!((99..=102).contains(&fives.count()));
        classes.none_waits(4);
        classes.none_waits(5);
        assert_eq!(classes.next(Order::Weighted), None);
    }
}
