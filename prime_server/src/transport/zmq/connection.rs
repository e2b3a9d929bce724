//! One socket to one proxy, from its connection to its loss.

use std::time::{Duration, Instant};

use super::fragments::{Assembly, TooLarge};
use super::monitored::Monitored;
use super::outbox::{Outbox, Sent};
use super::wire::{Command, Welcome, decode};
use super::{BATCH, Options};

pub(super) struct Connection {
    socket: Monitored,
    outbox: Outbox,
    assembly: Assembly,
    linked: bool,
    /// ZMTP's own handshake has failed.
    broken: bool,
    /// The proxy has said BYE.
    leaves: bool,
    /// When something was heard last, or the connection came about.
    heard: Option<Instant>,
    sent: Instant,
    liveness: Duration,
}

/// What a proxy says.
pub(super) enum Heard<'a> {
    Welcome(Welcome<'a>),
    /// What is not about the link itself.
    Frame(zmq::Message),
}

/// Why a connection is to be closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closing {
    Lost(&'static str),
    Refused(String),
}

/// The pauses between attempts to connect, doubled from the first up to the last.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(1);

/// How libzmq says that peers do not understand each other, or one does not let the other in.
const BROKEN: [zmq::SocketEvent; 3] = [
    zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
    zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
    zmq::SocketEvent::HANDSHAKE_FAILED_AUTH,
];

impl Connection {
    pub(super) fn open(context: &zmq::Context, options: &Options, endpoint: &str, now: Instant) -> zmq::Result<Self> {
        let socket = context.socket(zmq::DEALER)?;
        super::set_up(&socket, endpoint)?;
        socket.set_reconnect_ivl(FIRST_PAUSE.as_millis() as i32)?;
        socket.set_reconnect_ivl_max(LAST_PAUSE.as_millis() as i32)?;
        // The system's own limit is minutes, for which a network that is back would go unnoticed.
        socket.set_connect_timeout(i32::try_from(options.liveness.as_millis()).unwrap_or(i32::MAX))?;
        options.secured.connect(&socket)?;
        let kinds = [zmq::SocketEvent::CONNECTED, zmq::SocketEvent::DISCONNECTED].into_iter().chain(BROKEN);
        let socket = Monitored::new(context, socket, kinds)?;
        socket.connect(endpoint)?;
        let outbox = Outbox::default();
        Ok(Self {
            socket,
            outbox,
            assembly: Assembly::default(),
            linked: false,
            broken: false,
            leaves: false,
            heard: None,
            sent: now,
            liveness: options.liveness,
        })
    }

    /// What was sent is to leave although the connection is about to be closed. A HELLO that nobody takes is not waited for.
    pub(super) fn linger(&mut self) {
        if self.linked {
            let _ = self.socket.set_linger(super::LAST_WORDS);
        }
    }

    #[cfg(test)]
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    pub(super) fn is_linked(&self) -> bool {
        self.linked
    }

    /// Whether it has said that it is about to go.
    pub(super) fn leaves(&self) -> bool {
        self.leaves
    }

    /// Why it is not linked yet, for people.
    pub(super) fn trouble(&self) -> &'static str {
        match (self.heard, self.broken) {
            (_, true) => {
                "the handshake fails: is it a proxy of this protocol, are both to have CURVE keys, and are these the right ones?"
            }
            (Some(_), false) => "somebody listens there, and does not answer as a proxy does",
            (None, false) => "nobody listens there",
        }
    }

    pub(super) fn push(&mut self, command: &Command<'_>) {
        self.outbox.push(command);
    }

    pub(super) fn poll_items(&self) -> [zmq::PollItem<'_>; 2] {
        self.socket.poll_items()
    }

    pub(super) fn flush(&mut self, now: Instant) -> Result<(), Closing> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        self.sent = now;
        match self.outbox.send(&self.socket, None) {
            Sent::All => Ok(()),
            Sent::Lost => Err(Closing::Lost("it does not take what it is sent")),
        }
    }

    /// Takes what has come. Returns whether there may be more.
    pub(super) fn receive(&mut self, now: Instant, mut hear: impl FnMut(Heard<'_>)) -> Result<bool, Closing> {
        // Looked at first: what came before the end of the connection is there by then.
        let closed = self.is_closed(now);
        let mut frame = zmq::Message::new();
        for _ in 0..if closed { usize::MAX } else { BATCH } {
            if self.socket.recv(&mut frame, zmq::DONTWAIT).is_err() {
                return if closed { Err(Closing::Lost("the connection was closed")) } else { Ok(false) };
            }
            self.heard = Some(now);
            match frame.first() {
                Some(&Command::BEAT) => {}
                Some(&Command::WELCOME) => {
                    if let Some(Command::Welcome(welcome)) = decode(&frame)
                        && !self.linked
                    {
                        self.linked = true;
                        self.liveness = super::agreed(self.liveness, welcome.liveness);
                        hear(Heard::Welcome(welcome));
                    }
                }
                Some(&Command::REFUSED) => {
                    if let Some(Command::Refused { why }) = decode(&frame) {
                        return Err(Closing::Refused(why.to_owned()));
                    }
                }
                Some(&Command::FRAGMENT) if self.linked => {
                    if let Some(whole) = self.assemble(&frame)? {
                        hear(Heard::Frame(whole));
                    }
                }
                Some(&Command::WHO) => return Err(Closing::Lost("the proxy does not know this process")),
                _ if self.linked => {
                    self.leaves |= frame.first() == Some(&Command::BYE);
                    hear(Heard::Frame(std::mem::replace(&mut frame, zmq::Message::new())));
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// The command of which this is the last fragment. What is no fragment is left to whoever counts what is malformed.
    fn assemble(&mut self, frame: &zmq::Message) -> Result<Option<zmq::Message>, Closing> {
        let Some(Command::Fragment { last, bytes }) = decode(frame) else {
            return Ok(Some(zmq::Message::from(&**frame)));
        };
        match self.assembly.take(bytes, last) {
            Ok(whole) => Ok(whole.map(zmq::Message::from)),
            Err(TooLarge) => Err(Closing::Lost("it sends a command of more than 1 GiB")),
        }
    }

    /// Whether the operating system says that the connection has ended.
    fn is_closed(&mut self, now: Instant) -> bool {
        let mut closed = false;
        while let Some((kind, _)) = self.socket.event() {
            closed |= kind == zmq::SocketEvent::DISCONNECTED.to_raw();
            self.broken |= BROKEN.iter().any(|broken| kind == broken.to_raw());
            if kind == zmq::SocketEvent::CONNECTED.to_raw() {
                self.heard.get_or_insert(now);
            }
        }
        closed
    }

    /// Beats, and notices a peer that is silent.
    pub(super) fn keep_time(&mut self, now: Instant) -> Result<(), Closing> {
        if self.heard.is_some_and(|heard| now.saturating_duration_since(heard) >= self.liveness) {
            return Err(Closing::Lost("nothing has been heard of it"));
        }
        if self.linked && now.saturating_duration_since(self.sent) >= self.liveness / 4 {
            self.outbox.push(&Command::Beat);
        }
        Ok(())
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let dead = self.heard.map(|heard| heard + self.liveness);
        let beat = self.linked.then(|| self.sent + self.liveness / 4);
        dead.into_iter().chain(beat).min()
    }
}
