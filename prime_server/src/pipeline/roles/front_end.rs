//! A process that speaks HTTP with clients and has its stages elsewhere, or in itself.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use http::Method;

use super::super::built::{Built, Hops};
use super::super::graph::FIRST;
use super::super::options::{self, MAX_PARTS};
use super::super::running::Running;
use super::{Control, Links, Process, join, peer_id, system};
use crate::StartError;
use crate::discovery::Watch;
use crate::frontend::{Door, FrontEnd, Listener, Route, Settings, StreamListener};
use crate::ids::StageId;
use crate::loopback::{Loopback, Note};
use crate::mailbox::mailbox;
use crate::metrics::Metrics;
use crate::panics::log;
use crate::transport::Transport;
use crate::transport::zmq::{
    Front, FrontDesk, FrontOrder, FrontTerms, LinkIdentity, LinkRole, Links as Connected, Remote,
};

/// A [`Role::FrontEnd`](super::Role::FrontEnd).
#[derive(Clone, Debug)]
pub struct FrontEndRole {
    endpoint: String,
    links: Links,
}

impl FrontEndRole {
    /// Listens there, as [`Built::serve`] does, and sends to the proxies of all stages.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, links: Links) -> Self {
        Self { endpoint: endpoint.into(), links }
    }
}

/// What a front end has to know of its pipeline.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) door: Arc<Door>,
    pub(in crate::pipeline) hops: Hops,
    /// Those that requests enter at, and others that are known: name and message.
    pub(crate) stages: Vec<(String, Option<(String, u64)>)>,
}

impl Parts {
    /// Of a pipeline of which only that is known where requests enter: at the stage `entry`, or by routes to stages.
    pub(crate) fn of_routes(
        mut settings: Settings,
        routes: &[(Method, String, String)],
        entry: Option<&str>,
        own: Own<'_>,
        max_hops: u32,
    ) -> Result<Self, StartError> {
        let place = || "the front end".to_owned();
        options::check(&mut settings, &place)?;
        let mut stages: Vec<(String, Option<(String, u64)>)> = Vec::new();
        let mut id = |stage: &str| {
            let known = stages.iter().position(|(name, _)| name == stage);
            StageId(known.unwrap_or_else(|| {
                stages.push((stage.to_owned(), None));
                stages.len() - 1
            }) as u16)
        };
        let first = entry.map(&mut id).unwrap_or(FIRST);
        let routes: Vec<Route> = routes
            .iter()
            .map(|(method, pattern, stage)| Route { method: method.clone(), pattern: pattern.clone(), to: id(stage) })
            .collect();
        if stages.is_empty() || stages.len() > usize::from(u16::MAX) {
            return Err(StartError::Option {
                place: place(),
                problem: "it needs the stage that requests enter at: `--entry STAGE`, or `--route`s to stages"
                    .to_owned(),
            });
        }
        let door = Arc::new(Door::new(&routes, own.health, own.metrics, first)?);
        let hops = Hops { max_hops, max_parts: MAX_PARTS };
        Ok(Self { name: own.name.to_owned(), settings, door, hops, stages })
    }

    pub(super) fn of(built: &Built) -> Self {
        let stage = |stage: &super::super::built::Definition| {
            let (message, schema) = stage.takes.message();
            (stage.name.to_owned(), Some((message.to_owned(), schema)))
        };
        Self {
            name: built.name.clone(),
            settings: built.settings.clone(),
            door: Arc::clone(&built.door),
            hops: built.hops,
            stages: built.stages.iter().map(stage).collect(),
        }
    }
}

/// What a front end answers itself, and as what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) name: &'a str,
    pub(crate) health: Option<&'a str>,
    pub(crate) metrics: Option<&'a str>,
}

struct Split {
    loopback: Loopback,
    front_end: Option<JoinHandle<()>>,
    links: Option<JoinHandle<()>>,
    /// Tell of proxies as long as it is there.
    _watches: Vec<Watch>,
}

