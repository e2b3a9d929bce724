//! What policies do to jobs, on machines that are not at hand.

use std::collections::HashMap;

use simulate::engine;
use simulate::job::{Fate, Job, Nanos};
use simulate::policy::{self, Machine};
use simulate::summary::Summary;
use simulate::workload::{Random, Shape, Workload};

const BIMODAL: Shape = Shape::Bimodal { part: 0.06, short: 8.0, long: 8000.0 };
const US: Nanos = 1000;
const MS: Nanos = 1_000_000;

fn workload(shape: Shape, workers: usize, load: f64, jobs: u64) -> Workload {
    Workload::Random(Random::new(shape, workers, load, jobs, 3))
}

/// When each job ended.
fn ends(jobs: impl IntoIterator<Item = Job>, policy: &str, machine: &Machine) -> HashMap<u64, Nanos> {
    let mut ends = HashMap::new();
    let mut policy = (policy::find(policy).unwrap().build)(machine);
    engine::run(jobs.into_iter(), &mut *policy, &mut |job, fate| {
        let Fate::Done(at) = fate else { panic!("{job:?} was refused") };
        assert!(ends.insert(job.number, at).is_none(), "{job:?} ended twice");
    });
    ends
}

fn summary(workload: &Workload, policy: &str, machine: &Machine) -> Summary {
    Summary::of(workload, policy::find(policy).unwrap(), machine, |_| {})
}

/// Jobs that arrive at these moments, take so long and are of that kind.
fn given(jobs: &[(Nanos, Nanos, u8)]) -> Vec<Job> {
    let job = |(number, (arrives, service, kind)): (usize, &(Nanos, Nanos, u8))| {
        let (number, arrives, service, class, kind) = (number as u64, *arrives, *service, *kind, *kind);
        Job { number, arrives, service, class, kind, tenant: 0 }
    };
    jobs.iter().enumerate().map(job).collect()
}

#[test]
fn every_job_ends_once_and_no_sooner_than_it_can() {
    for shape in [BIMODAL, Shape::Pareto { least: 8.0, alpha: 1.1 }, Shape::Exponential { mean: 1000.0 }] {
        for (workers, load) in [(1, 0.9), (2, 1.2), (50, 0.95)] {
            let workload = workload(shape, workers, load, 20_000);
            for entry in policy::ALL {
                let ends = ends(workload.jobs(), entry.name, &Machine::new(workers));
                assert_eq!(ends.len(), 20_000, "{}", entry.name);
                let too_soon = workload.jobs().find(|job| ends[&job.number] < job.arrives + job.service);
                assert_eq!(too_soon, None, "{} {workers} {load}", entry.name);
            }
        }
    }
}

/// All that there is to do is done as soon with each of them, but where jobs are not given out for a while, and but for jobs that are
/// alone at the end.
#[test]
fn no_policy_wastes_processors() {
    let workload = workload(BIMODAL, 4, 1.5, 50_000);
    let last = |policy: &str| ends(workload.jobs(), policy, &Machine::new(4)).into_values().max().unwrap();
    let least = workload.jobs().map(|job| job.service).sum::<u64>() / 4;
    for entry in policy::ALL {
        let last = last(entry.name);
        assert!(last < least + least / 20, "{}: {last} for {least}", entry.name);
    }
}

#[test]
fn short_jobs_get_past_long_ones_only_where_these_make_room() {
    let workload = workload(BIMODAL, 2, 0.8, 100_000);
    let short = |policy: &str| summary(&workload, policy, &Machine::new(2)).classes[0].quantile(0.5);
    assert!(short("fifo") > 100.0);
    assert!(short("demotion") < 1.5);
    assert!(short("srpt") < 1.01);
}

/// `docs/scheduling.md`: 0.6 ms at the least quantum, on idle processors.
#[test]
fn no_short_job_waits_for_long_ones_for_longer_than_it_takes_to_see_that() {
    for (workers, load) in [(1, 0.5), (2, 0.8), (8, 0.95)] {
        let workload = workload(BIMODAL, workers, load, 100_000);
        let summary = summary(&workload, "demotion", &Machine::new(workers));
        let slowest = summary.classes[0].quantile(0.99) * 8.0;
        assert!(slowest < 600.0, "{workers} {load}: {slowest} µs");
    }
}

#[test]
fn jobs_that_are_alike_are_not_demoted() {
    for time in [100.0, 10_000.0] {
        let workload = workload(Shape::Constant { time }, 4, 0.95, 30_000);
        let machine = Machine::new(4);
        assert_eq!(ends(workload.jobs(), "fifo", &machine), ends(workload.jobs(), "demotion", &machine), "{time}");
    }
}

