//! The front end turn by turn, with a listener that does what the test says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard};

use rustix::event::{EventfdFlags, eventfd};

use super::flush::SLICE;
use super::listener::{Peer, Sent};
use super::*;
use crate::balancer::{Options, WorkerId};
use crate::http1::Piece;
use crate::loopback::{Loopback, Place, loopback};
use crate::transport::{LocalSource, LocalStage, Next, Source, Transport};
use crate::{Context, IntoResponse, Response};

const STAGE: StageId = StageId(0);
const PEER: Peer = Peer(7);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// What clients do, and what was sent to them.
#[derive(Default)]
struct Network {
    events: VecDeque<(Peer, Vec<u8>)>,
    sent: HashMap<Peer, Vec<u8>>,
    closed: HashSet<Peer>,
    /// How many messages more a peer takes, an end among them. The others take all.
    room: HashMap<Peer, usize>,
    /// The largest message that was sent.
    largest: usize,
    /// Connections that were closed and are still there.
    closing: usize,
}

impl Network {
    /// Whether the peer takes one message more.
    fn takes(&mut self, peer: Peer) -> bool {
        match self.room.get_mut(&peer) {
            Some(0) => false,
            Some(room) => {
                *room -= 1;
                true
            }
            None => true,
        }
    }
}

struct Scripted {
    network: Arc<Mutex<Network>>,
    current: Vec<u8>,
    event: OwnedFd,
}

impl Scripted {
    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap()
    }
}

impl Listener for Scripted {
    fn endpoint(&self) -> &str {
        "scripted"
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn is_ready(&self) -> bool {
        !self.network().events.is_empty()
    }

    fn next(&mut self) -> Option<Event<'_>> {
        let (peer, bytes) = self.network().events.pop_front()?;
        self.current = bytes;
        Some(if self.current.is_empty() { Event::Toggled(peer) } else { Event::Bytes(peer, &self.current) })
    }

    fn send(&mut self, peer: Peer, piece: Piece<'_>) -> Sent {
        let bytes = piece.as_bytes();
        let mut network = self.network();
        if !network.takes(peer) {
            return Sent::Blocked;
        }
        network.largest = network.largest.max(bytes.len());
        network.sent.entry(peer).or_default().extend_from_slice(bytes);
        Sent::All
    }

    fn lent(&self) -> Lent {
        Lent::default()
    }

    fn closing(&mut self) -> usize {
        self.network().closing
    }

    fn close(&mut self, peer: Peer) -> Sent {
        let mut network = self.network();
        if !network.takes(peer) {
            return Sent::Blocked;
        }
        network.closed.insert(peer);
        Sent::All
    }

    fn finish(self: Box<Self>, _: Duration) {}
}

/// A front end, the network before it and the pool behind it, of which the test is the one worker.
struct Scene {
    front_end: FrontEnd,
    network: Arc<Mutex<Network>>,
    transport: Arc<Local>,
    worker: LocalSource,
    loopback: Loopback,
    now: Instant,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let settings = Settings {
            max_in_flight: 100,
            deadline: Duration::from_secs(30),
            drain_limit: Duration::from_secs(30),
            limits,
            cors: None,
            compress: None,
        };
        let (loopback, inbox) = loopback().unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let options = Options { queue: 100, timeout: None, idempotent: false, attempts: 3 };
        let stage = LocalStage::new(Arc::new(metrics.stage("stage")), options, 1);
        let transport = Arc::new(Local::new(vec![stage], loopback.clone()));
        let network = Arc::new(Mutex::new(Network::default()));
        let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let listener = Scripted { network: Arc::clone(&network), current: Vec::new(), event };
        let door = Arc::new(Door::new(&[], Some("/healthz"), None, STAGE).unwrap());
        let front_end = FrontEnd::new(settings, door, Some(Box::new(listener)), Arc::clone(&transport), inbox, metrics);
        let worker = transport.source(STAGE, WorkerId(0));
        Self { front_end, network, transport, worker, loopback, now: Instant::now() }
    }

    /// The peer sends bytes; none mean that it comes, or goes.
    fn event(&self, bytes: impl AsRef<[u8]>) -> &Self {
        self.network.lock().unwrap().events.push_back((PEER, bytes.as_ref().to_vec()));
        self
    }

    /// Goes on until there is nothing more to do at this moment.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..100 {
            if !self.front_end.turn(self.now) && self.front_end.inbox.notes.is_empty() {
                return self;
            }
        }
        panic!("it never comes to rest");
    }

    fn later(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.settle()
    }

    fn waiting(&self) -> usize {
        self.transport.stages()[0].load().0
    }

    /// The worker answers the first job that waits.
    fn answer(&mut self, response: impl IntoResponse) -> &mut Self {
        assert!(self.waiting() > 0, "nothing waits");
        let Next::Job(job) = self.worker.next() else { panic!("the pool is closed") };
        self.worker.done();
        self.transport.reply(job.context.ticket.id, Reply::Whole(response.into_response()));
        self.settle()
    }

    /// What the peer was sent since the last look.
    fn sent(&self) -> String {
        let sent = self.network.lock().unwrap().sent.remove(&PEER).unwrap_or_default();
        String::from_utf8(sent).unwrap()
    }

    fn is_closed(&self) -> bool {
        self.network.lock().unwrap().closed.contains(&PEER)
    }

    /// From here on the peer takes that many messages.
    fn takes(&self, messages: usize) {
        self.network.lock().unwrap().room.insert(PEER, messages);
    }

    /// A session that has ended for its answers, and that could not be told so.
    fn doomed() -> Self {
        let mut scene = Scene::new(unsent(10));
        scene.event("").event([GET, GET].concat());
        scene.settle().takes(0);
        scene.answer("x".repeat(1000)).answer("x".repeat(1000));
        assert_eq!(scene.front_end.metrics.connections.get(), 1, "it may be about to read");
        scene.later(Duration::from_millis(1000));
        assert_eq!(scene.front_end.metrics.connections.get(), 0, "what two answers leave unsent is too much");
        assert_eq!(scene.front_end.sessions.len(), 1, "it still counts as a connection");
        scene
    }
}

