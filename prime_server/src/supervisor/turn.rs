//! Whether jobs are given out: where demoted jobs starve, half of the time.

use std::time::Instant;

use super::share::TURN;

#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    /// They are.
    Work,
    /// They are not until then.
    Still(Instant),
    /// They are, and will be at least until then.
    Rest(Instant),
}

impl Turn {
    pub(super) fn is_still(self) -> bool {
        self.still_until().is_some()
    }

    /// Until when they are not, if they are not.
    pub(super) fn still_until(self) -> Option<Instant> {
        match self {
            Self::Still(until) => Some(until),
            Self::Work | Self::Rest(_) => None,
        }
    }

    /// Demoted jobs starve, or not. Returns when it changes by itself.
    pub(super) fn pass(&mut self, starving: bool, now: Instant) -> Option<Instant> {
        *self = match *self {
            Self::Still(until) if until <= now => Self::Rest(now + TURN),
            Self::Rest(until) if until <= now && !starving => Self::Work,
            Self::Rest(until) if until > now => *self,
            Self::Work | Self::Rest(_) if starving => Self::Still(now + TURN),
            same => same,
        };
        match *self {
            Self::Work => None,
            Self::Still(until) | Self::Rest(until) => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_demoted_jobs_starve_nothing_is_given_out_half_of_the_time() {
        let (mut turn, start) = (Turn::Work, Instant::now());
        let mut still = |starving, turns: u32| {
            let due = turn.pass(starving, start + turns * TURN);
            (turn.is_still(), due)
        };
        let at = |turns: u32| Some(start + turns * TURN);
        assert_eq!(still(false, 0), (false, None));
        assert_eq!(still(true, 0), (true, at(1)));
        assert_eq!(still(true, 1), (false, at(2)));
        assert_eq!(still(true, 2), (true, at(3)));
        assert_eq!(still(false, 3), (false, at(4)));
        assert_eq!(still(false, 4), (false, None));
    }
}