pub(crate) fn start(parts: &Parts, role: &FrontEndRole) -> Result<Process, StartError> {
    let place = format!("front end of pipeline `{}`", parts.name);
    // Part of a pipeline may be what is wanted.
    if let Some(problem) = role.links.unreachable(parts.stages.iter().map(|(stage, _)| stage.as_str())) {
        log(|| tracing::warn!(problem, "requests that need that stage are answered 503"));
    }
    let options = role.links.options(&place)?;
    let limits = &parts.settings.limits;
    limits.check_descriptors().map_err(|problem| StartError::Option { place, problem })?;
    let listener: Box<dyn Listener> = Box::new(StreamListener::bind(&role.endpoint, limits)?);
    let endpoint = listener.endpoint().to_owned();
    let (loopback, inbox) = mailbox().map_err(|error| system("make an eventfd", error))?;
    let (post, orders) = mailbox().map_err(|error| system("make an eventfd", error))?;
    let known = parts.stages.iter().filter_map(|(stage, message)| {
        let (message, schema) = message.as_ref()?;
        Some((stage.clone(), message.clone(), *schema))
    });
    let identity = LinkIdentity {
        peer: peer_id()?,
        name: role.links.common.name("front end"),
        role: LinkRole::FrontEnd,
        only: None,
        messages: known.collect(),
        worker: None,
    };
    let peer = identity.peer;
    let terms = FrontTerms {
        origin: peer,
        max_hops: parts.hops.max_hops,
        max_parts: parts.hops.max_parts,
        stream_buffer: limits.stream_buffer,
        wait: options.wait,
    };
    let schema = |message: &Option<(String, u64)>| message.as_ref().map_or(0, |(_, schema)| *schema);
    let stages: Vec<_> = parts.stages.iter().map(|(stage, message)| (stage.clone(), schema(message))).collect();
    let metrics = Arc::new(Metrics::new(&parts.name));
    let desk = FrontDesk::new(terms, &stages, loopback.clone(), post.clone(), metrics.malformed.clone());
    let transport: Arc<dyn Transport> = Arc::new(Remote::new(post.clone(), desk.gauges()));
    let mut settings = parts.settings.clone();
    settings.drain_limit = role.links.common.drain_limit(settings.drain_limit);
    let front_end = FrontEnd::new(settings, Arc::clone(&parts.door), Some(listener), transport, inbox, metrics);
    let front = Front::new(Connected::new(zmq::Context::new(), options, identity), orders, desk);

    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| system("start a thread", error))
    };
    // Without links the front end would take requests that nobody answers.
    let ends = EndsWithIt(loopback.clone());
    let links = spawn(
        "links",
        Box::new(move || {
            let _ends = ends;
            front.run();
        }),
    )?;
    let mut running = Split { loopback, front_end: None, links: Some(links), _watches: Vec::new() };
    let found = post.clone();
    let watches = super::watch(&role.links, peer, move |places| _ = found.send(FrontOrder::Found(places)));
    let front_end = watches.and_then(|watches| {
        running._watches = watches;
        spawn("front end", Box::new(move || front_end.run()))
    });
    match front_end {
        Ok(front_end) => running.front_end = Some(front_end),
        Err(error) => {
            post.send(FrontOrder::Close);
            let _ = running.wait();
            return Err(error);
        }
    }
    log(|| tracing::info!(pipeline = parts.name, endpoint, "serving"));
    Ok(Process::new(Some(endpoint), running))
}

/// Ends the front end when it is dropped, which it is where the links' thread panics.
struct EndsWithIt(Loopback);

impl Drop for EndsWithIt {
    fn drop(&mut self) {
        self.0.send(Note::Stop);
    }
}

impl Control for Split {
    fn drainer(&self) -> Box<dyn Fn() + Send + Sync> {
        let loopback = self.loopback.clone();
        Box::new(move || _ = loopback.send(Note::Drain))
    }

    fn abort(&self) {
        self.loopback.send(Note::Stop);
    }

    fn wait(&mut self) -> thread::Result<()> {
        let ended = join(self.front_end.take(), "front end");
        // The front end's end is the order to it.
        join(self.links.take(), "links").and(ended)
    }
}

/// All stages in this process.
pub(super) fn all(built: &Built, endpoint: &str) -> Result<Process, StartError> {
    let running = built.start(endpoint)?;
    Ok(Process::new(running.endpoint().map(str::to_owned), All { running: Some(running) }))
}

struct All {
    running: Option<Running>,
}

impl Control for All {
    fn drainer(&self) -> Box<dyn Fn() + Send + Sync> {
        match &self.running {
            Some(running) => running.drainer(),
            None => Box::new(|| ()),
        }
    }

    fn abort(&self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }

    fn wait(&mut self) -> thread::Result<()> {
        if let Some(running) = self.running.take() {
            running.wait();
        }
        Ok(())
    }
}
