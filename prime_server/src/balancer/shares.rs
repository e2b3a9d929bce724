//! Whose turn it is, where several wait that have shares.
//!
//! Stride scheduling (Waldspurger, 1995): whoever has had least for its weight goes next. What is shared is the time that jobs have slots,
//! not their number, so that whoever has longer jobs gets no more for it. One that had nothing to do meanwhile has saved nothing up, or little, and when nobody waits all
//! begin anew.

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
    /// The most that anybody has had.
    most: f64,
    /// The seconds that one may be behind that after it had nothing to do.
    credit: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// The seconds that its jobs have had slots, for its weight.
    had: f64,
    /// What one takes, as long as that is not known.
    mean: f64,
}

impl Shares {
    /// Of those that may save up so much while they have nothing to do.
    pub(super) fn with_credit(credit: Duration) -> Self {
        Self { credit: credit.as_secs_f64(), ..Self::default() }
    }

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
        self.make_room(who);
        self.waiting |= 1 << who;
        let share = &mut self.of[who];
        share.had = share.had.max(self.clock - self.credit);
    }

    /// No job of somebody waits any more.
    pub(super) fn none_waits(&mut self, who: usize) {
        self.waiting &= !(1 << who);
        if self.waiting == 0 {
            // There was enough for all.
            self.clock = self.most;
        }
    }

    /// A job of somebody is taken. Returns the seconds that it is to be [charged](Self::charge) until it is known how long it has a slot.
    pub(super) fn take(&mut self, who: usize) -> f64 {
        let Share { had, mean } = self.of[who];
        self.clock = self.clock.max(had);
        mean
    }

    /// A job of somebody has had a slot for so long. Returns the seconds that it is to be charged besides.
    pub(super) fn learn(&mut self, who: usize, time: Duration) -> f64 {
        let Share { mean, .. } = &mut self.of[who];
        let above = time.as_secs_f64() - *mean;
        *mean += above * NEW;
        above
    }

    /// So many seconds count as had by somebody.
    pub(super) fn charge(&mut self, who: usize, seconds: f64) {
        self.make_room(who);
        let had = &mut self.of[who].had;
        *had += seconds;
        self.most = self.most.max(*had);
    }

    fn make_room(&mut self, who: usize) {
        if who >= self.of.len() {
            self.of.resize(who + 1, Share::default());
        }
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
