//! What is counted of jobs: each that was taken has one outcome, and has waited once.

use super::*;

impl Scene {
    fn ends(&self) -> Vec<(&'static str, u64)> {
        self.node.desk.gauges().counts.ends()
    }

    fn waits(&self) -> u64 {
        self.node.desk.gauges().counts.waits()
    }
}

#[test]
fn a_job_that_nobody_waits_for_any_more_ends_where_it_is() {
    let mut scene = Scene::with_worker(1);
    scene.front_end(B);
    (1..=3).for_each(|job| scene.job(A, job));
    let running = scene.given_one(W);
    scene.say(A, &Command::Cancel { job: 3, reason: Reason::TimedOut.code() });
    scene.say(A, &Command::Cancel { job: 1, reason: Reason::SlowReader.code() });
    scene.done(W, running, b"in vain");
    scene.job(B, 1);
    scene.lose(A);
    scene.lose(B);
    assert_eq!(scene.ends(), [("disconnected", 2), ("timed_out", 1), ("slow_reader", 1)]);
}

#[test]
fn a_job_whose_time_is_over_has_one_outcome_wherever_it_is() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, StageTerms { timeout: Some(3000), ..TERMS });
    (1..=2).for_each(|job| scene.job(A, job));
    let running = scene.given_one(W);
    scene.pass(Duration::from_secs(3));
    scene.done(W, running, b"late");
    assert_eq!(scene.ends(), [("timed_out", 2)]);
}

#[test]
fn a_job_that_no_worker_was_there_for_or_that_a_drain_gives_back_is_counted_as_that() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.job(A, 1);
    scene.pass(WAIT);
    assert_eq!(scene.said(A), [failure(1, Failure::NoWorker)]);
    scene.job(A, 2);
    scene.node.drain();
    scene.job(A, 3);
    assert_eq!(scene.said(A), [Command::Bye, failure(2, Failure::Gone), failure(3, Failure::Gone)]);
    assert_eq!(scene.ends(), [("no_worker", 1), ("given_back", 1)], "the third was not taken");
}

#[test]
fn a_job_has_waited_until_it_is_given_out_first_and_has_the_outcome_that_it_comes_to_at_last() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, IDEMPOTENT);
    scene.job(A, 1);
    let job = scene.given_one(W);
    scene.say(W, &Command::Return { job });
    scene.given_one(W);
    scene.lose(W);
    scene.worker(V, IDEMPOTENT);
    scene.say(A, &Command::Beat);
    assert_eq!((scene.waits(), scene.node.load()), (1, (0, 1)));
    scene.job(A, 2);
    scene.done(V, job, b"");
    scene.given_one(V);
    assert_eq!((scene.waits(), scene.ends()), (2, vec![("done", 1)]));
}
