//! What becomes of jobs whose proxy is lost, or gives them back.

use super::*;

#[test]
fn a_lost_proxys_jobs_go_to_another_where_the_stage_is_idempotent() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 1, true);
    scene.enter();
    let first = scene.sent_one(P);
    scene.link(Q, FIRST, 1, true);
    scene.lose(P);
    let second = scene.sent_one(Q);
    assert_eq!((second.attempt, second.message == first.message), (2, true));
    scene.answer(P, first.job, b"late");
    scene.answer(Q, first.job, b"as if it were the first");
    assert_eq!(scene.told(), []);
    scene.answer(Q, second.job, b"answer");
    assert_eq!((scene.told(), scene.is_idle()), (vec![(1, ok("answer"))], true));
}

#[test]
fn or_the_same_again_once_it_is_back() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 1, true);
    scene.enter();
    scene.sent_one(P);
    scene.lose(P);
    scene.now += WAIT - STEP;
    scene.link(Q, FIRST, 0, false);
    assert_eq!(scene.sent_one(Q).attempt, 2);
}

#[test]
fn the_third_attempt_is_the_last_whoever_has_counted_them() {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 1, true);
    scene.enter();
    let first = scene.sent_one(P);
    scene.say(P, &Command::Retried { job: first.job, attempt: 2 });
    scene.lose(P);
    scene.link(Q, FIRST, 1, true);
    assert_eq!(scene.sent_one(Q).attempt, 3);
    scene.lose(Q);
    assert_eq!((scene.status(), scene.is_idle()), (502, true));
}

#[test]
fn what_a_lost_proxy_had_of_a_stage_that_is_not_idempotent_is_answered_502() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    scene.sent_one(P);
    scene.link(Q, FIRST, 1, false);
    scene.lose(P);
    assert_eq!((scene.status(), scene.sent(Q)), (502, vec![]));
}

#[test]
fn a_job_that_was_still_to_be_sent_on_a_lost_link_has_not_been_tried() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    scene.lose(P);
    scene.link(Q, FIRST, 1, false);
    assert_eq!(scene.sent_one(Q).attempt, 1);
    assert_eq!(scene.told(), []);
}

#[test]
fn a_job_that_is_given_back_goes_elsewhere_and_that_is_no_attempt() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    let first = scene.sent_one(P);
    scene.link(Q, FIRST, 1, false);
    scene.leave(P);
    scene.outcome(P, first.job, &Outcome::Failure(Failure::Gone));
    let second = scene.sent_one(Q);
    assert_eq!((second.attempt, second.job == first.job), (1, false));
    scene.leave(Q);
    scene.outcome(Q, second.job, &Outcome::Failure(Failure::Gone));
    scene.now += WAIT - STEP;
    assert_eq!((scene.told(), scene.sent(P), scene.sent(Q)), (vec![], vec![], vec![]), "it waits for another");
    scene.now += STEP;
    assert_eq!(scene.status(), 503);
}

#[test]
fn only_the_lost_links_jobs_are_lost() {
    let mut scene = Scene::with_proxy();
    scene.link(Q, FIRST, 1, false);
    scene.enter();
    scene.enter();
    let (of_p, _) = (scene.sent_one(P), scene.sent_one(Q));
    scene.lose(Q);
    assert_eq!(scene.status(), 502);
    scene.answer(P, of_p.job, b"answer");
    assert!(matches!(&scene.told()[..], [(_, Told::Whole(200, _))]));
    scene.lose(R);
    assert!(scene.is_idle());
}

/// The answer to the first part cancels the second, which was on the same link.
#[test]
fn a_lost_proxy_that_had_two_parts_of_a_request_is_one_answer() {
    let mut scene = Scene::with_proxy();
    scene.link(Q, SECOND, 2, false);
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.split(P, job, SECOND, &[b"1", b"2"]);
    assert_eq!(scene.sent(Q).len(), 2);
    scene.lose(Q);
    assert_eq!((scene.status(), scene.is_idle()), (502, true));
}

#[test]
fn a_proxy_that_gives_jobs_back_without_leaving_is_asked_three_times() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    for attempt in 1..=3 {
        let sent = scene.sent_one(P);
        assert_eq!(sent.attempt, attempt);
        scene.outcome(P, sent.job, &Outcome::Failure(Failure::Gone));
    }
    assert_eq!(scene.status(), 502);
}
