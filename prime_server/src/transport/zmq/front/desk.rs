//! What a front end does with the jobs that it holds, without the sockets: time is an argument, and what there is to send is asked for.

mod parts;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::IntCounter;
use slab::Slab;

use super::remote::{Gauges, Order};
use super::stages::{Stage, Stages};
use crate::answers::{failed, overloaded, timed_out, too_many_hops, unavailable, worker_lost};
use crate::context::{Place, Reason, Ticket, Window, weight};
use crate::fork::Part;
use crate::ids::{RequestId, StageId};
use crate::loopback::{Loopback, Note};
use crate::mailbox::Post;
use crate::panics::log;
use crate::response::Reply;
use crate::transport::Envelope;
use crate::transport::zmq::links::LinkId;
use crate::transport::zmq::task;
use crate::transport::zmq::wire::{Command, Failure, Outcome, PeerId, decode, micros, response};
use crate::{Request, Response};

pub(crate) struct Desk {
    terms: Terms,
    loopback: Loopback,
    /// Takes word of windows back to the thread that this is run by.
    post: Post<Order>,
    stages: Stages,
    held: Slab<Held>,
    generation: u32,
    outgoing: Vec<(LinkId, Outgoing)>,
    malformed: IntCounter,
}

/// What holds for all requests.
pub(crate) struct Terms {
    pub(crate) origin: PeerId,
    pub(crate) max_hops: u32,
    pub(crate) max_parts: usize,
    /// As of [`Limits`](crate::Limits).
    pub(crate) stream_buffer: usize,
    /// The longest that a job waits for a proxy.
    pub(crate) wait: Duration,
}

/// A job that is this front end's, until it has come to something.
#[derive(Debug)]
struct Held {
    ticket: Arc<Ticket>,
    /// Told anew each time that it is sent, so that what comes too late finds nothing.
    generation: u32,
    stage: usize,
    /// The task.
    body: Bytes,
    hops: u32,
    attempt: u32,
    passed: u64,
    /// It has passed its stage before, or is a part.
    always: bool,
    part: Option<Box<Part>>,
    /// The link that it was sent on.
    at: Option<LinkId>,
}

#[derive(Debug)]
enum Outgoing {
    Job { key: usize, generation: u32 },
    Cancel { job: u64, reason: Reason },
    Window { job: u64, received: u64, kept: usize },
    Bye,
}

/// How often a job is tried at most.
const ATTEMPTS: u32 = 3;

impl Desk {
    pub(crate) fn new(
        terms: Terms,
        stages: &[(String, u64)],
        loopback: Loopback,
        post: Post<Order>,
        malformed: IntCounter,
    ) -> Self {
        let stages = Stages::new(stages);
        Self { terms, loopback, post, stages, held: Slab::new(), generation: 0, outgoing: Vec::new(), malformed }
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.stages.gauges()
    }

    /// A request enters at a stage.
    pub(super) fn job(&mut self, stage: StageId, job: Envelope, now: Instant) {
        let ticket = job.context.ticket;
        let request = job.payload.open::<Request>().expect("what enters a pipeline in this process is a request");
        let stage = stage.index();
        let body = task::of_request(self.terms.origin, &ticket, &request, self.stages[stage].schema);
        let passed = bit(stage);
        let (always, part, at) = (false, None, None);
        let held = Held { ticket, generation: 0, stage, body, hops: 0, attempt: 1, passed, always, part, at };
        self.hold(held, now);
    }

    /// Takes a job, notes where it is, and sends it.
    fn hold(&mut self, held: Held, now: Instant) {
        let (ticket, is_part) = (Arc::clone(&held.ticket), held.part.is_some());
        let stage = StageId(held.stage as u16);
        let key = self.held.insert(held);
        let place = if is_part { Place::Parts } else { Place::At(stage, key as u32) };
        if ticket.queued_at(place) {
            self.held.remove(key);
        } else {
            self.send(key, now);
        }
    }

    /// Sends a job to a proxy of its stage, or lets it wait for one.
    fn send(&mut self, key: usize, now: Instant) {
        self.generation = self.generation.wrapping_add(1);
        let held = &mut self.held[key];
        held.generation = self.generation;
        let link = self.stages.choose(held.stage);
        held.at = link;
        match link {
            Some(link) => {
                self.stages.sent(link);
                self.outgoing.push((link, Outgoing::Job { key, generation: held.generation }));
            }
            None => self.stages[held.stage].waiting.push_back((key, held.generation, now)),
        }
    }

