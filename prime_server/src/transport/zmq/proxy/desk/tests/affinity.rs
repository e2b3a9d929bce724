//! Jobs for workers that the user chooses by what they announce.

use super::*;
use crate::Request;
use crate::context::{Context, Ticket};
use crate::ids::RequestId;

fn choosing() -> Scene {
    let mut scene = Scene::new();
    let choose = |head: &crate::Head, idle: &[Affinity]| {
        assert_ne!(head.path(), "/panic");
        idle.iter().position(|worker| worker == head.path().trim_start_matches('/'))
    };
    scene.node.desk.set_chooser(Some(Chooser::new(choose)));
    scene.front_end(A);
    scene
}

fn announce(scene: &mut Scene, route: &[u8], values: &[&str]) {
    scene.say(route, &Command::Affinity { values: values.iter().map(|value| value.as_bytes()).collect() });
}

/// A job of a request for that path.
fn ask(scene: &mut Scene, job: u64, path: &str) {
    let request = Request::get(path);
    let id = RequestId { key: 0, generation: 0 };
    let ticket = Ticket::new(id, request.shared_head(), Context::test().deadline());
    let body = task::of_request([7; 16], &ticket, &request, 0);
    scene.say(A, &Command::Job { job, left: 60_000_000, attempt: 1, always: false, body: &body });
}

#[test]
fn a_job_goes_to_the_worker_that_is_chosen_as_long_as_that_has_a_free_thread() {
    let mut scene = choosing();
    scene.worker(W, StageTerms { slots: 2, ..TERMS });
    scene.worker(V, TERMS);
    announce(&mut scene, W, &["w", "w"]);
    announce(&mut scene, V, &["v"]);
    ask(&mut scene, 1, "/w");
    ask(&mut scene, 2, "/w");
    let given = scene.given(W);
    assert_eq!((given.len(), scene.given(V)), (2, vec![]));
    ask(&mut scene, 3, "/w");
    let other = scene.given_one(V);
    ask(&mut scene, 4, "/v");
    assert_eq!((scene.given(W), scene.given(V)), (vec![], vec![]), "none has a free thread");
    scene.done(W, given[0], b"");
    scene.given_one(W);
    scene.done(V, other, b"");
    ask(&mut scene, 5, "/w");
    scene.given_one(V);
}

#[test]
fn a_thread_that_has_a_job_it_was_chosen_for_is_not_chosen_again() {
    let mut scene = choosing();
    scene.worker(W, StageTerms { slots: 2, ..TERMS });
    scene.worker(V, TERMS);
    announce(&mut scene, W, &["a", "b"]);
    announce(&mut scene, V, &["a"]);
    ask(&mut scene, 1, "/a");
    ask(&mut scene, 2, "/a");
    assert_eq!((scene.given(W).len(), scene.given(V).len()), (1, 1));
}

#[test]
fn what_a_worker_announces_counts_from_then_on() {
    let mut scene = choosing();
    scene.worker(W, TERMS);
    scene.worker(V, TERMS);
    announce(&mut scene, W, &["a"]);
    for (number, (worker, other)) in [(W, V), (V, W)].into_iter().enumerate() {
        ask(&mut scene, number as u64, "/a");
        let job = scene.given_one(worker);
        scene.done(worker, job, b"");
        announce(&mut scene, worker, &["b"]);
        announce(&mut scene, other, &["a"]);
        scene.hear_nothing_more();
    }
}

#[test]
fn where_nobody_is_chosen_the_jobs_are_shared_as_without() {
    for path in ["/panic", "/c"] {
        let mut scene = choosing();
        scene.worker(W, TERMS);
        scene.worker(V, TERMS);
        ask(&mut scene, 1, path);
        scene.say(A, &job_of(2));
        assert_eq!((scene.given(W).len(), scene.given(V).len()), (1, 1), "and one whose task is nonsense");
    }
}

#[test]
fn without_a_choice_what_workers_announce_is_heard_and_forgotten() {
    let mut scene = Scene::with_worker(1);
    scene.worker(V, TERMS);
    announce(&mut scene, V, &["a"]);
    for job in [1, 2] {
        ask(&mut scene, job, "/a");
    }
    assert_eq!((scene.given(W).len(), scene.given(V).len(), scene.malformed()), (1, 1, 0));
}

#[test]
fn what_is_too_long_or_too_many_or_from_a_front_end_is_dropped() {
    let mut scene = choosing();
    scene.worker(W, TERMS);
    announce(&mut scene, W, &[&"x".repeat(Affinity::MOST)]);
    assert_eq!(scene.malformed(), 0);
    announce(&mut scene, W, &[&"x".repeat(Affinity::MOST + 1)]);
    announce(&mut scene, W, &vec![""; MOST_VALUES + 1]);
    announce(&mut scene, A, &["a"]);
    assert_eq!(scene.malformed(), 3);
}
