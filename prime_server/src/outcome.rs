//! What a stage may return, and what becomes of it: a job for the next stage, or the answer.

use http::StatusCode;

use crate::transport::Payload;
use crate::{ErrorResponse, IntoResponse, Message, Response, Streamed};

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
/// a [`Flow<In>`](Flow).
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
    note = "what feeds this stage is `{In}`, `Result<{In}, E>` where `E: IntoResponse`, or `Flow<{In}>`"
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
        /// The index into [`Outcome::ROUTES`]; 0, the next stage, in a linear pipeline.
        route: usize,
        /// What the target stage takes.
        payload: Payload,
    },
}

/// What a stage may return when no stage follows: anything that makes a response, a `Result` of two such things, or a
/// [`Flow`] of one. Of an error that would be a success, [`Feeds`] says what becomes.
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
    note = "or the stage that takes `{Self}` is missing here"
)]
pub trait Outcome {
    /// The names of the stages that this outcome may go to.
    const ROUTES: &'static [&'static str] = &[];

    /// Sorts the value: answer or send.
    fn resolve(self) -> Step;
}

impl<R: IntoResponse> Outcome for R {
    fn resolve(self) -> Step {
        Step::Answer(self.into_response())
    }
}

impl<R: IntoResponse, E: IntoResponse> Outcome for Result<R, E> {
    fn resolve(self) -> Step {
        Step::Answer(match self {
            Ok(response) => response.into_response(),
            Err(error) => as_error(error),
        })
    }
}

impl<R: IntoResponse> Outcome for Result<R, ErrorResponse> {
    fn resolve(self) -> Step {
        self.map_err(ErrorResponse::into_inner).resolve()
    }
}

impl Outcome for Streamed {
    fn resolve(self) -> Step {
        Step::Streamed(self)
    }
}

impl<E: IntoResponse> Outcome for Result<Streamed, E> {
    fn resolve(self) -> Step {
        self.map_or_else(|error| Step::Answer(as_error(error)), Step::Streamed)
    }
}

impl Outcome for Result<Streamed, ErrorResponse> {
    fn resolve(self) -> Step {
        self.map_err(ErrorResponse::into_inner).resolve()
    }
}

impl<R: IntoResponse> Outcome for Flow<R> {
    fn resolve(self) -> Step {
        Step::Answer(match self {
            Flow::Forward(response) => response.into_response(),
            Flow::Answer(response) => response,
        })
    }
}

/// An `Err` is no success: where what it holds makes one, as a text does that has no status beside it, it is a 500.
fn as_error<E: IntoResponse>(error: E) -> Response {
    let mut response = error.into_response();
    if response.status().is_success() {
        tracing::warn!(error = std::any::type_name::<E>(), "an `Err` without a status of its own is answered 500");
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

/// The step of a stage whose follower takes `In`.
pub(crate) fn forward<In: Message, Out: Feeds<In>>(out: Out) -> Step {
    match out.feed() {
        Flow::Forward(message) => Step::Send { route: 0, payload: Payload::new(message) },
        Flow::Answer(response) => Step::Answer(response),
    }
}