    /// Takes a job from the proxy that has it.
    fn recall(&mut self, key: usize) -> Option<LinkId> {
        let link = self.held[key].at.take()?;
        self.stages.ended(link);
        Some(link)
    }

    /// Nobody waits for a request any more.
    pub(super) fn cancel(&mut self, id: RequestId, place: Place, why: Reason) {
        match place {
            Place::At(_, key) => {
                let key = key as usize;
                if self.held.get(key).is_some_and(|held| held.ticket.id == id) {
                    self.cancel_one(key, why);
                }
            }
            Place::Parts => {
                let of_it = self.held.iter().filter(|(_, held)| held.ticket.id == id);
                let keys: Vec<usize> = of_it.map(|(key, _)| key).collect();
                keys.into_iter().for_each(|key| self.cancel_one(key, why));
            }
        }
    }

    fn cancel_one(&mut self, key: usize, reason: Reason) {
        let link = self.recall(key);
        let held = self.held.remove(key);
        if let Some(link) = link {
            let job = number(key, held.generation);
            self.outgoing.push((link, Outgoing::Cancel { job, reason }));
        }
    }

    /// A client has taken so much of a streamed answer.
    pub(super) fn window(&mut self, id: RequestId, place: Place, received: u64, kept: usize) {
        if let Place::At(_, key) = place
            && let Some(held) = self.held.get(key as usize).filter(|held| held.ticket.id == id)
            && let Some(link) = held.at
        {
            let job = number(key as usize, held.generation);
            self.outgoing.push((link, Outgoing::Window { job, received, kept }));
        }
    }

    /// A proxy of that stage is there.
    pub(super) fn linked(&mut self, link: LinkId, stage: &str, now: Instant) {
        let (stage, all_there) = self.stages.linked(link, stage);
        if all_there {
            let (known, _) = crossbeam_channel::bounded(1);
            self.loopback.send(Note::Ready { known });
        }
        for (key, generation, _) in std::mem::take(&mut self.stages[stage].waiting) {
            if self.is_there(key, generation) {
                self.send(key, now);
            }
        }
    }

    /// A proxy, or the way to it, is gone.
    pub(super) fn lost(&mut self, link: LinkId, now: Instant) {
        let Some(status) = self.stages.lost(link) else { return };
        let of_it = self.held.iter().filter(|(_, held)| held.at == Some(link));
        let keys: Vec<usize> = of_it.map(|(key, _)| key).collect();
        if !keys.is_empty() {
            let jobs = keys.len();
            log(|| tracing::warn!(jobs, "a proxy is lost with the jobs that it had"));
        }
        let unsent = self.outgoing.iter().filter_map(|(to, outgoing)| match outgoing {
            Outgoing::Job { key, generation } if *to == link => Some((*key, *generation)),
            _ => None,
        });
        let unsent: HashSet<_> = unsent.collect();
        for key in keys {
            // An answer to one part has cancelled the others.
            let Some(held) = self.held.get_mut(key) else { continue };
            held.at = None;
            if unsent.contains(&(key, held.generation)) {
                self.send(key, now);
            } else if status.idempotent && held.attempt < ATTEMPTS && held.ticket.window().is_none() {
                held.attempt += 1;
                self.send(key, now);
            } else {
                self.answer(key, worker_lost());
            }
        }
    }

