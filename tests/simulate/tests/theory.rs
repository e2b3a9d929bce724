//! Where there is a formula, the simulator agrees with it.

use simulate::check::{CASES, Case};
use simulate::engine;
use simulate::job::{Ended, Fate, Job, Nanos};
use simulate::policy::Policy;
use simulate::processors::Processors;
use simulate::workload::{Random, Shape, Workload};

/// Few enough for a debug build. Chance is the same each time.
const JOBS: u64 = 400_000;

/// Those of the cases for which so few jobs are enough.
fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|case| case.workers < 100 && (case.load < 0.8 || case.policy == "srpt" || case.workers > 1))
}

#[test]
fn the_mean_wait_is_what_theory_says() {
    for case in cases() {
        let seeds = 1..=2;
        let compared: Vec<_> = seeds.filter_map(|seed| case.compare(JOBS, seed)).collect();
        assert!(!compared.is_empty(), "{case:?} has no formula");
        let mean = compared.iter().map(|compared| compared.difference()).sum::<f64>() / compared.len() as f64;
        println!("{case:?} {mean:.4}");
    }
}

/// Every job runs from when it arrives on, in the idle class of one processor.
struct Shared {
    processors: Processors,
    jobs: Vec<Option<Job>>,
    free: Vec<usize>,
}

impl Policy for Shared {
    fn arrive(&mut self, job: Job, _: &mut Ended<'_>) {
        let thread = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.jobs[thread] = Some(job);
        self.processors.begin(thread, job.service, job.arrives);
        self.processors.set_back(thread, job.arrives);
    }
    fn due(&self) -> Option<Nanos> {
        self.processors.due()
    }
    fn advance(&mut self, now: Nanos, ended: &mut Ended<'_>) {
        while let Some(thread) = self.processors.ended(now) {
            ended(self.jobs[thread].take().unwrap(), Fate::Done(now));
            self.free.push(thread);
        }
    }
}

/// Of M/G/1 with processor sharing the mean slowdown is 1 / (1 - load), whatever the distribution (Kleinrock, 1967; Sakata, Noguchi and
/// Oizumi, 1969).
#[test]
fn whoever_shares_a_processor_is_slowed_down_as_theory_says() {
    for shape in [Shape::Exponential { mean: 100.0 }, Shape::Bimodal { part: 0.06, short: 8.0, long: 800.0 }] {
        let load = 0.6;
        let workload = Workload::Random(Random::new(shape, 1, load, JOBS, 1));
        let mut shared = Shared { processors: Processors::new(1), jobs: Vec::new(), free: Vec::new() };
        let mut slowdowns = 0.0;
        engine::run(workload.jobs(), &mut shared, &mut |job, fate| {
            let Fate::Done(at) = fate else { panic!("{job:?} was refused") };
            slowdowns += (at - job.arrives) as f64 / job.service as f64;
        });
        let difference = slowdowns / JOBS as f64 * (1.0 - load) - 1.0;
        assert!(difference.abs() <= 0.02, "{shape}: {difference:+.3}");
    }
}
