//! How far a long simulation is, on standard error.

use std::time::{Duration, Instant};

/// How often it says so.
const EVERY: Duration = Duration::from_secs(5);

/// The clock is looked at once for so many jobs.
const JOBS: u64 = 1 << 16;

/// Counts the jobs of one simulation.
#[derive(Debug)]
pub struct Progress {
    what: String,
    all: u64,
    seen: u64,
    said: Instant,
}

impl Progress {
    /// Of a simulation of so many jobs.
    #[must_use]
    pub fn new(what: String, all: u64) -> Self {
        Self { what, all, seen: 0, said: Instant::now() }
    }

    /// One more has arrived.
    pub fn count(&mut self) {
        self.seen += 1;
        if self.seen.is_multiple_of(JOBS) && self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            eprintln!("{}: {} %", self.what, self.seen * 100 / self.all.max(1));
        }
    }
}
