//! The curves of the docs: slowdown against load, and against the number of workers, by policy.

use rayon::prelude::*;

use crate::plot::{Across, Plot};
use crate::policy::{self, Entry, Machine};
use crate::progress::Progress;
use crate::summary::Summary;
use crate::workload::{Random, Shape, Workload};

/// The part of the jobs whose slowdown is at most what is drawn.
const QUANTILE: f64 = 0.99;
const UP: &str = "slowdown, p99";

const LOADS: [f64; 11] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95];
const WORKERS: [usize; 9] = [1, 2, 4, 10, 30, 100, 300, 1000, 10_000];

/// For more workers than this, there are more jobs: each is to have as many.
const FEW_WORKERS: usize = 1000;

/// A curve by the name of its file.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// Without its ending.
    pub name: &'static str,
    shape: &'static str,
    policies: &'static [&'static str],
    against: Against,
}

#[derive(Clone, Copy, Debug)]
enum Against {
    /// Load, of so many workers.
    Load(usize),
    /// Workers, at that load.
    Workers(f64),
}

/// All that there are.
pub const CURVES: [Curve; 4] = [
    Curve {
        name: "bimodal",
        shape: "bimodal",
        policies: &["fifo", "demotion", "kinds", "strict", "srpt"],
        against: Against::Load(2),
    },
    Curve {
        name: "exponential",
        shape: "exponential",
        policies: &["fifo", "demotion", "srpt"],
        against: Against::Load(2),
    },
    Curve {
        name: "pareto",
        shape: "pareto",
        policies: &["fifo", "demotion", "kinds", "strict", "srpt"],
        against: Against::Load(2),
    },
    Curve {
        name: "workers",
        shape: "bimodal",
        policies: &["fifo", "demotion", "srpt"],
        against: Against::Workers(0.95),
    },
];

impl Curve {
    /// Simulates so many jobs for each point, at the same time as far as there are processors.
    #[must_use]
    pub fn simulate(&self, jobs: u64, seed: u64) -> Plot {
        let shape: Shape = self.shape.parse().expect("a curve's workload has a name that there is");
        let (title, across) = match self.against {
            Against::Load(workers) => (format!("{shape}; {workers} workers"), Across::Part("load")),
            Against::Workers(load) => (format!("{shape}; load {load}"), Across::Number("workers")),
        };
        let xs: Vec<f64> = match self.against {
            Against::Load(_) => LOADS.to_vec(),
            Against::Workers(_) => WORKERS.map(|workers| workers as f64).to_vec(),
        };
        let points: Vec<(&'static Entry, f64)> = self
            .policies
            .iter()
            .filter_map(|name| policy::find(name))
            .flat_map(|policy| xs.iter().map(move |x| (policy, *x)))
            .collect();
        let ys: Vec<f64> = points.par_iter().map(|(policy, x)| self.point(shape, policy, *x, jobs, seed)).collect();
        let lines = self.policies.iter().zip(ys.chunks(xs.len()));
        let lines = lines.map(|(name, ys)| (*name, xs.iter().copied().zip(ys.iter().copied()).collect())).collect();
        Plot { title, across, up: UP, lines }
    }

    fn point(&self, shape: Shape, policy: &'static Entry, x: f64, jobs: u64, seed: u64) -> f64 {
        let (workers, load) = match self.against {
            Against::Load(workers) => (workers, x),
            Against::Workers(load) => (x as usize, load),
        };
        let jobs = jobs * workers.div_ceil(FEW_WORKERS) as u64;
        let workload = Workload::Random(Random::new(shape, workers, load, jobs, seed));
        let mut progress =
            Progress::new(format!("{}: {}, {workers} workers, load {load}", self.name, policy.name), jobs);
        let summary = Summary::of(&workload, policy, &Machine::new(workers), |_| progress.count());
        summary.all.quantile(QUANTILE)
    }
}
