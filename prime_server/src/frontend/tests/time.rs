//! What is too late, or too slow.

use super::*;

#[test]
fn a_deadline_answers_504_and_the_late_answer_finds_nobody() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET);
    scene.settle();
    let Next::Job(job, _) = scene.worker.next() else { panic!("a job waits") };
    scene.later(Duration::from_secs(30));
    assert_eq!(statuses(&scene.sent()), ["504"]);
    assert!(job.context.check().is_err());
    scene.event(GET);
    scene.settle();
    let late: Response = "late".into_response();
    scene.transport.reply(job.context.ticket.id, Reply::whole(late));
    scene.settle();
    assert_eq!(scene.sent(), "", "the next request, which may have its place, is not answered by it");
}

#[test]
fn a_peer_that_takes_nothing_is_let_go_after_the_time_to_take_an_answer() {
    let limit = Duration::from_secs(10);
    let mut scene = Scene::new(Limits { take_answer: limit, ..Limits::default() });
    scene.event("").event([GET, GET].concat());
    scene.settle().takes(1);
    scene.answer("x".repeat(2 * SLICE));
    let Next::Job(job, _) = scene.worker.next() else { panic!("a job waits") };
    scene.later(limit / 2).takes(1);
    scene.later(limit / 2);
    assert!(job.context.check().is_ok(), "it took something meanwhile");
    scene.takes(0);
    scene.later(limit);
    assert_eq!(job.context.check().map_err(|cancelled| cancelled.reason), Err(Reason::SlowReader));
    assert_eq!(scene.front_end.metrics.connections.get(), 0);
}

#[test]
fn a_head_that_takes_too_long_is_answered_408() {
    let mut scene = Scene::new(Limits::default());
    let limit = scene.front_end.settings.limits.head_time;
    scene.event("");
    scene.settle().later(limit).event("GET / HT");
    scene.settle().later(limit - Duration::from_millis(1)).event("TP/1.1\r\n");
    scene.settle();
    assert_eq!(scene.sent(), "");
    scene.later(Duration::from_millis(1));
    assert_eq!(statuses(&scene.sent()), ["408"]);
    scene.later(Duration::from_secs(1));
    assert!(scene.is_closed());
}

#[test]
fn the_time_of_each_head_begins_with_its_own_first_byte() {
    let mut scene = Scene::new(Limits::default());
    let limit = scene.front_end.settings.limits.head_time;
    scene.event("").event("GET / HT");
    scene.settle().later(limit / 2).event("TP/1.1\r\nHost: h\r\n\r\nGET");
    scene.settle().later(limit - Duration::from_millis(1)).event(" / HTTP/1.1\r\nHost: h\r\n\r\n");
    scene.settle();
    assert_eq!(scene.waiting(), 2);
}

#[test]
fn a_body_that_comes_too_slowly_is_answered_408() {
    let mut scene = Scene::new(Limits { body_rate: 100, ..Limits::default() });
    scene.event("").event("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n");
    for _ in 0..9 {
        scene.settle().event("x".repeat(1000)).event("");
        scene.network.lock().unwrap().events.pop_back();
        scene.later(Duration::from_secs(10));
    }
    assert_eq!(scene.sent(), "", "100 bytes a second it is");
    scene.later(Duration::from_secs(9));
    assert_eq!(scene.sent(), "");
    scene.later(Duration::from_secs(2));
    assert_eq!(statuses(&scene.sent()), ["408"]);
}

#[test]
fn a_connection_that_asks_for_nothing_is_closed_without_a_word() {
    let mut scene = Scene::new(Limits::default());
    let limit = scene.front_end.settings.limits.idle_time;
    scene.event("");
    scene.settle().later(limit - Duration::from_millis(1)).event(GET);
    scene.settle().later(Duration::from_secs(29));
    scene.answer("late");
    assert!(scene.sent().ends_with("late"));
    scene.later(limit - Duration::from_millis(1));
    assert!(!scene.is_closed(), "the time begins with the end of the last answer");
    scene.later(Duration::from_millis(1));
    assert!(scene.is_closed());
    assert_eq!(scene.sent(), "");
}

#[test]
fn a_client_that_still_takes_its_answer_is_not_idle() {
    let mut scene = Scene::new(Limits { idle_time: Duration::from_secs(60), ..unsent(10) });
    scene.event("").event(GET);
    scene.settle().takes(1);
    scene.answer("x".repeat(100 * SLICE));
    scene.event(GET);
    for _ in 0..100 {
        assert_eq!(scene.settle().waiting(), 0, "too much is unsent");
        scene.takes(1);
        scene.later(Duration::from_secs(1));
    }
    assert_eq!(scene.settle().waiting(), 1, "what it asked meanwhile is heard");
}

#[test]
fn a_client_that_waits_for_100_behind_another_answer_is_not_slow() {
    let mut scene = Scene::new(Limits::default());
    let post = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    scene.event("").event(GET).event(post);
    scene.settle().later(Duration::from_secs(15));
    scene.answer("slow");
    assert_eq!(statuses(&scene.sent()), ["200", "100"]);
    scene.later(Duration::from_secs(9));
    assert_eq!(scene.sent(), "", "its time begins with the 100");
    scene.later(Duration::from_secs(2));
    assert_eq!(statuses(&scene.sent()), ["408"]);
}

#[test]
fn a_connection_that_never_says_anything_is_closed() {
    let mut scene = Scene::new(Limits::default());
    scene.event("");
    scene.settle();
    scene.later(scene.front_end.settings.limits.idle_time);
    assert!(scene.is_closed());
}

#[test]
fn an_alarm_that_has_nothing_to_tell_does_not_come_again() {
    let mut scene = Scene::new(Limits { idle_time: Duration::from_secs(1), ..Limits::default() });
    scene.event("").event(GET);
    scene.settle().later(Duration::from_secs(2));
    assert_eq!(scene.front_end.sessions.next_alarm(), None, "the client waits for us");
    scene.answer("x");
    assert_eq!(scene.front_end.sessions.next_alarm(), Some(scene.now + Duration::from_secs(1)));
}
