//! Requests that are split.

use super::*;

/// A request that is split into these parts, for a stage of so many threads; and the parts that are sent at once.
fn split(parts: &[&[u8]], slots: u64) -> (Scene, Arc<Ticket>, Vec<Sent>) {
    let mut scene = Scene::with_proxy();
    scene.link(Q, SECOND, slots, false);
    scene.link(R, JOIN, 1, false);
    let ticket = scene.enter();
    let job = scene.sent_one(P).job;
    scene.split(P, job, SECOND, parts);
    let sent = scene.sent(Q);
    (scene, ticket, sent)
}

/// What a stage that joins takes.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u32).to_le_bytes()[..], part].concat()).collect()
}

#[test]
fn parts_are_jobs_of_their_own_and_always_taken() {
    let (.., parts) = split(&[b"a", b"b"], 2);
    let messages: Vec<_> = parts.iter().map(|part| &part.message[..]).collect();
    assert_eq!(messages, [b"a", b"b"]);
    assert!(parts.iter().all(|part| part.part && part.always && part.hops == 1 && part.attempt == 1));
}

#[test]
fn as_many_parts_are_away_as_their_stage_has_threads_and_each_that_joins_makes_room_for_the_next() {
    let (mut scene, _, parts) = split(&[b"a", b"b", b"c", b"d"], 2);
    assert_eq!(parts.len(), 2);
    scene.join(Q, parts[1].job, b"B");
    let third = scene.sent_one(Q);
    assert_eq!(third.message, b"c");
    scene.join(Q, parts[0].job, b"A");
    scene.join(Q, third.job, b"C");
    let last = scene.sent_one(Q);
    assert_eq!(scene.sent(R), []);
    scene.join(Q, last.job, b"DD");
    let whole = scene.sent_one(R);
    assert_eq!(whole.message, joined(&[b"A", b"B", b"C", b"DD"]), "in their order");
    assert_eq!((whole.part, whole.always, whole.hops), (false, true, 2));
    scene.answer(R, whole.job, b"answer");
    assert_eq!((scene.told(), scene.is_idle()), (vec![(1, ok("answer"))], true));
}

#[test]
fn threads_that_come_later_have_parts_too() {
    let (mut scene, _, parts) = split(&[b"a", b"b", b"c", b"d", b"e"], 1);
    scene.say(Q, &Command::Status(Status { slots: 3, idempotent: false }));
    scene.join(Q, parts[0].job, b"A");
    assert_eq!(scene.sent(Q).len(), 3);
}

#[test]
fn a_stage_whose_threads_are_not_known_gets_one_part_at_a_time() {
    let (mut scene, _, parts) = split(&[b"a", b"b"], 0);
    assert_eq!(parts.len(), 1);
    scene.join(Q, parts[0].job, b"A");
    assert_eq!(scene.sent(Q).len(), 1);
}

#[test]
fn a_part_may_go_through_other_stages_before_it_joins() {
    let (mut scene, _, parts) = split(&[b"a"], 1);
    scene.forward(Q, parts[0].job, FIRST, b"on its way");
    let next = scene.sent_one(P);
    assert_eq!((next.part, next.always, next.hops), (true, true, 2));
    scene.join(P, next.job, b"A");
    let whole = scene.sent_one(R);
    assert_eq!((whole.message, whole.hops), (joined(&[b"A"]), 3));
}

#[test]
fn a_part_that_is_split_is_one_part_again_when_it_is_whole() {
    let (mut scene, _, outer) = split(&[b"a", b"b"], 2);
    scene.split(Q, outer[0].job, FIRST, &[b"a1", b"a2"]);
    let first = scene.sent_one(P);
    assert_eq!((&first.message[..], first.hops), (&b"a1"[..], 2));
    scene.join(P, first.job, b"A1");
    let second = scene.sent_one(P);
    scene.join(P, second.job, b"A2");
    let inner = scene.sent_one(R);
    assert_eq!((inner.part, &inner.message), (true, &joined(&[b"A1", b"A2"])));
    scene.join(R, inner.job, b"A");
    scene.join(Q, outer[1].job, b"B");
    let whole = scene.sent_one(R);
    assert_eq!((whole.part, whole.message), (false, joined(&[b"A", b"B"])));
}

