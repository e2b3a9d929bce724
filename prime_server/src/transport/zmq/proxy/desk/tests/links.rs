//! From HELLO to the end of a link.

use super::*;

const WHO: [Command<'static>; 1] = [Command::Who];

/// Why a HELLO is refused.
fn refusal(scene: &mut Scene, hello: Hello<'_>) -> String {
    scene.say(A, &Command::Hello(hello));
    match &scene.said(A)[..] {
        [Command::Refused { why }] => (*why).to_owned(),
        said => panic!("it is not refused: {said:?}"),
    }
}

#[test]
fn a_front_end_is_welcomed_and_told_the_status_again_whenever_that_changes() {
    let mut scene = Scene::new();
    scene.say(A, &Command::Hello(hello(A)));
    assert_eq!(scene.said(A), [welcome(), status(0, false)]);
    scene.worker(V, TERMS);
    assert_eq!(scene.said(A), [status(1, false)]);
    scene.say(W, &Command::Hello(Hello { role: Role::Worker, worker: Some(IDEMPOTENT), ..hello(W) }));
    assert_eq!(scene.said(A), [status(2, true)]);
    assert_eq!(scene.said(W), [welcome()]);
    scene.say(W, &Command::Bye);
    assert_eq!(scene.said(A), [status(1, true)]);
    scene.lose(V);
    assert_eq!(scene.said(A), [status(0, true)]);
}

#[test]
fn who_has_said_no_hello_is_asked_who_it_is_once_for_all_that_came_at_once() {
    let mut scene = Scene::new();
    scene.job(A, 1);
    scene.job(A, 2);
    scene.say(B, &Command::Beat);
    scene.node.receive(V, b"", scene.now);
    assert_eq!(scene.said(A), WHO);
    assert_eq!(scene.said(B), WHO);
    assert_eq!(scene.said(V), WHO);
    assert_eq!(scene.node.load(), (0, 0));
    scene.say(A, &Command::Beat);
    assert_eq!(scene.said(A), WHO, "it is asked again");
}

#[test]
fn an_inquirer_is_told_the_stage_and_is_not_linked() {
    let mut scene = Scene::new();
    scene.say(A, &Command::Hello(Hello { role: Role::Inquirer, stage: "", ..hello(A) }));
    assert_eq!(scene.said(A), [welcome()]);
    scene.say(A, &Command::Beat);
    assert_eq!(scene.said(A), WHO);
}

#[test]
fn another_version_is_refused_and_the_reason_names_both() {
    let mut scene = Scene::new();
    let why = refusal(&mut scene, Hello { version: 2, ..hello(A) });
    assert!(why.contains("version 2") && why.contains("version 1") && why.contains("`proxy`"), "{why}");
    // Whatever follows in that version.
    scene.node.receive(B, b"\x00PRIME\x03something else", scene.now);
    assert!(matches!(scene.said(B)[..], [Command::Refused { .. }]));
    assert_eq!(scene.malformed(), 2);
}

#[test]
fn what_only_looks_like_a_hello_is_counted_and_dropped() {
    let mut scene = Scene::new();
    let frames = [
        b"\x00".to_vec(),
        b"\x00PRIME".to_vec(),
        b"\x00PRIME\x01".to_vec(),
        encode(&Command::Hello(Hello { magic: *b"PRIMO", ..hello(A) })),
        [encode(&Command::Hello(hello(A))), vec![0]].concat(),
    ];
    for frame in &frames {
        scene.node.receive(A, frame, scene.now);
        assert_eq!(scene.said(A), []);
    }
    assert_eq!(scene.malformed(), frames.len() as u64);
}

#[test]
fn another_stage_is_refused_and_the_reason_names_both() {
    let mut scene = Scene::new();
    let why = refusal(&mut scene, Hello { stage: "other", ..hello(A) });
    assert!(["`front end a`", "`other`", "`proxy`", "`stage`"].iter().all(|name| why.contains(name)), "{why}");
    scene.job(A, 1);
    assert_eq!(scene.said(A), WHO, "it is not linked");
}

#[test]
fn a_worker_says_of_its_stage_what_a_worker_has_to_and_nobody_else_does() {
    let mut scene = Scene::new();
    assert!(refusal(&mut scene, Hello { role: Role::Worker, ..hello(A) }).contains("`front end a`"));
    refusal(&mut scene, Hello { worker: Some(TERMS), ..hello(A) });
}

#[test]
fn another_message_is_refused_and_the_reason_names_both() {
    let mut scene = Scene::new();
    scene.say(B, &Command::Hello(Hello { message: Some(("Candidate", 0x1a)), ..hello(B) }));
    let why = refusal(&mut scene, Hello { message: Some(("Number", 0x2b)), ..hello(A) });
    let both = ["`front end a`", "`Number`", "0x2b", "`proxy`", "`stage`", "`Candidate`", "0x1a"];
    assert!(both.iter().all(|name| why.contains(name)), "{why}");
}

#[test]
fn who_names_no_message_or_no_schema_or_the_same_is_taken() {
    let mut scene = Scene::new();
    scene.say(B, &Command::Hello(Hello { message: Some(("Candidate", 7)), ..hello(B) }));
    for message in [None, Some(("Candidate", 7)), Some(("Other", 0))] {
        scene.say(A, &Command::Hello(Hello { message, ..hello(A) }));
        assert_eq!(scene.said(A), [welcome(), status(0, false)]);
    }
}

#[test]
fn a_message_is_forgotten_when_the_last_that_named_it_has_left() {
    let mut scene = Scene::new();
    for (route, message) in [(A, Some(("M", 1))), (W, None), (V, Some(("M", 1)))] {
        scene.say(route, &Command::Hello(Hello { message, ..hello(route) }));
    }
    let other = || Command::Hello(Hello { message: Some(("N", 2)), ..hello(B) });
    scene.lose(A);
    scene.say(B, &other());
    assert!(matches!(scene.said(B)[..], [Command::Refused { .. }]), "one is left");
    scene.lose(V);
    scene.say(B, &other());
    assert!(matches!(scene.said(B)[..], [Command::Welcome(_), Command::Status(_)]));
}

#[test]
fn a_second_hello_of_a_front_end_cancels_what_came_by_its_first_link() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 1);
    scene.job(A, 2);
    let running = scene.given_one(W);
    scene.say(B, &Command::Hello(Hello { peer: id(A), ..hello(B) }));
    assert_eq!(scene.said(B), [welcome(), status(1, false)]);
    assert_eq!(scene.said(W), [Command::Cancel { job: running, reason: Reason::Disconnected.code() }]);
    assert_eq!(scene.node.load(), (0, 1));
    scene.job(A, 3);
    assert_eq!(scene.said(A), WHO, "its first link is lost");
    scene.done(W, running, b"late");
    assert_eq!(scene.said(B), []);
}

