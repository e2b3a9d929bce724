//! A request's way from stage to stage, to its answer.

use super::*;
use crate::payload::Payload;

#[test]
fn a_job_waits_for_a_proxy_and_is_sent_as_soon_as_one_is_there() {
    let mut scene = Scene::new();
    scene.enter();
    scene.enter();
    assert_eq!(scene.told(), []);
    scene.now += WAIT - STEP;
    scene.link(Q, SECOND, 1, false);
    assert_eq!(scene.sent(Q), []);
    scene.link(P, FIRST, 1, false);
    let sent = scene.sent(P);
    let [first, second] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((first.attempt, first.always, first.hops, first.part), (1, false, 0, false));
    assert_ne!(first.job, second.job);
    scene.now += WAIT;
    assert_eq!(scene.told(), [], "they do not wait here any more");
}

#[test]
fn who_waits_for_the_stages_is_told_once_when_each_has_had_a_proxy() {
    let mut scene = Scene::new();
    let ready =
        |scene: &mut Scene| scene.node.inbox.notes.try_iter().filter(|note| matches!(note, Note::Ready { .. })).count();
    scene.link(P, FIRST, 0, false);
    scene.link(R, "another", 0, false);
    assert_eq!(ready(&mut scene), 0);
    scene.link(Q, SECOND, 0, false);
    assert_eq!(ready(&mut scene), 1);
    scene.lose(P);
    scene.link(P, FIRST, 0, false);
    assert_eq!(ready(&mut scene), 0);
}

#[test]
fn a_task_is_this_front_ends_and_has_the_time_that_its_request_has_left() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    scene.now += Duration::from_secs(1);
    let said = scene.said(P);
    let [Command::Job { left, body, .. }] = said[..] else { panic!("{said:?}") };
    assert_eq!(left, 59_000_000);
    let task: crate::transport::zmq::wire::Task<'_> = decode(body).unwrap();
    assert_eq!((task.origin, task.request, task.method, task.target), (ORIGIN, (1, 9), "GET", "/"));
}

#[test]
fn an_answer_ends_its_request() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    scene.enter();
    let jobs = scene.sent(P);
    scene.answer(P, jobs[1].job, b"second");
    assert_eq!(scene.told(), [(2, ok("second"))]);
    scene.outcome(P, jobs[0].job, &Outcome::Answer { status: 404, headers: vec![("x-name", b"value")], body: b"" });
    let replies = scene.node.replies();
    let [(_, Reply::Whole(answer))] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(answer.status().as_u16(), 404);
    assert_eq!(answer.headers()["x-name"], "value");
    assert!(scene.is_idle());
}

#[test]
fn an_outcome_that_comes_again_or_on_another_link_finds_nothing() {
    let mut scene = Scene::with_proxy();
    scene.link(Q, FIRST, 1, false);
    scene.enter();
    let (link, other) = if scene.node.desk.held[0].at == Some(P) { (P, Q) } else { (Q, P) };
    let job = scene.sent_one(link).job;
    scene.answer(other, job, b"forged");
    scene.answer(link, job ^ 1 << 32, b"of another generation");
    scene.answer(link, job + 1, b"of another place");
    scene.answer(link, u64::MAX, b"?");
    scene.say(other, &Command::Retried { job, attempt: 7 });
    assert_eq!(scene.told(), []);
    scene.answer(link, job, b"answer");
    scene.answer(link, job, b"again");
    assert_eq!(scene.told(), [(1, ok("answer"))]);
    scene.enter();
    scene.answer(link, job, b"the place is another's");
    assert_eq!(scene.told(), []);
}

#[test]
fn a_job_that_goes_on_is_sent_to_the_next_stage_as_its_first_attempt_there() {
    let mut scene = Scene::with_proxy();
    scene.link(Q, SECOND, 1, false);
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.say(P, &Command::Retried { job, attempt: 2 });
    scene.outcome(P, job, &Outcome::Forward { stage: SECOND, schema: 7, message: b"message" });
    let next = scene.sent_one(Q);
    let expected = Sent {
        job: next.job,
        attempt: 1,
        always: false,
        hops: 1,
        part: false,
        schema: 7,
        message: b"message".to_vec(),
    };
    assert_eq!(next, expected);
    scene.answer(P, job, b"late");
    scene.answer(Q, next.job, b"answer");
    assert_eq!(scene.told(), [(1, ok("answer"))]);
}

