//! What is simulated is what was asked for.

use std::fs;
use std::path::PathBuf;

use simulate::job::Job;
use simulate::workload::{Random, Shape, Trace, Workload};
use tempfile::TempDir;

const JOBS: u64 = 200_000;

fn jobs(random: Random) -> Vec<Job> {
    Workload::Random(random).jobs().collect()
}

fn random(shape: Shape) -> Random {
    Random::new(shape, 4, 0.5, JOBS, 7)
}

fn shape(text: &str) -> Shape {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_same_seed_gives_the_same_jobs_and_another_gives_others() {
    let of_seed = |seed| jobs(Random { seed, ..random(shape("pareto")) });
    assert_eq!(of_seed(1), of_seed(1));
    assert_ne!(of_seed(1), of_seed(2));
}

#[test]
fn service_times_have_the_moments_that_theory_is_told() {
    // Of the heavier tails the few longest decide, of which there are too few here.
    let names = [("constant", 0.001), ("exponential", 0.02), ("bimodal", 0.02), ("pareto:8,0.5", 0.05)];
    for (name, tolerated) in names.into_iter().chain([("pareto:8,1", 0.2), ("pareto:8,2", 0.5)]) {
        let (jobs, moments) = (jobs(random(shape(name))), shape(name).moments());
        let of_power = |power: i32| jobs.iter().map(move |job| (job.service as f64 * 1e-9).powi(power));
        let mean = |power: i32| of_power(power).sum::<f64>() / JOBS as f64;
        assert!((mean(1) / moments.mean - 1.0).abs() < tolerated / 2.0, "{name}: {} for {moments:?}", mean(1));
        assert!((mean(2) / moments.square - 1.0).abs() < tolerated, "{name}: {} for {moments:?}", mean(2));
    }
}

#[test]
fn a_pareto_distribution_is_bounded_and_its_classes_are_decades() {
    let jobs = jobs(random(shape("pareto:10,0.5")));
    for Job { service, class, .. } in &jobs {
        assert!((10_000..=100_000_000).contains(service), "{service}");
        let least = 10_000 * 10_u64.pow(u32::from(*class));
        assert!((least - 1..=10 * least + 1).contains(service), "{service} in {class}");
    }
    assert!((0..4).all(|class| jobs.iter().any(|job| job.class == class)));
}

#[test]
fn jobs_arrive_as_often_as_the_load_says() {
    let jobs = jobs(random(shape("exponential:200")));
    let service: u64 = jobs.iter().map(|job| job.service).sum();
    let load = service as f64 / jobs.last().unwrap().arrives as f64 / 4.0;
    assert!((load - 0.5).abs() < 0.01, "{load}");
    assert!(jobs.is_sorted_by_key(|job| job.arrives));
}

#[test]
fn some_kinds_are_wrong_where_that_is_asked_for_and_nothing_else_changes() {
    let right = jobs(random(shape("bimodal:0.5,8,8000")));
    let shuffled = jobs(Random { shuffled: 0.5, tenants: 3, ..random(shape("bimodal:0.5,8,8000")) });
    assert!(right.iter().all(|job| job.kind == job.class && job.tenant == 0));
    // One drawn at random is right by chance half of the time.
    let wrong = shuffled.iter().filter(|job| job.kind != job.class).count() as f64 / JOBS as f64;
    assert!((wrong - 0.25).abs() < 0.01, "{wrong}");
    assert!((0..3).all(|tenant| shuffled.iter().filter(|job| job.tenant == tenant).count() as u64 > JOBS / 4));
    let same = |(right, other): (&Job, &Job)| (right.arrives, right.service) == (other.arrives, other.service);
    assert!(right.iter().zip(&shuffled).all(same));
}

#[test]
fn what_is_no_workload_is_refused_with_what_to_write() {
    for text in ["poisson", "", "bimodal:1", "bimodal:2,8,8000", "exponential:-1", "exponential:x", "pareto:1e6,1.1"] {
        let error = text.parse::<Shape>().expect_err(text);
        assert!(error.contains("bimodal"), "{text}: {error}");
    }
}

/// A trace in a file, which goes with the folder.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.txt");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn trace(text: &str) -> Result<Trace, String> {
    let (_folder, path) = file(text);
    Trace::read(&path).map_err(|error| error.to_string())
}

#[test]
fn a_trace_is_replayed_as_it_was() {
    let trace = trace("# arrival service kind tenant\n\n0 8\n10.5 8000 1\n  20 8 0 3\n").unwrap();
    let jobs: Vec<_> = Workload::Trace(trace).jobs().collect();
    let job = |number, arrives, service, class, tenant| Job { number, arrives, service, class, kind: class, tenant };
    assert_eq!(jobs, [job(0, 0, 8000, 0, 0), job(1, 10_500, 8_000_000, 1, 0), job(2, 20_000, 8000, 0, 3)]);
}

#[test]
fn a_trace_is_repeated_and_made_faster_or_slower() {
    let trace = trace("0 5\n10 5\n20 5\n").unwrap();
    assert!((trace.load(1) - 0.5).abs() < 1e-9);
    let arrivals = |trace: Trace| Workload::Trace(trace).jobs().map(|job| job.arrives / 1000).collect::<Vec<_>>();
    assert_eq!(arrivals(trace.clone().repeated(7)), [0, 10, 20, 30, 40, 50, 60]);
    let slower = trace.at(0.25, 1);
    assert!((slower.load(1) - 0.25).abs() < 1e-9);
    assert_eq!(arrivals(slower), [0, 20, 40]);
}

#[test]
fn what_is_wrong_in_a_trace_is_said_with_its_line() {
    for (text, line, what) in [
        ("0 8\n# comment\nsoon 8\n", "line 3", "arrived"),
        ("0\n", "line 1", "took"),
        ("0 -8\n", "line 1", "took"),
        ("5 8\n4 8\n", "line 2", "sort them"),
        ("0 8 256\n", "line 1", "kind"),
        ("0 8 1 x\n", "line 1", "tenant"),
        ("0 8 1 2 3\n", "line 1", "four"),
    ] {
        let error = trace(text).expect_err(text);
        assert!(error.contains(line) && error.contains(what), "{text:?}: {error}");
    }
    assert!(trace("# nothing\n").is_err_and(|error| error.contains("ARRIVAL_US")));
}
