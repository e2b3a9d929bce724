//! The stages in other processes, as the front end's thread sees them: it leaves orders for the thread that owns the links.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use crate::context::{Place, Reason, Ticket};
use crate::discovery;
use crate::ids::{RequestId, StageId};
use crate::mailbox::Post;
use crate::transport::{Envelope, Rejected, Transport};

/// Something for the thread that owns the links.
#[derive(Debug)]
pub(crate) enum Order {
    Jobs(StageId, Vec<Envelope>),
    Cancel {
        id: RequestId,
        place: Place,
        why: Reason,
    },
    /// A client has taken so much of a streamed answer.
    Window {
        id: RequestId,
        place: Place,
        received: u64,
        kept: usize,
    },
    Found(BTreeSet<discovery::Place>),
    Close,
}

/// How many jobs of a stage are there.
#[derive(Debug)]
pub(crate) struct Gauge {
    stage: String,
    /// No proxy has them.
    pub(super) waiting: AtomicUsize,
    /// A proxy has them.
    pub(super) away: AtomicUsize,
    /// It is known to be needed, and has had no proxy yet.
    pub(super) awaited: AtomicBool,
}

pub(crate) type Gauges = Arc<RwLock<Vec<Arc<Gauge>>>>;

impl Gauge {
    pub(super) fn new(stage: &str) -> Arc<Self> {
        let [waiting, away] = [0, 0].map(AtomicUsize::new);
        Arc::new(Self { stage: stage.to_owned(), waiting, away, awaited: AtomicBool::new(false) })
    }
}

/// The stages, as the front end's thread sees them.
pub(crate) struct Remote {
    post: Post<Order>,
    gauges: Gauges,
}

impl Remote {
    pub(crate) fn new(post: Post<Order>, gauges: Gauges) -> Self {
        Self { post, gauges }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("gauges", &self.gauges).finish_non_exhaustive()
    }
}

impl Transport for Remote {
    fn dispatch_all(&self, to: StageId, jobs: &mut dyn Iterator<Item = Envelope>, _: Instant) -> Vec<Rejected> {
        self.post.send(Order::Jobs(to, jobs.collect()));
        Vec::new()
    }

    fn cancel(&self, ticket: &Ticket, why: Reason) {
        if let Some(place) = ticket.cancel(why) {
            self.post.send(Order::Cancel { id: ticket.id, place, why });
        }
    }

    fn loads(&self) -> Vec<(String, usize, usize)> {
        let gauges = self.gauges.read().unwrap_or_else(PoisonError::into_inner);
        let load = |gauge: &Arc<Gauge>| {
            let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
            (gauge.stage.clone(), count(&gauge.waiting), count(&gauge.away))
        };
        gauges.iter().map(load).collect()
    }

    fn trouble(&self) -> Option<String> {
        let gauges = self.gauges.read().unwrap_or_else(PoisonError::into_inner);
        let awaited = gauges.iter().find(|gauge| gauge.awaited.load(Ordering::Relaxed))?;
        Some(format!("no proxy of stage `{}` has taken this front end yet", awaited.stage))
    }

    fn close(&self) {
        self.post.send(Order::Close);
    }
}