#[test]
fn a_job_that_returns_to_a_stage_that_it_has_passed_is_always_taken() {
    let mut scene = Scene::with_proxy();
    scene.link(Q, SECOND, 1, false);
    scene.enter();
    let first = scene.sent_one(P);
    scene.forward(P, first.job, SECOND, b"");
    let second = scene.sent_one(Q);
    scene.forward(Q, second.job, FIRST, b"");
    let third = scene.sent_one(P);
    scene.forward(P, third.job, SECOND, b"");
    let fourth = scene.sent_one(Q);
    assert_eq!([first, second, third, fourth].map(|sent| sent.always), [false, false, true, true]);
}

#[test]
fn past_the_limit_of_hops_the_answer_is_508() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    for hops in 0..8 {
        let sent = scene.sent_one(P);
        assert_eq!(sent.hops, hops);
        scene.forward(P, sent.job, FIRST, b"");
    }
    let last = scene.sent_one(P);
    scene.forward(P, last.job, FIRST, b"");
    assert_eq!((scene.status(), scene.is_idle()), (508, true));
}

#[test]
fn a_split_or_a_join_is_a_hop_too() {
    for outcome in [
        Outcome::Split { stage: FIRST, schema: 0, parts: vec![b"part"] },
        Outcome::Join { stage: FIRST, schema: 0, message: b"joined" },
    ] {
        let mut scene = Scene::with_proxy();
        scene.enter();
        for _ in 0..8 {
            let sent = scene.sent_one(P);
            scene.forward(P, sent.job, FIRST, b"");
        }
        let last = scene.sent_one(P);
        scene.outcome(P, last.job, &outcome);
        assert_eq!(scene.status(), 508);
    }
}

#[test]
fn a_stage_that_nobody_has_heard_of_is_waited_for_like_any_other() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    scene.enter();
    let jobs = scene.sent(P);
    scene.forward(P, jobs[0].job, "another", b"");
    scene.forward(P, jobs[1].job, "yet another", b"");
    scene.now += WAIT - STEP;
    scene.link(Q, "another", 1, false);
    assert_eq!(scene.sent_one(Q).hops, 1);
    scene.now += STEP;
    assert_eq!(scene.told(), [(2, Told::Whole(503, "the stage has no proxy\n".to_owned()))]);
}

/// Each is kept for ever, and has a line in the metrics.
#[test]
fn no_more_stages_are_known_of_than_any_pipeline_has() {
    let mut scene = Scene::with_proxy();
    for n in 0..2000 {
        scene.enter();
        let sent = scene.sent_one(P);
        scene.forward(P, sent.job, &format!("stage {n}"), b"");
    }
    scene.now += WAIT;
    let told = scene.told();
    assert_eq!(told.len(), 2000);
    let refused = told.iter().filter(|(_, told)| matches!(told, Told::Whole(500, _))).count();
    assert_eq!(scene.node.desk.stages.len() + refused, 2002);
    assert!(scene.node.desk.stages.len() <= 1024);
}

#[test]
fn a_job_waits_for_a_proxy_no_longer_than_the_wait_limit() {
    let mut scene = Scene::new();
    scene.enter();
    scene.now += STEP;
    scene.enter();
    assert_eq!(scene.node.desk.next_due(), Some(scene.now - STEP + WAIT));
    scene.now += WAIT - STEP;
    let told = scene.told();
    assert!(matches!(told[..], [(1, Told::Whole(503, _))]), "{told:?}");
    scene.now += STEP;
    assert_eq!((scene.status(), scene.is_idle()), (503, true));
    assert_eq!(scene.node.desk.next_due(), None);
}

#[test]
fn each_failure_is_answered_by_its_status() {
    for (why, status) in [
        (Failure::Lost, 502),
        (Failure::QueueFull, 503),
        (Failure::NoWorker, 503),
        (Failure::TimedOut, 504),
        (Failure::Schema, 500),
    ] {
        let mut scene = Scene::with_proxy();
        scene.enter();
        let job = scene.sent_one(P).job;
        scene.outcome(P, job, &Outcome::Failure(why));
        let replies = scene.node.replies();
        let [(_, Reply::Whole(answer))] = &replies[..] else { panic!("{replies:?}") };
        assert_eq!(answer.status().as_u16(), status, "{why:?}");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
        assert!(scene.is_idle());
    }
}

