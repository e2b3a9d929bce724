//! Workloads: what arrives when, and what it takes. The same seed gives the same jobs.

mod random;
mod shape;
mod trace;

pub use self::random::Random;
pub use self::shape::{Moments, Shape};
pub use self::trace::{Trace, TraceError};
use crate::job::Job;

/// The longest service time, in microseconds.
const LONGEST: f64 = 1e9;

/// How long the jobs may take to arrive, in microseconds. Some more than that is what processors can count.
const MOST: f64 = 1e12;

/// Where jobs come from.
#[derive(Clone, Debug)]
pub enum Workload {
    /// Drawn at random, as an open loop.
    Random(Random),
    /// As they were once.
    Trace(Trace),
}

impl Workload {
    /// All jobs, in the order of their arrival; the same each time.
    pub fn jobs(&self) -> Box<dyn Iterator<Item = Job> + '_> {
        match self {
            Self::Random(random) => Box::new(random.jobs()),
            Self::Trace(trace) => Box::new(trace.jobs()),
        }
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Random(random) => random.jobs,
            Self::Trace(trace) => trace.len(),
        }
    }

    /// What its classes are, in the order of their numbers.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        match self {
            Self::Random(random) => random.shape.classes(),
            Self::Trace(trace) => trace.classes(),
        }
    }

    /// Whether it ends before what can be simulated does, which is after some days.
    #[must_use]
    pub fn is_short_enough(&self) -> bool {
        let gap = match self {
            Self::Random(random) => 1e9 / random.rate,
            Self::Trace(trace) => trace.gap(),
        };
        gap * self.len() as f64 <= MOST * 1e3
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
