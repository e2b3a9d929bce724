//! A proxy's desk sentence by sentence of the protocol, with a clock that the test turns and peers that say what it wants.

mod affinity;
mod jobs;
mod links;
mod losses;
mod metrics;
mod time;

use super::*;
use crate::transport::zmq::proxy::node::{ID, LIVENESS, Node, WAIT};
use crate::transport::zmq::wire::{Hello, MAGIC, Role, StageTerms, VERSION, Welcome, millis};

const A: &[u8] = b"front end a";
const B: &[u8] = b"front end b";
const W: &[u8] = b"worker w";
const V: &[u8] = b"worker v";
const STAGE: &str = "stage";
const STEP: Duration = Duration::from_millis(1);

/// What a worker says of its stage where the test does not care.
const TERMS: StageTerms = StageTerms {
    slots: 1,
    queue: 100,
    timeout: None,
    idempotent: false,
    strict_priority: false,
    max_delay: None,
    refuse_hopeless: false,
};
const IDEMPOTENT: StageTerms = StageTerms { idempotent: true, ..TERMS };

struct Scene {
    node: Node,
    now: Instant,
    routes: Vec<&'static [u8]>,
}

impl Scene {
    fn new() -> Self {
        Self::set(Terms::default())
    }

    /// With what the operator has set.
    fn set(terms: Terms) -> Self {
        Self { node: Node::new(STAGE, terms), now: Instant::now(), routes: Vec::new() }
    }

    /// With a front end that is linked, and a worker of that many threads.
    fn with_worker(slots: u32) -> Self {
        let mut scene = Self::new();
        scene.front_end(A);
        scene.worker(W, StageTerms { slots, ..TERMS });
        scene
    }

    fn say(&mut self, route: &[u8], command: &Command<'_>) {
        self.node.receive(route, &encode(command), self.now);
        self.node.desk.assert_order();
    }

    /// What it says to a peer, but for beats. For ever kept, which a test may.
    fn said(&mut self, route: &[u8]) -> Vec<Command<'static>> {
        self.node.turn(self.now);
        self.node.desk.assert_order();
        let frames = self.node.take(route).into_iter().map(|frame| &*frame.leak());
        let commands = frames.map(|frame| decode(frame).expect("what it says is of the protocol"));
        commands.filter(|command| *command != Command::Beat).collect()
    }

    fn hear_nothing_more(&mut self) {
        for route in self.routes.clone() {
            self.said(route);
        }
    }

    fn front_end(&mut self, route: &'static [u8]) {
        self.say(route, &Command::Hello(hello(route)));
        self.enter(route);
    }

    fn worker(&mut self, route: &'static [u8], terms: StageTerms) {
        self.say(route, &Command::Hello(Hello { role: Role::Worker, worker: Some(terms), ..hello(route) }));
        self.enter(route);
    }

    fn enter(&mut self, route: &'static [u8]) {
        self.routes.retain(|there| *there != route);
        self.routes.push(route);
        self.hear_nothing_more();
    }

    fn lose(&mut self, route: &[u8]) {
        self.routes.retain(|there| *there != route);
        self.node.closed(route, self.now);
    }

    /// A job comes from a front end, by its number.
    fn job(&mut self, route: &[u8], job: u64) {
        self.say(route, &job_of(job));
    }

    /// The numbers of the jobs that a worker is given, by which it knows them.
    fn given(&mut self, route: &[u8]) -> Vec<u64> {
        let jobs = self.said(route).into_iter().map(|command| match command {
            Command::Job { job, .. } => job,
            other => panic!("{other:?} is no job"),
        });
        jobs.collect()
    }

    /// The only one of them.
    fn given_one(&mut self, route: &[u8]) -> u64 {
        let given = self.given(route);
        assert_eq!(given.len(), 1, "one job is given");
        given[0]
    }

    fn done(&mut self, route: &[u8], job: u64, body: &[u8]) {
        self.say(route, &Command::Outcome { job, ran: 0, had: 0, ends: true, body });
    }

    /// Time passes, while all that are linked beat.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = until.min(self.now + LIVENESS / 4);
            for route in self.routes.clone() {
                self.say(route, &Command::Beat);
            }
            self.node.turn(self.now);
        }
    }

    fn malformed(&self) -> u64 {
        self.node.desk.gauges().malformed.get()
    }

    fn retried(&self) -> u64 {
        self.node.desk.gauges().counts.retried.get()
    }
}

/// A front end's, whose id is as its route begins.
fn hello(route: &'static [u8]) -> Hello<'static> {
    Hello {
        magic: MAGIC,
        version: VERSION,
        liveness: millis(LIVENESS),
        peer: id(route),
        name: std::str::from_utf8(route).unwrap(),
        role: Role::FrontEnd,
        stage: STAGE,
        message: None,
        worker: None,
    }
}

fn id(route: &[u8]) -> PeerId {
    let mut id = [0; 16];
    id[..route.len()].copy_from_slice(route);
    id
}

fn job_of(job: u64) -> Command<'static> {
    Command::Job { job, left: 60_000_000, attempt: 1, always: false, body: b"task" }
}

fn welcome() -> Command<'static> {
    let liveness = millis(LIVENESS);
    Command::Welcome(Welcome { version: VERSION, liveness, peer: ID, name: "proxy", stage: STAGE })
}

fn status(slots: u64, idempotent: bool) -> Command<'static> {
    Command::Status(Status { slots, idempotent })
}

fn outcome(job: u64, body: &'static [u8]) -> Command<'static> {
    Command::Outcome { job, ran: 0, had: 0, ends: true, body }
}

fn failure(job: u64, why: Failure) -> Command<'static> {
    outcome(job, encode(&Outcome::Failure(why)).leak())
}
