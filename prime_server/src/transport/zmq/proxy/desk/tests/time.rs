//! What time does.

use super::*;

#[test]
fn who_is_silent_for_its_liveness_is_lost_and_who_beats_is_not() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 1);
    let job = scene.given_one(W);
    scene.now += LIVENESS - STEP;
    scene.say(W, &Command::Beat);
    scene.node.turn(scene.now);
    assert_eq!(scene.node.take(W).len(), 1, "both are there, and it beats");
    scene.now += STEP;
    assert_eq!(scene.said(W), [Command::Cancel { job, reason: Reason::Disconnected.code() }]);
    scene.say(A, &Command::Beat);
    assert_eq!(scene.said(A), [Command::Who]);
    scene.now += LIVENESS - STEP;
    scene.node.turn(scene.now);
    scene.say(W, &Command::Beat);
    assert_eq!(scene.said(W), [Command::Who]);
}

#[test]
fn the_liveness_is_the_smaller_of_both() {
    let mut scene = Scene::new();
    for (route, liveness) in [(A, 300), (B, 5000)] {
        scene.say(route, &Command::Hello(Hello { liveness, ..hello(route) }));
    }
    let at = |scene: &mut Scene, ms| {
        scene.now += Duration::from_millis(ms);
        scene.node.turn(scene.now);
        scene.node.desk.peers.len()
    };
    assert_eq!(at(&mut scene, 299), 2);
    assert_eq!(at(&mut scene, 1), 1);
    assert_eq!(at(&mut scene, 699), 1);
    assert_eq!(at(&mut scene, 1), 0);
}

#[test]
fn it_beats_when_it_has_said_nothing_for_a_quarter_of_the_liveness() {
    let mut scene = Scene::new();
    scene.front_end(A);
    assert_eq!(scene.node.desk.next_due(), Some(scene.now + LIVENESS / 4));
    scene.now += LIVENESS / 4 - STEP;
    scene.node.turn(scene.now);
    assert!(scene.node.take(A).is_empty());
    scene.now += STEP;
    scene.node.turn(scene.now);
    assert_eq!(scene.node.take(A), [encode(&Command::Beat)]);
    scene.node.turn(scene.now);
    assert!(scene.node.take(A).is_empty());
}

#[test]
fn a_stages_timeout_fails_what_waits_and_what_runs_and_its_worker_is_told() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, StageTerms { timeout: Some(3000), ..TERMS });
    (1..=2).for_each(|job| scene.job(A, job));
    let running = scene.given_one(W);
    scene.pass(Duration::from_secs(3) - STEP);
    assert_eq!(scene.said(A), []);
    scene.pass(STEP);
    assert_eq!(scene.said(A), [failure(1, Failure::TimedOut), failure(2, Failure::TimedOut)]);
    assert_eq!(scene.said(W), [Command::Cancel { job: running, reason: Reason::TimedOut.code() }]);
    scene.done(W, running, b"late");
    assert_eq!((scene.said(A), scene.node.load()), (vec![], (0, 0)));
}

#[test]
fn a_job_waits_for_the_first_worker_no_longer_than_the_wait_limit() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.job(A, 1);
    scene.pass(WAIT - STEP);
    assert_eq!(scene.said(A), []);
    scene.pass(STEP);
    assert_eq!(scene.said(A), [failure(1, Failure::NoWorker)]);
}

#[test]
fn a_job_waits_for_another_worker_from_when_the_last_has_left() {
    let mut scene = Scene::with_worker(1);
    (1..=2).for_each(|job| scene.job(A, job));
    let running = scene.given_one(W);
    scene.pass(WAIT * 2);
    assert_eq!(scene.said(A), [], "it is busy, and there");
    scene.say(W, &Command::Bye);
    scene.pass(WAIT);
    assert_eq!(scene.said(A), [status(0, false), failure(2, Failure::NoWorker)]);
    scene.done(W, running, b"result");
    assert_eq!(scene.said(A), [outcome(1, b"result")]);
}
