//! What becomes of jobs when somebody is lost.

use super::*;

/// A job that W has, where its stage is idempotent, and V is there too.
fn running() -> (Scene, u64) {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, IDEMPOTENT);
    scene.job(A, 1);
    let job = scene.given_one(W);
    (scene, job)
}

#[test]
fn a_lost_workers_jobs_go_to_another_before_all_others_as_their_next_attempt() {
    let (mut scene, job) = running();
    scene.job(A, 2);
    scene.lose(W);
    assert_eq!(scene.said(A), [Command::Retried { job: 1, attempt: 2 }, status(0, true)]);
    scene.say(V, &Command::Hello(Hello { role: Role::Worker, worker: Some(IDEMPOTENT), ..hello(V) }));
    let said = scene.said(V);
    let [Command::Welcome(_), Command::Job { job: again, attempt: 2, body: b"task", .. }] = said[..] else {
        panic!("{said:?}")
    };
    scene.done(W, job, b"late");
    scene.done(V, again, b"result");
    assert_eq!(scene.said(A), [status(1, true), outcome(1, b"result")]);
    assert_eq!(scene.retried(), 1);
}

#[test]
fn the_third_attempt_is_the_last() {
    let (mut scene, _) = running();
    for attempt in 2..=3 {
        scene.lose(W);
        assert_eq!(scene.said(A)[0], Command::Retried { job: 1, attempt });
        scene.worker(W, IDEMPOTENT);
    }
    scene.lose(W);
    assert_eq!(scene.said(A), [failure(1, Failure::Lost), status(0, true)]);
    assert_eq!((scene.node.load(), scene.retried()), ((0, 0), 2));
}

#[test]
fn attempts_at_other_proxies_count() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, IDEMPOTENT);
    scene.say(A, &Command::Job { job: 1, left: 1_000_000, attempt: 3, always: false, body: b"" });
    scene.given_one(W);
    scene.lose(W);
    assert_eq!(scene.said(A), [failure(1, Failure::Lost), status(0, true)]);
}

#[test]
fn what_a_lost_worker_had_of_a_stage_that_is_not_idempotent_is_lost_with_it() {
    let mut scene = Scene::with_worker(1);
    scene.worker(V, TERMS);
    (1..=3).for_each(|job| scene.job(A, job));
    scene.given_one(W);
    scene.given_one(V);
    scene.lose(V);
    scene.lose(W);
    let lost = scene.said(A).into_iter().filter(|said| matches!(said, Command::Outcome { .. }));
    assert_eq!(lost.count(), 2);
    assert_eq!(scene.node.load(), (1, 0), "what waited waits");
}

#[test]
fn a_cancelled_job_is_not_tried_again() {
    let (mut scene, job) = running();
    scene.say(A, &Command::Cancel { job: 1, reason: 1 });
    assert_eq!(scene.said(W), [Command::Cancel { job, reason: 1 }]);
    scene.lose(W);
    assert_eq!(scene.said(A), [status(0, true)]);
    assert_eq!(scene.node.load(), (0, 0));
}

#[test]
fn a_lost_front_ends_jobs_are_cancelled_where_they_wait_and_where_they_run() {
    let mut scene = Scene::with_worker(1);
    scene.front_end(B);
    scene.job(A, 1);
    let job = scene.given_one(W);
    scene.job(A, 2);
    scene.job(B, 1);
    scene.lose(A);
    assert_eq!(scene.said(W), [Command::Cancel { job, reason: Reason::Disconnected.code() }]);
    assert_eq!(scene.node.load(), (1, 1));
    scene.done(W, job, b"late");
    let of_b = scene.given_one(W);
    scene.done(W, of_b, b"result");
    assert_eq!(scene.said(B), [outcome(1, b"result")]);
}

#[test]
fn a_peer_that_does_not_take_what_it_is_sent_is_lost() {
    let (mut scene, _) = running();
    scene.worker(V, IDEMPOTENT);
    scene.node.deaf.insert(W.into());
    scene.say(A, &Command::Window { job: 1, received: 0, kept: 0 });
    scene.node.desk.assign(usize::MAX, scene.now);
    assert!(scene.node.desk.outgoing(scene.now, |route, _| route != W), "there is more to do by that");
    assert_eq!(scene.said(A)[0], Command::Retried { job: 1, attempt: 2 });
    assert_eq!(scene.given(V).len(), 1);
    assert!(!scene.node.desk.outgoing(scene.now, |_, _| true));
}

#[test]
fn an_outcome_that_comes_on_a_lost_link_finds_nobody() {
    let (mut scene, job) = running();
    scene.now += LIVENESS;
    scene.say(A, &Command::Beat);
    assert_eq!(scene.said(A), [Command::Retried { job: 1, attempt: 2 }, status(0, true)]);
    scene.done(W, job, b"late");
    assert_eq!((scene.said(A), scene.said(W)), (vec![], vec![Command::Who]));
}
