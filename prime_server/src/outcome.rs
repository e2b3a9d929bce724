//! What a stage may return, and what becomes of it: a job for the next stage, or the answer.

use http::StatusCode;

use crate::panics::log;
use crate::{ErrorResponse, IntoResponse, Join, Message, Response, RouteTo, Sends, Split, Step, Streamed};

/// Either the input of the next stage, or the answer, early.
///
/// ```
/// # use prime_server::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Message, Serialize, Deserialize)] struct Candidate(u64);
/// #[stage]
/// fn parse(request: Request) -> Flow<Candidate> {
///     match request.text().map(str::parse) {
///         Ok(Ok(n)) => Flow::Forward(Candidate(n)),
///         _ => Flow::answer((StatusCode::BAD_REQUEST, "a number, please\n")),
///     }
/// }
/// ```
#[derive(Debug)]
pub enum Flow<M> {
    /// On to the next stage.
    Forward(M),
    /// Back to the client from here.
    Answer(Response),
}

impl<M> Flow<M> {
    /// Answers with anything that makes a response.
    pub fn answer(response: impl IntoResponse) -> Self {
        Flow::Answer(response.into_response())
    }
}

/// What a stage may return when another stage follows that takes `In`: an `In`, a `Result<In, E>` whose error answers, or
/// a [`Flow<In>`](Flow), or a `Result` of that.
///
/// An error's status is its own: `(StatusCode, T)`, an extractor's error, or what your `IntoResponse` says; [`ErrorResponse`] is
/// any of them. One that would be a success, such as a bare text, is answered 500 instead; an early success is a
/// [`Flow::Answer`].
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Word(String);
///
/// #[stage]
/// fn word(request: Request) -> Result<Word, prime_server::TextError> {
///     Ok(Word(request.text()?.to_owned()))
/// }
///
/// #[stage]
/// fn shout(Word(word): Word) -> String {
///     word.to_uppercase()
/// }
///
/// let pipeline = Pipeline::new("shout").stage::<word>().stage::<shout>().build()?;
/// assert_eq!(pipeline.test(Request::post("/", "hey"))?.body().as_bytes(), b"HEY");
/// # Ok::<(), StartError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot feed a stage that takes `{In}`",
    label = "this stage takes `{In}`, and is fed `{Self}`",
    note = "the first stage of a pipeline is fed `Request`, each other one what the stage before it returns",
    note = "what feeds this stage is `{In}` or a `Flow` of it, or a `Result` of one of these whose error answers",
    note = "the stage after one that returns a `Split` is added with `.split::<S>()`, and one that `#[derive(Routes)]` leads to with `.node::<S>()`"
)]
pub trait Feeds<In: Message> {
    /// Sorts the value: forward or answer.
    fn feed(self) -> Flow<In>;
}

impl<M: Message> Feeds<M> for M {
    fn feed(self) -> Flow<M> {
        Flow::Forward(self)
    }
}

impl<M: Message, E: IntoResponse> Feeds<M> for Result<M, E> {
    fn feed(self) -> Flow<M> {
        match self {
            Ok(message) => Flow::Forward(message),
            Err(error) => Flow::Answer(as_error(error)),
        }
    }
}

impl<M: Message> Feeds<M> for Result<M, ErrorResponse> {
    fn feed(self) -> Flow<M> {
        self.map_err(ErrorResponse::into_inner).feed()
    }
}

impl<M: Message> Feeds<M> for Flow<M> {
    fn feed(self) -> Flow<M> {
        self
    }
}

impl<M: Message, E: IntoResponse> Feeds<M> for Result<Flow<M>, E> {
    fn feed(self) -> Flow<M> {
        self.unwrap_or_else(|error| Flow::Answer(as_error(error)))
    }
}

impl<M: Message> Feeds<M> for Result<Flow<M>, ErrorResponse> {
    fn feed(self) -> Flow<M> {
        self.map_err(ErrorResponse::into_inner).feed()
    }
}

/// What a stage may return when no stage follows: anything that makes a response, an enum whose `#[derive(Routes)]` says where each
/// of its variants goes, a `Result` of one and an error that answers, or a [`Flow`] of one. Of an error that would be a success,
/// [`Feeds`] says what becomes.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn lookup(request: Request) -> Result<Json<u32>, StatusCode> {
///     match request.head().path() {
///         "/answer" => Ok(Json(42)),
///         _ => Err(StatusCode::NOT_FOUND),
///     }
/// }
///
/// let pipeline = Pipeline::new("lookup").stage::<lookup>().build()?;
/// assert_eq!(pipeline.test(Request::get("/answer"))?.body().as_bytes(), b"42");
/// assert_eq!(pipeline.test(Request::get("/"))?.status(), 404);
/// # Ok::<(), StartError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a pipeline cannot end with a stage that returns `{Self}`",
    label = "this is not an answer",
    note = "the last stage returns an answer (a string, bytes, `Json<T>`, `StatusCode`, `(StatusCode, T)`, or what is `IntoResponse`), a `Result` whose value and error are answers, or a `Flow` of one",
    note = "or it is an enum with `#[derive(Routes)]`, or the stage that takes `{Self}` is missing here"
)]
pub trait Outcome {
    /// The stages that this outcome may go to.
    const ROUTES: &'static [RouteTo] = &[];

