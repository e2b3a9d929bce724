//! How peers are linked, and what is said to those that are not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{ATTEMPTS, Desk, Kind, Order, Peer, Queueing};
use crate::panics::log;
use crate::transport::zmq::agreed;
use crate::transport::zmq::fragments::Assembly;
use crate::transport::zmq::outbox::Outbox;
use crate::transport::zmq::wire::{Command, Hello, MAGIC, Role, StageTerms, VERSION, Welcome, decode, millis};

/// The most bytes of a HELLO. Its names are logged, and said in refusals.
const LONGEST_HELLO: usize = 4096;

/// The most characters of a peer's name that are of use to anybody.
const NAME: usize = 100;

/// Between two words in the log about refusals.
const REFUSALS: Duration = Duration::from_secs(1);

impl Desk {
    /// Somebody wants to be linked.
    pub(super) fn hello(&mut self, route: &[u8], frame: &[u8], now: Instant) {
        // It has been asked for this, if anything came before.
        self.letters.retain(|(to, _)| **to != *route);
        let hello = match decode(frame).filter(|_| frame.len() <= LONGEST_HELLO) {
            Some(Command::Hello(hello)) if hello.magic == MAGIC && hello.version == VERSION => hello,
            _ => {
                self.gauges.malformed.inc();
                if let Some(why) = self.other_version(frame) {
                    self.refuse(route, &why, now);
                }
                return;
            }
        };
        if let Err(why) = self.check(&hello) {
            return self.refuse(route, &why, now);
        }
        let (name, stage) = (self.name.clone(), self.stage.clone());
        let liveness = millis(self.options.liveness);
        let welcome =
            Command::Welcome(Welcome { version: VERSION, liveness, peer: self.id, name: &name, stage: &stage });
        if hello.role == Role::Inquirer {
            return self.letter(route, &welcome);
        }
        // Two, where it said another id before, and somebody else this one.
        let known = self.peers.iter().filter(|(_, peer)| peer.id == hello.peer || *peer.route == *route);
        let known: Vec<usize> = known.map(|(key, _)| key).collect();
        // Whoever says it again and again is not to fill the log.
        let again = known.iter().any(|known| *self.peers[*known].route == *route);
        for known in known {
            if again { self.forget(known, now) } else { self.lost(known, "it has connected anew", now) }
        }
        let peer = self.enlist(route, &hello, now);
        self.peers[peer].outbox.push(&welcome);
        if self.draining {
            self.peers[peer].outbox.push(&Command::Bye);
        }
        let status = self.status();
        match &self.peers[peer].kind {
            Kind::FrontEnd { .. } => self.peers[peer].outbox.push(&Command::Status(status)),
            Kind::Worker { .. } => self.tell_status(),
        }
        let linked = &self.peers[peer].name;
        if !again {
            log(|| tracing::info!(peer = linked, stage, "linked"));
        }
    }

    fn refuse(&mut self, route: &[u8], why: &str, now: Instant) {
        if self.refused.is_none_or(|last| now.saturating_duration_since(last) >= REFUSALS) {
            self.refused = Some(now);
            log(|| tracing::warn!(why, "a peer is refused"));
        }
        self.letter(route, &Command::Refused { why });
    }

    fn enlist(&mut self, route: &[u8], hello: &Hello<'_>, now: Instant) -> usize {
        if let (None, Some((message, schema))) = (&self.message, hello.message) {
            self.message = Some((message.to_owned(), schema));
        }
        let kind = match &hello.worker {
            None => Kind::FrontEnd { jobs: HashMap::new(), bye: false },
            Some(terms) => {
                self.take_terms(terms);
                let crew = self.crews.enlist();
                self.crews.announce(crew, terms.slots, 0);
                Kind::Worker { crew, threads: terms.slots }
            }
        };
        let liveness = agreed(self.options.liveness, hello.liveness);
        let peer = self.peers.insert(Peer {
            route: route.into(),
            id: hello.peer,
            name: hello.name.chars().take(NAME).collect(),
            names_message: hello.message.is_some(),
            heard: now,
            sent: now,
            liveness,
            outbox: Outbox::default(),
            assembly: Assembly::default(),
            kind,
        });
        self.by_route.insert(route.into(), peer);
        if let Kind::Worker { crew, .. } = self.peers[peer].kind {
            self.by_crew.insert(crew, peer);
        }
        peer
    }

    /// What the stage's workers say of it, as far as the operator says nothing else.
    fn take_terms(&mut self, terms: &StageTerms) {
        self.idempotent = self.set.idempotent.unwrap_or(terms.idempotent);
        self.timeout = self.set.timeout.or(terms.timeout.map(|limit| Duration::from_millis(limit.max(1))));
        self.crews.set_options(Queueing {
            queue: self.set.queue.unwrap_or(usize::try_from(terms.queue).unwrap_or(usize::MAX)),
            timeout: self.timeout,
            wait: Some(self.options.wait),
            max_delay: terms.max_delay.map(Duration::from_millis),
            refuse_hopeless: terms.refuse_hopeless,
            idempotent: self.idempotent,
            attempts: ATTEMPTS,
            order: Order::new(terms.strict_priority),
        });
    }

    /// A HELLO of another version, whatever follows in that.
    fn other_version(&self, hello: &[u8]) -> Option<String> {
        let (name, stage) = (&self.name, &self.stage);
        match hello.get(..7)? {
            [Command::HELLO, magic @ .., version] if *magic == MAGIC && *version != VERSION => Some(format!(
                "it speaks version {version} of the protocol, and proxy `{name}` of stage `{stage}` version {VERSION}"
            )),
            _ => None,
        }
    }

    /// Whether what a peer means to find here is here.
    fn check(&self, hello: &Hello<'_>) -> Result<(), String> {
        let (name, stage) = (&self.name, &self.stage);
        let theirs: String = hello.name.chars().take(NAME).collect();
        if hello.role == Role::Inquirer {
            return Ok(());
        }
        if hello.stage != stage {
            let other = hello.stage;
            return Err(format!(
                "`{theirs}` looks for stage `{other}`, and proxy `{name}` is there for stage `{stage}`: correct one of the addresses"
            ));
        }
        match (hello.role, hello.worker.is_some()) {
            (Role::Worker, false) => {
                return Err(format!(
                    "the HELLO of worker `{theirs}` does not say what a worker has to say of its stage"
                ));
            }
            (Role::FrontEnd, true) => {
                return Err(format!("the HELLO of front end `{theirs}` says of a stage what only a worker can"));
            }
            _ => {}
        }
        // 0 is a schema that is not known.
        let known = |ours: u64, theirs: u64| ours != 0 && theirs != 0;
        match (&self.message, hello.message) {
            (Some((message, schema)), Some((other, other_schema)))
                if *schema != other_schema && known(*schema, other_schema) =>
            {
                Err(format!(
                    "`{theirs}` takes message `{other}` (schema {other_schema:#x}) at stage `{stage}`, and the others that proxy `{name}` \
                 knows take `{message}` (schema {schema:#x}): run the same build on both sides"
                ))
            }
            _ => Ok(()),
        }
    }
}