#[test]
fn at_the_limit_of_instances_a_job_keeps_its_slot() {
    let workload = workload(BIMODAL, 2, 0.8, 30_000);
    let at = |instances| ends(workload.jobs(), "demotion", &Machine { instances, ..Machine::new(2) });
    let fifo = ends(workload.jobs(), "fifo", &Machine::new(2));
    assert_eq!(at(2), fifo);
    assert_ne!(at(3), fifo);
}

#[test]
fn what_a_demotion_costs_is_counted() {
    let workload = workload(BIMODAL, 2, 0.8, 30_000);
    let of = |overhead| summary(&workload, "demotion", &Machine { overhead, ..Machine::new(2) }).mean_sojourn;
    assert!(of(500 * US) > 1.1 * of(0));
}

#[test]
fn the_more_urgent_kind_is_taken_first_strictly_and_others_have_their_share_by_weight() {
    // One worker; while it is busy, jobs of all kinds come, the least urgent first.
    let mut jobs = vec![(0, MS, 3)];
    jobs.extend((0..600).map(|at| (at, 100 * US, 2 - (at / 200) as u8)));
    let order = |policy: &str| {
        let jobs = given(&jobs);
        let ends = ends(jobs.clone(), policy, &Machine::new(1));
        let mut order: Vec<_> = jobs[1..].iter().map(|job| (ends[&job.number], job.kind)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, kind)| kind).collect::<Vec<_>>()
    };
    assert!(order("strict").is_sorted());
    let first: Vec<u8> = order("weighted").into_iter().take(105).collect();
    let taken = [0, 1, 2].map(|kind| first.iter().filter(|first| **first == kind).count());
    assert!(taken[0] >= 75 && taken[1] >= 17 && taken[2] >= 4, "{taken:?}");
    assert_eq!(order("fifo")[..200], [2; 200]);
}

/// What demoted jobs are owed costs the others some of their processors, and never the time in which all of them stop.
#[test]
fn short_jobs_are_not_stopped_for_demoted_ones_that_some_processors_are_enough_for() {
    let workload = workload(BIMODAL, 100, 0.98, 400_000);
    let short = summary(&workload, "kinds", &Machine::new(100)).classes[0].quantile(0.999);
    assert!(short < 20.0, "{short}");
}

/// Of jobs whose age says nothing, making room gains nothing, and loses nothing either: as few processors idle as in a plain queue.
#[test]
fn what_demoted_jobs_are_owed_wastes_no_processors() {
    for workers in [2, 10, 100] {
        let workload = workload(Shape::Exponential { mean: 1000.0 }, workers, 0.98, 200_000);
        let sojourn = |policy: &str| summary(&workload, policy, &Machine::new(workers)).mean_sojourn;
        let (fifo, demotion) = (sojourn("fifo"), sojourn("demotion"));
        assert!(demotion < 1.1 * fifo, "{workers}: {demotion} s, {fifo} s");
    }
}

/// `docs/scheduling.md`: with n demoted jobs and w workers, one that needs r more ends within 100 ms + (r + 4 ms) * max(4 n / w, 2).
#[test]
fn no_long_job_starves_beside_more_short_ones_than_can_be_done() {
    for (workers, long) in [(1, 1), (2, 1), (2, 6), (16, 40)] {
        let service = 50 * MS;
        let short = (0..50_000 * workers as u64).map(|at| (at * 40 * US / workers as u64, 50 * US, 0));
        let all: Vec<_> = (0..long).map(|_| (0, service, 1)).chain(short).collect();
        let jobs = given(&all);
        let ends = ends(jobs, "demotion", &Machine::new(workers));
        // One may run for some milliseconds before it is demoted, which is within what it needs.
        let bound = 100 * MS + (service + 4 * MS) * (4 * long / workers as u64).max(2);
        let last = (0..long).map(|number| ends[&number]).max().unwrap();
        assert!(last <= bound, "{workers} {long}: {} ms for {} ms", last / MS, bound / MS);
    }
}

#[test]
fn what_comes_last_while_no_job_is_given_out_is_taken_afterwards() {
    for stop in 150..170 {
        let short = (0..stop * 25).map(|at| (at * 40 * US, 50 * US, 0));
        let jobs = given(&[(0, 200 * MS, 1)].into_iter().chain(short).collect::<Vec<_>>());
        assert_eq!(ends(jobs.clone(), "demotion", &Machine::new(1)).len(), jobs.len(), "{stop} ms");
    }
}

#[test]
fn what_a_full_queue_refuses_is_counted() {
    let workload = workload(BIMODAL, 2, 1.5, 20_000);
    let of = |queue| summary(&workload, "fifo", &Machine { queue, ..Machine::new(2) });
    assert_eq!(of(usize::MAX).refused, 0);
    let bounded = of(10);
    assert!(bounded.refused > 1000);
    assert_eq!(bounded.refused + bounded.all.jobs(), 18_000, "all but those of the beginning");
}