    /// Sorts the value: answer or send.
    fn resolve(self) -> Step;
}

impl<R: IntoResponse> Outcome for R {
    fn resolve(self) -> Step {
        Step::Answer(self.into_response())
    }
}

impl<O: Outcome, E: IntoResponse> Outcome for Result<O, E> {
    const ROUTES: &'static [RouteTo] = O::ROUTES;

    fn resolve(self) -> Step {
        self.map_or_else(|error| Step::Answer(as_error(error)), O::resolve)
    }
}

impl<O: Outcome> Outcome for Result<O, ErrorResponse> {
    const ROUTES: &'static [RouteTo] = O::ROUTES;

    fn resolve(self) -> Step {
        self.map_err(ErrorResponse::into_inner).resolve()
    }
}

impl Outcome for Streamed {
    fn resolve(self) -> Step {
        Step::Streamed(self)
    }
}

impl<O: Outcome> Outcome for Flow<O> {
    const ROUTES: &'static [RouteTo] = O::ROUTES;

    fn resolve(self) -> Step {
        match self {
            Flow::Forward(outcome) => outcome.resolve(),
            Flow::Answer(response) => Step::Answer(response),
        }
    }
}

/// An `Err` is no success: where what it holds makes one, as a text does that has no status beside it, it is a 500.
fn as_error<E: IntoResponse>(error: E) -> Response {
    let mut response = error.into_response();
    if response.status().is_success() {
        let error = std::any::type_name::<E>();
        log(|| tracing::warn!(error, "an `Err` without a status of its own is answered 500"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

/// What a stage may return when its parts go to a stage that takes `In`, by [`.split`](crate::Pipeline::split): a
/// [`Split<In>`](Split) or a [`Flow`] of one, or a `Result` of one of these whose error answers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `Split`, and this stage takes its parts",
    label = "this stage takes `{In}`, and the stage before it returns `{Self}`",
    note = "what is split for this stage is a `Split<{In}>` or a `Flow` of it, or a `Result` of one of these whose error answers"
)]
pub trait Splits<In: Message> {
    /// Sorts the value: split or answer.
    fn split(self) -> Flow<Split<In>>;
}

impl<M: Message> Splits<M> for Split<M> {
    fn split(self) -> Flow<Split<M>> {
        Flow::Forward(self)
    }
}

impl<M: Message, E: IntoResponse> Splits<M> for Result<Split<M>, E> {
    fn split(self) -> Flow<Split<M>> {
        self.map_or_else(|error| Flow::Answer(as_error(error)), Flow::Forward)
    }
}

impl<M: Message> Splits<M> for Result<Split<M>, ErrorResponse> {
    fn split(self) -> Flow<Split<M>> {
        self.map_err(ErrorResponse::into_inner).split()
    }
}

impl<M: Message> Splits<M> for Flow<Split<M>> {
    fn split(self) -> Flow<Split<M>> {
        self
    }
}

impl<M: Message, E: IntoResponse> Splits<M> for Result<Flow<Split<M>>, E> {
    fn split(self) -> Flow<Split<M>> {
        self.unwrap_or_else(|error| Flow::Answer(as_error(error)))
    }
}

impl<M: Message> Splits<M> for Result<Flow<Split<M>>, ErrorResponse> {
    fn split(self) -> Flow<Split<M>> {
        self.map_err(ErrorResponse::into_inner).split()
    }
}

/// The step of a stage whose follower takes `In`.
pub(crate) fn forward<In: Message, Out: Feeds<In>>(out: Out) -> Step {
    onward::<In, In>(out.feed())
}

/// The step of a stage whose follower takes parts of what it returns.
pub(crate) fn split<In: Message, Out: Splits<In>>(out: Out) -> Step {
    onward::<In, Split<In>>(out.split())
}

/// The step of a stage that works on parts, where what follows joins what they have come to.
pub(crate) fn join<R: Message, Out: Feeds<R>>(out: Out) -> Step {
    onward::<Join<R>, R>(out.feed())
}

/// The only route of a stage in a chain is to the next.
fn onward<In: Message, S: Sends<In>>(flow: Flow<S>) -> Step {
    match flow {
        Flow::Forward(value) => value.send(0),
        Flow::Answer(response) => Step::Answer(response),
    }
}
