//! A pipeline that has been checked: it can be served, started, or asked on the spot.

use std::sync::Arc;

use super::graph::Leads;
use super::running::Running;
use super::testing;
use crate::answers;
use crate::chooser::Chooser;
use crate::frontend::{Door, Listener, Route, Settings, StreamListener, Way};
use crate::ids::StageId;
use crate::lifecycle::Caught;
use crate::route::Takes;
use crate::runner::RunnerFactory;
use crate::{IntoResponse, Request, Response, StageOptions, StartError};

/// A stage as the builder leaves it.
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) options: StageOptions,
    pub(super) takes: Takes,
    pub(super) leads: Leads,
    pub(super) factory: RunnerFactory,
    /// The user's choice among idle workers.
    pub(super) choose: Option<Chooser>,
    /// An instance holds nothing.
    pub(super) is_stateless: bool,
    pub(super) takes_batches: bool,
    /// Where each route of its outcome leads, once that is known.
    pub(super) routes: Arc<[StageId]>,
}

/// How far a request may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hops {
    /// From stage to stage.
    pub(super) max_hops: u32,
    /// In parts.
    pub(super) max_parts: usize,
}

/// A pipeline that [`build`](super::Pipeline::build) has checked.
///
/// ```no_run
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str {
///     "hello\n"
/// }
///
/// fn main() -> Result<(), StartError> {
///     let pipeline = Pipeline::new("hello").stage::<hello>().build()?;
///     pipeline.serve_with("tcp://127.0.0.1:0", |running| println!("listening on {:?}", running.address()))
/// }
/// ```
pub struct Built {
    pub(super) name: String,
    pub(super) stages: Vec<Definition>,
    pub(super) door: Arc<Door>,
    /// The routes by method and path.
    pub(super) entries: Vec<Route>,
    pub(super) hops: Hops,
    pub(super) core_budget: Option<usize>,
    pub(super) settings: Settings,
}

impl Built {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Serves until SIGTERM or SIGINT, then drains: nothing new is taken, what is in flight is answered, up to the drain
    /// limit. A second signal ends the process at once.
    ///
    /// The endpoint is `tcp://` with an address (`127.0.0.1`, `[::1]`, `*` for all) and a port.
    ///
    /// # Errors
    /// [`StartError`]: the endpoint cannot be listened on, or a stage's constructor fails.
    pub fn serve(&self, endpoint: &str) -> Result<(), StartError> {
        self.serve_with(endpoint, |_| ())
    }

    /// As [`serve`](Self::serve), and calls `ready` once the address is bound and all stages are constructed: to say where it
    /// listens, for one.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_with(&self, endpoint: &str, ready: impl FnOnce(&Running)) -> Result<(), StartError> {
        let signals = Caught::new()?;
        let running = self.start(endpoint)?;
        signals.drains(running.drainer());
        ready(&running);
        running.wait();
        Ok(())
    }

    /// Starts, and comes back once every worker has constructed its stage and the address is bound. Port 0 takes a free one.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn start(&self, endpoint: &str) -> Result<Running, StartError> {
        let limits = &self.settings.limits;
        let too_many = |problem| StartError::Option { place: format!("pipeline `{}`", self.name), problem };
        limits.check_descriptors().map_err(too_many)?;
        let listener: Box<dyn Listener> = Box::new(StreamListener::bind(endpoint, limits)?);
        Running::start(self, Some(listener))
    }

    /// Starts without listening anywhere: requests come through [`Running::client`].
    ///
    /// # Errors
    /// [`StartError`], if a stage's constructor fails.
    pub fn start_in_process(&self) -> Result<Running, StartError> {
        Running::start(self, None)
    }

    /// Runs one request through the door and the stages, on the caller's thread, each stage made for it. For tests: no thread
    /// is started, nothing times out, and a panic of a stage is the caller's. Messages are encoded between stages, as between
    /// processes: what would be lost there is lost here, and what cannot be read is a 500 and an error in the log.
    ///
    /// # Errors
    /// [`StartError`], if a stage's constructor fails.
    pub fn test(&self, request: impl Into<Request>) -> Result<Response, StartError> {
        let request = request.into();
        let head = request.shared_head();
        let mut response = self.answer(request)?;
        if let Some(cors) = &self.settings.cors {
            cors.mark(&head, response.headers_mut());
        }
        Ok(response)
    }

    fn answer(&self, mut request: Request) -> Result<Response, StartError> {
        let path = request.head().path();
        let cors = self.settings.cors.as_ref();
        if let Some(answer) = cors.and_then(|cors| cors.preflight(request.head(), self.door.allowed(path))) {
            return Ok(answer);
        }
        let entry = match self.door.way(request.head()) {
            Way::Stage(stage, route, params) => {
                request.set_params(params);
                (stage, route)
            }
            Way::Refused(response) => return Ok(response),
            Way::Options(methods) => return Ok(answers::allowed(methods)),
            Way::Health => return Ok("ok\n".into_response()),
            Way::Metrics => return Ok("".into_response()),
        };
        testing::run(self, entry, request)
    }
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages: Vec<_> = self.stages.iter().map(|stage| stage.name).collect();
        f.debug_struct("Built").field("name", &self.name).field("stages", &stages).finish_non_exhaustive()
    }
}
