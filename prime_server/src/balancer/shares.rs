//! Whose turn it is, where several wait that have shares.
//!
//! Stride scheduling (Waldspurger, 1995): whoever has had least for its weight goes next. What is shared is the time that jobs have slots,
//! not their number, so that whoever has longer jobs gets no more for it. A job that has its slot still counts as much as one takes on
//! average. One that had nothing to do meanwhile has saved nothing up, or little, and when nobody waits all begin anew.

use std::time::Duration;

/// So many a set of bits tells apart: those of whom it is noted that they wait.
pub(super) const MOST: usize = u128::BITS as usize;

/// A new sample's part of the mean.
const NEW: f64 = 1.0 / 16.0;

/// What each has had. Who it is, is a number.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    of: Vec<Share>,
    /// The rank of the one that was served last.
    clock: f64,
    /// The highest rank of all.
    most: f64,
    /// The seconds that one may be behind that after it had nothing to do.
    credit: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// The seconds that its jobs have had slots, for its weight.
    had: f64,
    /// How many have one now, and what one takes on average.
    running: u32,
    mean: f64,
}

impl Ledger {
    /// Of those that may save up so much while they have nothing to do.
    pub(super) fn with_credit(credit: Duration) -> Self {
        Self { credit: credit.as_secs_f64(), ..Self::default() }
    }

    /// Who has less goes first.
    pub(super) fn rank(&self, who: usize) -> f64 {
        self.of[who].rank()
    }

    /// Somebody has something to do, and has saved up no more than it may.
    pub(super) fn come(&mut self, who: usize) {
        if who >= self.of.len() {
            self.of.resize(who + 1, Share::default());
        }
        let share = &mut self.of[who];
        share.had = share.had.max(self.clock - self.credit - f64::from(share.running) * share.mean);
    }

    /// That number is somebody else's from now on.
    pub(super) fn forget(&mut self, who: usize) {
        if let Some(share) = self.of.get_mut(who) {
            *share = Share::default();
        }
    }

    /// A job of somebody gets a slot.
    pub(super) fn begin(&mut self, who: usize) {
        let share = &mut self.of[who];
        self.clock = self.clock.max(share.rank());
        share.running += 1;
        self.most = self.most.max(share.rank());
    }

    /// A job of somebody has no slot any more.
    pub(super) fn end(&mut self, who: usize) {
        self.of[who].running -= 1;
    }

    /// A job of somebody has had a slot for so many seconds.
    pub(super) fn charge(&mut self, who: usize, seconds: f64) {
        let Share { had, mean, .. } = &mut self.of[who];
        *had += seconds;
        *mean += (seconds - *mean) * NEW;
        self.most = self.most.max(*had);
    }

    /// Nobody waits: there was enough for all.
    pub(super) fn begin_anew(&mut self) {
        self.clock = self.most;
    }
}

impl Share {
    fn rank(&self) -> f64 {
        self.had + f64::from(self.running) * self.mean
    }
}

/// Some that have shares, by numbers below [`MOST`], and which of them have something to do.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// A bit each.
    waiting: u128,
    ledger: Ledger,
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
        self.all().min_by(|a, b| self.ledger.rank(*a).total_cmp(&self.ledger.rank(*b)))
    }

    /// Those of whom jobs wait.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> + use<> {
        bits(self.waiting)
    }

    /// A job waits of somebody of whom none did.
    pub(super) fn wait(&mut self, who: usize) {
        self.ledger.come(who);
        self.waiting |= 1 << who;
    }

    /// No job of somebody waits any more.
    pub(super) fn none_waits(&mut self, who: usize) {
        self.waiting &= !(1 << who);
        if self.waiting == 0 {
            self.ledger.begin_anew();
        }
    }

    pub(super) fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const CREDIT: Duration = Duration::from_millis(100);

    /// Somebody's job is taken, and has a slot for so long.
    fn serve(shares: &mut Shares, who: usize, time: Duration) {
        let ledger = shares.ledger_mut();
        ledger.begin(who);
        ledger.end(who);
        ledger.charge(who, time.as_secs_f64());
    }

    /// Serves whoever is next until it is another than `who`, a millisecond each. Returns how often it was that.
    fn before_others(shares: &mut Shares, who: usize) -> u32 {
        let mut times = 0;
        while shares.next() == Some(who) {
            serve(shares, who, MS);
            times += 1;
        }
        times
    }

    /// Somebody has been served alone for a second, and has more to do.
    fn busy(who: usize) -> Shares {
        let mut shares = Shares { ledger: Ledger::with_credit(CREDIT), ..Shares::default() };
        shares.wait(who);
        (0..1000).for_each(|_| serve(&mut shares, who, MS));
        shares
    }

    #[test]
    fn whoever_had_nothing_to_do_goes_first_for_as_long_as_may_be_saved_up_and_no_longer() {
        let mut shares = busy(0);
        shares.wait(1);
        assert!((99..=101).contains(&before_others(&mut shares, 1)));
        shares.wait(2);
        serve(&mut shares, 2, MS);
        shares.wait(3);
        assert!(before_others(&mut shares, 3) <= 2, "what another has saved up is not added to one's own");
    }

    #[test]
    fn whoever_has_had_more_than_others_has_still_when_it_comes_again() {
        let mut shares = busy(0);
        shares.wait(1);
        serve(&mut shares, 0, 50 * MS);
        shares.none_waits(0);
        shares.wait(0);
        assert!(before_others(&mut shares, 1) >= 149);
    }

    #[test]
    fn when_nobody_waits_all_begin_anew() {
        let mut shares = busy(0);
        shares.wait(1);
        serve(&mut shares, 1, 500 * MS);
        (0..2).for_each(|who| shares.none_waits(who));
        (1..3).for_each(|who| shares.wait(who));
        let times = before_others(&mut shares, 2);
        assert!((99..=101).contains(&times), "{times}: one that is new is behind by what may be saved up");
    }

    #[test]
    fn a_job_that_has_its_slot_still_counts_as_much_as_they_take_on_average() {
        let mut shares = busy(0);
        shares.wait(1);
        before_others(&mut shares, 1);
        shares.ledger_mut().begin(1);
        (0..2).for_each(|_| serve(&mut shares, 0, MS));
        assert_eq!(shares.next(), Some(1), "it is behind by two, less the one that runs");
        (0..2).for_each(|_| shares.ledger_mut().begin(1));
        assert_eq!(shares.next(), Some(0));
        (0..2).for_each(|_| shares.ledger_mut().end(1));
        assert_eq!(shares.next(), Some(1));
    }
}
