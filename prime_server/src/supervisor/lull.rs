//! When spares are let go: those that were not needed for long, while there are more than are to be.

use std::time::{Duration, Instant};

/// Spares that were not needed for so long are let go.
pub(super) const LULL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Lull {
    /// The fewest spares since a moment.
    fewest: usize,
    since: Instant,
}

impl Lull {
    pub(super) fn new(now: Instant) -> Self {
        Self { fewest: 0, since: now }
    }

    /// So many spares are there, of which so many are to be made `ahead`. Returns how many are to be let go, and when to look again.
    pub(super) fn look(&mut self, spares: usize, ahead: usize, now: Instant) -> (usize, Option<Instant>) {
        self.fewest = spares.min(self.fewest);
        if spares <= ahead {
            *self = Self { fewest: usize::MAX, since: now };
            return (0, None);
        }
        let mut unneeded = 0;
        if now.saturating_duration_since(self.since) >= LULL {
            unneeded = self.fewest.saturating_sub(ahead);
            *self = Self { fewest: usize::MAX, since: now };
        }
        (unneeded, Some(self.since + LULL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_never_needed_for_long_is_let_go_but_for_those_made_ahead() {
        let now = Instant::now();
        let mut lull = Lull::new(now);
        assert_eq!(lull.look(2, 2, now), (0, None));
        assert_eq!(lull.look(7, 2, now), (0, Some(now + LULL)));
        assert_eq!(lull.look(5, 2, now + SECOND), (0, Some(now + LULL)), "two were needed for a moment");
        assert_eq!(lull.look(7, 2, now + LULL - SECOND), (0, Some(now + LULL)));
        assert_eq!(lull.look(7, 2, now + LULL), (3, Some(now + 2 * LULL)));
        assert_eq!(lull.look(4, 2, now + 2 * LULL), (2, Some(now + 3 * LULL)));
    }

    #[test]
    fn it_begins_anew_once_no_more_are_there_than_are_to_be() {
        let now = Instant::now();
        let mut lull = Lull::new(now);
        lull.look(2, 2, now);
        lull.look(7, 2, now);
        assert_eq!(lull.look(2, 2, now + LULL - SECOND), (0, None));
        assert_eq!(lull.look(7, 2, now + LULL), (0, Some(now + 2 * LULL - SECOND)));
    }
}
