//! Answers: what makes a response, and the body that it carries.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::panics::{caught, log};

/// An answer: an [`http::Response`] whose body is a [`Body`].
pub type Response<B = Body> = http::Response<B>;

/// The body of an answer.
///
/// ```
/// use prime_server::Body;
///
/// assert_eq!(Body::from("hello").as_bytes(), b"hello");
/// assert!(Body::empty().is_empty());
/// ```
///
/// Opaque, so that it can hold more than bytes one day; make one with `Body::from`. Bytes of an owner of yours
/// ([`Bytes::from_owner`]) are dropped on the front end's thread, or on ZeroMQ's: a drop that panics is caught, one that takes long
/// holds up everybody.
#[derive(Clone, Default)]
pub struct Body(Bytes);

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Bytes::new())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes, without copying them.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        if let Err(panic) = caught(|| drop(bytes)) {
            log(|| tracing::error!(panic, "the owner of an answer's body panicked when it was dropped"));
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?})", self.0)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Bytes::from_static(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

/// What a stage sends back to the front end: its answer whole, or piece by piece.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Boxed, like the head: it is moved often on its way, and a queue has room for the largest that a note can be.
    Whole(Box<Response>),
    /// Status and headers; the body follows.
    Head(Box<Response>),
    /// A piece of the body.
    Chunk(Bytes),
    /// The body is complete.
    End,
    /// The body will never be complete, and the client must see that.
    Abort,
}

impl Reply {
    pub(crate) fn whole(response: Response) -> Self {
        Reply::Whole(Box::new(response))
    }

    pub(crate) fn head(response: Response) -> Self {
        Reply::Head(Box::new(response))
    }
}

/// What a stage may answer with.
///
/// Text is `text/plain; charset=utf-8`, bytes are `application/octet-stream`, [`Json`] is `application/json`, a bare
/// [`StatusCode`] has no body. Tuples add to what they hold: `(StatusCode, T)` sets the status, `([(name, value); N], T)` and
/// `(HeaderMap, T)` set headers, `(StatusCode, [(name, value); N], T)` both.
///
/// ```
/// use prime_server::prelude::*;
///
/// let response = (StatusCode::CREATED, [("location", "/jobs/7")], "made\n").into_response();
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.headers()["location"], "/jobs/7");
/// ```
///
/// An answer whose status allows no body (204, 205, 304) is sent without the one it was given; an interim status (1xx) is no
/// answer, and becomes 500. `content-length`, `transfer-encoding` and `connection` are the front end's to say: what a stage
/// sets of them is left out, except that `connection: close` closes the connection after the answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an answer",
    label = "cannot be made a response",
    note = "answers are strings, bytes, `Json<T>`, `StatusCode`, `(StatusCode, T)`, `([(name, value); N], T)`, `http::Response<B>`; for a type of your own, write `impl IntoResponse for {Self}`"
)]
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

/// A value to answer as JSON.
///
/// ```
/// use prime_server::prelude::*;
///
/// let response = Json([1, 2, 3]).into_response();
/// assert_eq!(response.headers()["content-type"], "application/json");
/// assert_eq!(response.body().as_bytes(), b"[1,2,3]");
/// ```
///
/// One that cannot be written as JSON answers 500, and the log says why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn with_type(kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        self.map(Into::into)
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self;
        response
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        with_type(TEXT, self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        with_type(TEXT, self)
    }
}

impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(text) => text.into_response(),
            Cow::Owned(text) => text.into_response(),
        }
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        with_type(BYTES, self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        with_type(BYTES, self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        with_type(BYTES, self)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => with_type(JSON, bytes),
            Err(error) => {
                let name = std::any::type_name::<T>();
                log(|| tracing::error!(%error, r#type = name, "an answer cannot be written as JSON"));
                failed()
            }
        }
    }
}

/// Marks a 500 that stands for an answer that could not be made, whatever status the stage meant it to have.
#[derive(Clone, Copy, Debug)]
struct Failed;

fn failed() -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(Failed);
    response
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        if response.extensions().get::<Failed>().is_none() {
            *response.status_mut() = self.0;
        }
        response
    }
}

