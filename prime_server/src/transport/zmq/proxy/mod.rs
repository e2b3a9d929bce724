//! A proxy process: the load balancer of one stage behind a ROUTER.

mod closings;
mod desk;
#[cfg(any(test, fuzzing))]
#[allow(unreachable_pub, reason = "public for the fuzz targets alone")]
pub(super) mod fuzzing;
mod gauges;
mod job;
#[cfg(any(test, fuzzing))]
pub(super) mod node;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::closings::Closings;
use self::desk::Desk;
pub(crate) use self::desk::Terms;
pub(crate) use self::gauges::{Gauges, Load};
use super::curve::Doorkeeper;
use super::monitored::Monitored;
use super::outbox::Sent;
use super::wire::{Command, PeerId};
use super::{BATCH, Options};
use crate::chooser::Chooser;
use crate::mailbox::Mailbox;
use crate::{StartError, endpoint};

/// Messages taken in the turn after a pause, in which the beats of all that are alive have come. A turn of no end would make pauses of
/// its own where peers send without one, and no beat would leave.
const CATCH_UP: usize = 16 * BATCH;

/// Jobs given to workers in one turn, after which what was said leaves, beats among it. Fewer where the user chooses, whose function takes
/// its time over each.
const MOST_GIVEN: usize = 16 * BATCH;
const MOST_CHOSEN: usize = 64;

/// Longer than a turn takes that was not held up.
const PAUSE: Duration = Duration::from_millis(100);

/// Something for the proxy to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Take nothing more, finish what runs, end.
    Drain,
    /// End now.
    Stop,
}

pub(crate) struct Proxy {
    socket: Monitored,
    closings: Closings,
    mailbox: Mailbox<Order>,
    desk: Desk,
    endpoint: String,
    /// Of an ipc socket in the file system.
    path: Option<PathBuf>,
    drain_limit: Duration,
    draining: Option<Instant>,
    stopped: bool,
    /// When it looked last at what has come.
    turned: Instant,
    /// Lets clients in where they need a key.
    _doorkeeper: Option<Doorkeeper>,
}

/// Who a proxy is, and what it is for.
pub(crate) struct Identity {
    pub(crate) peer: PeerId,
    pub(crate) name: String,
    pub(crate) stage: String,
    /// What the operator has set for the stage.
    pub(crate) terms: Terms,
    /// The user's choice among the stage's workers.
    pub(crate) chooser: Option<Chooser>,
}

impl Proxy {
    pub(crate) fn bind(
        endpoint: &str,
        identity: Identity,
        options: Options,
        drain_limit: Duration,
        mailbox: Mailbox<Order>,
        gauges: Gauges,
    ) -> Result<Self, StartError> {
        let refuse = |problem: String| StartError::Endpoint { endpoint: endpoint.to_owned(), problem };
        let path = endpoint.strip_prefix("ipc://").filter(|path| !path.starts_with('@')).map(PathBuf::from);
        let address = match (&path, endpoint.starts_with("tcp://")) {
            (Some(path), _) => endpoint::path(path).map(|()| endpoint.to_owned()),
            (None, true) => endpoint::tcp(endpoint),
            (None, false) => Ok(endpoint.to_owned()),
        };
        let address = address.map_err(refuse)?;
        let context = zmq::Context::new();
        let open = || -> zmq::Result<(Monitored, Option<Doorkeeper>)> {
            let socket = context.socket(zmq::ROUTER)?;
            super::set_up(&socket, &address)?;
            socket.set_router_mandatory(true)?;
            let doorkeeper = options.secured.bind(&context, &socket)?;
            let socket = Monitored::new(&context, socket, [zmq::SocketEvent::DISCONNECTED])?;
            Ok((socket, doorkeeper))
        };
        let (mut socket, doorkeeper) = open().map_err(|error| refuse(error.to_string()))?;
        endpoint::bind(&mut socket, &address).map_err(refuse)?;
        let bound = socket.get_last_endpoint().ok().and_then(Result::ok);
        let endpoint = bound.unwrap_or(address);
        let mut desk = Desk::new(identity.peer, identity.name, identity.stage, options, identity.terms, gauges);
        desk.set_chooser(identity.chooser);
        Ok(Self {
            socket,
            closings: Closings::default(),
            mailbox,
            desk,
            endpoint,
            path,
            drain_limit,
            draining: None,
            stopped: false,
            turned: Instant::now(),
            _doorkeeper: doorkeeper,
        })
    }

    /// Where it listens, with the port that it got.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs until it is drained or stopped.
    pub(crate) fn run(mut self) {
        loop {
            let now = Instant::now();
            let more = self.turn(now);
            if self.is_over(now) {
                break;
            }
            if !more {
                self.sleep();
            }
        }
        // What was sent last is to arrive.
        let _ = self.socket.set_linger(super::LAST_WORDS);
        // As long as it is ours: whoever starts next finds it taken, and takes nobody's place.
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.stopped || self.draining.is_some_and(|until| self.desk.is_drained() || until <= now)
    }

    /// Does what there is to do. Returns whether there may be more of it already.
    fn turn(&mut self, now: Instant) -> bool {
        while let Ok(order) = self.mailbox.notes.try_recv() {
            match order {
                Order::Drain => {
                    self.draining.get_or_insert(now + self.drain_limit);
                    self.desk.drain();
                }
                Order::Stop => self.stopped = true,
            }
        }
        // After a pause the beats of all have come before anybody is found dead.
        let late = now.saturating_duration_since(self.turned) > PAUSE;
        self.turned = now;
        let more = self.receive(now, if late { CATCH_UP } else { BATCH });
        self.desk.keep_time(now);
        let most = if self.desk.chooses() { MOST_CHOSEN } else { MOST_GIVEN };
        let more = self.desk.assign(most, now) || more;
        self.desk.show();
        let socket = &self.socket;
        let lost = self.desk.outgoing(now, |route, outbox| outbox.send(socket, Some(route)) == Sent::All);
        more || lost
    }

