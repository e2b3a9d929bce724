//! When a queue is overloaded: not when it is long, but when what waits there has waited for too long, and goes on to.
//!
//! CoDel (Nichols and Jacobson, 2012; RFC 8289) as it is used before servers (Maurer, "Fail at Scale", 2015): a burst is queued, a queue that
//! stands is not. Whatever is overloaded serves the newest first, since the old have waited in vain already, and gives up what has waited
//! longer than the target.

use std::time::{Duration, Instant};

/// A queue becomes overloaded when what waits there has waited longer than the target for so long without a break, and is no more when it has
/// been calm for so long without a break. A moment without jobs ends no overload.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// It is calm where what waits would be served, first come first, in this part of the target.
const CALM: f64 = 0.5;

/// A new sample's part of the mean time between two jobs that are taken.
const NEW: f64 = 1.0 / 16.0;

/// How long to wait between two looks, or that part of the target if it is less.
const REST: Duration = Duration::from_millis(1);
const TIMES: u32 = 8;

pub(super) fn rest(target: Duration) -> Duration {
    REST.min(target / TIMES)
}

#[derive(Debug, Default)]
pub(super) struct Delay {
    overloaded: bool,
    /// Since when that has been to change.
    since: Option<Instant>,
    /// When it was looked at last.
    looked: Option<Instant>,
    /// Since when some have waited without a break and none that was taken is in the pace, and how many were taken meanwhile.
    counted: Option<Instant>,
    taken: u32,
    /// How many seconds there are between two that are taken, while others wait.
    pace: Option<f64>,
}

impl Delay {
    pub(super) fn is_overloaded(&self) -> bool {
        self.overloaded
    }

    /// A job was taken.
    pub(super) fn took(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    /// None waits any more. A queue that is not overloaded has not stood.
    pub(super) fn emptied(&mut self) {
        self.counted = None;
        if !self.overloaded {
            self.since = None;
        }
    }

    /// So many wait, the first of them since `oldest`.
    pub(super) fn look(&mut self, oldest: Instant, waiting: usize, target: Duration, now: Instant) {
        if let Some(looked) = self.looked.replace(now)
            && now.saturating_duration_since(looked) > INTERVAL
            && oldest > looked
        {
            // All that it was overloaded with is gone.
            (self.overloaded, self.since) = (false, None);
        }
        // By Little's law.
        let is_calm = waiting as f64 * self.pace(now) <= CALM * target.as_secs_f64();
        let should_change = if self.overloaded { is_calm } else { now.saturating_duration_since(oldest) > target };
        if !should_change {
            self.since = None;
        } else if now.saturating_duration_since(*self.since.get_or_insert(now)) >= INTERVAL {
            (self.overloaded, self.since) = (!self.overloaded, None);
        }
    }

    /// How many seconds there are between two jobs that are taken, by those that were taken until now.
    fn pace(&mut self, now: Instant) -> f64 {
        let time = now.saturating_duration_since(*self.counted.get_or_insert_with(|| {
            self.taken = 0;
            now
        }));
        if self.taken == 0 {
            // It takes that long at least.
            return self.pace.unwrap_or_default().max(time.as_secs_f64());
        }
        let sample = time.as_secs_f64() / f64::from(self.taken);
        (self.counted, self.taken) = (Some(now), 0);
        let pace = self.pace.get_or_insert(sample);
        *pace += (sample - *pace) * NEW;
        *pace
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
    fn it_is_looked_at_once_a_millisecond_or_eight_times_in_the_target() {
        assert_eq!((rest(100 * TARGET), rest(TARGET)), (MS, TARGET / TIMES));
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
        delay.emptied();
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
            delay.emptied();
            delay.look(now + ms * MS, 1, TARGET, now + ms * MS);
        }
        assert!(!delay.is_overloaded());
        let mut delay = overloaded(now);
        for ms in 101..300 {
            delay.took();
            delay.emptied();
            delay.look(now + ms * MS, 3, TARGET, now + ms * MS);
            assert!(delay.is_overloaded(), "three milliseconds for three, after {ms} ms");
        }
    }

    #[test]
    fn a_moment_without_jobs_ends_no_overload_and_a_long_one_does() {
        let now = Instant::now();
        let mut delay = overloaded(now);
        delay.emptied();
        delay.look(now + 150 * MS, 9, TARGET, now + 150 * MS);
        assert!(delay.is_overloaded());
        delay.emptied();
        delay.look(now + 251 * MS, 9, TARGET, now + 251 * MS);
        assert!(!delay.is_overloaded());
    }

    #[test]
    fn a_job_that_is_taken_less_often_than_looked_for_makes_no_calm() {
        let (mut delay, now) = (Delay::default(), Instant::now());
        // A job takes 50 ms, and is looked for each 10 ms: the twentieth waits for a second.
        for look in 0..100 {
            if look % 5 == 0 {
                delay.took();
            }
            delay.look(now - 2 * 200 * TARGET, 20, 200 * TARGET, now + look * 10 * MS);
            assert!(look < 11 || delay.is_overloaded(), "{look}");
        }
    }
}
