//! HTTP/1.x without I/O: [`Connection`] takes bytes and gives requests, takes answers and gives bytes.
//!
//! RFC 9110 (semantics) and RFC 9112 (HTTP/1.1) decide; where they leave a choice, the strict one is taken.

mod body;
mod connection;
mod encode;
mod limits;
mod parse;

pub(crate) use connection::{Arrival, Connection};
pub use limits::Limits;
pub(crate) use parse::header_map;

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
