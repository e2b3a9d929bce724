//! Whose turn it is, where several wait that have shares.
//!
//! Stride scheduling (Waldspurger, 1995): whoever has had least for its weight goes next. What is shared is the time that jobs have slots,
//! not their number, so that whoever has longer jobs gets no more for it. One that had nothing to do meanwhile has saved nothing up.

use std::time::Duration;

/// The most that can have shares.
pub(super) const MOST: usize = u128::BITS as usize;

/// A new sample's part of the mean time of somebody's jobs.
const NEW: f64 = 1.0 / 16.0;

#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Those of whom jobs wait, a bit each.
    waiting: u128,
    of: Vec<Share>,
    /// What the one that was served last had had before.
    clock: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// The seconds that its jobs have had slots, for its weight.
    had: f64,
    /// What one takes, as long as that is not known.
    mean: f64,
}

impl Shares {
    /// The first of those that wait, by number.
    pub(super) fn first(&self) -> Option<usize> {
        (self.waiting != 0).then(|| self.waiting.trailing_zeros() as usize)
    }

    /// Whose job is to be taken next. Of equals it is the first.
    pub(super) fn next(&self) -> Option<usize> {
        if self.waiting.is_power_of_two() {
            return self.first();
        }
        self.all().min_by(|a, b| self.of[*a].had.total_cmp(&self.of[*b].had))
    }

    /// Those of whom jobs wait.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> + use<> {
        bits(self.waiting)
    }

    /// A job waits of somebody of whom none did.
    pub(super) fn wait(&mut self, who: usize) {
        if who >= self.of.len() {
            self.of.resize(who + 1, Share::default());
        }
        self.waiting |= 1 << who;
        let share = &mut self.of[who];
        share.had = share.had.max(self.clock);
    }

    /// No job of somebody waits any more.
    pub(super) fn none_waits(&mut self, who: usize) {
        self.waiting &= !(1 << who);
    }

    /// A job of somebody with that weight is taken.
    pub(super) fn take(&mut self, who: usize, weight: f64) {
        let Share { had, mean } = &mut self.of[who];
        self.clock = self.clock.max(*had);
        *had += *mean / weight;
    }

    /// A job of somebody with that weight has had a slot for so long.
    pub(super) fn charge(&mut self, who: usize, weight: f64, time: Duration) {
        let Share { had, mean } = &mut self.of[who];
        let above = time.as_secs_f64() - *mean;
        *had += above / weight;
        *mean += above * NEW;
    }
}

/// The numbers of the bits that are set.
pub(super) fn bits(mut of: u128) -> impl Iterator<Item = usize> + use<> {
    std::iter::from_fn(move || {
        let first = (of != 0).then(|| of.trailing_zeros() as usize)?;
        of &= of - 1;
        Some(first)
    })
}
