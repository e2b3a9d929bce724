//! Which slots are kept free for demoted jobs that have less than their share: some, and where that does not help, all, half of the time.

use std::time::Instant;

use super::share::{Owed, TURN};
use crate::balancer::Held;

#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    /// None is.
    Work,
    /// Some are, as long as that helps.
    Yield,
    /// All are until then.
    Still(Instant),
    /// None is until then.
    Rest(Instant),
}

impl Turn {
    /// Which slots are kept free.
    pub(super) fn held(self) -> Held {
        match self {
            Self::Work | Self::Rest(_) => Held::Nothing,
            Self::Yield => Held::Half,
            Self::Still(_) => Held::All,
        }
    }

    /// So much is owed to demoted jobs. Returns when to look again.
    pub(super) fn pass(&mut self, owed: Owed, now: Instant) -> Option<Instant> {
        *self = match *self {
            Self::Still(until) | Self::Rest(until) if until > now => *self,
            Self::Still(_) => Self::Rest(now + TURN),
            Self::Work | Self::Yield | Self::Rest(_) => match owed {
                Owed::Little => Self::Work,
                Owed::Much => Self::Yield,
                Owed::TooMuch => Self::Still(now + TURN),
            },
        };
        match *self {
            Self::Work => None,
            Self::Yield => Some(now + TURN),
            Self::Still(until) | Self::Rest(until) => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_demoted_jobs_are_owed_too_much_nothing_is_given_out_half_of_the_time() {
        let (mut turn, start) = (Turn::Work, Instant::now());
        let mut held = |owed, turns: u32| {
            let due = turn.pass(owed, start + turns * TURN);
            (turn.held(), due)
        };
        let at = |turns: u32| Some(start + turns * TURN);
        assert_eq!(held(Owed::Little, 0), (Held::Nothing, None));
        assert_eq!(held(Owed::TooMuch, 0), (Held::All, at(1)));
        assert_eq!(held(Owed::TooMuch, 1), (Held::Nothing, at(2)));
        assert_eq!(held(Owed::TooMuch, 2), (Held::All, at(3)));
        assert_eq!(held(Owed::Little, 3), (Held::Nothing, at(4)));
        assert_eq!(held(Owed::Little, 4), (Held::Nothing, None));
    }

    #[test]
    fn while_they_are_owed_less_some_slots_are_kept_free() {
        let (mut turn, start) = (Turn::Work, Instant::now());
        assert_eq!((turn.pass(Owed::Much, start), turn.held()), (Some(start + TURN), Held::Half));
        assert_eq!((turn.pass(Owed::Much, start + TURN), turn.held()), (Some(start + 2 * TURN), Held::Half));
        assert_eq!((turn.pass(Owed::Little, start + 2 * TURN), turn.held()), (None, Held::Nothing));
    }
}
