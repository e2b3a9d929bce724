//! The front end turn by turn, with a listener that does what the test says.

mod bounds;
mod time;

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard};

use rustix::event::{EventfdFlags, eventfd};

use super::flush::SLICE;
use super::listener::{Peer, Sent};
use super::*;
use crate::balancer::{Options, WorkerId};
use crate::http1::Piece;
use crate::loopback::{Loopback, Place};
use crate::mailbox::mailbox;
use crate::transport::{Local, Next, Outlet, Pool, SeatSink, Source, StreamSink, Transport};
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
        Some(if self.current.is_empty() { Event::Toggled(peer, None) } else { Event::Bytes(peer, &self.current) })
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
    worker: Source,
    loopback: Loopback,
    now: Instant,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let settings = Settings {
            max_in_flight: 100,
            deadline: Duration::from_secs(30),
            deadline_header: None,
            labelling: Labelling::default(),
            drain_limit: Duration::from_secs(30),
            limits,
            cors: None,
            compress: None,
        };
        let (loopback, inbox) = mailbox().unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let options = Options { queue: 100, attempts: 3, ..Options::PLAIN };
        let stage = Pool::of_test(STAGE, metrics.stage("stage", crate::metrics::Share::Whole), options, 1);
        let transport = Arc::new(Local::new(vec![stage], loopback.clone()));
        let network = Arc::new(Mutex::new(Network::default()));
        let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let listener = Scripted { network: Arc::clone(&network), current: Vec::new(), event };
        let door = Arc::new(Door::new(&[], Some("/healthz"), None, STAGE).unwrap());
        let front_end = FrontEnd::new(
            settings,
            door,
            Some(Box::new(listener)),
            Arc::clone(&transport) as Arc<dyn Transport>,
            inbox,
            metrics,
        );
        let worker = transport.pools()[0].source(WorkerId(0), Arc::clone(&transport) as Arc<dyn Outlet>);
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

    /// Where the worker's streamed answers go.
    fn sink(&self) -> SeatSink {
        let outlet = Arc::clone(&self.transport) as Arc<dyn Outlet>;
        SeatSink::of_test(StreamSink::new(outlet, &self.front_end.settings.limits, || 1))
    }

    fn waiting(&self) -> usize {
        self.transport.pools()[0].load().0
    }

    /// The worker answers the first job that waits.
    fn answer(&mut self, response: impl IntoResponse) -> &mut Self {
        assert!(self.waiting() > 0, "nothing waits");
        let Next::Job(job, _) = self.worker.next() else { panic!("the pool is closed") };
        self.worker.done(Duration::ZERO);
        self.transport.reply(job.context.ticket.id, Reply::whole(response.into_response()));
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
    let Next::Job(first, _) = scene.worker.next() else { panic!("two jobs wait") };
    scene.worker.done(Duration::ZERO);
    scene.answer("x".repeat(2000)).event(GET);
    scene.settle();
    assert_eq!(scene.waiting(), 0, "nothing more is parsed meanwhile");
    scene.transport.reply(first.context.ticket.id, Reply::whole("first".into_response()));
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
fn to_head_the_head_of_a_stream_is_the_whole_answer() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET.replace("GET", "HEAD"));
    let Next::Job(job, _) = scene.settle().worker.next() else { panic!("a job waits") };
    let sink = scene.sink();
    let context = Context { sink: Some(Arc::new(sink)), ..job.context };
    let mut body = context.stream("one");
    scene.settle();
    assert!(scene.sent().ends_with("\r\n\r\n"));
    assert_eq!(body.send("two").map_err(|cancelled| cancelled.reason), Err(Reason::Answered));
    assert_eq!(scene.front_end.admission.len(), 0);
    scene.worker.done(Duration::ZERO);
    scene.event(GET);
    assert_eq!(scene.settle().waiting(), 1, "the connection goes on");
}

#[test]
fn a_streamed_answer_goes_on_piece_by_piece_and_leaves_nothing_behind() {
    let mut scene = Scene::new(Limits::default());
    scene.event("").event(GET);
    let Next::Job(job, _) = scene.settle().worker.next() else { panic!("a job waits") };
    scene.worker.done(Duration::ZERO);
    let sink = scene.sink();
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
