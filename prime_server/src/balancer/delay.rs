//! When a queue is overloaded: not when it is long, but when what waits there has waited for too long, and goes on to.
//!
//! CoDel (Nichols and Jacobson, 2012; RFC 8289) as it is used before servers (Maurer, "Fail at Scale", 2015): a burst is queued, a queue that
//! stands is not. Whatever is overloaded serves the newest first, since the old have waited in vain already, and gives up what has waited
//! longer than the target.

use std::time::{Duration, Instant};

/// A queue is overloaded once something has waited longer than the target for so long, and no more once it has been calm for so long: without a break, since
/// one that is looked at while nothing happens to wait would else have to stand for that long again.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// It is calm where what waits would be served, first come first, in this part of the target.
const CALM: f64 = 0.5;

/// A new look's part of the mean time between two jobs that are taken.
const NEW: f64 = 1.0 / 16.0;

/// It is looked at so often at the most, or for a short target, so many times in that.
const REST: Duration = Duration::from_millis(1);
const TIMES: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Delay {
    overloaded: bool,
    /// Since when that should be otherwise, and when it was looked at last.
    since: Option<Instant>,
    looked: Option<Instant>,
    /// How many jobs were taken since then, and whether none waited in between.
    taken: u32,
    was_empty: bool,
    /// How many seconds there are between two that are taken, and how many have passed since one was, while some waited all the while.
    pace: f64,
    none_taken: f64,
}

impl Delay {
    pub(super) fn is_overloaded(&self) -> bool {
        self.overloaded
    }

