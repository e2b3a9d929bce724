//! A set of moments that something falls due, most of which never come: requests are answered long before their deadline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Keys ordered by when they fall due.
///
/// Removing a key only counts it as stale; the heap is swept when over half of it is. So both ends cost O(1) amortised
/// where deadlines come in order, as those of equal timeouts do, and the memory stays within twice what is live.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    stale: usize,
}

/// Below this size a sweep is not worth it.
const SWEEP_AT: usize = 64;

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), stale: 0 }
    }

    pub(crate) fn insert(&mut self, due: Instant, key: K) {
        self.heap.push(Reverse((due, key)));
    }

    /// Says that one key is no longer `live`.
    pub(crate) fn remove(&mut self, live: impl Fn(K) -> bool) {
        self.stale += 1;
        if self.heap.len() > SWEEP_AT && self.stale * 2 > self.heap.len() {
            self.heap.retain(|Reverse((_, key))| live(*key));
            self.stale = 0;
        }
    }

    /// When the first live key falls due.
    pub(crate) fn next(&mut self, live: impl Fn(K) -> bool) -> Option<Instant> {
        loop {
            let Reverse((due, key)) = *self.heap.peek()?;
            if live(key) {
                return Some(due);
            }
            self.heap.pop();
            self.stale = self.stale.saturating_sub(1);
        }
    }

    /// Takes the first live key if it is due.
    pub(crate) fn pop_due(&mut self, now: Instant, live: impl Fn(K) -> bool) -> Option<K> {
        if self.next(live)? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, key))| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::time::Duration;

    #[test]
    fn keys_come_in_the_order_of_their_moments_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::new();
        for (due, key) in [(30, 3), (10, 1), (20, 2)] {
            deadlines.insert(at(due), key);
        }
        assert_eq!(deadlines.next(|_| true), Some(at(10)));
        assert_eq!(deadlines.pop_due(at(9), |_| true), None);
        assert_eq!(deadlines.pop_due(at(25), |_| true), Some(1));
        assert_eq!(deadlines.pop_due(at(25), |key| key != 2), None);
        assert_eq!(deadlines.next(|_| true), Some(at(30)));
    }

    #[test]
    fn memory_stays_within_twice_what_is_live() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        let mut live = HashSet::new();
        let asked = std::cell::Cell::new(0);
        for key in 0..100_000_u32 {
            deadlines.insert(start + Duration::from_secs(30), key);
            live.insert(key);
            if let Some(old) = key.checked_sub(100) {
                live.remove(&old);
                deadlines.remove(|key| {
                    asked.set(asked.get() + 1);
                    live.contains(&key)
                });
            }
        }
        assert!(deadlines.heap.len() <= 2 * 100 + SWEEP_AT, "{} kept for 100 live", deadlines.heap.len());
        assert!(asked.get() <= 3 * 100_000, "{} asked for 100,000 keys: more than O(1) each", asked.get());
    }
}