fn statuses(text: &str) -> Vec<&str> {
    text.match_indices("HTTP/1.1 ").map(|(at, line)| &text[at + line.len()..][..3]).collect()
}

fn unsent(bytes: usize) -> Limits {
    Limits { unsent: bytes, ..Limits::default() }
}

#[test]
fn a_request_goes_to_the_stage_and_its_answer_to_the_peer() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET);
    scene.settle().answer("hello");
    assert!(scene.sent().ends_with("\r\n\r\nhello"));
}

#[test]
fn what_an_answer_on_its_way_out_lets_in_is_handed_over_before_the_sleep() {
    let mut scene = Scene::new(unsent(1000));
    scene.event("").event([GET, GET].concat());
    scene.settle();
    // The second answer is held back behind the first, and is more than a client may leave unsent.
    let Next::Job(first) = scene.worker.next() else { panic!("two jobs wait") };
    scene.worker.done();
    scene.answer("x".repeat(2000)).event(GET);
    scene.settle();
    assert_eq!(scene.waiting(), 0, "nothing more is parsed meanwhile");
    scene.transport.reply(first.context.ticket.id, Reply::Whole("first".into_response()));
    scene.settle();
    assert_eq!(scene.waiting(), 1);
}

#[test]
fn a_request_whose_client_left_at_once_is_never_queued() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET).event("");
    scene.settle();
    assert_eq!((scene.waiting(), scene.front_end.admission.len()), (0, 0));
}

#[test]
fn a_peer_that_goes_before_it_could_be_told_the_end_leaves_nothing_behind() {
    let mut scene = Scene::doomed();
    scene.event("");
    scene.settle();
    assert_eq!(scene.front_end.sessions.len(), 0);
    assert_eq!(scene.front_end.metrics.connections.get(), 0);
}

#[test]
fn a_peer_that_could_not_be_told_the_end_is_told_later() {
    let mut scene = Scene::doomed();
    scene.takes(1);
    scene.later(Duration::from_secs(1));
    assert!(scene.is_closed());
    assert_eq!(scene.front_end.sessions.len(), 0);
}

#[test]
fn a_stop_answers_what_is_in_flight_and_takes_no_more() {
    let mut scene = Scene::new(Limits { pipelined: 1, ..Limits::default() });
    scene.event("").event([GET, GET].concat());
    scene.settle();
    scene.loopback.send(Note::Stop);
    scene.settle();
    let sent = scene.sent();
    assert_eq!(statuses(&sent), ["503"], "the second was not accepted");
    assert!(sent.contains("\r\nconnection: close\r\n"), "{sent}");
    assert_eq!(scene.front_end.admission.len(), 0);
    assert!(scene.front_end.is_over());
}

#[test]
fn who_asks_in_process_after_a_stop_is_refused() {
    let mut scene = Scene::new(Limits::default());
    let (answer, pending) = crossbeam_channel::bounded(1);
    scene.loopback.send(Note::Stop);
    let place = Place::take(&Arc::default(), 1).unwrap();
    scene.loopback.send(Note::Submit { request: Request::get("/"), token: 1, answer, place });
    scene.settle();
    assert_eq!(pending.try_recv().map(|response: Response| response.status().as_u16()), Ok(503));
    assert_eq!(scene.front_end.admission.len(), 0);
}

