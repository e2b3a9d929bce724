//! The links of a front end or a worker to the proxies that it finds: a DEALER each, from HELLO to its loss, and anew.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::Options;
use super::connection::{Closing, Connection, FIRST_PAUSE, Heard, LAST_PAUSE};
use super::wire::{Command, Hello, MAGIC, PeerId, Role, StageTerms, VERSION, Welcome, millis};
use crate::discovery::Place;
use crate::panics::log;
use crate::security::{Secured, is_local, not_local};

/// One link from its beginning to its end; the next one to the same proxy is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

#[cfg(any(test, fuzzing))]
impl LinkId {
    pub(super) const fn of_test(number: u64) -> Self {
        Self(number)
    }
}

/// Who connects.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) peer: PeerId,
    /// For people.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The one stage whose proxies are linked; all if there is none.
    pub(crate) only: Option<String>,
    /// The message that a stage takes, as far as it is known: the stage's name, the message's, the schema.
    pub(crate) messages: Vec<(String, String, u64)>,
    pub(crate) worker: Option<StageTerms>,
}

/// What happened on a link.
#[derive(Debug)]
pub(super) enum Event {
    /// The proxy of that stage has taken the HELLO.
    Linked { stage: String },
    /// Nothing more comes of it.
    Lost,
    /// A frame that is not about the link itself.
    Frame(zmq::Message),
}

pub(super) type Events = Vec<(LinkId, Event)>;

pub(crate) struct Links {
    context: zmq::Context,
    options: Options,
    identity: Identity,
    targets: Vec<Target>,
    next: u64,
}

/// A proxy that is to be linked.
struct Target {
    place: Place,
    /// Its stage, once that is known.
    stage: Option<String>,
    /// It is still to be found.
    wanted: bool,
    state: State,
    /// Why it has refused this process, when it was asked last.
    refusal: Option<String>,
    /// The pause before the next attempt, if this one comes to nothing.
    pause: Duration,
    /// What the last attempt came to, for people.
    trouble: Option<&'static str>,
    /// When that is said, if it is not linked by then.
    remind: Instant,
}

enum State {
    /// It is not tried before.
    Pausing {
        until: Instant,
    },
    Open {
        id: LinkId,
        connection: Connection,
    },
}

/// The pause after a refusal, or after a proxy of another stage was found: somebody must do something about it first.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// How long a proxy is awaited without a word, and with one.
const PATIENCE: Duration = Duration::from_secs(5);
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// Between two words about a proxy that is not connected to.
const UNWANTED_PAUSE: Duration = Duration::from_secs(60);

impl Links {
    pub(crate) fn new(context: zmq::Context, options: Options, identity: Identity) -> Self {
        Self { context, options, identity, targets: Vec::new(), next: 0 }
    }

    /// These are the proxies that there are. A link to another one stays until it is lost, since a look-up that fails ends nothing.
    pub(super) fn set(&mut self, places: &BTreeSet<Place>, now: Instant) {
        let only = self.identity.only.as_deref();
        let wanted = |place: &Place| only.is_none() || place.stage.is_none() || place.stage.as_deref() == only;
        for target in &mut self.targets {
            target.wanted = places.contains(&target.place);
        }
        for place in places.iter().filter(|place| wanted(place)) {
            if !self.targets.iter().any(|target| target.place == *place) {
                let (place, stage) = (place.clone(), place.stage.clone());
                let state = State::Pausing { until: now };
                self.targets.push(Target {
                    place,
                    stage,
                    wanted: true,
                    state,
                    refusal: None,
                    pause: Duration::ZERO,
                    trouble: None,
                    remind: now + PATIENCE,
                });
            }
        }
        self.forget_unwanted();
        self.open_due(now);
    }

    /// Leaves a command for [`flush`](Self::flush). On a link that is lost it goes nowhere.
    pub(super) fn send(&mut self, link: LinkId, command: &Command<'_>) {
        if let Some((_, connection)) = self.open_mut().find(|(id, _)| *id == link) {
            connection.push(command);
        }
    }

    /// Leaves a command for all proxies that are linked.
    pub(super) fn send_to_all(&mut self, command: &Command<'_>) {
        for (_, connection) in self.open_mut().filter(|(_, connection)| connection.is_linked()) {
            connection.push(command);
        }
    }

