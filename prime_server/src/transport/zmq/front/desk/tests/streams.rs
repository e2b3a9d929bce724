//! Answers that come piece by piece.

use super::*;

const HEAD: Outcome<'static> = Outcome::Head { status: 206, headers: Vec::new() };

/// An answer of which the head has come.
fn begun() -> (Scene, Arc<Ticket>, u64) {
    let mut scene = Scene::new();
    scene.link(P, FIRST, 1, true);
    let ticket = scene.enter();
    let job = scene.sent_one(P).job;
    scene.outcome(P, job, &HEAD);
    assert_eq!(scene.told(), [(1, Told::Head(206))]);
    (scene, ticket, job)
}

#[test]
fn head_pieces_and_end_are_passed_on_in_their_order() {
    let (mut scene, _, job) = begun();
    scene.outcome(P, job, &Outcome::Piece(b"1"));
    scene.outcome(P, job, &Outcome::Piece(b"2"));
    scene.outcome(P, job, &Outcome::End);
    let expected = [Told::Piece(b"1".to_vec()), Told::Piece(b"2".to_vec()), Told::End].map(|told| (1, told));
    assert_eq!(scene.told(), expected);
    scene.outcome(P, job, &Outcome::Piece(b"3"));
    assert_eq!((scene.told(), scene.is_idle()), (vec![], true));
}

#[test]
fn an_answer_that_is_aborted_is_cut_short_or_500_if_it_has_not_begun() {
    let (mut scene, _, job) = begun();
    scene.outcome(P, job, &Outcome::Abort);
    assert_eq!((scene.told(), scene.is_idle()), (vec![(1, Told::Abort)], true));
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.outcome(P, job, &Outcome::Abort);
    assert_eq!(scene.status(), 500);
}

#[test]
fn whatever_else_comes_of_a_job_whose_answer_has_begun_cuts_it_short() {
    for outcome in [
        Outcome::Answer { status: 200, headers: Vec::new(), body: b"" },
        Outcome::Failure(Failure::Lost),
        Outcome::Failure(Failure::TimedOut),
        Outcome::Failure(Failure::Schema),
        Outcome::Join { stage: JOIN, schema: 0, message: b"" },
        Outcome::Forward { stage: SECOND, schema: 0, message: b"" },
        Outcome::Split { stage: SECOND, schema: 0, parts: vec![b""] },
    ] {
        let (mut scene, _, job) = begun();
        scene.outcome(P, job, &outcome);
        assert_eq!((scene.told(), scene.is_idle()), (vec![(1, Told::Abort)], true));
    }
}

#[test]
fn a_lost_proxy_cuts_it_short_though_the_stage_is_idempotent() {
    let (mut scene, ..) = begun();
    scene.link(Q, FIRST, 1, true);
    scene.lose(P);
    assert_eq!((scene.told(), scene.sent(Q)), (vec![(1, Told::Abort)], vec![]));
}

#[test]
fn another_attempt_cuts_it_short_and_is_cancelled() {
    let (mut scene, _, job) = begun();
    scene.say(P, &Command::Retried { job, attempt: 2 });
    assert_eq!((scene.told(), scene.is_idle()), (vec![(1, Told::Abort)], true));
    assert_eq!(scene.cancelled(P, Reason::Answered), [job]);
}

#[test]
fn a_piece_without_a_head_goes_nowhere_and_a_second_head_changes_nothing() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.outcome(P, job, &Outcome::Piece(b"piece"));
    assert_eq!(scene.told(), []);
    scene.outcome(P, job, &HEAD);
    scene.outcome(P, job, &HEAD);
    assert_eq!(scene.told(), [(1, Told::Head(206))]);
}

#[test]
fn a_part_cannot_stream_and_the_one_that_does_is_told_to_stop() {
    let mut scene = Scene::with_proxy();
    scene.link(Q, SECOND, 2, false);
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.split(P, job, SECOND, &[b"a", b"b"]);
    let parts = scene.sent(Q);
    scene.outcome(Q, parts[0].job, &HEAD);
    assert_eq!((scene.status(), scene.is_idle()), (500, true));
    // It goes on there, for nobody; the other part as well.
    assert_eq!(scene.cancelled(Q, Reason::Answered), [parts[0].job, parts[1].job]);
}

#[test]
fn a_head_that_http_does_not_allow_is_answered_500_and_its_job_cancelled() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.outcome(P, job, &Outcome::Head { status: 200, headers: vec![("x name", b"")] });
    assert_eq!(scene.status(), 500);
    assert_eq!(scene.cancelled(P, Reason::Answered), [job]);
}

#[test]
fn the_stage_is_told_how_far_its_client_is_behind() {
    let (mut scene, ticket, job) = begun();
    let window = ticket.window().unwrap();
    window.arrived(100, 100);
    assert_eq!(scene.said(P), [], "not of each piece");
    window.arrived(100_000, 90_000);
    assert_eq!(scene.said(P), [Command::Window { job, received: 100_100, kept: 90_000 }]);
    window.keeps(0);
    assert_eq!(scene.said(P), [Command::Window { job, received: 100_100, kept: 0 }]);
    scene.outcome(P, job, &Outcome::End);
    window.arrived(100_000, 90_000);
    assert_eq!(scene.said(P), [], "nobody streams any more");
}

#[test]
fn a_client_that_leaves_cancels_what_streams() {
    let (mut scene, ticket, job) = begun();
    scene.node.cancel(&ticket, Reason::SlowReader);
    assert_eq!(scene.cancelled(P, Reason::SlowReader), [job]);
    scene.outcome(P, job, &Outcome::Piece(b"late"));
    assert_eq!((scene.told(), scene.is_idle()), (vec![], true));
}

#[test]
fn an_answer_that_ends_before_it_began_is_500() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.outcome(P, job, &Outcome::End);
    assert_eq!(scene.status(), 500);
}

#[test]
fn who_does_not_heed_the_window_is_cut_short() {
    let (mut scene, ticket, job) = begun();
    let piece = vec![b'x'; STREAM_BUFFER];
    scene.outcome(P, job, &Outcome::Piece(&piece));
    assert_eq!(scene.told().len(), 1);
    // The client takes it all, and makes room for the next.
    ticket.window().unwrap().arrived(weight(&piece.clone().into()), 0);
    scene.outcome(P, job, &Outcome::Piece(&piece));
    assert_eq!(scene.told().len(), 1);
    scene.outcome(P, job, &Outcome::Piece(&piece));
    assert_eq!(scene.told(), [(1, Told::Abort)]);
    assert_eq!(scene.cancelled(P, Reason::Answered), [job]);
}
