//! What a fuzzer of the front end's desk runs.

use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::node::{Node, WAIT};
use crate::transport::zmq::fuzzing::Script;
use crate::transport::zmq::links::LinkId;
use crate::transport::zmq::wire::samples::{FAILURES, commands, outcomes, pieces};
use crate::transport::zmq::wire::{Command, Outcome, Status, decode, encode};

const STAGES: [&str; 3] = ["first", "second", "third"];

/// A front end whose proxies say anything, of jobs that they have or not, and vanish: each request is answered once all the same.
pub fn front_end(bytes: &[u8]) {
    let mut scene = Scene {
        script: Script(bytes),
        now: Instant::now(),
        node: Node::new(&STAGES[..1]),
        ledger: Ledger::default(),
        links: Vec::new(),
        opened: 0,
        sent: Vec::new(),
    };
    while let Some(what) = scene.script.byte() {
        scene.step(what);
        if what >= 0x80 {
            scene.turn();
        }
        scene.ledger.read(&mut scene.node);
    }
    scene.end();
}

struct Scene<'a> {
    script: Script<'a>,
    now: Instant,
    node: Node,
    ledger: Ledger,
    links: Vec<LinkId>,
    opened: u64,
    /// The jobs that the proxies were sent, those of lost links among them.
    sent: Vec<(LinkId, u64)>,
}

impl Scene<'_> {
    fn step(&mut self, what: u8) {
        match what % 16 {
            0..=2 => self.ledger.enter(&mut self.node, self.now),
            3 if self.ledger.len() > 0 => {
                let which = usize::from(self.script.byte().unwrap_or(0)) % self.ledger.len();
                self.ledger.cancel(&mut self.node, which);
            }
            4 => {
                self.opened += 1;
                let link = LinkId::of_test(self.opened);
                self.links.push(link);
                self.node.linked(link, STAGES[self.script.below(3)], self.now);
            }
            5 if !self.links.is_empty() => {
                let at = usize::from(self.script.byte().unwrap_or(0)) % self.links.len();
                let link = self.links.swap_remove(at);
                self.node.lost(link, self.now);
            }
            6 => self.now += Duration::from_millis(20 * self.script.below(255) as u64),
            _ => {
                let (link, frame) = self.frame(what % 16);
                self.node.receive(link, &frame, self.now);
            }
        }
    }

    fn frame(&mut self, what: u8) -> (LinkId, Vec<u8>) {
        let which = usize::from(self.script.byte().unwrap_or(0));
        let any = which.checked_rem(self.links.len()).map_or(LinkId::of_test(0), |at| self.links[at]);
        let known = which.checked_rem(self.sent.len()).map(|at| self.sent[at]);
        let (link, job) = known.unwrap_or((any, 0));
        let frame = match what {
            7 => encode(&Command::Status(Status {
                slots: self.script.below(3) as u64,
                idempotent: self.script.below(2) == 0,
            })),
            8 => encode(&Command::Retried { job, attempt: self.script.below(4) as u32 }),
            9 if self.script.below(4) == 0 => encode(&Command::Bye),
            10 => {
                let pieces = pieces();
                let commands = commands(&pieces);
                let mut frame = encode(&commands[self.script.below(commands.len() as u8)]);
                let at = self.script.below(frame.len() as u8);
                frame[at] ^= self.script.below(255) as u8;
                frame
            }
            11 => self.script.bytes().to_vec(),
            _ => {
                let (ends, body) = self.outcome();
                encode(&Command::Outcome { job, ran: 0, had: 0, ends, body: &body })
            }
        };
        // What is about the link itself is said on one that is there.
        (if matches!(what, 7 | 9) { any } else { link }, frame)
    }

    fn outcome(&mut self) -> (bool, Vec<u8>) {
        let (stage, schema) = (STAGES[self.script.below(3)], 0);
        let outcome = match self.script.below(12) {
            0 => Outcome::Answer { status: 200, headers: Vec::new(), body: b"answer" },
            1 | 2 => Outcome::Forward { stage, schema, message: b"message" },
            3 | 4 => Outcome::Split { stage, schema, parts: vec![b"part"; self.script.below(5)] },
            5 | 6 => Outcome::Join { stage, schema, message: b"joined" },
            7 => Outcome::Head { status: 200, headers: Vec::new() },
            8 => Outcome::Piece(b"piece"),
            9 => Outcome::Failure(FAILURES[self.script.below(6)]),
            _ => {
                let pieces = pieces();
                let outcomes = outcomes(&pieces);
                let any = &outcomes[self.script.below(outcomes.len() as u8)];
                let mut body = encode(any);
                if self.script.below(3) == 0 {
                    let at = self.script.below(body.len() as u8);
                    body[at] ^= self.script.below(255) as u8;
                }
                return (self.script.below(4) == 0 || any.ends(), body);
            }
        };
        (outcome.ends(), encode(&outcome))
    }

    fn turn(&mut self) {
        self.node.turn(self.now);
        for link in &self.links {
            for frame in self.node.take(*link) {
                if let Some(Command::Job { job, .. }) = decode(&frame) {
                    self.sent.push((*link, job));
                }
            }
        }
    }

    /// All proxies are gone, and time passes.
    fn end(mut self) {
        for link in self.links.drain(..) {
            self.node.lost(link, self.now);
        }
        self.now += WAIT;
        self.node.turn(self.now);
        self.ledger.close(&mut self.node);
    }
}
