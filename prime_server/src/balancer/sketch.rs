//! How long jobs of one sort take: a distribution, of which old samples fade.
//!
//! A histogram whose buckets grow with what they count, eight to each doubling, as HdrHistogram's with one digit and DDSketch's do. So a
//! quantile is right to 1/16 of itself, whatever its magnitude. Each time [`WINDOW`] samples have come, all that was counted halves.

use std::ops::Range;
use std::time::Duration;

/// Buckets to each doubling, as a power of two.
const BITS: u32 = 3;
/// What is shorter than 2^FIRST ns shares the first bucket, and what is longer than 2^(FIRST + OCTAVES) ns (5 hours) the last.
const FIRST: u32 = 7;
const OCTAVES: u32 = 37;
const BUCKETS: usize = (OCTAVES << BITS) as usize;

/// No bucket: whichever comes is before its start and behind its end.
const NONE: Range<usize> = Range { start: BUCKETS, end: 0 };

/// After so many samples, old ones count half.
pub(crate) const WINDOW: u32 = 1024;

/// What one sample counts, so that a rare one outlives some halvings.
const WEIGHT: u32 = 16;

/// See the [module's docs](self).
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    counts: Box<[u32; BUCKETS]>,
    total: u32,
    /// From the first bucket that counts something to behind the last, which for most stages are a few. Empty where none does.
    used: Range<usize>,
}

impl Sketch {
    pub(crate) fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, used: NONE }
    }

    /// How many samples there are, faded ones by what is left of them.
    pub(crate) fn samples(&self) -> u32 {
        self.total / WEIGHT
    }

    pub(crate) fn record(&mut self, took: Duration) {
        let bucket = bucket(took);
        self.counts[bucket] += WEIGHT;
        self.total += WEIGHT;
        self.used = self.used.start.min(bucket)..self.used.end.max(bucket + 1);
        if self.samples() >= 2 * WINDOW {
            self.fade();
        }
    }

    /// What that share of the jobs take at most. `None` where nothing is known.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (f64::from(self.total) * share) as u32;
        let mut below = 0;
        let at = self.used.clone().find(|bucket| {
            below += self.counts[*bucket];
            below > rank
        });
        at.or(self.used.clone().last()).map(middle)
    }

    /// What jobs took, shortest first, and how many took it.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Duration, f64)> {
        let some = self.used.clone().map(|bucket| (bucket, self.counts[bucket])).filter(|(_, count)| *count > 0);
        some.map(|(bucket, count)| (middle(bucket), f64::from(count) / f64::from(WEIGHT)))
    }

    fn fade(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
        self.total = self.counts.iter().sum();
        let counts = |bucket: &usize| self.counts[*bucket] > 0;
        let (first, last) = (self.used.clone().find(counts), self.used.clone().rfind(counts));
        self.used = first.zip(last).map_or(NONE, |(first, last)| first..last + 1);
    }
}

fn bucket(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1 << FIRST);
    let octave = nanos.ilog2();
    let within = (nanos >> (octave - BITS)) as usize & ((1 << BITS) - 1);
    ((((octave - FIRST) as usize) << BITS) + within).min(BUCKETS - 1)
}

/// The middle of what a bucket counts.
fn middle(bucket: usize) -> Duration {
    let (octave, within) = (bucket >> BITS, bucket as u64 & ((1 << BITS) - 1));
    let step = 1_u64 << (octave as u32 + FIRST - BITS);
    Duration::from_nanos(((1 << BITS) + within) * step + step / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantile_is_right_to_a_sixteenth(nanos in prop::collection::vec(200_u64..10_000_000_000_000, 1..200), share in 0.0..1.0) {
            let mut sketch = Sketch::new();
            let mut sorted = nanos.clone();
            sorted.sort_unstable();
            nanos.iter().for_each(|nanos| sketch.record(Duration::from_nanos(*nanos)));
            let exact = sorted[(sorted.len() as f64 * share) as usize] as f64;
            let found = sketch.quantile(share).unwrap().as_nanos() as f64;
            prop_assert!((found / exact - 1.0).abs() <= 1.0 / 16.0, "{found} for {exact}");
        }
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        assert_eq!(Sketch::new().quantile(0.5), None);
    }

    #[test]
    fn what_is_out_of_range_is_counted_at_the_ends() {
        let mut sketch = Sketch::new();
        sketch.record(Duration::ZERO);
        assert!(sketch.quantile(0.5).unwrap() < Duration::from_nanos(150));
        sketch.record(Duration::MAX);
        assert!(sketch.quantile(1.0).unwrap() > Duration::from_secs(4 * 3600));
    }

    #[test]
    fn old_samples_fade_and_a_rare_one_is_not_forgotten_at_once() {
        let (short, long) = (Duration::from_micros(10), Duration::from_millis(10));
        let mut sketch = Sketch::new();
        sketch.record(long);
        (0..2 * WINDOW).for_each(|_| sketch.record(short));
        assert!(sketch.samples() < 2 * WINDOW);
        assert!(sketch.quantile(0.9999).unwrap() > long / 2);
        (0..4 * WINDOW).for_each(|_| sketch.record(long));
        assert!(sketch.quantile(0.5).unwrap() > long / 2);
        (0..64 * WINDOW).for_each(|_| sketch.record(long));
        assert!(sketch.quantile(0.0).unwrap() > long / 2, "the short ones are forgotten");
    }
}
