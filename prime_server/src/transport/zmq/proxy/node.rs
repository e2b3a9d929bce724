//! A proxy without its socket, for tests: what its desk says comes out as frames.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::{Desk, Route};
use super::{Gauges, Options, Terms};
use crate::metrics::{Metrics, Share};
use crate::security::Secured;
use crate::transport::zmq::wire::PeerId;

pub(in crate::transport::zmq) struct Node {
    pub(super) desk: Desk,
    mail: HashMap<Route, Vec<Vec<u8>>>,
    /// Those that do not take what they are sent.
    pub(super) deaf: HashSet<Route>,
}

pub(in crate::transport::zmq) const ID: PeerId = *b"the proxy's id..";
pub(in crate::transport::zmq) const LIVENESS: Duration = Duration::from_secs(1);
pub(in crate::transport::zmq) const WAIT: Duration = Duration::from_secs(5);

impl Node {
    pub(in crate::transport::zmq) fn new(stage: &str, terms: Terms) -> Self {
        let options = Options { liveness: LIVENESS, wait: WAIT, secured: Secured::Open { insecure: false } };
        let metrics = Metrics::new("test");
        let (counts, load) = (Arc::new(metrics.stage(stage, Share::Queue)), Arc::default());
        let gauges = Gauges { counts, load, standing: Arc::default(), malformed: metrics.malformed.clone() };
        let desk = Desk::new(ID, "proxy".to_owned(), stage.to_owned(), options, terms, gauges);
        Self { desk, mail: HashMap::new(), deaf: HashSet::new() }
    }

    pub(in crate::transport::zmq) fn receive(&mut self, route: &[u8], frame: &[u8], now: Instant) {
        self.desk.receive(route, frame, now);
    }

    pub(in crate::transport::zmq) fn closed(&mut self, route: &[u8], now: Instant) {
        self.desk.closed(route, now);
    }

    #[cfg(test)]
    pub(in crate::transport::zmq) fn drain(&mut self) {
        self.desk.drain();
    }

    #[cfg(test)]
    pub(in crate::transport::zmq) fn is_drained(&self) -> bool {
        self.desk.is_drained()
    }

    /// Its notes are in order.
    #[cfg(test)]
    pub(in crate::transport::zmq) fn assert_order(&self) {
        self.desk.assert_order();
    }

    /// As a turn of the loop ends.
    pub(in crate::transport::zmq) fn turn(&mut self, now: Instant) {
        self.desk.keep_time(now);
        self.desk.assign(usize::MAX, now);
        let (mail, deaf) = (&mut self.mail, &self.deaf);
        self.desk.outgoing(now, |route, outbox| {
            let frames = outbox.take_frames();
            let takes = !deaf.contains(route);
            if takes {
                mail.entry(route.into()).or_default().extend(frames);
            }
            takes
        });
    }

    /// What it has said to a peer since.
    #[cfg(test)]
    pub(in crate::transport::zmq) fn take(&mut self, route: &[u8]) -> Vec<Vec<u8>> {
        self.mail.remove(route).unwrap_or_default()
    }

    /// How many jobs wait, and how many run.
    pub(in crate::transport::zmq) fn load(&self) -> (usize, usize) {
        self.desk.show();
        let (_, waiting, running) = self.desk.gauges().load.of("");
        (waiting, running)
    }
}