#[test]
fn a_drain_lets_what_is_in_flight_finish_and_says_that_the_connection_ends() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET);
    scene.settle();
    scene.loopback.send(Note::Drain);
    scene.settle();
    assert!(!scene.front_end.is_over() && !scene.is_closed());
    scene.answer("done");
    let sent = scene.sent();
    assert!(sent.contains("\r\nconnection: close\r\n") && sent.ends_with("done"), "{sent}");
    assert!(scene.is_closed() && scene.front_end.is_over());
}

#[test]
fn an_idle_connection_ends_with_a_drain() {
    let mut scene = Scene::new(Limits::default());
    scene.event("");
    scene.settle();
    scene.loopback.send(Note::Drain);
    scene.settle();
    assert!(scene.is_closed() && scene.front_end.is_over());
}

#[test]
fn a_deadline_answers_504_and_the_late_answer_finds_nobody() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET);
    scene.settle();
    let Next::Job(job) = scene.worker.next() else { panic!("a job waits") };
    scene.later(Duration::from_secs(30));
    assert_eq!(statuses(&scene.sent()), ["504"]);
    assert!(job.context.check().is_err());
    scene.event(GET);
    scene.settle();
    let late: Response = "late".into_response();
    scene.transport.reply(job.context.ticket.id, Reply::Whole(late));
    scene.settle();
    assert_eq!(scene.sent(), "", "the next request, which may have its place, is not answered by it");
}

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
fn a_peer_that_takes_nothing_is_let_go_after_the_time_to_take_an_answer() {
    let limit = Duration::from_secs(10);
    let mut scene = Scene::new(Limits { take_answer: limit, ..Limits::default() });
    scene.event("").event([GET, GET].concat());
    scene.settle().takes(1);
    scene.answer("x".repeat(2 * SLICE));
    let Next::Job(job) = scene.worker.next() else { panic!("a job waits") };
    scene.later(limit / 2).takes(1);
    scene.later(limit / 2);
    assert!(job.context.check().is_ok(), "it took something meanwhile");
    scene.takes(0);
    scene.later(limit);
    assert_eq!(job.context.check().map_err(|cancelled| cancelled.reason), Err(Reason::SlowReader));
    assert_eq!(scene.front_end.metrics.connections.get(), 0);
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
    let Next::Job(job) = scene.settle().worker.next() else { panic!("a job waits") };
    let sink = scene.transport.sink(&scene.front_end.settings.limits, 1);
    let mut body = Context { sink: Some(Arc::new(sink)), ..job.context }.stream("");
    let sent = (0..10_000).take_while(|_| body.send("x").is_ok()).count();
    assert!((10..100).contains(&sent), "{sent} pieces before the front end takes one");
}

#[test]
fn to_head_the_head_of_a_stream_is_the_whole_answer() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET.replace("GET", "HEAD"));
    let Next::Job(job) = scene.settle().worker.next() else { panic!("a job waits") };
    let sink = scene.transport.sink(&scene.front_end.settings.limits, 1);
    let context = Context { sink: Some(Arc::new(sink)), ..job.context };
    let mut body = context.stream("one");
    scene.settle();
    assert!(scene.sent().ends_with("\r\n\r\n"));
    assert_eq!(body.send("two").map_err(|cancelled| cancelled.reason), Err(Reason::Answered));
    assert_eq!(scene.front_end.admission.len(), 0);
    scene.worker.done();
    scene.event(GET);
    assert_eq!(scene.settle().waiting(), 1, "the connection goes on");
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
fn a_streamed_answer_goes_on_piece_by_piece_and_leaves_nothing_behind() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET);
    let Next::Job(job) = scene.settle().worker.next() else { panic!("a job waits") };
    scene.worker.done();
    let sink = scene.transport.sink(&scene.front_end.settings.limits, 1);
    let mut context = job.context;
    context.sink = Some(Arc::new(sink));
    let mut body = context.stream("one");
    scene.settle();
    assert!(scene.sent().ends_with("\r\n\r\n3\r\none\r\n"));
    assert!(body.send("two").is_ok());
    scene.settle();
    assert_eq!(scene.sent(), "3\r\ntwo\r\n");
    scene.transport.reply(context.ticket.id, Reply::End);
    scene.settle();
    assert_eq!(scene.sent(), "0\r\n\r\n");
    assert_eq!(scene.front_end.admission.len(), 0);
    let key = scene.front_end.sessions.key(PEER).unwrap();
    assert!(scene.front_end.sessions.get_mut(key).unwrap().streams.is_empty());
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
