//! The fluent builder, whose type remembers what the last stage returns, so that stages whose types do not meet do not compile.

mod of_pipeline;
mod of_stage;
mod states;

pub use self::states::{Complete, Constructed, Joined, Last, Nesting, NoStage, PartOf, Parts, Routed, Whole};
use super::built::{Built, Definition};
use super::graph::Leads;
use super::options::{MAX_HOPS, MAX_PARTS, PipelineOptions};
use crate::frontend::Settings;
use crate::route::Manner;
use crate::{Construct, Feeds, Outcome, Request, Run, Splits, StartError, Step, outcome};

/// A pipeline under construction: stages in the order in which a request passes them.
///
/// Options set before the first stage or after any are the pipeline's: [`route`](Self::route), [`deadline`](Self::deadline)
/// and so on. [`workers`](Self::workers), [`queue`](Self::queue), [`timeout`](Self::timeout) and
/// [`idempotent`](Self::idempotent) are those of the stage just added.
///
/// ```
/// use std::time::Duration;
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str {
///     "hello\n"
/// }
///
/// let pipeline = Pipeline::new("hello")
///     .route(Method::GET, "/hello")
///     .health("/healthz")
///     .deadline(Duration::from_secs(5))
///     .stage::<hello>().workers(2)
///     .build()?;
/// assert_eq!(pipeline.test(Request::get("/hello"))?.body().as_bytes(), b"hello\n");
/// # Ok::<(), StartError>(())
/// ```
#[must_use = "a pipeline does nothing before `build`"]
pub struct Pipeline<L = NoStage> {
    options: PipelineOptions,
    finished: Vec<Definition>,
    last: L,
}

impl Pipeline {
    /// An empty pipeline. The name stands in metrics and logs.
    pub fn new(name: impl Into<String>) -> Self {
        let options = PipelineOptions {
            name: name.into(),
            routes: Vec::new(),
            health: None,
            metrics: None,
            cors: None,
            deadline_header: None,
            max_hops: MAX_HOPS,
            max_parts: MAX_PARTS,
            core_budget: None,
            settings: Settings::default(),
        };
        Self { options, finished: Vec::new(), last: NoStage }
    }

    /// Adds the first stage. Where the compiler says that it expected a type and found a function, or "constant provided when a
    /// type was expected", the function lacks its `#[stage]`.
    pub fn stage<S: Construct>(self) -> Pipeline<Last<S::Out>>
    where
        Request: Feeds<S::In>,
    {
        self.begin(Last::new(S::create))
    }

    /// Adds the first stage, made by a constructor of yours: on each worker's thread, and again after a panic.
    pub fn stage_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>>>
    where
        Request: Feeds<InOf<C>>,
    {
        self.begin(Last::new::<C::Stage>(move || constructor().constructed()))
    }

    /// Adds a stage that [routes](Self::route_to) lead to, or `#[derive(Routes)]` of other stages.
    pub fn node<S: Construct>(self) -> Pipeline<Last<S::Out, Routed>> {
        self.begin(Last::new(S::create))
    }

    /// As [`node`](Self::node), made by a constructor of yours.
    pub fn node_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Routed>> {
        self.begin(Last::new::<C::Stage>(move || constructor().constructed()))
    }

    fn begin<Last>(self, last: Last) -> Pipeline<Last> {
        Pipeline { options: self.options, finished: self.finished, last }
    }
}

/// What the stage that a constructor makes takes.
type InOf<C> = <<C as Constructed>::Stage as Run>::In;

/// What the stage that a constructor makes returns.
type OutOf<C> = <<C as Constructed>::Stage as Run>::Out;

impl<Out: 'static, Of: Nesting + 'static> Pipeline<Last<Out, Of>> {
    /// Adds a stage that takes what the last one forwards.
    pub fn stage<S: Construct>(self) -> Pipeline<Last<S::Out, Of>>
    where
        Out: Feeds<S::In>,
    {
        self.chained(Manner::Whole, outcome::forward::<S::In, Out>, Last::new(S::create))
    }

    /// Adds a stage made by a constructor of yours: on each worker's thread, and again after a panic.
    pub fn stage_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Of>>
    where
        Out: Feeds<InOf<C>>,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.chained(Manner::Whole, outcome::forward::<InOf<C>, Out>, last)
    }

    /// Adds a stage that takes the parts of what the last one returns, a [`Split`](crate::Split): each is a job of its own.
    pub fn split<S: Construct>(self) -> Pipeline<Last<S::Out, PartOf<Of>>>
    where
        Out: Splits<S::In>,
    {
        self.chained(Manner::Split, outcome::split::<S::In, Out>, Last::new(S::create))
    }

    /// As [`split`](Self::split), made by a constructor of yours.
    pub fn split_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, PartOf<Of>>>
    where
        Out: Splits<InOf<C>>,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.chained(Manner::Split, outcome::split::<InOf<C>, Out>, last)
    }

    /// Adds a stage that takes what all the parts have come to, a [`Join`](crate::Join): one job, when the last of them is there.
    pub fn join<S>(self) -> Pipeline<Last<S::Out, Of::Outer>>
    where
        S: Construct,
        S::In: Joined,
        Of: Parts,
        Out: Feeds<<S::In as Joined>::Part>,
    {
        self.chained(Manner::Join, outcome::join::<<S::In as Joined>::Part, Out>, Last::new(S::create))
    }

    /// As [`join`](Self::join), made by a constructor of yours.
    pub fn join_from<C>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Of::Outer>>
    where
        C: Constructed + 'static,
        InOf<C>: Joined,
        Of: Parts,
        Out: Feeds<<InOf<C> as Joined>::Part>,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.chained(Manner::Join, outcome::join::<<InOf<C> as Joined>::Part, Out>, last)
    }

    /// Adds a stage that is reached by the `#[derive(Routes)]` of other stages, or by [`route_to`](Self::route_to). What the last one
    /// returns says itself where it goes.
    pub fn node<S: Construct>(self) -> Pipeline<Last<S::Out, Routed>>
    where
        Out: Outcome,
    {
        self.followed_by(Leads::ByName(Out::ROUTES), Out::resolve, Last::new(S::create))
    }

    /// As [`node`](Self::node), made by a constructor of yours.
    pub fn node_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Routed>>
    where
        Out: Outcome,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.followed_by(Leads::ByName(Out::ROUTES), Out::resolve, last)
    }

    fn chained<Next, NextOf>(
        self,
        manner: Manner,
        resolve: fn(Out) -> Step,
        last: Last<Next, NextOf>,
    ) -> Pipeline<Last<Next, NextOf>> {
        self.followed_by(Leads::Next(manner), resolve, last)
    }

    fn followed_by<Next, NextOf>(
        mut self,
        leads: Leads,
        resolve: fn(Out) -> Step,
        last: Last<Next, NextOf>,
    ) -> Pipeline<Last<Next, NextOf>> {
        self.finished.push(self.last.finish(leads, resolve));
        Pipeline { options: self.options, finished: self.finished, last }
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// [`StartError`]: two stages of one name, a route that leads nowhere or to a stage that takes something else, a stage that
    /// nothing reaches, parts that are not joined, a malformed pattern, an option that cannot work.
    pub fn build(mut self) -> Result<Built, StartError>
    where
        Out: Outcome,
        Of: Complete,
    {
        self.finished.push(self.last.finish(Leads::ByName(Out::ROUTES), Out::resolve));
        self.options.build(self.finished)
    }
}
