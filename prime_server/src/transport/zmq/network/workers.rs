//! Workers that do what the test says with the jobs that they have.

use std::collections::{HashMap, HashSet};

use super::{Network, SLOTS, STAGES};
use crate::transport::zmq::task::arrived;
use crate::transport::zmq::wire::{Command, Outcome, encode};

pub(super) struct Worker {
    stage: usize,
    pub(super) held: Vec<Job>,
    /// It has said BYE, and connects no more.
    pub(super) leaves: bool,
    /// How many it takes ahead, and the links that it has told so.
    ahead: u32,
    told: HashSet<u64>,
}

pub(super) struct Job {
    link: u64,
    job: u64,
    task: Vec<u8>,
    part: bool,
    streams: bool,
}

/// What a worker does with a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Answer,
    Forward(usize),
    Split(usize, usize),
    Join(usize),
    /// Head, pieces, end.
    Stream,
    Abort,
    Return,
}

impl Worker {
    pub(super) fn new(stage: usize) -> Self {
        Self { stage, held: Vec::new(), leaves: false, ahead: 0, told: HashSet::new() }
    }

    /// Whoever waited for the jobs that came by it does not any more.
    pub(super) fn lost(&mut self, link: u64) {
        self.held.retain(|job| job.link != link);
    }

    pub(super) fn receive(&mut self, link: u64, command: &Command<'_>, runs: &mut HashMap<Vec<u8>, u32>) {
        match command {
            Command::Job { job, attempt, body, .. } => {
                assert!((1..=3).contains(attempt));
                let task = arrived(body).expect("it is a task");
                assert!(self.held.iter().all(|held| (held.link, held.job) != (link, *job)), "each has its number");
                let job = Job { link, job: *job, task: body.to_vec(), part: task.part, streams: false };
                self.held.push(job);
                let held = self.held.iter().filter(|held| held.link == link).count();
                let ahead = if self.told.contains(&link) { self.ahead } else { 0 };
                assert!(held <= (SLOTS + ahead) as usize, "no more is given than was announced");
                let runs = runs.entry(body.to_vec()).or_default();
                *runs += 1;
                // A RETRIED that was lost with its link is not counted by the front end: three, two and one at three proxies.
                assert!(*runs <= if self.stage == 0 { 3 + 2 + 1 } else { 1 }, "it runs too often");
            }
            Command::Cancel { .. } | Command::Window { .. } | Command::Bye | Command::Beat => {}
            other => panic!("{other:?} is nothing for a worker"),
        }
    }
}

impl Network {
    /// A worker takes so many ahead, of each proxy that it is linked to.
    pub(super) fn announce(&mut self, at: usize, ahead: u32) {
        let worker = &mut self.workers[at];
        // Never fewer, as more may be on their way.
        worker.ahead = worker.ahead.max(ahead);
        for (number, link) in &mut self.links {
            if link.end == super::End::Worker(at) && link.linked {
                worker.told.insert(*number);
                link.up.push_back(encode(&Command::Announce { slots: SLOTS, ahead: worker.ahead }));
            }
        }
    }

    pub(super) fn leave(&mut self, at: usize) {
        self.workers[at].leaves = true;
        for link in self.links.values_mut().filter(|link| link.end == super::End::Worker(at) && link.linked) {
            link.up.push_back(encode(&Command::Bye));
        }
    }

    pub(super) fn work(&mut self, at: usize, which: usize, work: Work) {
        let worker = &mut self.workers[at];
        let Some(which) = which.checked_rem(worker.held.len()) else { return };
        let Job { link, job, part, streams, .. } = worker.held[which];
        self.messages += 1;
        let message = self.messages.to_be_bytes();
        let others;
        let answer = Outcome::Answer { status: 200, headers: Vec::new(), body: b"" };
        let outcome = match work {
            Work::Stream if part => answer,
            Work::Stream if !streams => Outcome::Head { status: 200, headers: Vec::new() },
            Work::Stream if which % 2 == 0 => Outcome::Piece(b"piece"),
            Work::Stream => Outcome::End,
            Work::Return if !streams => {
                let job = worker.held.remove(which);
                *self.runs.get_mut(&job.task).expect("it ran") -= 1;
                let link = self.links.get_mut(&job.link).expect("it has not been lost");
                return link.up.push_back(encode(&Command::Return { job: job.job }));
            }
            Work::Forward(stage) => Outcome::Forward { stage: STAGES[stage], schema: 0, message: &message },
            Work::Split(stage, parts) => {
                // Each another.
                others = (0..parts).map(|part| [&message[..], &[part as u8]].concat()).collect::<Vec<_>>();
                let parts = others.iter().map(|part| &part[..]).collect();
                Outcome::Split { stage: STAGES[stage], schema: 0, parts }
            }
            Work::Join(stage) if part => Outcome::Join { stage: STAGES[stage], schema: 0, message: &message },
            Work::Abort => Outcome::Abort,
            _ => answer,
        };
        let (ends, body) = (outcome.ends(), encode(&outcome));
        worker.held[which].streams = true;
        if ends {
            worker.held.remove(which);
        }
        let link = self.links.get_mut(&link).expect("it has not been lost");
        link.up.push_back(encode(&Command::Outcome { job, ran: 0, had: 0, ends, body: &body }));
    }
}