impl<T: IntoResponse> IntoResponse for (HeaderMap, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.headers_mut().extend(self.0);
        response
    }
}

impl<K, V, T, const N: usize> IntoResponse for ([(K, V); N], T)
where
    K: TryInto<HeaderName, Error: fmt::Display>,
    V: TryInto<HeaderValue, Error: fmt::Display>,
    T: IntoResponse,
{
    /// A name or value that no header may have (a line break in it, for one) answers 500, and the log says which.
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        for (name, value) in self.0 {
            let header = name.try_into().map_err(|e| e.to_string()).and_then(|name| match value.try_into() {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(format!("{name}: {error}")),
            });
            match header {
                Ok((name, value)) => _ = response.headers_mut().insert(name, value),
                Err(error) => {
                    log(|| tracing::error!(error, "a stage answered with a header that cannot be sent"));
                    return failed();
                }
            }
        }
        response
    }
}

impl<K, V, T, const N: usize> IntoResponse for (StatusCode, [(K, V); N], T)
where
    ([(K, V); N], T): IntoResponse,
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        let (status, headers, body) = self;
        (status, (headers, body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_content_type() {
        let kind =
            |response: Response| response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(kind("text".into_response()).unwrap(), "text/plain; charset=utf-8");
        assert_eq!(kind(String::from("text").into_response()).unwrap(), "text/plain; charset=utf-8");
        assert_eq!(kind(Cow::from("text").into_response()).unwrap(), "text/plain; charset=utf-8");
        assert_eq!(kind(vec![1_u8].into_response()).unwrap(), "application/octet-stream");
        assert_eq!(kind(Bytes::from_static(b"1").into_response()).unwrap(), "application/octet-stream");
        assert_eq!(kind(b"1".as_slice().into_response()).unwrap(), "application/octet-stream");
        assert_eq!(kind(Json(true).into_response()).unwrap(), "application/json");
        assert_eq!(kind(StatusCode::NO_CONTENT.into_response()), None);
        assert_eq!(kind(http::Response::new("text").into_response()), None);
    }

    #[test]
    fn tuples_add_status_and_headers() {
        let response = (StatusCode::CREATED, [("location", "/7"), ("etag", "x")], "made").into_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["location"], "/7");
        assert_eq!(response.headers()["etag"], "x");
        assert_eq!(response.body().as_bytes(), b"made");
        let response = ([("content-type", "text/html")], "<p>").into_response();
        assert_eq!(response.headers()["content-type"], "text/html");
        let headers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("y"))]);
        assert_eq!((headers, StatusCode::OK).into_response().headers()["etag"], "y");
    }

    #[test]
    fn a_header_with_a_line_break_answers_500_and_is_logged() {
        let (mut log, writer) = std::io::pipe().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.try_clone().unwrap()).finish();
        let answer = || ([("location", "/7\r\nset-cookie: stolen")], "made").into_response();
        let response = tracing::subscriber::with_default(subscriber, answer);
        let logged = std::io::read_to_string(&mut log).unwrap();
        assert!(logged.contains("header that cannot be sent") && logged.contains("location"), "{logged}");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().get("location").is_none());
        let response = (StatusCode::OK, [("bad name", "x")], "made").into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn what_is_no_json_answers_500() {
        let keyed = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(Json(&keyed).into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
        let created = (StatusCode::CREATED, Json(&keyed)).into_response();
        assert_eq!(created.status(), StatusCode::INTERNAL_SERVER_ERROR, "not a 201 of nothing");
        let nested = (StatusCode::OK, ([("bad name", "x")], "made")).into_response();
        assert_eq!(nested.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let over = (StatusCode::CREATED, [("etag", "x")], StatusCode::INTERNAL_SERVER_ERROR).into_response();
        assert_eq!(over.status(), StatusCode::CREATED, "a status of the stage's own gives way");
    }
}
