//! HTTP/1.x without I/O: [`Connection`] takes bytes and gives requests, takes answers and gives bytes.
//!
//! RFC 9110 (semantics) and RFC 9112 (HTTP/1.1) decide; where they leave a choice, the strict one is taken:
//!
//! * A line ends with CRLF, and neither CR nor LF stands alone. One empty line before a request is read over, no second.
//! * The length of a body is told once: by one Content-Length of digits, or by `chunked`, alone, under HTTP/1.1.
//! * A target is visible ASCII. Host names a host, and so does an http URL, without a user in it.
//! * Chunk extensions and trailers are read over, but must be well-formed and short.
//! * An error is answered in its turn and ends the connection, as does all that leaves open where the next request begins.
//!
//! A later minor version (HTTP/1.2) is read as 1.1, as RFC 9110, 2.5, has it.

mod body;
mod connection;
mod encode;
#[cfg(any(test, fuzzing))]
#[allow(unreachable_pub, reason = "public for the fuzz targets alone")]
pub mod fuzzing;
mod limits;
mod output;
mod parse;
mod syntax;

pub(crate) use connection::{Arrival, Connection, Receiving};
pub use limits::Limits;
pub(crate) use output::Piece;
pub(crate) use parse::is_known;

use http::StatusCode;

/// Why a connection's bytes are no request. It is answered, then the connection closes, since where the next request would
/// begin is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) status: StatusCode,
    pub(crate) sentence: &'static str,
}

impl Reject {
    const fn new(status: StatusCode, sentence: &'static str) -> Self {
        Self { status, sentence }
    }

    const fn bad(sentence: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }
}