#[test]
fn a_second_hello_of_a_worker_is_the_loss_of_its_first_link() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, IDEMPOTENT);
    scene.job(A, 1);
    let first = scene.given_one(W);
    // As of a process that has given its link up before the proxy did.
    let again = Hello { peer: id(W), role: Role::Worker, worker: Some(IDEMPOTENT), ..hello(V) };
    scene.say(V, &Command::Hello(again));
    let said = scene.said(V);
    let [Command::Welcome(_), Command::Job { job, attempt: 2, .. }] = said[..] else { panic!("{said:?}") };
    assert_eq!(scene.said(A), [Command::Retried { job: 1, attempt: 2 }, status(0, true), status(1, true)]);
    scene.done(W, first, b"of the first link");
    assert_eq!((scene.said(A), scene.said(W)), (vec![], WHO.into()));
    scene.done(V, job, b"result");
    assert_eq!(scene.said(A), [outcome(1, b"result")]);
}

/// One HELLO can replace two links: that of its route, which was said with another id, and that of its id.
#[test]
fn a_hello_replaces_the_link_of_its_route_and_that_of_its_peer() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.front_end(B);
    scene.job(A, 1);
    scene.job(B, 1);
    scene.say(B, &Command::Hello(Hello { peer: id(A), ..hello(B) }));
    assert_eq!(scene.node.load(), (0, 0));
    scene.job(B, 2);
    scene.routes = vec![B];
    scene.pass(LIVENESS * 2);
    assert_eq!(scene.node.load(), (1, 0), "the new link is there");
}

