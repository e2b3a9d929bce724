//! What became of a policy's jobs.

use hdrhistogram::Histogram;

use crate::engine;
use crate::job::{Fate, Job, Nanos};
use crate::policy::{Entry, Machine};
use crate::workload::Workload;

/// The part of the jobs that comes first and is not counted, until it no longer matters that none was there at the beginning.
const WARM_UP: f64 = 0.1;

/// Slowdowns are counted in thousandths, to three digits.
const UNIT: f64 = 1e3;
const DIGITS: u8 = 3;

/// The slowdowns of some jobs: how much longer each was there (sojourn time) than it ran (service time).
#[derive(Clone, Debug)]
pub struct Slowdowns(Histogram<u64>);

/// What became of a policy's jobs.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The policy's name.
    pub policy: &'static str,
    /// Of all jobs.
    pub all: Slowdowns,
    /// By class.
    pub classes: Vec<Slowdowns>,
    /// The mean time that jobs were there and did not run, in seconds.
    pub mean_wait: f64,
    /// The mean time that jobs were there, in seconds.
    pub mean_sojourn: f64,
    /// How many jobs were not taken.
    pub refused: u64,
}

impl Slowdowns {
    fn new() -> Self {
        let mut counts = Histogram::new(DIGITS).expect("three digits are possible");
        counts.auto(true);
        Self(counts)
    }

    fn record(&mut self, sojourn: Nanos, service: Nanos) {
        let slowdown = sojourn as f64 / service as f64 * UNIT;
        self.0.record(slowdown.round() as u64).expect("it grows with what it counts");
    }

    /// How many jobs there are.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.0.len()
    }

    /// What that part of the jobs have at the most; 1 is the least that there can be.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / UNIT
    }

    /// What they have in the mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.0.mean() / UNIT
    }
}

impl Summary {
    /// Simulates a workload under a policy. `seen` is told of each job that arrives.
    pub fn of(workload: &Workload, policy: &Entry, machine: &Machine, seen: impl FnMut(&Job)) -> Self {
        let mut summary = Self {
            policy: policy.name,
            all: Slowdowns::new(),
            classes: vec![Slowdowns::new(); workload.classes().len()],
            mean_wait: 0.0,
            mean_sojourn: 0.0,
            refused: 0,
        };
        let first = (workload.len() as f64 * WARM_UP) as u64;
        let (mut sojourns, mut waits) = (0_u128, 0_u128);
        let mut policy = (policy.build)(machine);
        engine::run(workload.jobs().inspect(seen), &mut *policy, &mut |job, fate| match fate {
            _ if job.number < first => {}
            Fate::Refused => summary.refused += 1,
            Fate::Done(at) => {
                let sojourn = at - job.arrives;
                sojourns += u128::from(sojourn);
                waits += u128::from(sojourn.saturating_sub(job.service));
                summary.all.record(sojourn, job.service);
                summary.classes[usize::from(job.class)].record(sojourn, job.service);
            }
        });
        let jobs = summary.all.jobs().max(1) as f64;
        summary.mean_sojourn = sojourns as f64 / jobs * 1e-9;
        summary.mean_wait = waits as f64 / jobs * 1e-9;
        summary
    }
}
