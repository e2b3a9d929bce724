//! How often a supervisor looks for jobs that have outrun their quantum.
//!
//! As often as one can, while some are found: a short job waits until the long one before it is. Where none is found again and again,
//! since all jobs are alike or there are very few long ones, looking costs more than it gains, and is done less and less often.

use std::time::Duration;

/// After so many looks in vain, the next come half as often.
const PATIENCE: u32 = 32;

/// Looks that come as rarely as this come no more rarely.
const RAREST: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
pub(super) struct Pace {
    in_vain: u32,
    halvings: u32,
}

impl Pace {
    /// A look has been made. It has or has not found a job that has outrun its quantum and runs, and another may or may not find one.
    pub(super) fn looked(&mut self, found: bool, may_find: bool) {
        if found {
            *self = Self::default();
            return;
        }
        self.in_vain += u32::from(may_find);
        if self.in_vain >= PATIENCE && self.halvings < u32::BITS / 2 {
            self.in_vain = 0;
            self.halvings += 1;
        }
    }

    /// How long to wait at the least before the next look, where jobs have that quantum.
    pub(super) fn rest(&self, quantum: Duration) -> Duration {
        match self.halvings {
            0 => Duration::ZERO,
            halvings => (quantum * (1 << halvings)).min(RAREST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUANTUM: Duration = Duration::from_micros(300);

    #[test]
    fn looks_in_vain_become_rare_and_one_that_finds_something_makes_them_frequent_again() {
        let mut pace = Pace::default();
        assert_eq!(pace.rest(QUANTUM), Duration::ZERO);
        (0..PATIENCE).for_each(|_| pace.looked(false, true));
        assert_eq!(pace.rest(QUANTUM), 2 * QUANTUM);
        (0..100 * PATIENCE).for_each(|_| pace.looked(false, true));
        assert_eq!(pace.rest(QUANTUM), RAREST);
        assert_eq!(pace.rest(Duration::from_secs(1)), RAREST);
        pace.looked(true, false);
        assert_eq!(pace.rest(QUANTUM), Duration::ZERO, "the last one counts too");
    }

    #[test]
    fn where_there_is_nothing_to_find_no_look_is_in_vain() {
        let mut pace = Pace::default();
        (0..100 * PATIENCE).for_each(|_| pace.looked(false, false));
        assert_eq!(pace.rest(QUANTUM), Duration::ZERO);
    }
}
