//! When a queue is overloaded: not when it is long, but when what waits there has waited for too long, and goes on to.
//!
//! CoDel (Nichols and Jacobson, 2012; RFC 8289) as it is used before servers (Maurer, "Fail at Scale", 2015): a burst is queued, a queue that
//! stands is not. Whatever is overloaded serves the newest first, since the old have waited in vain already, and gives up what has waited
//! longer than the target.

use std::time::{Duration, Instant};

/// A queue is overloaded once something has waited longer than the target for so long.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// It is not any more once what waits would be served, first come first, in this part of the target.
const CALM: f64 = 0.5;

/// A new sample's part of the mean time between two jobs that are taken.
const NEW: f64 = 1.0 / 16.0;

#[derive(Debug, Default)]
pub(super) struct Delay {
    /// Since when something has waited longer than the target.
    above: Option<Instant>,
    overloaded: bool,
    /// When a job was taken last while others waited, and how many seconds there are between two.
    taken: Option<Instant>,
    pace: f64,
}

impl Delay {
    pub(super) fn is_overloaded(&self) -> bool {
        self.overloaded
    }

    /// A job was taken, and so many wait.
    pub(super) fn took(&mut self, waiting: usize, now: Instant) {
        if let Some(taken) = self.taken {
            self.pace += (now.saturating_duration_since(taken).as_secs_f64() - self.pace) * NEW;
        }
        self.taken = (waiting > 0).then_some(now);
    }

    /// None waits any more.
    pub(super) fn calm_down(&mut self) {
        (self.above, self.overloaded) = (None, false);
    }

    /// So many wait, the first of them since `oldest`.
    pub(super) fn look(&mut self, oldest: Instant, waiting: usize, target: Duration, now: Instant) {
        if self.overloaded {
            // By Little's law.
            self.overloaded = waiting as f64 * self.pace > CALM * target.as_secs_f64();
            self.above = None;
        } else if now.saturating_duration_since(oldest) <= target {
            self.above = None;
        } else {
            let above = *self.above.get_or_insert(now);
            self.overloaded = now.saturating_duration_since(above) >= INTERVAL;
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
            delay.took(50, now + ms * MS);
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
    fn it_is_over_once_the_queue_is_empty_or_what_waits_would_be_served_soon() {
        let now = Instant::now();
        let at = now + 101 * MS;
        let mut delay = overloaded(now);
        delay.look(at, 3, TARGET, at);
        assert!(delay.is_overloaded(), "three milliseconds for three");
        delay.look(at, 2, TARGET, at);
        assert!(!delay.is_overloaded());
        let mut delay = overloaded(now);
        delay.calm_down();
        assert!(!delay.is_overloaded());
    }
}
