//! Jobs at random: they arrive independently of each other (a Poisson process) and of whether others are answered (an open loop).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Shape;
use crate::job::Job;

/// Jobs at random, as an open loop.
#[derive(Clone, Debug)]
pub struct Random {
    /// How their service times are distributed.
    pub shape: Shape,
    /// How many there are.
    pub jobs: u64,
    /// How many arrive in a second.
    pub rate: f64,
    /// The part of them of which the scheduler is told the kind of another, drawn at random.
    pub shuffled: f64,
    /// On behalf of how many they come, each as often.
    pub tenants: u32,
    /// What decides about all that is random.
    pub seed: u64,
}

impl Random {
    /// Jobs that keep so many processors busy for that part of the time.
    #[must_use]
    pub fn new(shape: Shape, processors: usize, load: f64, jobs: u64, seed: u64) -> Self {
        let rate = load * processors as f64 / shape.moments().mean;
        Self { shape, jobs, rate, shuffled: 0.0, tenants: 1, seed }
    }

    /// The jobs. What is drawn for one purpose does not depend on the others.
    pub(super) fn jobs(&self) -> impl Iterator<Item = Job> + '_ {
        let stream = |number| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(number);
            rng
        };
        let (mut arrivals, mut services, mut kinds, mut tenants) = (stream(0), stream(1), stream(2), stream(3));
        let mut clock = 0.0;
        (0..self.jobs).map(move |number| {
            clock -= (1.0 - arrivals.random::<f64>()).ln() * 1e9 / self.rate;
            let (service, class) = self.shape.draw(&mut services);
            let is_shuffled = self.shuffled > 0.0 && kinds.random::<f64>() < self.shuffled;
            let kind = if is_shuffled { self.shape.draw(&mut kinds).1 } else { class };
            let tenant = if self.tenants > 1 { tenants.random_range(0..self.tenants) } else { 0 };
            Job { number, arrives: clock as u64, service, class, kind, tenant }
        })
    }
}