#[test]
fn frames_that_are_no_command_or_not_their_senders_are_counted_and_change_nothing() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 1);
    let job = scene.given_one(W);
    let wrong: [(&[u8], Vec<u8>); 9] = [
        (A, Vec::new()),
        (A, b"\x0e".to_vec()),
        (A, b"\x08\x01".to_vec()),
        (A, [encode(&Command::Bye), vec![0]].concat()),
        (A, encode(&Command::Outcome { job, ran: 0, had: 0, ends: true, body: b"not mine" })),
        (A, encode(&Command::Announce { slots: 9, ahead: 9 })),
        (W, encode(&job_of(7))),
        (W, encode(&Command::Cancel { job: 1, reason: 1 })),
        (W, encode(&welcome())),
    ];
    for (route, frame) in &wrong {
        scene.node.receive(route, frame, scene.now);
    }
    assert_eq!(scene.malformed(), wrong.len() as u64);
    assert_eq!((scene.said(A), scene.said(W)), (vec![], vec![]));
    assert_eq!(scene.node.load(), (0, 1));
}

#[test]
fn commands_for_jobs_that_are_not_there_are_no_errors() {
    let mut scene = Scene::with_worker(1);
    scene.say(A, &Command::Cancel { job: 1, reason: 1 });
    scene.say(A, &Command::Window { job: 1, received: 1, kept: 1 });
    scene.say(W, &Command::Return { job: 1 });
    scene.done(W, u64::MAX, b"?");
    scene.say(W, &Command::Outcome { job: 1, ran: 0, had: 0, ends: false, body: b"?" });
    assert_eq!((scene.said(A), scene.said(W)), (vec![], vec![]));
    assert_eq!(scene.malformed(), 0);
}

#[test]
fn a_proxy_that_drains_says_bye_and_gives_back_what_waits_and_what_comes() {
    let mut scene = Scene::with_worker(1);
    (1..=3).for_each(|job| scene.job(A, job));
    let running = scene.given_one(W);
    scene.node.desk.drain();
    // In this order: what is given back is not to be sent here again.
    let gone = |job| failure(job, Failure::Gone);
    assert_eq!(scene.said(A), [Command::Bye, gone(2), gone(3)]);
    assert_eq!(scene.said(W), [Command::Bye]);
    scene.job(A, 4);
    assert_eq!(scene.said(A), [gone(4)]);
    scene.say(B, &Command::Hello(hello(B)));
    assert_eq!(scene.said(B), [welcome(), Command::Bye, status(1, false)]);
    assert!(!scene.node.desk.is_drained());
    scene.done(W, running, b"result");
    assert_eq!(scene.said(A), [outcome(1, b"result")]);
    assert!(!scene.node.desk.is_drained(), "jobs may be on their way");
    scene.say(A, &Command::Bye);
    assert!(!scene.node.desk.is_drained(), "of the other front end too");
    scene.say(B, &Command::Bye);
    assert!(scene.node.desk.is_drained());
    scene.node.desk.drain();
    assert_eq!(scene.said(A), [], "it says so once");
}

#[test]
fn a_proxy_that_drains_gives_back_what_its_workers_give_back_or_leave() {
    let mut scene = Scene::new();
    scene.front_end(A);
    scene.worker(W, StageTerms { slots: 2, ..IDEMPOTENT });
    scene.job(A, 1);
    scene.job(A, 2);
    let given = scene.given(W);
    scene.node.desk.drain();
    scene.hear_nothing_more();
    scene.say(W, &Command::Return { job: given[1] });
    assert_eq!(scene.said(A), [failure(2, Failure::Gone)]);
    scene.lose(W);
    let retried = Command::Retried { job: 1, attempt: 2 };
    assert_eq!(scene.said(A), [retried, status(0, true), failure(1, Failure::Gone)]);
    scene.say(A, &Command::Bye);
    assert!(scene.node.desk.is_drained());
}

