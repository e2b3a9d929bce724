//! What clients may make the front end hold, one and all of them.

use super::*;

#[test]
fn a_large_answer_leaves_in_slices_and_goes_on_where_the_peer_took_no_more() {
    let mut scene = Scene::new(unsent(10));
    scene.event("").event(GET);
    scene.settle().takes(3);
    scene.answer("x".repeat(10 * SLICE));
    let body = scene.sent().split_once("\r\n\r\n").map(|(_, body)| body.len());
    assert_eq!(body, Some(2 * SLICE));
    scene.later(Duration::from_secs(2));
    assert_eq!(scene.front_end.sessions.len(), 1, "one answer is never too much, however large");
    scene.takes(3);
    scene.later(Duration::from_millis(64));
    assert_eq!(scene.sent().len(), 3 * SLICE);
    scene.takes(100);
    scene.later(Duration::from_millis(1));
    assert!(scene.sent().ends_with('x'));
    assert_eq!(scene.network.lock().unwrap().largest, SLICE);
    assert!(!scene.front_end.sessions.has_unsent());
    scene.event(GET);
    assert_eq!(scene.settle().waiting(), 1, "the connection goes on");
}

#[test]
fn a_peer_that_takes_nothing_is_let_go_soon_where_all_together_hold_too_much() {
    let mut scene = Scene::new(Limits { held: 3 * SLICE, ..Limits::default() });
    scene.event("").event(GET);
    scene.settle().takes(1);
    scene.answer("x".repeat(2 * SLICE));
    scene.later(Duration::from_secs(2));
    assert_eq!(scene.front_end.sessions.len(), 1, "there is room");
    scene.front_end.lent.add(SLICE + 1);
    scene.later(Duration::from_millis(100));
    assert_eq!(scene.front_end.metrics.connections.get(), 0);
}

#[test]
fn what_the_listener_still_has_counts_as_held() {
    let mut scene = Scene::new(Limits { held: 1000, ..Limits::default() });
    scene.event("").front_end.lent.add(1001);
    scene.event(GET);
    assert_eq!(statuses(&scene.settle().sent()), ["503"]);
}

#[test]
fn connections_that_are_about_to_close_count_too() {
    let mut scene = Scene::new(Limits { connections: 2, ..Limits::default() });
    scene.network.lock().unwrap().closing = 2;
    scene.event("");
    assert_eq!(statuses(&scene.settle().sent()), ["503"]);
}

#[test]
fn an_answer_for_which_there_is_no_room_is_not_kept() {
    let mut scene = Scene::new(Limits { held: 1000, ..Limits::default() });
    scene.event("").event([GET, GET].concat());
    scene.settle().takes(0);
    scene.answer("x".repeat(SLICE)).answer("y".repeat(SLICE));
    scene.takes(100);
    scene.later(Duration::from_millis(100));
    let sent = scene.sent();
    assert_eq!(statuses(&sent), ["200", "503"], "the first was all there was");
    assert!(!sent.contains('y') || sent.len() < SLICE + 1000);
}

#[test]
fn small_pieces_count_for_what_holds_them_too() {
    let take_answer = Duration::from_millis(1);
    let mut scene = Scene::new(Limits { stream_buffer: 10_000, take_answer, ..Limits::default() });
    scene.event("").event(GET);
    let Next::Job(job, _) = scene.settle().worker.next() else { panic!("a job waits") };
    let sink = scene.sink();
    let mut body = Context { sink: Some(Arc::new(sink)), ..job.context }.stream("");
    let sent = (0..10_000).take_while(|_| body.send("x").is_ok()).count();
    assert!((10..100).contains(&sent), "{sent} pieces before the front end takes one");
}

#[test]
fn where_too_much_is_held_the_newest_upload_is_refused() {
    let mut scene = Scene::new(Limits { held: 1000, ..Limits::default() });
    let begin = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n";
    let old = Peer(8);
    let send = |scene: &Scene, bytes: &str| scene.network.lock().unwrap().events.push_back((old, bytes.into()));
    send(&scene, "");
    send(&scene, begin);
    scene.settle().later(Duration::from_secs(1));
    scene.event("").event(begin).event("x".repeat(500));
    scene.settle();
    send(&scene, &"y".repeat(500));
    assert_eq!(statuses(&scene.settle().sent()), ["503"], "whoever's bytes were too many");
    send(&scene, &"y".repeat(400));
    assert_eq!(scene.settle().waiting(), 1, "the older one goes on");
}

#[test]
fn a_body_that_comes_in_pieces_counts_once() {
    let mut scene = Scene::new(Limits { held: 1000, ..Limits::default() });
    scene.event("").event("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n");
    scene.settle().event("x".repeat(800));
    scene.settle().event("x".repeat(100));
    assert_eq!(scene.settle().waiting(), 1);
}

#[test]
fn above_the_connection_limit_some_are_told_and_the_rest_is_closed_at_once() {
    let mut scene = Scene::new(Limits { connections: 1, ..Limits::default() });
    let come = |scene: &Scene, peer| scene.network.lock().unwrap().events.push_back((Peer(peer), Vec::new()));
    for peer in 0..=1 + REFUSALS as u32 {
        come(&scene, peer);
    }
    scene.settle();
    let network = scene.network.lock().unwrap();
    assert_eq!(network.sent.len(), REFUSALS);
    assert_eq!(network.closed, HashSet::from([Peer(1 + REFUSALS as u32)]));
}
