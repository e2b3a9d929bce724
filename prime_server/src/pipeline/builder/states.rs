//! What the builder's type remembers of the last stage.

use std::marker::PhantomData;
use std::sync::Arc;

use super::super::built::Definition;
use super::super::graph::Leads;
use crate::chooser::Chooser;
use crate::error::BoxError;
use crate::route::Takes;
use crate::runner::{Runner, RunnerFactory, Several, Single};
use crate::{Join, Message, Stage, StageOptions, StartError, Step};

/// The state of a [`Pipeline`](crate::Pipeline) that has no stage yet.
#[derive(Debug)]
pub struct NoStage;

/// The state of a [`Pipeline`](crate::Pipeline) whose last stage returns `Out`, and works on whole requests or on parts, by `Of`.
pub struct Last<Out, Of = Whole> {
    pub(super) name: &'static str,
    pub(super) options: StageOptions,
    pub(super) choose: Option<Chooser>,
    takes: Takes,
    is_stateless: bool,
    takes_batches: bool,
    #[allow(clippy::type_complexity, reason = "named, it would have to be explained in two places")]
    finish: Box<dyn FnOnce(fn(Out) -> Step) -> RunnerFactory>,
    returns: PhantomData<fn() -> (Out, Of)>,
}

/// A stage that works on whole requests.
#[derive(Debug)]
pub enum Whole {}

/// A stage that works on parts of what `Of` says.
#[derive(Debug)]
pub struct PartOf<Of>(PhantomData<Of>);

/// A stage that works on whatever its routes send there.
#[derive(Debug)]
pub enum Routed {}

/// Where parts can be joined.
#[diagnostic::on_unimplemented(
    message = "there are no parts to join here",
    label = "no `.split` comes before this `.join`",
    note = "`.join` follows the stages that work on the parts, and `.split::<S>()` adds the first of these"
)]
pub trait Parts {}

impl<Of> Parts for PartOf<Of> {}
impl Parts for Routed {}

/// What there is once parts are joined.
pub trait Nesting {
    /// What they are parts of.
    type Outer: 'static;
}

impl<Of: 'static> Nesting for PartOf<Of> {
    type Outer = Of;
}

impl Nesting for Routed {
    type Outer = Routed;
}

impl Nesting for Whole {
    type Outer = Whole;
}

/// Where a pipeline can end.
#[diagnostic::on_unimplemented(
    message = "the parts of a split are never joined",
    label = "this ends with a stage that works on parts",
    note = "add the stage that takes `Join<R>` with `.join::<S>()`, or with `.node::<S>()` where `#[derive(Routes)]` says who leads there"
)]
pub trait Complete {}

impl Complete for Whole {}
impl Complete for Routed {}

/// What a constructor given to [`stage_from`](crate::Pipeline::stage_from) may return: the stage, or a `Result` of it.
///
/// ```
/// use prime_server::prelude::*;
///
/// struct Greeter { greeting: String }
///
/// #[stage]
/// impl Greeter {
///     fn run(&mut self, _: Request) -> String {
///         self.greeting.clone()
///     }
/// }
///
/// let path = "Cargo.toml";
/// let pipeline = Pipeline::new("greeter")
///     .stage_from(move || std::fs::read_to_string(path).map(|greeting| Greeter { greeting }))
///     .build()?;
/// assert!(pipeline.test(Request::get("/"))?.status().is_success());
/// # Ok::<(), StartError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a constructor returned `{Self}`, which is not a stage",
    label = "neither a stage nor a `Result` of one",
    note = "return the stage, or `Result<Stage, E>` where `E` is an error"
)]
pub trait Constructed {
    /// The stage.
    type Stage: Stage;

    /// The stage, or why there is none.
    ///
    /// # Errors
    /// The constructor's own.
    fn constructed(self) -> Result<Self::Stage, StartError>;
}

impl<S: Stage> Constructed for S {
    type Stage = S;

    fn constructed(self) -> Result<S, StartError> {
        Ok(self)
    }
}

impl<S: Stage, E: Into<BoxError>> Constructed for Result<S, E> {
    type Stage = S;

    fn constructed(self) -> Result<S, StartError> {
        self.map_err(StartError::construct::<S>)
    }
}

/// What a stage takes that joins parts: a [`Join`].
#[diagnostic::on_unimplemented(
    message = "a stage that takes `{Self}` joins nothing",
    label = "this stage takes `{Self}`",
    note = "a stage that joins parts takes `Join<R>`, where `R` is what each part has come to"
)]
pub trait Joined {
    /// What each part has come to.
    type Part: Message;
}

impl<R: Message> Joined for Join<R> {
    type Part = R;
}

impl<Out: 'static, Of> Last<Out, Of> {
    pub(super) fn new<S: Stage<Out = Out>>(make: impl Fn() -> Result<S, StartError> + Send + Sync + 'static) -> Self {
        let make = Arc::new(make);
        let finish = |resolve: fn(Out) -> Step| -> RunnerFactory {
            Arc::new(move || {
                let stage = make()?;
                let runner: Box<dyn Runner> = match S::RUN_BATCH {
                    None => Box::new(Single { stage, resolve }),
                    Some(run) => Box::new(Several { stage, run, resolve }),
                };
                Ok(runner)
            })
        };
        Self {
            name: S::NAME,
            options: S::DEFAULTS,
            choose: None,
            takes: Takes::of::<S::In>(),
            is_stateless: size_of::<S>() == 0,
            takes_batches: S::RUN_BATCH.is_some(),
            finish: Box::new(finish),
            returns: PhantomData,
        }
    }

    pub(super) fn finish(self, leads: Leads, resolve: fn(Out) -> Step) -> Definition {
        let Self { name, options, choose, takes, is_stateless, takes_batches, finish, .. } = self;
        let (factory, routes) = (finish(resolve), Arc::default());
        Definition { name, options, takes, leads, factory, choose, is_stateless, takes_batches, routes }
    }
}
