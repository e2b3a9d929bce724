//! Where there is a formula, the simulator agrees with it.

use simulate::check::Case;
use simulate::engine;
use simulate::job::{Ended, Fate, Job, Nanos};
use simulate::policy::Policy;
use simulate::processors::Processors;
use simulate::workload::{Random, Shape, Workload};

/// Enough that chance, which is the same each time, is below a fourth of what is tolerated; few enough for a debug build.
const JOBS: u64 = 1_000_000;

const EXPONENTIAL: Shape = Shape::Exponential { mean: 100.0 };
const BIMODAL: Shape = Shape::Bimodal { part: 0.06, short: 8.0, long: 8000.0 };

#[track_caller]
fn agrees(policy: &'static str, shape: Shape, workers: usize, load: f64) {
    let compared = Case { policy, shape, workers, load }.compare(JOBS, 1).expect("there is a formula");
    assert!(compared.agrees(), "{:+.4}: {compared:?}", compared.difference());
}

#[test]
fn one_worker_keeps_jobs_waiting_as_long_as_theory_says() {
    agrees("fifo", EXPONENTIAL, 1, 0.5);
}

#[test]
fn several_workers_keep_jobs_waiting_as_long_as_theory_says() {
    agrees("fifo", EXPONENTIAL, 2, 0.8);
}

#[test]
fn jobs_of_two_sorts_wait_as_long_as_theory_says() {
    agrees("fifo", BIMODAL, 1, 0.5);
}

#[test]
fn jobs_of_many_sizes_wait_as_long_as_theory_says() {
    agrees("fifo", Shape::Pareto { least: 8.0, alpha: 0.5 }, 1, 0.5);
}

#[test]
fn the_shortest_first_wait_as_long_as_theory_says() {
    agrees("srpt", EXPONENTIAL, 1, 0.8);
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
        let workload = Workload::Random(Random::new(shape, 1, load, JOBS / 4, 1));
        let mut shared = Shared { processors: Processors::new(1), jobs: Vec::new(), free: Vec::new() };
        let mut slowdowns = 0.0;
        engine::run(workload.jobs(), &mut shared, &mut |job, fate| {
            let Fate::Done(at) = fate else { panic!("{job:?} was refused") };
            slowdowns += (at - job.arrives) as f64 / job.service as f64;
        });
        let difference = slowdowns / (JOBS / 4) as f64 * (1.0 - load) - 1.0;
        assert!(difference.abs() <= 0.02, "{shape}: {difference:+.3}");
    }
}
