//! Jobs from their sender to a worker, and back.

use super::*;

#[test]
fn a_job_goes_to_a_worker_as_it_came_and_its_outcome_back_under_its_senders_number() {
    let mut scene = Scene::with_worker(1);
    scene.say(A, &Command::Job { job: 77, left: 5_000_000, attempt: 2, always: false, body: b"the task" });
    scene.now += Duration::from_micros(300);
    let said = scene.said(W);
    let [Command::Job { job, left, attempt, body, .. }] = said[..] else { panic!("{said:?}") };
    assert_eq!((left, attempt, body), (4_999_700, 2, &b"the task"[..]), "less what passed while the proxy had it");
    scene.done(W, job, b"the result");
    assert_eq!(scene.said(A), [outcome(77, b"the result")]);
    assert_eq!(scene.node.load(), (0, 0));
}

#[test]
fn no_job_has_run_for_longer_than_the_proxy_has_it() {
    let mut scene = Scene::with_worker(1);
    scene.say(A, &Command::Job { job: 77, left: 5_000_000, attempt: 1, always: false, body: b"" });
    let job = scene.given_one(W);
    scene.now += Duration::from_micros(300);
    scene.say(W, &Command::Outcome { job, ran: u64::MAX, had: u64::MAX, ends: true, body: b"" });
    assert_eq!(scene.said(A), [Command::Outcome { job: 77, ran: 300, had: 300, ends: true, body: b"" }]);
}

#[test]
fn what_is_left_of_a_job_is_no_more_than_its_stages_timeout() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, StageTerms { timeout: Some(2000), ..TERMS });
    scene.say(A, &Command::Job { job: 1, left: u64::MAX, attempt: 1, always: false, body: b"" });
    assert!(matches!(scene.said(W)[..], [Command::Job { left: 2_000_000, .. }]));
    scene.worker(V, StageTerms { timeout: Some(2000), ..TERMS });
    scene.say(A, &Command::Job { job: 2, left: 1_000_000, attempt: 1, always: false, body: b"" });
    assert!(matches!(scene.said(V)[..], [Command::Job { left: 1_000_000, .. }]));
}

#[test]
fn front_ends_may_use_the_same_numbers() {
    let mut scene = Scene::with_worker(2);
    scene.front_end(B);
    scene.job(A, 1);
    scene.job(B, 1);
    let given = scene.given(W);
    scene.done(W, given[1], b"of b");
    assert_eq!((scene.said(A), scene.said(B)), (vec![], vec![outcome(1, b"of b")]));
    scene.done(W, given[0], b"of a");
    assert_eq!((scene.said(A), scene.said(B)), (vec![outcome(1, b"of a")], vec![]));
}

#[test]
fn pieces_go_back_in_their_order_and_only_the_last_ends_the_job() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 7);
    let job = scene.given_one(W);
    for body in [b"1", b"2"] {
        scene.say(W, &Command::Outcome { job, ran: 0, had: 0, ends: false, body });
    }
    scene.done(W, job, b"3");
    let piece = |body| Command::Outcome { job: 7, ran: 0, had: 0, ends: false, body };
    assert_eq!(scene.said(A), [piece(b"1"), piece(b"2"), outcome(7, b"3")]);
    scene.say(W, &Command::Outcome { job, ran: 0, had: 0, ends: false, body: b"4" });
    assert_eq!(scene.said(A), [], "the job has ended");
}

#[test]
fn a_worker_is_given_no_more_than_it_announced_and_the_next_when_one_has_ended() {
    let mut scene = Scene::with_worker(2);
    (1..=5).for_each(|job| scene.job(A, job));
    let first = scene.given(W);
    assert_eq!(first.len(), 2);
    assert_eq!(scene.node.load(), (3, 2));
    scene.say(W, &Command::Announce { slots: 2, ahead: 1 });
    assert_eq!(scene.given(W).len(), 1);
    scene.done(W, first[0], b"");
    assert_eq!(scene.given(W).len(), 1);
    assert_eq!(scene.node.load(), (1, 3));
}

#[test]
fn what_there_is_for_a_peer_in_one_turn_is_sent_at_once() {
    let mut scene = Scene::with_worker(3);
    (1..=3).for_each(|job| scene.job(A, job));
    scene.node.desk.assign(usize::MAX, scene.now);
    let mut messages = Vec::new();
    scene.node.desk.outgoing(scene.now, |route, outbox| {
        messages.push((route.to_vec(), outbox.take_frames().len()));
        true
    });
    assert_eq!(messages, [(W.to_vec(), 3)]);
}

#[test]
fn a_full_queue_fails_a_job_unless_it_is_always_taken() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, StageTerms { queue: 1, ..TERMS });
    (1..=2).for_each(|job| scene.job(A, job));
    scene.given_one(W);
    scene.job(A, 3);
    assert_eq!(scene.said(A), [failure(3, Failure::QueueFull)]);
    scene.say(A, &Command::Job { job: 4, left: 1_000_000, attempt: 1, always: true, body: b"" });
    assert_eq!((scene.said(A), scene.node.load()), (vec![], (2, 1)));
}