    /// Takes what has come. Returns whether there may be more.
    pub(super) fn receive(&mut self, now: Instant, events: &mut Events) -> bool {
        let mut more = false;
        for target in &mut self.targets {
            more |= target.receive(now, &self.identity, events);
        }
        more
    }

    /// Sends what was left for each link.
    pub(super) fn flush(&mut self, now: Instant, events: &mut Events) {
        for target in &mut self.targets {
            if let State::Open { connection, .. } = &mut target.state
                && let Err(closing) = connection.flush(now)
            {
                target.close(closing, now, events);
            }
        }
    }

    /// Does what has fallen due: beats, losses, attempts.
    pub(super) fn keep_time(&mut self, now: Instant, events: &mut Events) {
        for target in &mut self.targets {
            if let State::Open { connection, .. } = &mut target.state
                && let Err(closing) = connection.keep_time(now)
            {
                target.close(closing, now, events);
            }
            target.remind(now);
        }
        self.forget_unwanted();
        self.open_due(now);
    }

    pub(super) fn is_linked(&self) -> bool {
        self.targets.iter().any(Target::is_linked)
    }

    /// Why a proxy has refused this process, if one has.
    pub(super) fn refusal(&self) -> Option<String> {
        let refused = |target: &Target| Some((target.place.endpoint.clone(), target.refusal.clone()?));
        let (endpoint, why) = self.targets.iter().find_map(refused)?;
        Some(format!("refused by the proxy at {endpoint}: {why}"))
    }

    /// When [`keep_time`](Self::keep_time) has something to do next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |target: &Target| match &target.state {
            State::Pausing { until } => Some(*until),
            State::Open { connection, .. } if connection.is_linked() => connection.next_due(),
            State::Open { connection, .. } => connection.next_due().into_iter().chain([target.remind]).min(),
        };
        self.targets.iter().filter_map(due).min()
    }

    /// Sleeps until a link has something, or `event` is readable, or until then. Returns whether `event` is.
    pub(super) fn wait(&self, event: BorrowedFd<'_>, until: Option<Instant>) -> bool {
        let mut items = vec![zmq::PollItem::from_fd(event.as_raw_fd(), zmq::POLLIN)];
        for target in &self.targets {
            if let State::Open { connection, .. } = &target.state {
                items.extend(connection.poll_items());
            }
        }
        // EINTR ends the wait early, which does no harm.
        let _ = zmq::poll(&mut items, super::poll_timeout(until));
        items[0].is_readable()
    }

    /// Lets what was sent last leave, and ends all links.
    pub(super) fn close(&mut self) {
        self.open_mut().for_each(|(_, connection)| connection.linger());
        self.targets.clear();
    }

    fn open_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Connection)> {
        self.targets.iter_mut().filter_map(|target| match &mut target.state {
            State::Open { id, connection } => Some((*id, connection)),
            State::Pausing { .. } => None,
        })
    }

    fn forget_unwanted(&mut self) {
        self.targets.retain(|target| target.wanted || target.is_linked());
    }

    fn open_due(&mut self, now: Instant) {
        for target in &mut self.targets {
            if !matches!(target.state, State::Pausing { until } if until <= now) {
                continue;
            }
            let endpoint = &target.place.endpoint;
            if matches!(self.options.secured, Secured::Open { insecure: false }) && !is_local(endpoint) {
                let problem = not_local(endpoint);
                log(|| tracing::error!(problem, "a proxy is not connected to"));
                target.state = State::Pausing { until: now + UNWANTED_PAUSE };
                continue;
            }
            match Connection::open(&self.context, &self.options, &target.place.endpoint, now) {
                Ok(mut connection) => {
                    connection.push(&Command::Hello(self.identity.hello(target.stage.as_deref(), &self.options)));
                    target.state = State::Open { id: LinkId(self.next), connection };
                    self.next += 1;
                }
                Err(error) => {
                    log(|| tracing::warn!(endpoint, %error, "a proxy cannot be connected"));
                    target.state = State::Pausing { until: now + REFUSED_PAUSE };
                }
            }
        }
    }
}

