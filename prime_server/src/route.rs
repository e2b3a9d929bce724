//! Steps and routes: what becomes of a finished job, and where it may go.

use std::any::{TypeId, type_name};
use std::fmt;

use crate::payload::Payload;
use crate::{CodecError, Join, Message, Response, Split, Stage, Streamed};

/// What becomes of a finished job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// The request is answered.
    Answer(Response),
    /// The request has been answered piece by piece.
    Streamed(Streamed),
    /// The job goes on, along one of its stage's routes.
    Send {
        /// The index into [`Outcome::ROUTES`](crate::Outcome::ROUTES); 0, the next stage, in a linear pipeline.
        route: usize,
        /// What the target stage takes.
        payload: Payload,
    },
    /// The job goes on in parts.
    Split {
        /// The index into [`Outcome::ROUTES`](crate::Outcome::ROUTES).
        route: usize,
        /// What the target stage takes, for each part.
        parts: Vec<Payload>,
    },
    /// The job is a part, and waits for the others at the stage that joins them.
    Join {
        /// The index into [`Outcome::ROUTES`](crate::Outcome::ROUTES).
        route: usize,
        /// What the part has come to.
        part: Payload,
        /// Makes what the target stage takes, of all the parts.
        gather: fn(Vec<Payload>) -> Result<Payload, CodecError>,
    },
}

impl Step {
    /// Sends a value to the stage `S`, along the route of that index into [`Outcome::ROUTES`](crate::Outcome::ROUTES).
    pub fn to<S: Stage>(route: usize, value: impl Sends<S::In>) -> Self {
        value.send(route)
    }
}

/// One of the routes of an [`Outcome`](crate::Outcome): the stage that it leads to, by name, and what goes there.
///
/// `#[derive(Routes)]` writes these. By hand:
///
/// ```
/// use prime_server::prelude::*;
/// use prime_server::{Outcome, RouteTo, Step};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Collatz { n: u64, steps: u32 }
///
/// enum Next { Again(Collatz), Done(u32) }
///
/// impl Outcome for Next {
///     const ROUTES: &'static [RouteTo] = &[RouteTo::stage::<collatz, Collatz>()];
///     fn resolve(self) -> Step {
///         match self {
///             Next::Again(it) => Step::to::<collatz>(0, it),
///             Next::Done(steps) => Outcome::resolve(Json(steps)),
///         }
///     }
/// }
///
/// #[stage]
/// fn begin(_: Request) -> Collatz {
///     Collatz { n: 27, steps: 0 }
/// }
///
/// #[stage]
/// fn collatz(Collatz { n, steps }: Collatz) -> Next {
///     match n {
///         1 => Next::Done(steps),
///         n if n.is_multiple_of(2) => Next::Again(Collatz { n: n / 2, steps: steps + 1 }),
///         n => Next::Again(Collatz { n: 3 * n + 1, steps: steps + 1 }),
///     }
/// }
///
/// let pipeline = Pipeline::new("collatz").max_hops(200).stage::<begin>().stage::<collatz>().build()?;
/// assert_eq!(pipeline.test(Request::get("/"))?.body().as_bytes(), b"111");
/// # Ok::<(), StartError>(())
/// ```
#[derive(Clone, Copy)]
pub struct RouteTo {
    pub(crate) stage: &'static str,
    pub(crate) manner: Manner,
    pub(crate) takes: Takes,
}

/// The type that a stage takes.
#[derive(Clone, Copy)]
pub(crate) struct Takes {
    id: fn() -> TypeId,
    name: fn() -> &'static str,
    message: &'static str,
    schema: u64,
}

/// How a job goes along a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As one job.
    Whole,
    /// As a job for each part of it.
    Split,
    /// As one of the parts that are joined there.
    Join,
}

impl RouteTo {
    /// To the stage `S`, with an `M`.
    #[must_use]
    pub const fn stage<S: Stage, M: Sends<S::In>>() -> Self {
        Self { stage: S::NAME, manner: M::MANNER, takes: Takes::of::<S::In>() }
    }

    /// To the stage of that name, whose type is not known here, with an `M`.
    #[must_use]
    pub const fn named<M: Message>(stage: &'static str) -> Self {
        Self { stage, manner: Manner::Whole, takes: Takes::of::<M>() }
    }
}

impl Takes {
    pub(crate) const fn of<M: Message>() -> Self {
        Self { id: TypeId::of::<M>, name: type_name::<M>, message: M::NAME, schema: M::SCHEMA }
    }

    pub(crate) fn name(self) -> &'static str {
        (self.name)()
    }

    /// The message's name and schema, as another process is told them.
    pub(crate) fn message(self) -> (&'static str, u64) {
        (self.message, self.schema)
    }
}

impl PartialEq for Takes {
    fn eq(&self, other: &Self) -> bool {
        (self.id)() == (other.id)()
    }
}

impl fmt::Debug for RouteTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTo")
            .field("stage", &self.stage)
            .field("manner", &self.manner)
            .field("takes", &self.takes.name())
            .finish()
    }
}

/// What may be sent along a route to a stage that takes `In`: an `In`; a [`Split<In>`](Split), each of whose parts becomes a job;
/// where `In` is a [`Join<R>`](Join), an `R`, which waits there for the other parts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to a stage that takes `{In}`",
    label = "this is `{Self}`, and the stage takes `{In}`",
    note = "what is sent there is `{In}` or `Split<{In}>`; to a stage that takes `Join<R>`, an `R`"
)]
pub trait Sends<In: Message> {
    /// How it goes.
    const MANNER: Manner;

    /// Sends it along the route of that index into [`Outcome::ROUTES`](crate::Outcome::ROUTES).
    fn send(self, route: usize) -> Step;
}

impl<M: Message> Sends<M> for M {
    const MANNER: Manner = Manner::Whole;

    fn send(self, route: usize) -> Step {
        Step::Send { route, payload: Payload::new(self) }
    }
}

impl<M: Message> Sends<M> for Split<M> {
    const MANNER: Manner = Manner::Split;

    fn send(self, route: usize) -> Step {
        Step::Split { route, parts: self.into_payloads() }
    }
}

impl<R: Message> Sends<Join<R>> for R {
    const MANNER: Manner = Manner::Join;

    fn send(self, route: usize) -> Step {
        Step::Join { route, part: Payload::new(self), gather: Join::<R>::gather }
    }
}