#[test]
fn a_front_end_that_says_bye_has_still_what_runs() {
    let mut scene = Scene::with_worker(1);
    scene.job(A, 1);
    let job = scene.given_one(W);
    scene.say(A, &Command::Bye);
    assert_eq!((scene.said(A), scene.said(W)), (vec![], vec![]));
    scene.done(W, job, b"result");
    assert_eq!(scene.said(A), [outcome(1, b"result")]);
}

#[test]
fn a_worker_that_says_bye_is_given_nothing_and_its_outcomes_count() {
    let mut scene = Scene::with_worker(2);
    scene.job(A, 1);
    let job = scene.given_one(W);
    scene.say(W, &Command::Bye);
    scene.job(A, 2);
    scene.say(W, &Command::Announce { slots: 9, ahead: 9 });
    assert_eq!(scene.said(W), [Command::Bye], "it is told that nothing more comes");
    scene.done(W, job, b"result");
    assert_eq!(scene.said(A), [status(0, false), outcome(1, b"result")]);
}

#[test]
fn who_says_hello_in_the_same_message_is_not_asked_who_it_is() {
    let mut scene = Scene::new();
    scene.node.receive(A, &encode(&Command::Beat), scene.now);
    scene.node.receive(A, &encode(&Command::Hello(hello(A))), scene.now);
    assert_eq!(scene.said(A), [welcome(), status(0, false)]);
    scene.node.receive(B, &encode(&Command::Beat), scene.now);
    scene.node.receive(B, &encode(&Command::Hello(Hello { version: 9, ..hello(B) })), scene.now);
    let [Command::Refused { why }] = &scene.said(B)[..] else { panic!("it is not refused") };
    assert!(why.contains("version 9"), "{why}");
}

#[test]
fn a_hello_that_is_too_long_to_be_one_is_malformed() {
    let mut scene = Scene::new();
    let name = "x".repeat(5000);
    scene.say(A, &Command::Hello(Hello { name: &name, ..hello(A) }));
    assert_eq!(scene.said(A), []);
    assert_eq!(scene.node.desk.gauges().malformed.get(), 1);
}

#[test]
fn a_command_that_comes_in_fragments_keeps_its_link_alive_and_is_taken_with_the_last() {
    let mut scene = Scene::new();
    scene.worker(W, TERMS);
    scene.say(A, &Command::Hello(hello(A)));
    let left = 60_000_000;
    let job = encode(&Command::Job { job: 7, left, attempt: 1, always: false, body: &[5; 90] });
    for piece in job.chunks(10) {
        assert_eq!(scene.node.load(), (0, 0));
        let last = piece.as_ptr_range().end == job.as_ptr_range().end;
        scene.say(A, &Command::Fragment { last, bytes: piece });
        scene.say(W, &Command::Beat);
        scene.now += LIVENESS - STEP;
    }
    scene.say(W, &Command::Beat);
    let said = scene.said(W);
    let job = said.iter().find_map(|command| match command {
        Command::Job { body, .. } => Some(body.len()),
        _ => None,
    });
    assert_eq!(job, Some(90));
}

#[test]
fn what_fragments_make_that_is_no_command_is_malformed() {
    let mut scene = Scene::new();
    scene.say(A, &Command::Hello(hello(A)));
    let nested = encode(&Command::Fragment { last: true, bytes: b"" });
    for (at, bytes) in [&b""[..], b"x", &nested, &encode(&Command::Hello(hello(A)))].into_iter().enumerate() {
        scene.say(A, &Command::Fragment { last: true, bytes });
        assert_eq!(scene.node.desk.gauges().malformed.get(), at as u64 + 1);
    }
    // It is linked still.
    scene.job(A, 1);
    assert_eq!(scene.node.load(), (1, 0));
}
