//! How long a job may run while others wait, before it makes room for them.

use std::time::Duration;

use super::sketch::Sketch;

/// The quantum is so many times what half of the stage's jobs take at most: where run times differ by less, no job outruns it.
const MULTIPLE: u32 = 4;

/// The least quantum. Below, it would cost more to make room than is gained.
pub(crate) const LEAST: Duration = Duration::from_micros(300);

/// The quantum as long as little is known.
pub(crate) const UNKNOWN: Duration = Duration::from_millis(10);

/// So many jobs have to be known, and so many new ones to look again.
const FEW: u32 = 16;

/// What a stage has learned of its jobs.
#[derive(Debug)]
pub(crate) struct Quantum {
    runs: Sketch,
    unseen: u32,
    quantum: Duration,
}

impl Quantum {
    pub(crate) fn new() -> Self {
        Self { runs: Sketch::new(), unseen: 0, quantum: UNKNOWN }
    }

    /// How long a job may run while others wait.
    pub(crate) fn get(&self) -> Duration {
        self.quantum
    }

    /// A job has ended that ran for so long.
    pub(crate) fn learn(&mut self, ran: Duration) {
        self.runs.record(ran);
        self.unseen += 1;
        if self.unseen >= FEW {
            self.unseen = 0;
            let median = self.runs.quantile(0.5).expect("some jobs are known");
            self.quantum = (median * MULTIPLE).max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(runs: impl IntoIterator<Item = Duration>) -> Duration {
        let mut quantum = Quantum::new();
        runs.into_iter().for_each(|ran| quantum.learn(ran));
        quantum.get()
    }

    #[test]
    fn it_follows_the_median_and_has_a_least() {
        let (short, long) = (Duration::from_micros(8), Duration::from_millis(8));
        assert_eq!(learned([long; 15]), UNKNOWN);
        assert_eq!(learned([short; 16]), LEAST);
        let some = (0..1600).map(|at| if at % 16 == 0 { long } else { short });
        assert_eq!(learned(some), LEAST);
        let quantum = learned([long; 16]);
        assert!(quantum > 15 * long / 4 && quantum < 17 * long / 4, "{quantum:?}");
    }

    #[test]
    fn it_changes_with_what_jobs_take() {
        let (short, long) = (Duration::from_micros(100), Duration::from_millis(100));
        assert!(learned(std::iter::repeat_n(short, 5000).chain(std::iter::repeat_n(long, 5000))) > long);
    }
}
