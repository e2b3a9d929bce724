//! What can go wrong before a pipeline runs, and what an extractor says of a request that it cannot read.

use http::StatusCode;

use crate::{IntoResponse, Response};

/// Any error of a constructor or a thread, as its author made it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a pipeline could not be built or started.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str { "hello\n" }
///
/// let error = Pipeline::new("hello").stage::<hello>().workers(0).build().unwrap_err();
/// assert!(error.to_string().starts_with("stage `hello` of pipeline `hello`: `workers` is 0"));
/// ```
///
/// Its `Debug` is its `Display`, so that `fn main() -> Result<(), StartError>` ends with the sentence.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Two stages have one name.
    #[error(
        "pipeline `{pipeline}` has two stages named `{stage}`: give one of them another name with `#[stage(name = \"...\")]`"
    )]
    TwoStages {
        /// The pipeline.
        pipeline: String,
        /// The name.
        stage: &'static str,
    },
    /// More stages than a job can keep track of.
    #[error("pipeline `{pipeline}` has {stages} stages, and at most 64 are possible")]
    TooManyStages {
        /// The pipeline.
        pipeline: String,
        /// How many it has.
        stages: usize,
    },
    /// A route leads to a stage that is not there.
    #[error("{place} leads to stage `{stage}`, which is not there: add it with `.node::<S>()`, or correct the name")]
    UnknownStage {
        /// Where the route is.
        place: String,
        /// The stage that is missing.
        stage: &'static str,
    },
    /// A route leads to a stage that takes something else than is sent there.
    #[error(
        "{place} sends `{sends}` to stage `{stage}`, which takes `{takes}`: another stage of that name is meant, or another message"
    )]
    WrongMessage {
        /// Where the route is.
        place: String,
        /// Where it leads.
        stage: &'static str,
        /// The type that is sent.
        sends: &'static str,
        /// The type that is taken.
        takes: &'static str,
    },
    /// No request can come to a stage.
    #[error(
        "nothing leads to stage `{stage}` of pipeline `{pipeline}`: lead a `.route_to::<S>(..)` or a `#[to(..)]` to it, or take it out"
    )]
    Unreached {
        /// The pipeline.
        pipeline: String,
        /// The stage.
        stage: &'static str,
    },
    /// Requests are split and joined in a way that cannot work.
    #[error("{place}: {problem}")]
    Parts {
        /// The stage.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// An option has a value that cannot work.
    #[error("{place}: {problem}")]
    Option {
        /// Where the option stands.
        place: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A route's pattern is malformed, or overlaps another.
    #[error("route `{method} {pattern}`: {problem}")]
    Route {
        /// The route's method.
        method: http::Method,
        /// The route's path pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A stage's constructor failed.
    #[error("stage `{stage}` could not be constructed: {source}")]
    Construct {
        /// The stage.
        stage: &'static str,
        /// What its constructor said.
        source: BoxError,
    },
    /// A stage's constructor panicked.
    #[error("the constructor of stage `{stage}` panicked: {message}")]
    ConstructPanicked {
        /// The stage.
        stage: &'static str,
        /// The panic's message.
        message: String,
    },
    /// The operating system has no thread for a worker.
    #[error(
        "cannot start the {workers} workers of stage `{stage}`: {source}; give it fewer with `.workers(n)`, or let the process have more threads (`ulimit -u`) or memory"
    )]
    Worker {
        /// The stage.
        stage: &'static str,
        /// How many workers it is to have.
        workers: usize,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The endpoint is not one to listen on.
    #[error("cannot listen on `{endpoint}`: {problem}")]
    Endpoint {
        /// The endpoint as given.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Proxies cannot be discovered, or a proxy not announced, in the way that is asked for.
    #[error("discovery by `{discover}`: {problem}")]
    Discovery {
        /// The way, as of a [`Discover`](crate::Discover).
        discover: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Links between processes are not secured as they have to be.
    #[error("{problem}")]
    Security {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The command line is not understood.
    #[error("{problem}; see --help")]
    Arguments {
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system or ZeroMQ refused something.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What it answered.
        source: BoxError,
    },
}

impl std::fmt::Debug for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

fn sentence(status: StatusCode, error: &impl ToString) -> Response {
    (status, format!("{}\n", error.to_string())).into_response()
}

/// Where in the value the error is, and what it is; without the place where there is none to name.
#[derive(Debug)]
struct Located {
    at: Option<String>,
    detail: String,
}

impl Located {
    fn from_path(error: serde_path_to_error::Error<impl std::fmt::Display>) -> Self {
        let at = error.path().to_string();
        Self { at: (at != ".").then_some(at), detail: error.into_inner().to_string() }
    }
}

impl std::fmt::Display for Located {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.at {
            Some(at) => write!(f, "`{at}`: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

macro_rules! located {
    ($(#[$doc:meta])* $name:ident, $text:literal, $status:ident) => {
        $(#[$doc])*
        #[derive(Debug, thiserror::Error)]
        #[error($text, .0)]
        pub struct $name(Located);

        impl $name {
            pub(crate) fn from_path(error: serde_path_to_error::Error<impl std::fmt::Display>) -> Self {
                Self(Located::from_path(error))
            }
        }

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                sentence(StatusCode::$status, &self)
            }
        }
    };
}

located! {
    /// The query string is not what the stage asks for. Answers 400.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// # #[derive(serde::Deserialize, Debug)] struct Query { n: u8 }
    /// let error = Request::get("/?n=300").query::<Query>().unwrap_err();
    /// assert_eq!(error.to_string(), "the query string is not as expected: `n`: number too large to fit in target type");
    /// assert_eq!(error.into_response().status(), 400);
    /// ```
    QueryError, "the query string is not as expected: {}", BAD_REQUEST
}

located! {
    /// The path's parameters are not what the stage asks for. Answers 400.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// # #[derive(serde::Deserialize)] struct Tile { z: u8 }
    /// #[stage]
    /// fn tile(request: Request) -> Result<String, prime_server::PathError> {
    ///     let Tile { z } = request.path()?;
    ///     Ok(format!("zoom {z}\n"))
    /// }
    ///
    /// let pipeline = Pipeline::new("tiles").route(Method::GET, "/tile/{z}").stage::<tile>().build()?;
    /// assert_eq!(pipeline.test(Request::get("/tile/7"))?.body().as_bytes(), b"zoom 7\n");
    /// assert_eq!(pipeline.test(Request::get("/tile/x"))?.status(), 400);
    /// # Ok::<(), StartError>(())
    /// ```
    PathError, "the path is not as expected: {}", BAD_REQUEST
}

/// The body is not the form that the stage asks for.
///
/// ```
/// # use prime_server::prelude::*;
/// # #[derive(serde::Deserialize, Debug)] struct Form { n: u8 }
/// let error = Request::post("/", "n=7").form::<Form>().unwrap_err();
/// assert!(matches!(error, prime_server::FormError::ContentType));
/// assert_eq!(error.into_response().status(), 415);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// Another content type. Answers 415.
    #[error("a form is expected: send it with content-type application/x-www-form-urlencoded")]
    ContentType,
    /// A field is missing or not of its type. Answers 422.
    #[error("the form is not as expected: {0}")]
    Field(String),
}

impl FormError {
    pub(crate) fn from_path(error: serde_path_to_error::Error<impl std::fmt::Display>) -> Self {
        FormError::Field(Located::from_path(error).to_string())
    }
}

impl IntoResponse for FormError {
    fn into_response(self) -> Response {
        let status = match self {
            FormError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FormError::Field(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        sentence(status, &self)
    }
}

/// The body is not the JSON that the stage asks for.
///
/// ```
/// # use prime_server::prelude::*;
/// let json = |body: &'static str| -> Request {
///     http::Request::post("/").header("content-type", "application/json").body(body).unwrap().into()
/// };
/// assert_eq!(json("[1, 2]").json::<Vec<u8>>()?, [1, 2]);
/// assert_eq!(json("[1, 2").json::<Vec<u8>>().unwrap_err().into_response().status(), 400);
/// let error = json("[1, \"2\"]").json::<Vec<u8>>().unwrap_err();
/// assert!(error.to_string().starts_with("the JSON is not as expected: `[1]`"));
/// assert_eq!(error.into_response().status(), 422);
/// # Ok::<(), prime_server::JsonError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Another content type. Answers 415.
    #[error("JSON is expected: send it with content-type application/json")]
    ContentType,
    /// No JSON. Answers 400.
    #[error("the body is not JSON: {0}")]
    Syntax(String),
    /// JSON, but not of the right shape. Answers 422.
    #[error("the JSON is not as expected: {0}")]
    Shape(String),
}

impl JsonError {
    pub(crate) fn from_path(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        match error.inner().classify() {
            serde_json::error::Category::Data => JsonError::Shape(Located::from_path(error).to_string()),
            _ => JsonError::Syntax(error.into_inner().to_string()),
        }
    }
}

impl IntoResponse for JsonError {
    fn into_response(self) -> Response {
        let status = match self {
            JsonError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            JsonError::Syntax(_) => StatusCode::BAD_REQUEST,
            JsonError::Shape(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        sentence(status, &self)
    }
}

/// The body is not text.
///
/// ```
/// # use prime_server::prelude::*;
/// assert_eq!(Request::post("/", "text").text()?, "text");
/// let error = Request::post("/", b"\xff".to_vec()).text().unwrap_err();
/// assert_eq!(error.into_response().status(), 400);
/// # Ok::<(), prime_server::TextError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The content type names a charset other than UTF-8. Answers 415.
    #[error("text in UTF-8 is expected, not in `{0}`")]
    Charset(String),
    /// The bytes are not UTF-8. Answers 400.
    #[error("the body is not UTF-8: the first {0} bytes are")]
    NotUtf8(usize),
}

impl IntoResponse for TextError {
    fn into_response(self) -> Response {
        let status = match self {
            TextError::Charset(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            TextError::NotUtf8(_) => StatusCode::BAD_REQUEST,
        };
        sentence(status, &self)
    }
}

/// The answer to an error, whichever error it was: made by `?` of anything that is [`IntoResponse`].
///
/// ```
/// use prime_server::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Range { from: u64, to: u64 }
///
/// #[stage]
/// fn sum(request: Request, cx: &Context) -> Result<String, ErrorResponse> {
///     let Range { from, to } = request.query()?;
///     if from > to {
///         return Err((StatusCode::BAD_REQUEST, "`from` is above `to`\n").into());
///     }
///     let mut sum = 0_u64;
///     for n in from..=to {
///         cx.check()?;
///         sum = sum.wrapping_add(n);
///     }
///     Ok(format!("{sum}\n"))
/// }
///
/// let pipeline = Pipeline::new("sum").stage::<sum>().build()?;
/// let status = |query| Ok::<_, StartError>(pipeline.test(Request::get(query))?.status().as_u16());
/// assert_eq!((status("/?from=1&to=9")?, status("/?from=1")?, status("/?from=9&to=1")?), (200, 400, 400));
/// # Ok::<(), StartError>(())
/// ```
#[derive(Debug)]
pub struct ErrorResponse(Box<Response>);

impl ErrorResponse {
    /// The answer: for tests that call a stage as a function.
    #[must_use]
    pub fn into_inner(self) -> Response {
        *self.0
    }
}

/// It is no [`IntoResponse`] itself, or this could not be for all that are.
impl<E: IntoResponse> From<E> for ErrorResponse {
    fn from(error: E) -> Self {
        Self(Box::new(error.into_response()))
    }
}