#[test]
fn what_the_operator_has_set_holds_whatever_workers_say() {
    let timeout = Some(Duration::from_secs(2));
    let mut scene = Scene::set(Terms { queue: Some(0), timeout, idempotent: Some(true) });
    scene.front_end(A);
    let terms = StageTerms { timeout: Some(60_000), ..TERMS };
    scene.say(W, &Command::Hello(Hello { role: Role::Worker, worker: Some(terms), ..hello(W) }));
    scene.enter(W);
    scene.job(A, 1);
    scene.given_one(W);
    scene.job(A, 2);
    assert_eq!(scene.said(A), [failure(2, Failure::QueueFull)]);
    scene.lose(W);
    assert_eq!(scene.said(A)[0], Command::Retried { job: 1, attempt: 2 });
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.said(A), [failure(1, Failure::TimedOut)]);
}

#[test]
fn a_job_that_is_given_back_goes_to_the_head_of_the_queue_and_that_is_no_attempt() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 1);
    let job = scene.given_one(W);
    scene.worker(V, TERMS);
    scene.job(A, 2);
    let other = scene.given_one(V);
    scene.job(A, 3);
    scene.say(W, &Command::Return { job });
    scene.done(V, other, b"");
    // W has a free thread too, but it has just given it back.
    let said = scene.said(V);
    let [Command::Job { job: again, attempt: 1, .. }] = said[..] else { panic!("{said:?}") };
    scene.done(V, again, b"done");
    assert_eq!(scene.said(A), [outcome(2, b""), outcome(1, b"done")]);
}

#[test]
fn a_cancelled_job_that_waits_is_gone_and_nobody_is_told() {
    let mut scene = Scene::with_worker(1);
    (1..=2).for_each(|job| scene.job(A, job));
    let running = scene.given_one(W);
    scene.say(A, &Command::Cancel { job: 2, reason: 1 });
    assert_eq!((scene.said(A), scene.said(W), scene.node.load()), (vec![], vec![], (0, 1)));
    scene.done(W, running, b"");
    assert_eq!(scene.said(W), []);
}

#[test]
fn the_cancellation_of_a_running_job_goes_to_the_worker_that_has_it_and_frees_nothing() {
    let mut scene = Scene::with_worker(1);
    scene.worker(V, TERMS);
    (1..=3).for_each(|job| scene.job(A, job));
    let [w, v] = [W, V].map(|worker| (worker, scene.given_one(worker)));
    // Which of them has job 2: the one whose outcome comes back as that.
    scene.say(A, &Command::Window { job: 2, received: 10, kept: 4 });
    let ((worker, job), (other, _)) = if scene.said(W).is_empty() { (v, w) } else { (w, v) };
    scene.hear_nothing_more();
    scene.say(A, &Command::Cancel { job: 2, reason: 4 });
    assert_eq!(scene.said(worker), [Command::Cancel { job, reason: 4 }]);
    assert_eq!(scene.said(other), []);
    scene.done(worker, job, b"in vain");
    assert_eq!(scene.said(A), [], "nobody else hears of it");
    assert_eq!(scene.given(worker).len(), 1, "its slot is free again");
}

#[test]
fn a_window_is_told_to_the_worker_that_has_the_job_and_to_no_other() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 7);
    let job = scene.given_one(W);
    scene.worker(V, TERMS);
    scene.say(A, &Command::Window { job: 7, received: 100, kept: 40 });
    assert_eq!(scene.said(W), [Command::Window { job, received: 100, kept: 40 }]);
    assert_eq!(scene.said(V), []);
    scene.job(A, 8);
    scene.job(A, 9);
    scene.given_one(V);
    scene.say(A, &Command::Window { job: 9, received: 1, kept: 1 });
    assert_eq!((scene.said(W), scene.said(V)), (vec![], vec![]), "it waits still");
}

#[test]
fn outcomes_that_come_twice_or_of_another_workers_job_are_dropped() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 1);
    let job = scene.given_one(W);
    scene.worker(V, TERMS);
    scene.done(V, job, b"forged");
    scene.say(V, &Command::Outcome { job, ran: 0, had: 0, ends: false, body: b"forged" });
    scene.say(V, &Command::Return { job });
    assert_eq!((scene.said(A), scene.node.load()), (vec![], (0, 1)));
    scene.done(W, job, b"first");
    scene.done(W, job, b"second");
    assert_eq!(scene.said(A), [outcome(1, b"first")]);
    // The place is another job's now, and its number another.
    scene.job(A, 2);
    let given = [scene.given(W), scene.given(V)].concat();
    assert!(given.len() == 1 && given[0] != job);
    scene.done(W, job, b"third");
    assert_eq!(scene.said(A), []);
}

/// A front end's bug, which must not make its jobs somebody else's.
#[test]
fn a_number_that_is_used_again_ends_the_former_job_whether_the_new_one_is_taken_or_not() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, StageTerms { queue: 0, ..TERMS });
    scene.job(A, 1);
    let first = scene.given_one(W);
    scene.job(A, 1);
    assert_eq!(scene.said(A), [failure(1, Failure::QueueFull)]);
    assert_eq!(scene.said(W), [Command::Cancel { job: first, reason: Reason::Answered.code() }]);
    scene.lose(A);
    // It takes the place that A had.
    scene.front_end(B);
    scene.done(W, first, b"of a");
    assert_eq!(scene.said(B), []);
}
