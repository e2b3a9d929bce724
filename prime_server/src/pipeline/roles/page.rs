//! What a proxy or a worker says of itself over HTTP: `/healthz` and `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::{join, system};
use crate::StartError;
use crate::context::{Reason, Ticket};
use crate::frontend::{Door, FrontEnd, Listener, Settings, StreamListener};
use crate::ids::StageId;
use crate::loopback::{Loopback, Note};
use crate::mailbox::mailbox;
use crate::metrics::Metrics;
use crate::panics::log;
use crate::transport::{Envelope, Rejected, Standing, Transport};

/// A front end without stages. Ends when it is dropped.
pub(super) struct Page {
    endpoint: String,
    loopback: Loopback,
    thread: Option<JoinHandle<()>>,
}

/// The stages' loads, each with its name: how many jobs wait, and how many run.
pub(super) type Loads = Box<dyn Fn() -> Vec<(String, usize, usize)> + Send + Sync>;

impl Page {
    /// Listens there, and answers from now on.
    pub(super) fn start(
        endpoint: &str,
        metrics: Arc<Metrics>,
        loads: Loads,
        standing: Arc<Standing>,
    ) -> Result<Self, StartError> {
        let settings = Settings::default();
        let listener: Box<dyn Listener> = Box::new(StreamListener::bind(endpoint, &settings.limits)?);
        let endpoint = listener.endpoint().to_owned();
        let (loopback, inbox) = mailbox().map_err(|error| system("make an eventfd", error))?;
        let door = Arc::new(Door::without_stages("/healthz", "/metrics")?);
        let transport: Arc<dyn Transport> = Arc::new(NoStages { loads, standing });
        let front_end = FrontEnd::new(settings, door, Some(listener), transport, inbox, metrics);
        let thread = thread::Builder::new().name("page".to_owned()).spawn(move || front_end.run());
        let thread = thread.map_err(|error| system("start a thread", error))?;
        let (known, _) = crossbeam_channel::bounded(1);
        loopback.send(Note::Ready { known });
        log(|| tracing::info!(endpoint, "/healthz and /metrics are answered"));
        Ok(Self { endpoint, loopback, thread: Some(thread) })
    }

    /// Where it listens, with the port that it got.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.loopback.send(Note::Stop);
        let _ = join(self.thread.take(), "page");
    }
}

/// Nothing is sent anywhere.
struct NoStages {
    loads: Loads,
    standing: Arc<Standing>,
}

impl fmt::Debug for NoStages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoStages")
    }
}

impl Transport for NoStages {
    fn dispatch_all(&self, _: StageId, jobs: &mut dyn Iterator<Item = Envelope>, _: Instant) -> Vec<Rejected> {
        jobs.map(Rejected::Gone).collect()
    }

    fn cancel(&self, ticket: &Ticket, why: Reason) {
        ticket.cancel(why);
    }

    fn loads(&self) -> Vec<(String, usize, usize)> {
        (self.loads)()
    }

    fn trouble(&self) -> Option<String> {
        self.standing.trouble()
    }

    fn close(&self) {}
}
