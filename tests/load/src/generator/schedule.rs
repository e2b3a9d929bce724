//! Who asks for what and when: a mix of cheap and heavy requests, and seeded Poisson arrivals of
//! it.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::response;

/// Indices of the mix's requests.
pub(crate) const CHEAP: usize = 0;
/// See [`CHEAP`].
pub(crate) const HEAVY: usize = 1;

const CHEAP_MICROS: u64 = 8;
const HEAVY_MICROS: u64 = 8000;
const HEAVY_SHARE: f64 = 0.06;

/// The requests of the mix by kind, all to one path: the server cannot tell them apart before it
/// runs them.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    [CHEAP_MICROS, HEAVY_MICROS].map(|us| response::get(&format!("/spin?us={us}"))).to_vec()
}

/// Kinds drawn at random from the mix.
pub(crate) struct Kinds(ChaCha8Rng);

impl Kinds {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The kind of the next request.
    pub(crate) fn next(&mut self) -> usize {
        if self.0.random_bool(HEAVY_SHARE) { HEAVY } else { CHEAP }
    }
}

/// A request of an open loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// When it is to be sent, from the beginning.
    pub(crate) due: Duration,
    /// What is asked for.
    pub(crate) kind: usize,
}

/// Arrivals over `time` at a mean of `per_second`, each independent of the others: the same for the
/// same seed.
pub(crate) fn poisson(seed: u64, per_second: f64, time: Duration) -> Vec<Arrival> {
    let mut gaps = ChaCha8Rng::seed_from_u64(seed);
    // A stream of its own, so that another rate does not change what is asked for.
    let mut kinds = Kinds(ChaCha8Rng::seed_from_u64(seed));
    kinds.0.set_stream(1);
    let mut at = 0.0;
    std::iter::repeat_with(|| {
        let uniform: f64 = gaps.random();
        at += -(1.0 - uniform).ln() / per_second;
        Arrival { due: Duration::from_secs_f64(at), kind: kinds.next() }
    })
    .take_while(|arrival| arrival.due < time)
    .collect()
}

/// Arrivals of each kind at a rate of its own, over `time`.
pub(crate) fn poisson_of_each(seed: u64, per_second: &[f64], time: Duration) -> Vec<Arrival> {
    let of_kind = |(kind, rate): (usize, &f64)| {
        let rate = *rate;
        let mut gaps = ChaCha8Rng::seed_from_u64(seed);
        gaps.set_stream(2 + kind as u64);
        let mut at = 0.0;
        let arrivals = std::iter::repeat_with(move || {
            let uniform: f64 = gaps.random();
            at += -(1.0 - uniform).ln() / rate;
            Arrival { due: Duration::from_secs_f64(at), kind }
        });
        arrivals.take_while(move |arrival| arrival.due < time)
    };
    let mut all: Vec<_> = per_second.iter().enumerate().filter(|(_, rate)| **rate > 0.0).flat_map(of_kind).collect();
    all.sort_by_key(|arrival| arrival.due);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(poisson(7, 1000.0, TIME), poisson(7, 1000.0, TIME));
        assert_ne!(poisson(7, 1000.0, TIME), poisson(8, 1000.0, TIME));
    }

    #[test]
    fn a_longer_schedule_begins_like_a_shorter_one() {
        let short = poisson(7, 1000.0, TIME / 2);
        assert_eq!(poisson(7, 1000.0, TIME)[..short.len()], short);
    }

    #[test]
    fn another_rate_asks_for_the_same_at_other_times() {
        let kinds =
            |rate| poisson(7, rate, TIME).into_iter().map(|arrival| arrival.kind).take(1000).collect::<Vec<_>>();
        assert_eq!(kinds(1000.0), kinds(500.0));
    }

    #[test]
    fn the_means_are_as_asked() {
        let arrivals = poisson(7, 1000.0, TIME);
        let heavy = arrivals.iter().filter(|arrival| arrival.kind == HEAVY).count() as f64;
        let count = arrivals.len() as f64;
        assert!((count / 20_000.0 - 1.0).abs() < 0.03, "{count}");
        assert!((heavy / count / HEAVY_SHARE - 1.0).abs() < 0.1, "{heavy}");
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.due));
    }
}
