//! A front end's desk, with a clock that the test turns, proxies that say what it wants, and the front end's own thread listening.

mod choice;
mod losses;
mod parts;
mod requests;
mod streams;

use super::*;
use crate::loopback::Note;
use crate::transport::zmq::front::node::{Node, ORIGIN, STREAM_BUFFER, WAIT};
use crate::transport::zmq::task::arrived;
use crate::transport::zmq::wire::{Status, encode};

const P: LinkId = LinkId::of_test(1);
const Q: LinkId = LinkId::of_test(2);
const R: LinkId = LinkId::of_test(3);
const FIRST: &str = "first";
const SECOND: &str = "second";
const JOIN: &str = "join";
const STEP: Duration = Duration::from_millis(1);

/// What the front end's own thread is told of a request.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Whole(u16, String),
    Head(u16),
    Piece(Vec<u8>),
    End,
    Abort,
}

/// A job as a proxy gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    job: u64,
    attempt: u32,
    always: bool,
    hops: u32,
    part: bool,
    schema: u64,
    message: Vec<u8>,
}

struct Scene {
    node: Node,
    now: Instant,
    entered: u32,
}

impl Scene {
    fn new() -> Self {
        Self { node: Node::new(&[FIRST, SECOND]), now: Instant::now(), entered: 0 }
    }

    /// With a proxy of the first stage that has one thread.
    fn with_proxy() -> Self {
        let mut scene = Self::new();
        scene.link(P, FIRST, 1, false);
        scene
    }

    fn link(&mut self, link: LinkId, stage: &str, slots: u64, idempotent: bool) {
        self.node.linked(link, stage, self.now);
        self.say(link, &Command::Status(Status { slots, idempotent }));
    }

    fn say(&mut self, link: LinkId, command: &Command<'_>) {
        self.node.receive(link, &encode(command), self.now);
    }

    /// The proxy says BYE, and is answered so.
    fn leave(&mut self, link: LinkId) {
        assert_eq!(self.said(link), []);
        self.say(link, &Command::Bye);
        assert_eq!(self.said(link), [Command::Bye]);
    }

    fn lose(&mut self, link: LinkId) {
        self.node.lost(link, self.now);
    }

    fn enter(&mut self) -> Arc<Ticket> {
        self.entered += 1;
        self.node.enter(RequestId { key: self.entered, generation: 9 }, self.now)
    }

    /// What is said on a link. For ever kept, which a test may.
    fn said(&mut self, link: LinkId) -> Vec<Command<'static>> {
        self.node.turn(self.now);
        let frames = self.node.take(link).into_iter().map(|frame| &*frame.leak());
        frames.map(|frame| decode(frame).expect("what it says is of the protocol")).collect()
    }

    /// The jobs that are sent on a link, and nothing else is.
    fn sent(&mut self, link: LinkId) -> Vec<Sent> {
        self.said(link).into_iter().map(sent).collect()
    }

    /// The only one of them.
    fn sent_one(&mut self, link: LinkId) -> Sent {
        let mut sent = self.sent(link);
        assert_eq!(sent.len(), 1, "one job is sent: {sent:?}");
        sent.remove(0)
    }

    /// The jobs that are cancelled on a link, by their numbers, and nothing else is said.
    fn cancelled(&mut self, link: LinkId, why: Reason) -> Vec<u64> {
        let jobs = self.said(link).into_iter().map(|command| match command {
            Command::Cancel { job, reason } if reason == why.code() => job,
            other => panic!("{other:?} does not cancel a job as {why:?}"),
        });
        let mut jobs: Vec<_> = jobs.collect();
        jobs.sort_unstable();
        jobs
    }

    fn outcome(&mut self, link: LinkId, job: u64, outcome: &Outcome<'_>) {
        let body = encode(outcome);
        self.say(link, &Command::Outcome { job, ran: 0, had: 0, ends: outcome.ends(), body: &body });
    }

    fn answer(&mut self, link: LinkId, job: u64, body: &[u8]) {
        self.outcome(link, job, &Outcome::Answer { status: 200, headers: Vec::new(), body });
    }

    fn forward(&mut self, link: LinkId, job: u64, stage: &str, message: &[u8]) {
        self.outcome(link, job, &Outcome::Forward { stage, schema: 0, message });
    }

    fn split(&mut self, link: LinkId, job: u64, stage: &str, parts: &[&[u8]]) {
        self.outcome(link, job, &Outcome::Split { stage, schema: 0, parts: parts.to_vec() });
    }

    fn join(&mut self, link: LinkId, job: u64, message: &[u8]) {
        self.outcome(link, job, &Outcome::Join { stage: JOIN, schema: 0, message });
    }

    /// What the front end's own thread is told: the request's number, and what.
    fn told(&mut self) -> Vec<(u32, Told)> {
        self.node.turn(self.now);
        self.node.replies().into_iter().map(|(id, reply)| (id.key, told(reply))).collect()
    }

    /// How the only request that is answered is answered.
    fn status(&mut self) -> u16 {
        match &self.told()[..] {
            [(_, Told::Whole(status, _))] => *status,
            told => panic!("one answer is expected: {told:?}"),
        }
    }

    fn is_idle(&self) -> bool {
        self.node.desk.is_idle()
    }
}

fn sent(command: Command<'_>) -> Sent {
    let Command::Job { job, attempt, always, body, .. } = command else { panic!("{command:?} is no job") };
    let arrived = arrived(body).expect("it is a task");
    let (hops, part, schema) = (arrived.hops, arrived.part, arrived.schema);
    let message = match arrived.payload.is_wire() {
        true => arrived.payload.into_wire().unwrap().to_vec(),
        false => Vec::new(),
    };
    Sent { job, attempt, always, hops, part, schema, message }
}

fn told(reply: Reply) -> Told {
    match reply {
        Reply::Whole(answer) => {
            Told::Whole(answer.status().as_u16(), String::from_utf8_lossy(answer.body().as_bytes()).into())
        }
        Reply::Head(head) => Told::Head(head.status().as_u16()),
        Reply::Chunk(piece) => Told::Piece(piece.to_vec()),
        Reply::End => Told::End,
        Reply::Abort => Told::Abort,
    }
}

fn ok(body: &str) -> Told {
    Told::Whole(200, body.to_owned())
}