impl Identity {
    /// What it says to the proxy of a stage, or to one of which it does not know that.
    fn hello<'a>(&'a self, stage: Option<&'a str>, options: &Options) -> Hello<'a> {
        let message = self.messages.iter().find(|(of, ..)| stage.is_some_and(|stage| stage == of));
        Hello {
            magic: MAGIC,
            version: VERSION,
            liveness: millis(options.liveness),
            peer: self.peer,
            name: &self.name,
            role: if stage.is_some() { self.role } else { Role::Inquirer },
            stage: stage.unwrap_or_default(),
            message: message.map(|(_, name, schema)| (name.as_str(), *schema)),
            worker: self.worker.filter(|_| stage.is_some()),
        }
    }
}

impl Target {
    fn is_linked(&self) -> bool {
        matches!(&self.state, State::Open { connection, .. } if connection.is_linked())
    }

    fn receive(&mut self, now: Instant, identity: &Identity, events: &mut Events) -> bool {
        let State::Open { id, connection } = &mut self.state else { return false };
        let id = *id;
        let mut stage = None;
        let heard = connection.receive(now, |heard| match heard {
            Heard::Welcome(Welcome { stage: theirs, .. }) => stage = Some(theirs.to_owned()),
            Heard::Frame(frame) => events.push((id, Event::Frame(frame))),
        });
        if let Some(stage) = stage {
            if self.stage.is_none() {
                return self.learnt(stage, now, identity);
            }
            (self.pause, self.refusal, self.trouble) = (Duration::ZERO, None, None);
            let endpoint = &self.place.endpoint;
            log(|| tracing::info!(stage, endpoint, "linked to a proxy"));
            // Before what came with it.
            let at = events.iter().position(|(of, _)| *of == id).unwrap_or(events.len());
            events.insert(at, (id, Event::Linked { stage }));
        }
        match heard {
            Ok(more) => more,
            Err(closing) => {
                self.close(closing, now, events);
                false
            }
        }
    }

    /// Says that there is still no proxy there, after a while and now and then.
    fn remind(&mut self, now: Instant) {
        let State::Open { connection, .. } = &self.state else { return };
        if connection.is_linked() || now < self.remind {
            return;
        }
        let (stage, endpoint) = (self.stage.as_deref().unwrap_or("any stage"), &self.place.endpoint);
        let why = self.trouble.unwrap_or_else(|| connection.trouble());
        log(|| tracing::warn!(stage, endpoint, why, "there is no proxy yet"));
        self.remind = now + LONG_PATIENCE;
    }

    /// An inquiry has been answered.
    fn learnt(&mut self, stage: String, now: Instant, identity: &Identity) -> bool {
        let ours = identity.only.as_ref().is_none_or(|only| *only == stage);
        self.state = State::Pausing { until: if ours { now } else { now + REFUSED_PAUSE } };
        self.stage = ours.then_some(stage);
        false
    }

    fn close(&mut self, closing: Closing, now: Instant, events: &mut Events) {
        let endpoint = &self.place.endpoint;
        let State::Open { id, connection } = &self.state else { return };
        let (id, linked, leaves) = (*id, connection.is_linked(), connection.leaves());
        if linked {
            self.remind = now + PATIENCE;
        } else {
            self.trouble = Some(connection.trouble());
        }
        let pause = match &closing {
            Closing::Refused(why) => {
                log(|| tracing::error!(endpoint, why, "a proxy refuses this process"));
                self.refusal = Some(why.clone());
                REFUSED_PAUSE
            }
            Closing::Lost(why) => {
                if leaves {
                    log(|| tracing::info!(endpoint, "a proxy has gone, as it had said"));
                } else if linked {
                    log(|| tracing::warn!(endpoint, why, "the link to a proxy is lost"));
                }
                // What was announced by a beacon may be anything, and is not asked all the time.
                if self.stage.is_none() { REFUSED_PAUSE } else { self.pause }
            }
        };
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        // Asked anew: another may be there when it comes back.
        self.stage = self.place.stage.clone();
        self.state = State::Pausing { until: now + pause };
        if linked {
            events.push((id, Event::Lost));
        }
    }
}

#[cfg(test)]
mod tests;
