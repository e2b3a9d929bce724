//! The share that demoted jobs have however busy the others are.
//!
//! A demoted job runs where no other thread wants to, which may be nowhere. One that has been demoted for [`BOUND`] is owed a share of a
//! processor from then on: its part of a quarter of the stage's slots, half a processor at the most. While it has had less, some slots are
//! kept free for the demoted ones. Where that does not help, since something else has the processors, the whole process gives out no job for a
//! [`TURN`], and then does again for as long: so the others have half at the least. Only the one that has been demoted for longest is looked
//! at, since the system treats all of them alike.

use std::time::{Duration, Instant};

/// A job may be demoted for so long before it is owed anything.
pub(super) const BOUND: Duration = Duration::from_millis(100);

/// How long no job is given out at a time, and how long jobs are in between at least.
pub(super) const TURN: Duration = Duration::from_millis(5);

/// The part of a stage's slots that its demoted jobs are owed: a quarter is promised, and some more aimed at.
const PART: f64 = 0.3;

/// The most of a processor that one job is owed: what it gets if no job is given out half of the time.
const MOST: f64 = 0.5;

/// How far behind its share a job may be, as time of a processor: the system lets each thread run for about so long in turn.
const BEHIND: Duration = Duration::from_millis(2);

/// So far behind is one that has got little in another [`TURN`] all the same.
const FAR_BEHIND: Duration = Duration::from_millis(4);

/// How far ahead of its share a job may get, as time of a processor. What it has had above is forgotten.
const AHEAD: Duration = Duration::from_millis(10);

/// By how much the longest demoted job has had less than its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    /// Up to [`BEHIND`].
    #[default]
    Little,
    Much,
    /// More than [`FAR_BEHIND`].
    TooMuch,
}

/// What one stage's demoted jobs are owed.
#[derive(Debug, Default)]
pub(super) struct Share {
    account: Option<Account>,
}

/// The account of the job that has been demoted for longest, in seconds of a processor.
#[derive(Debug)]
struct Account {
    demoted: Instant,
    at: Instant,
    had: Duration,
    owed: f64,
}

/// The job that has been demoted for longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Longest {
    /// Since when.
    pub(super) since: Instant,
    /// The time that its thread has had.
    pub(super) had: Duration,
    /// How many are demoted in all.
    pub(super) demoted: usize,
}

impl Share {
    /// What the longest demoted job is owed. To be asked once each [`TURN`] while it is overdue.
    pub(super) fn owed(&mut self, longest: Longest, slots: usize, now: Instant) -> Owed {
        let Longest { since, had, demoted } = longest;
        if now.saturating_duration_since(since) < BOUND {
            self.account = None;
            return Owed::Little;
        }
        let known = self.account.take().filter(|account| account.demoted == since);
        let mut account = known.unwrap_or(Account { demoted: since, at: now, had, owed: 0.0 });
        let share = (PART * slots as f64 / demoted.max(1) as f64).min(MOST);
        let time = now.saturating_duration_since(account.at).as_secs_f64();
        let got = had.saturating_sub(account.had).as_secs_f64();
        account.owed = (account.owed + share * time - got).max(-AHEAD.as_secs_f64());
        (account.at, account.had) = (now, had);
        let owed = account.owed;
        self.account = Some(account);
        match owed {
            _ if owed > FAR_BEHIND.as_secs_f64() => Owed::TooMuch,
            _ if owed > BEHIND.as_secs_f64() => Owed::Much,
            _ => Owed::Little,
        }
    }

    /// Nothing is demoted.
    pub(super) fn forget(&mut self) {
        self.account = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks each turn for a second; the job runs that share of a processor, and more while the others stand still. Returns how many
    /// turns they stood still, and what it had.
    fn second(demoted: usize, slots: usize, runs: f64, stood: f64) -> (u32, Duration) {
        let (mut share, since) = (Share::default(), Instant::now());
        let (mut had, mut still, mut turns) = (Duration::ZERO, false, 0);
        let mut now = since + BOUND;
        for _ in 0..200 {
            let starves = share.owed(Longest { since, had, demoted }, slots, now) > Owed::Little;
            still = starves && !still;
            turns += u32::from(still);
            had += TURN.mul_f64(if still { stood } else { runs });
            now += TURN;
        }
        (turns, had)
    }

    #[test]
    fn nothing_is_owed_before_the_bound() {
        let (mut share, now) = (Share::default(), Instant::now());
        let longest = Longest { since: now, had: Duration::ZERO, demoted: 1 };
        assert_eq!(share.owed(longest, 2, now), Owed::Little);
        assert_eq!(share.owed(longest, 2, now + BOUND - TURN), Owed::Little);
        assert_eq!(share.owed(longest, 2, now + BOUND), Owed::Little);
        assert_eq!(share.owed(longest, 2, now + BOUND + TURN), Owed::Much);
        assert_eq!(share.owed(longest, 2, now + BOUND + 2 * TURN), Owed::TooMuch);
    }

    #[test]
    fn whoever_has_its_share_anyway_makes_nobody_wait() {
        assert_eq!(second(1, 2, 1.0, 1.0).0, 0);
        assert_eq!(second(60, 2, 0.03, 0.03).0, 0);
    }

    #[test]
    fn whoever_has_nothing_gets_its_share_and_no_more_than_that() {
        let (turns, had) = second(1, 2, 0.0, 1.0);
        assert!(turns <= 101 && had > Duration::from_millis(480), "{turns} {had:?}");
        let (_, had) = second(1, 1, 0.0, 1.0);
        assert!(had > Duration::from_millis(275) && had < Duration::from_millis(330), "{had:?}");
        let (turns, had) = second(8, 2, 0.0, 0.25);
        assert!(turns < 80 && had > Duration::from_millis(58), "{turns} {had:?}");
    }

    #[test]
    fn another_job_begins_with_an_account_of_its_own() {
        let (mut share, since) = (Share::default(), Instant::now());
        let longest = |since| Longest { since, had: Duration::ZERO, demoted: 1 };
        share.owed(longest(since), 2, since + BOUND);
        assert_eq!(share.owed(longest(since), 2, since + 2 * BOUND), Owed::TooMuch);
        let next = since + TURN;
        assert_eq!(share.owed(longest(next), 2, since + 2 * BOUND), Owed::Little);
    }
}
