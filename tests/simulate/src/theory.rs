//! What theory says: the mean wait, where there is a formula.

use crate::workload::{Moments, Random, Shape};

/// The mean wait of these jobs before so many workers under the policy of that name, in seconds, and whose formula that is. `None` where
/// there is none, or where more arrives than can be done.
#[must_use]
pub fn mean_wait(policy: &str, random: &Random, workers: usize) -> Option<(f64, &'static str)> {
    let moments = random.shape.moments();
    if random.rate * moments.mean >= workers as f64 {
        return None;
    }
    match (policy, random.shape) {
        ("fifo", Shape::Exponential { .. }) => Some((erlang(workers, random.rate, moments.mean), "M/M/k, Erlang C")),
        ("fifo", _) if workers == 1 => Some((pollaczek_khinchine(random.rate, moments), "M/G/1, Pollaczek-Khinchine")),
        ("srpt", Shape::Exponential { .. }) if workers == 1 => {
            Some((schrage_miller(random.rate, moments.mean), "M/M/1, Schrage and Miller"))
        }
        _ => None,
    }
}

/// The mean wait of M/M/k (Erlang, 1917): `rate` jobs a second, of `mean` seconds each.
#[must_use]
pub fn erlang(workers: usize, rate: f64, mean: f64) -> f64 {
    let (workers, offered) = (workers as f64, rate * mean);
    // The part of arrivals that finds all workers busy: of a system that refuses them (Erlang B), by recursion, then of one where they wait.
    let refused = (1..=workers as u32).fold(1.0, |refused, worker| {
        let busy = offered * refused;
        busy / (f64::from(worker) + busy)
    });
    let waits = refused / (1.0 - offered / workers * (1.0 - refused));
    waits * mean / (workers - offered)
}

/// The mean wait of M/G/1 (Pollaczek, 1930; Khinchine, 1932): `rate` jobs a second.
#[must_use]
pub fn pollaczek_khinchine(rate: f64, Moments { mean, square }: Moments) -> f64 {
    rate * square / (2.0 * (1.0 - rate * mean))
}

/// The mean wait of M/M/1 where the shortest remaining time comes first (Schrage and Miller, 1966): `rate` jobs a second, of `mean` seconds
/// each.
#[must_use]
pub fn schrage_miller(rate: f64, mean: f64) -> f64 {
    const STEP: f64 = 1e-3;
    let load = rate * mean;
    // In means: a job of size x waits for what is there of jobs that are, or have come down to, less than that, and is interrupted by those
    // that come while it runs.
    let (mut sojourn, mut runs) = (0.0, 0.0);
    for step in 0..40_000 {
        let x = (f64::from(step) + 0.5) * STEP;
        let longer = (-x).exp();
        let left = 1.0 - load * (1.0 - longer * (1.0 + x));
        let squares = 2.0 - longer * (x * x + 2.0 * x + 2.0) + x * x * longer;
        runs += STEP / left;
        sojourn += (load * squares / (2.0 * left * left) + runs) * longer * STEP;
    }
    (sojourn - 1.0) * mean
}