#[test]
fn what_cannot_be_read_is_answered_500() {
    let answer = |status, name| encode(&Outcome::Answer { status, headers: vec![(name, b"value")], body: b"" });
    for body in [b"".to_vec(), b"\x09".to_vec(), answer(200, "x name"), answer(99, "x"), encode(&Outcome::Abort)] {
        let mut scene = Scene::with_proxy();
        scene.enter();
        let job = scene.sent_one(P).job;
        scene.say(P, &Command::Outcome { job, ran: 0, had: 0, ends: true, body: &body });
        assert_eq!((scene.status(), scene.is_idle()), (500, true));
        assert_eq!(scene.said(P), []);
    }
}

/// The proxy goes by `ends`, which must not say otherwise than the result.
#[test]
fn a_result_that_ends_and_does_not_say_so_or_says_so_and_does_not_is_answered_500() {
    let head = encode(&Outcome::Head { status: 200, headers: Vec::new() });
    let answer = encode(&Outcome::Answer { status: 200, headers: Vec::new(), body: b"" });
    for (ends, body) in [(true, head), (false, answer)] {
        let mut scene = Scene::with_proxy();
        scene.enter();
        let job = scene.sent_one(P).job;
        scene.say(P, &Command::Outcome { job, ran: 0, had: 0, ends, body: &body });
        assert_eq!((scene.status(), scene.is_idle()), (500, true));
        // The proxy has it still, where it was not told of the end.
        assert_eq!(scene.cancelled(P, Reason::Answered), Vec::from_iter((!ends).then_some(job)));
    }
}

#[test]
fn frames_that_are_no_command_or_not_a_proxys_change_nothing() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    let job = scene.sent_one(P).job;
    for frame in [b"".to_vec(), b"\x0e".to_vec(), encode(&Command::Return { job }), encode(&Command::Who)] {
        scene.node.receive(P, &frame, scene.now);
    }
    assert_eq!((scene.told(), scene.said(P)), (vec![], vec![]));
    scene.answer(P, job, b"answer");
    assert_eq!(scene.told(), [(1, ok("answer"))]);
}

#[test]
fn a_cancelled_job_is_taken_from_where_it_waits_or_is() {
    let mut scene = Scene::new();
    let waiting = scene.enter();
    scene.node.cancel(&waiting, Reason::Disconnected);
    assert!(scene.is_idle());
    scene.link(P, FIRST, 1, false);
    let unsent = scene.enter();
    scene.node.cancel(&unsent, Reason::Disconnected);
    assert!(!scene.said(P).iter().any(|said| matches!(said, Command::Job { .. })), "it is not sent any more");
    let away = scene.enter();
    let job = scene.sent_one(P).job;
    scene.node.cancel(&away, Reason::TimedOut);
    assert_eq!(scene.cancelled(P, Reason::TimedOut), [job]);
    scene.answer(P, job, b"late");
    assert_eq!((scene.told(), scene.is_idle()), (vec![], true));
    assert_eq!(scene.node.desk.stages.choose(0), Some(P));
}

#[test]
fn a_job_that_is_cancelled_before_it_enters_is_never_held() {
    let mut scene = Scene::with_proxy();
    let ticket = Ticket::new(RequestId { key: 1, generation: 9 }, Request::get("/").shared_head(), scene.now);
    ticket.cancel(Reason::Disconnected);
    let payload = Payload::new(Request::get("/"));
    let job = Envelope::new(crate::Context::new(Arc::clone(&ticket)), payload, scene.now);
    scene.node.desk.job(StageId(0), job, scene.now);
    assert_eq!((scene.said(P), scene.is_idle()), (vec![], true));
}

/// A request's place is another's as soon as it has ended.
#[test]
fn a_cancellation_that_comes_late_takes_no_other_request() {
    let mut scene = Scene::with_proxy();
    let first = scene.enter();
    let job = scene.sent_one(P).job;
    let place = first.cancel(Reason::Disconnected).unwrap();
    scene.answer(P, job, b"answer");
    scene.enter();
    scene.node.cancel_at(first.id, place, Reason::Disconnected);
    scene.node.cancel_at(first.id, Place::Parts, Reason::Disconnected);
    assert_eq!(scene.sent(P).len(), 1);
}
