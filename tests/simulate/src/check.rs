//! The simulator against theory: the mean wait.

use std::fmt::Write;

use rayon::prelude::*;

use crate::policy::{self, Machine};
use crate::progress::Progress;
use crate::report::{number, time};
use crate::summary::Summary;
use crate::theory;
use crate::workload::{Random, Shape, Workload};

/// By how much the simulator may differ from theory, as a part of what that says.
pub const TOLERANCE: f64 = 0.02;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The policy's name.
    pub policy: &'static str,
    /// How service times are distributed.
    pub shape: Shape,
    /// Before so many workers.
    pub workers: usize,
    /// They are busy for that part of the time.
    pub load: f64,
}

/// One comparison.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Of what.
    pub case: Case,
    /// Whose formula it is.
    pub formula: &'static str,
    /// The mean wait that it says, in seconds.
    pub theory: f64,
    /// The mean wait that there was, in seconds.
    pub simulated: f64,
}

const EXPONENTIAL: Shape = Shape::Exponential { mean: 100.0 };
const BIMODAL: Shape = Shape::Bimodal { part: 0.06, short: 8.0, long: 8000.0 };

/// What `simulate check` compares. The heavier the tail and the higher the load, the more jobs it takes until chance no longer tells, so a
/// Pareto distribution is one whose tail is well filled.
pub const CASES: [Case; 11] = [
    Case { policy: "fifo", shape: EXPONENTIAL, workers: 1, load: 0.5 },
    Case { policy: "fifo", shape: EXPONENTIAL, workers: 1, load: 0.8 },
    Case { policy: "fifo", shape: EXPONENTIAL, workers: 2, load: 0.8 },
    Case { policy: "fifo", shape: EXPONENTIAL, workers: 16, load: 0.9 },
    Case { policy: "fifo", shape: EXPONENTIAL, workers: 100, load: 0.9 },
    Case { policy: "fifo", shape: Shape::Constant { time: 100.0 }, workers: 1, load: 0.8 },
    Case { policy: "fifo", shape: BIMODAL, workers: 1, load: 0.5 },
    Case { policy: "fifo", shape: BIMODAL, workers: 1, load: 0.7 },
    Case { policy: "fifo", shape: Shape::Pareto { least: 8.0, alpha: 0.5 }, workers: 1, load: 0.5 },
    Case { policy: "srpt", shape: EXPONENTIAL, workers: 1, load: 0.5 },
    Case { policy: "srpt", shape: EXPONENTIAL, workers: 1, load: 0.9 },
];

impl Compared {
    /// How far the simulator is from theory, as a part of what that says.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.simulated / self.theory - 1.0
    }

    /// Whether it is as near as it must be.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.difference().abs() <= TOLERANCE
    }
}

impl Case {
    /// Simulates so many jobs. `None` where theory has no formula.
    #[must_use]
    pub fn compare(self, jobs: u64, seed: u64) -> Option<Compared> {
        let Self { policy, shape, workers, load } = self;
        let random = Random::new(shape, workers, load, jobs, seed);
        let (theory, formula) = theory::mean_wait(policy, &random, workers)?;
        let mut progress = Progress::new(format!("{policy}, {shape}, {workers} workers, load {load}"), jobs);
        let policy = policy::find(policy)?;
        let summary = Summary::of(&Workload::Random(random), policy, &Machine::new(workers), |_| progress.count());
        Some(Compared { case: self, formula, theory, simulated: summary.mean_wait })
    }
}

/// Compares all of them, at the same time as far as there are processors.
#[must_use]
pub fn compare(jobs: u64, seed: u64) -> Vec<Compared> {
    CASES.par_iter().filter_map(|case| case.compare(jobs, seed)).collect()
}

/// A line for each.
#[must_use]
pub fn lines(compared: &[Compared]) -> String {
    compared.iter().fold(String::new(), |mut text, compared| {
        let Compared { case: Case { policy, shape, workers, load }, formula, theory, simulated } = compared;
        let verdict = if compared.agrees() { "agrees" } else { "DIFFERS" };
        let _ = writeln!(
            text,
            "{verdict}: {policy}, {shape}, {workers} workers, load {load}: mean wait {}, {formula} {}, {}{} %",
            time(*simulated),
            time(*theory),
            if compared.difference() < 0.0 { "-" } else { "+" },
            number(compared.difference().abs() * 100.0),
        );
        text
    })
}