    /// Whether it is time to [look](Self::look).
    pub(super) fn is_due(&self, target: Duration, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now >= looked + REST.min(target / TIMES))
    }

    /// A job was taken.
    pub(super) fn took(&mut self) {
        self.taken += 1;
    }

    /// None waits any more. A queue that is not overloaded has not stood.
    pub(super) fn is_empty(&mut self) {
        self.was_empty = true;
        if !self.overloaded {
            self.since = None;
        }
    }

    /// So many wait, the first of them since `oldest`.
    pub(super) fn look(&mut self, oldest: Instant, waiting: usize, target: Duration, now: Instant) {
        let (taken, was_empty) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.was_empty));
        if let Some(looked) = self.looked.replace(now) {
            let time = now.saturating_duration_since(looked);
            self.none_taken = if was_empty { 0.0 } else { self.none_taken + time.as_secs_f64() };
            if taken > 0 && !was_empty {
                let pace = std::mem::take(&mut self.none_taken) / f64::from(taken);
                self.pace += (pace - self.pace) * NEW;
            }
            if time > INTERVAL && oldest > looked {
                // All that it was overloaded with is gone.
                (self.overloaded, self.since) = (false, None);
            }
        }
        // By Little's law.
        let is_calm = waiting as f64 * self.pace.max(self.none_taken) <= CALM * target.as_secs_f64();
        let should_change = if self.overloaded { is_calm } else { now.saturating_duration_since(oldest) > target };
        if !should_change {
            self.since = None;
        } else if now.saturating_duration_since(*self.since.get_or_insert(now)) >= INTERVAL {
            (self.overloaded, self.since) = (!self.overloaded, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(5);
    const MS: Duration = Duration::from_millis(1);

    /// One that has stood above the target for as long as it takes, with a job taken each millisecond.
    fn overloaded(now: Instant) -> Delay {
        let mut delay = Delay::default();
        for ms in 0..=100 {
            delay.took();
            delay.look(now - 2 * TARGET, 50, TARGET, now + ms * MS);
        }
        assert!(delay.is_overloaded());
        delay
    }

    #[test]
    fn a_burst_is_no_overload_and_a_queue_that_stands_is() {
        let (mut delay, now) = (Delay::default(), Instant::now());
        for ms in 0..100 {
            delay.look(now - 2 * TARGET, 9, TARGET, now + ms * MS);
            assert!(!delay.is_overloaded());
        }
        delay.look(now + 99 * MS, 9, TARGET, now + 99 * MS);
        delay.look(now, 9, TARGET, now + 100 * MS);
        assert!(!delay.is_overloaded(), "it was below in between");
        overloaded(now);
    }

    #[test]
    fn what_has_not_waited_longer_than_the_target_is_no_overload_however_long_it_stands() {
        let (mut delay, now) = (Delay::default(), Instant::now());
        for ms in 0..1000 {
            delay.look(now + ms * MS - TARGET, 9, TARGET, now + ms * MS);
        }
        assert!(!delay.is_overloaded());
    }

    #[test]
    fn it_is_looked_at_some_times_within_the_target_and_each_millisecond_at_the_most() {
        let (mut delay, now) = (Delay::default(), Instant::now());
        assert!(delay.is_due(TARGET, now));
        delay.look(now, 1, TARGET, now);
        assert!(!delay.is_due(TARGET, now + TARGET / TIMES - MS / 100) && delay.is_due(TARGET, now + TARGET / TIMES));
        assert!(!delay.is_due(100 * TARGET, now + MS - MS / 100) && delay.is_due(100 * TARGET, now + MS));
    }

    #[test]
    fn it_is_over_once_what_waits_would_have_been_served_soon_for_as_long() {
        let now = Instant::now();
        let mut delay = overloaded(now);
        let mut look = |ms: u32, waiting| {
            delay.took();
            delay.look(now + ms * MS, waiting, TARGET, now + ms * MS);
            delay.is_overloaded()
        };
        assert!(look(101, 3), "three milliseconds for three");
        assert!((102..=200).all(|ms| look(ms, 2)));
        assert!(look(201, 3), "it was not calm without a break");
        assert!((202..302).all(|ms| look(ms, 2)));
        assert!(!look(302, 2));
    }

    #[test]
    fn a_queue_that_was_empty_in_between_has_not_stood() {
        let (mut delay, now) = (Delay::default(), Instant::now());
        delay.look(now - 2 * TARGET, 9, TARGET, now);
        delay.is_empty();
        for ms in [50, 100, 149] {
            delay.look(now + MS, 9, TARGET, now + ms * MS);
            assert!(!delay.is_overloaded(), "after {ms} ms");
        }
        delay.look(now + MS, 9, TARGET, now + 150 * MS);
        assert!(delay.is_overloaded());
    }

    #[test]
    fn a_few_jobs_tell_how_soon_others_are_served() {
        let (mut delay, now) = (Delay::default(), Instant::now());
        for ms in 0..=220 {
            (0..u32::from(ms % 20 == 0)).for_each(|_| delay.took());
            delay.look(now + ms * MS - 5 * TARGET, 1, 4 * TARGET, now + ms * MS);
            assert!(ms < 100 || delay.is_overloaded(), "20 ms for the next, after {ms} ms");
        }
    }

    #[test]
    fn calm_counts_from_its_own_beginning() {
        let now = Instant::now();
        let mut delay = overloaded(now);
        for ms in 101..=201 {
            assert!(delay.is_overloaded(), "after {ms} ms");
            delay.took();
            delay.look(now + ms * MS, 1, TARGET, now + ms * MS);
        }
        assert!(!delay.is_overloaded());
    }

    #[test]
    fn how_soon_what_waits_is_served_is_a_mean_of_when_some_wait_all_the_while() {
        let now = Instant::now();
        let mut delay = overloaded(now);
        // One that takes long, and then few come, of which none finds another.
        delay.took();
        delay.look(now + 110 * MS, 1, TARGET, now + 110 * MS);
        for ms in [130, 150, 170, 190, 210] {
            delay.took();
            delay.is_empty();
            delay.look(now + ms * MS, 1, TARGET, now + ms * MS);
        }
        assert!(!delay.is_overloaded());
        let mut delay = overloaded(now);
        for ms in 101..300 {
            delay.took();
            delay.is_empty();
            delay.look(now + ms * MS, 3, TARGET, now + ms * MS);
            assert!(delay.is_overloaded(), "three milliseconds for three, after {ms} ms");
        }
    }

    #[test]
    fn a_moment_without_jobs_ends_no_overload_and_a_long_one_does() {
        let now = Instant::now();
        let mut delay = overloaded(now);
        delay.is_empty();
        delay.look(now + 150 * MS, 9, TARGET, now + 150 * MS);
        assert!(delay.is_overloaded());
        delay.look(now + 50 * MS, 9, TARGET, now + 251 * MS);
        assert!(delay.is_overloaded(), "what waited then waits still");
        let mut delay = overloaded(now);
        delay.look(now + 150 * MS, 9, TARGET, now + 150 * MS);
        delay.is_empty();
        delay.look(now + 251 * MS, 9, TARGET, now + 251 * MS);
        assert!(!delay.is_overloaded());
    }
}