    /// A proxy says something.
    pub(super) fn receive(&mut self, link: LinkId, frame: &[u8], now: Instant) {
        match decode(frame) {
            Some(Command::Outcome { job, ends, body, .. }) => {
                let Some(key) = self.find(link, job) else { return };
                match decode::<Outcome<'_>>(body).filter(|outcome| outcome.ends() == ends) {
                    Some(outcome) => self.outcome(key, outcome, now),
                    None => self.fail(key, "what a job has come to cannot be read"),
                }
                if !ends && self.find(link, job).is_none() {
                    // It goes on there, for nobody.
                    self.outgoing.push((link, Outgoing::Cancel { job, reason: Reason::Answered }));
                }
            }
            Some(Command::Status(status)) => self.stages.status(link, status),
            Some(Command::Bye) => {
                self.stages.leaves(link);
                // After all that was sent to it.
                self.outgoing.push((link, Outgoing::Bye));
            }
            Some(Command::Retried { job, attempt }) => {
                let Some(key) = self.find(link, job) else { return };
                self.held[key].attempt = attempt;
                // Another attempt cannot go on with an answer that has begun.
                if self.held[key].ticket.window().is_some() {
                    self.outgoing.push((link, Outgoing::Cancel { job, reason: Reason::Answered }));
                    self.reply(key, Reply::Abort);
                }
            }
            _ => {
                self.malformed.inc();
                log(|| tracing::debug!("a malformed frame was dropped"));
            }
        }
    }

    /// What has become of a job, or a piece of it.
    fn outcome(&mut self, key: usize, outcome: Outcome<'_>, now: Instant) {
        match outcome {
            Outcome::Answer { status, headers, body } => {
                match response(status, headers, Bytes::copy_from_slice(body)) {
                    Some(response) => self.answer(key, response),
                    None => self.fail(key, "a stage's answer is none that HTTP allows"),
                }
            }
            Outcome::Forward { .. } | Outcome::Split { .. } | Outcome::Join { .. } if self.has_begun(key) => {
                self.fail(key, "a stage streams an answer and sends the job on");
            }
            Outcome::Forward { stage, schema, message } => self.forward(key, stage, schema, message, now),
            Outcome::Split { stage, schema, parts } => self.split(key, stage, schema, &parts, now),
            Outcome::Join { stage, schema, message } => self.join(key, stage, schema, message, now),
            Outcome::Head { status, headers } => self.head(key, response(status, headers, Bytes::new())),
            Outcome::Piece(piece) => self.piece(key, Bytes::copy_from_slice(piece)),
            Outcome::End if !self.has_begun(key) => self.fail(key, "a stage ends a stream that it has not begun"),
            Outcome::End => self.reply(key, Reply::End),
            Outcome::Abort => self.answer(key, failed()),
            Outcome::Failure(why) => self.failed(key, why, now),
        }
    }

    fn failed(&mut self, key: usize, why: Failure, now: Instant) {
        match why {
            Failure::Lost => self.answer(key, worker_lost()),
            Failure::QueueFull => self.answer(key, unavailable("the stage's queue is full\n")),
            Failure::NoWorker => self.answer(key, unavailable(NO_WORKER)),
            Failure::TimedOut => self.answer(key, timed_out()),
            Failure::Overloaded => self.answer(key, overloaded()),
            Failure::Schema => {
                self.fail(key, "a stage takes another message than it was sent: its workers are of another build")
            }
            Failure::Gone => self.given_back(key, now),
        }
    }

    /// A proxy gives a job back that it has not given to anybody. One that does not leave has no reason to, and is not asked for ever.
    fn given_back(&mut self, key: usize, now: Instant) {
        let leaves = self.recall(key).is_some_and(|link| self.stages.has_left(link));
        let held = &mut self.held[key];
        if leaves {
            self.send(key, now);
        } else if held.attempt < ATTEMPTS {
            held.attempt += 1;
            self.send(key, now);
        } else {
            self.answer(key, worker_lost());
        }
    }

    /// An answer's head has come, and its body follows.
    fn head(&mut self, key: usize, head: Option<Response>) {
        let held = &self.held[key];
        let Some(head) = head.filter(|_| held.part.is_none()) else {
            return self.fail(key, "a stage streams an answer that it cannot stream");
        };
        let (id, post) = (held.ticket.id, self.post.clone());
        let place = Place::At(StageId(held.stage as u16), key as u32);
        let tell = move |received, kept| _ = post.send(Order::Window { id, place, received, kept });
        if held.ticket.window.set(Window::of_far_stage(tell)).is_ok() {
            self.loopback.send(Note::Reply(id, Reply::head(head)));
        }
    }

    fn has_begun(&self, key: usize) -> bool {
        self.held[key].ticket.window().is_some()
    }

    fn piece(&mut self, key: usize, piece: Bytes) {
        let held = &self.held[key];
        let Some(window) = held.ticket.window() else { return };
        // Who heeds the window never has so much on its way.
        if window.try_reserve(weight(&piece), 2 * self.terms.stream_buffer) {
            self.loopback.send(Note::Reply(held.ticket.id, Reply::Chunk(piece)));
        } else {
            self.fail(key, "a stage streams more than its client takes, and does not wait");
        }
    }

    fn forward(&mut self, key: usize, stage: &str, schema: u64, message: &[u8], now: Instant) {
        self.recall(key);
        let Some(stage) = self.stages.next(stage) else { return self.fail(key, NO_STAGE) };
        let held = &mut self.held[key];
        if held.hops >= self.terms.max_hops {
            return self.answer(key, too_many_hops());
        }
        held.hops += 1;
        held.attempt = 1;
        held.always = held.part.is_some() || held.passed & bit(stage) != 0;
        held.passed |= bit(stage);
        held.stage = stage;
        let place = task::Place { hops: held.hops, part: held.part.is_some(), schema };
        held.body = task::of_message(self.terms.origin, &held.ticket, place, message);
        self.send(key, now);
    }

    /// Answers a request, unless a stage has begun to: then that is cut short.
    fn answer(&mut self, key: usize, response: Response) {
        self.reply(key, if self.has_begun(key) { Reply::Abort } else { Reply::whole(response) });
    }

    fn fail(&mut self, key: usize, problem: &str) {
        let held = &self.held[key];
        let (stage, request) = (&self.stages[held.stage].name, held.ticket.id);
        log(|| tracing::error!(stage, %request, "{problem}"));
        self.answer(key, failed());
    }

    /// Ends a job, and its request with it.
    fn reply(&mut self, key: usize, reply: Reply) {
        self.recall(key);
        let held = self.held.remove(key);
        if held.part.is_some() {
            if held.ticket.cancelled().is_some() {
                return;
            }
            held.ticket.cancel(Reason::Answered);
            self.cancel(held.ticket.id, Place::Parts, Reason::Answered);
        }
        self.loopback.send(Note::Reply(held.ticket.id, reply));
    }

    fn find(&self, link: LinkId, job: u64) -> Option<usize> {
        let key = job as u32 as usize;
        let generation = (job >> 32) as u32;
        let held = self.held.get(key)?;
        (held.at == Some(link) && held.generation == generation).then_some(key)
    }

    fn is_there(&self, key: usize, generation: u32) -> bool {
        self.held.get(key).is_some_and(|held| held.generation == generation && held.at.is_none())
    }

    /// What there is to send.
    pub(super) fn outgoing(&mut self, now: Instant, mut send: impl FnMut(LinkId, &Command<'_>)) {
        for (link, outgoing) in self.outgoing.drain(..) {
            match outgoing {
                Outgoing::Job { key, generation } => {
                    // It may have been cancelled, or its link lost, since.
                    let Some(held) = self.held.get(key) else { continue };
                    if held.generation == generation && held.at == Some(link) {
                        let left = micros(held.ticket.deadline.saturating_duration_since(now));
                        let (job, always) = (number(key, generation), held.always);
                        send(link, &Command::Job { job, left, attempt: held.attempt, always, body: &held.body });
                    }
                }
                Outgoing::Cancel { job, reason } => send(link, &Command::Cancel { job, reason: reason.code() }),
                Outgoing::Bye => send(link, &Command::Bye),
                Outgoing::Window { job, received, kept } => {
                    send(link, &Command::Window { job, received, kept: kept as u64 });
                }
            }
        }
        self.stages.show();
    }

    /// Does what has fallen due.
    pub(super) fn keep_time(&mut self, now: Instant) {
        for stage in 0..self.stages.len() {
            while let Some((key, generation, since)) = self.stages[stage].waiting.front().copied() {
                let there = self.is_there(key, generation);
                if there && now.saturating_duration_since(since) < self.terms.wait {
                    break;
                }
                self.stages[stage].waiting.pop_front();
                if there {
                    self.answer(key, unavailable(NO_PROXY));
                }
            }
        }
    }

    /// When [`keep_time`](Self::keep_time) has something to do next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let first = |stage: &Stage| stage.waiting.front().map(|(.., since)| *since + self.terms.wait);
        self.stages.iter().filter_map(first).min()
    }
}

const NO_STAGE: &str = "a stage names another that no pipeline has";
const NO_WORKER: &str = "the stage has no worker\n";
const NO_PROXY: &str = "the stage has no proxy\n";

/// A job's number on the wire.
fn number(key: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | key as u64
}

/// Stages that are found out later, above what a word has bits for, count as never passed.
fn bit(stage: usize) -> u64 {
    1_u64.checked_shl(stage as u32).unwrap_or(0)
}

#[cfg(any(test, fuzzing))]
mod order;
#[cfg(test)]
mod tests;