    fn receive(&mut self, now: Instant, most: usize) -> bool {
        let closed = self.closings.take(&self.socket);
        let (mut route, mut frame) = (zmq::Message::new(), zmq::Message::new());
        for _ in 0..most {
            if self.socket.recv(&mut route, zmq::DONTWAIT).is_err() {
                // What they had sent before has been taken by now.
                closed.iter().for_each(|route| self.desk.closed(route, now));
                return false;
            }
            while self.socket.get_rcvmore().unwrap_or(false) && self.socket.recv(&mut frame, zmq::DONTWAIT).is_ok() {
                if frame.first() == Some(&Command::HELLO) {
                    self.closings.note(&self.socket, &route, &mut frame);
                }
                self.desk.receive(&route, &frame, now);
            }
        }
        self.closings.put_back(closed);
        true
    }

    fn sleep(&mut self) {
        let due = self.desk.next_due().into_iter().chain(self.draining).min();
        self.mailbox.arm();
        let mut rung = false;
        if self.mailbox.notes.is_empty() {
            let event = zmq::PollItem::from_fd(self.mailbox.event().as_raw_fd(), zmq::POLLIN);
            let [socket, closings] = self.socket.poll_items();
            let mut items = [event, socket, closings];
            // EINTR ends the wait early, which does no harm.
            let _ = zmq::poll(&mut items, super::poll_timeout(due));
            rung = items[0].is_readable();
        }
        self.mailbox.disarm(rung);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mailbox::{Post, mailbox};
    use crate::metrics::{Metrics, Share};
    use crate::security::Secured;
    use crate::transport::zmq::stand_in::until;
    use crate::transport::zmq::wire::{Hello, MAGIC, Role, StageTerms, VERSION, encode};

    const HOUR: Duration = Duration::from_secs(3600);

    fn proxy(chooser: Option<Chooser>) -> (Proxy, Post<Order>) {
        let metrics = Metrics::new("test");
        let counts = Arc::new(metrics.stage("a", Share::Queue));
        let malformed = metrics.malformed.clone();
        let gauges = Gauges { counts, load: Arc::default(), standing: Arc::default(), malformed };
        let (name, stage, terms) = ("me".to_owned(), "a".to_owned(), Terms::default());
        let chooses = chooser.is_some();
        let identity = Identity { peer: [1; 16], name, stage, terms, chooser };
        let options = Options { liveness: HOUR, wait: HOUR, secured: Secured::Open { insecure: false } };
        let (post, orders) = mailbox().unwrap();
        let endpoint = format!("ipc://@prime-proxy-{}-{chooses}", std::process::id());
        (Proxy::bind(&endpoint, identity, options, HOUR, orders, gauges).unwrap(), post)
    }

    /// A peer that has said HELLO: a worker of so many threads, or a front end.
    fn peer(proxy: &Proxy, slots: Option<u32>) -> zmq::Socket {
        let peer = zmq::Context::new().socket(zmq::DEALER).unwrap();
        crate::transport::zmq::set_up(&peer, proxy.endpoint()).unwrap();
        peer.connect(proxy.endpoint()).unwrap();
        let worker = slots.map(|slots| StageTerms {
            slots,
            queue: 1,
            timeout: None,
            idempotent: false,
            strict_priority: false,
            max_delay: None,
            refuse_hopeless: false,
        });
        let (magic, version, liveness) = (MAGIC, VERSION, 3_600_000);
        let (role, id) = if worker.is_some() { (Role::Worker, 2) } else { (Role::FrontEnd, 3) };
        let (name, stage, message) = ("peer", "a", None);
        let hello = Hello { magic, version, liveness, peer: [id; 16], name, role, stage, message, worker };
        peer.send(encode(&Command::Hello(hello)), 0).unwrap();
        peer
    }

    #[test]
    fn a_turn_after_a_pause_ends_although_more_has_come() {
        let (mut proxy, _post) = proxy(None);
        let malformed = proxy.desk.gauges().malformed.clone();
        let peer = peer(&proxy, None);
        let all = 3 * CATCH_UP as u64;
        for _ in 0..all {
            peer.send(&[99][..], 0).unwrap();
        }
        until("all has been taken", || {
            let (now, before) = (Instant::now(), malformed.get());
            proxy.turned = now - 2 * PAUSE;
            proxy.turn(now);
            assert!(malformed.get() - before <= CATCH_UP as u64);
            (malformed.get() == all).then_some(())
        });
    }

    #[test]
    fn a_turn_ends_although_there_are_more_jobs_that_the_user_can_choose_a_worker_for() {
        let (mut proxy, _post) = proxy(Some(Chooser::new(|_, _| Some(0))));
        let all = 3 * MOST_CHOSEN;
        let _worker = peer(&proxy, Some(all as u32));
        let turn = |proxy: &mut Proxy| {
            let more = proxy.turn(Instant::now());
            let (_, waiting, running) = proxy.desk.gauges().load.of("");
            assert!(more || waiting == 0, "it goes on without a pause");
            (waiting, running)
        };
        let front_end = peer(&proxy, None);
        let job = |job| encode(&Command::Job { job, left: 3_600_000_000, attempt: 1, always: true, body: b"task" });
        front_end.send_multipart((0..all as u64).map(job), 0).unwrap();
        let mut before = 0;
        until("all are given", || {
            let (waiting, now) = turn(&mut proxy);
            assert!(now <= before + MOST_CHOSEN);
            before = now;
            (waiting == 0 && now == all).then_some(())
        });
    }
}
