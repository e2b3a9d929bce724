//! The answers that are the framework's own.

use http::{HeaderValue, StatusCode, header};

use crate::{IntoResponse, Response};

/// 503: not now, for the reason that the sentence gives. Tells the client to wait a second.
pub(crate) fn unavailable(sentence: impl IntoResponse) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], sentence).into_response()
}

/// 204: what is allowed on a path (RFC 9110, 9.3.7).
pub(crate) fn allowed(methods: HeaderValue) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::ALLOW, methods);
    response
}

/// 504: the request's deadline, or a stage's timeout, has passed.
pub(crate) fn timed_out() -> Response {
    (StatusCode::GATEWAY_TIMEOUT, "the deadline has passed\n").into_response()
}

/// 504: the request's deadline would pass before it is done.
pub(crate) fn hopeless() -> Response {
    (StatusCode::GATEWAY_TIMEOUT, "the request cannot be done in the time that it has\n").into_response()
}

/// 503: what waits here waits for too long.
pub(crate) fn overloaded() -> Response {
    unavailable("the server is overloaded\n")
}

/// 508: the request went from stage to stage more often than it may.
pub(crate) fn too_many_hops() -> Response {
    (StatusCode::LOOP_DETECTED, "the request made too many hops\n").into_response()
}

/// 502: whatever ran the job is gone, and the job with it.
pub(crate) fn worker_lost() -> Response {
    (StatusCode::BAD_GATEWAY, "the worker that had the job was lost, or the way to it\n").into_response()
}

/// 500: the stage is at fault, and only the log says how.
pub(crate) fn failed() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

pub(crate) const BUSY: &str = "the server is busy\n";
pub(crate) const SHUTTING_DOWN: &str = "the server is shutting down\n";