#[test]
fn a_parts_answer_is_the_wholes_and_cancels_the_others() {
    let (mut scene, ticket, parts) = split(&[b"a", b"b", b"c"], 2);
    scene.answer(Q, parts[1].job, b"early");
    assert_eq!(scene.told(), [(1, ok("early"))]);
    assert_eq!(scene.cancelled(Q, Reason::Answered), [parts[0].job]);
    assert_eq!(ticket.cancelled(), Some(Reason::Answered));
    scene.answer(Q, parts[0].job, b"late");
    assert_eq!((scene.told(), scene.is_idle()), (vec![], true));
}

#[test]
fn a_parts_failure_is_the_wholes() {
    let (mut scene, _, parts) = split(&[b"a", b"b"], 2);
    scene.outcome(Q, parts[0].job, &Outcome::Failure(Failure::TimedOut));
    assert_eq!((scene.status(), scene.is_idle()), (504, true));
}

#[test]
fn a_part_that_is_given_back_goes_elsewhere() {
    let (mut scene, _, parts) = split(&[b"a"], 1);
    scene.say(Q, &Command::Bye);
    scene.outcome(Q, parts[0].job, &Outcome::Failure(Failure::Gone));
    scene.link(LinkId::of_test(4), SECOND, 1, false);
    let again = scene.sent_one(LinkId::of_test(4));
    assert_eq!((again.attempt, again.part), (1, true));
}

#[test]
fn a_cancelled_request_is_cancelled_in_all_its_parts() {
    let (mut scene, ticket, parts) = split(&[b"a", b"b", b"c"], 2);
    scene.node.cancel(&ticket, Reason::Disconnected);
    assert_eq!(scene.cancelled(Q, Reason::Disconnected), [parts[0].job, parts[1].job]);
    scene.join(Q, parts[0].job, b"late");
    assert_eq!((scene.told(), scene.is_idle()), (vec![], true));
}

/// The order to cancel it is on its way, while its job is split or comes together.
#[test]
fn a_request_that_is_cancelled_as_it_moves_on_leaves_nothing() {
    let mut scene = Scene::with_proxy();
    let ticket = scene.enter();
    let job = scene.sent_one(P).job;
    let place = ticket.cancel(Reason::Disconnected).unwrap();
    scene.split(P, job, SECOND, &[b"a", b"b"]);
    assert!(scene.is_idle());
    scene.node.cancel_at(ticket.id, place, Reason::Disconnected);

    let (mut scene, ticket, parts) = split(&[b"a"], 1);
    let place = ticket.cancel(Reason::Disconnected).unwrap();
    scene.join(Q, parts[0].job, b"A");
    assert_eq!((scene.sent(R), scene.is_idle()), (vec![], true));
    scene.node.cancel_at(ticket.id, place, Reason::Disconnected);
    assert_eq!(scene.told(), []);
}

#[test]
fn a_split_has_one_part_at_least_and_no_more_than_may_be() {
    for parts in [0, 11] {
        let mut scene = Scene::with_proxy();
        scene.enter();
        let job = scene.sent_one(P).job;
        scene.split(P, job, SECOND, &vec![&b""[..]; parts]);
        assert_eq!((scene.status(), scene.is_idle()), (500, true));
    }
}

#[test]
fn what_is_no_part_cannot_join() {
    let mut scene = Scene::with_proxy();
    scene.enter();
    let job = scene.sent_one(P).job;
    scene.join(P, job, b"A");
    assert_eq!((scene.status(), scene.is_idle()), (500, true));
}

#[test]
fn what_was_joined_is_an_ordinary_job_again() {
    let (mut scene, ticket, parts) = split(&[b"a"], 1);
    scene.join(Q, parts[0].job, b"A");
    let whole = scene.sent_one(R);
    scene.node.cancel(&ticket, Reason::TimedOut);
    assert_eq!(scene.cancelled(R, Reason::TimedOut), [whole.job]);
    assert!(scene.is_idle());
}

#[test]
fn parts_of_parts_are_bounded_all_together() {
    // Ten parts are the most of one split, and 16 times as many of a request.
    let ten: [&[u8]; 10] = [b"x"; 10];
    let (mut scene, _, mut parts) = split(&ten, 100);
    for _ in 0..15 {
        let part = parts.pop().unwrap_or_else(|| panic!("it has ended early"));
        scene.split(Q, part.job, SECOND, &ten);
        parts.splice(0..0, scene.sent(Q));
        assert_eq!(scene.told(), []);
    }
    let part = parts.pop().unwrap();
    scene.split(Q, part.job, SECOND, &ten);
    assert_eq!(scene.status(), 500);
}
