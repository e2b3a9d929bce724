//! The commands of the link protocol and their bytes. `README.md` beside this file says what they mean.
//!
//! Fields are borrowed from the frame that they came in, so that a proxy hands a task or a result on without looking into it.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::context::Reason;
use crate::{Body, Response};

/// Names a process.
pub(crate) type PeerId = [u8; 16];

pub(super) const MAGIC: [u8; 5] = *b"PRIME";
pub(super) const VERSION: u8 = 1;

/// One frame.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Command<'a> {
    #[serde(borrow)]
    Hello(Hello<'a>),
    #[serde(borrow)]
    Welcome(Welcome<'a>),
    Refused {
        why: &'a str,
    },
    Who,
    Beat,
    Bye,
    Status(Status),
    Announce {
        slots: u32,
        ahead: u32,
    },
    Job {
        job: u64,
        /// In microseconds.
        left: u64,
        attempt: u32,
        /// It is taken although the queue is full.
        always: bool,
        body: &'a [u8],
    },
    Outcome {
        job: u64,
        /// How long it ran, in microseconds, and what of that it has had a slot for itself; 0 where it has not ended.
        ran: u64,
        had: u64,
        ends: bool,
        body: &'a [u8],
    },
    Return {
        job: u64,
    },
    Retried {
        job: u64,
        attempt: u32,
    },
    Cancel {
        job: u64,
        reason: u8,
    },
    Window {
        job: u64,
        received: u64,
        kept: u64,
    },
    Fragment {
        last: bool,
        bytes: &'a [u8],
    },
    Affinity {
        #[serde(borrow)]
        values: Vec<&'a [u8]>,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hello<'a> {
    pub(super) magic: [u8; 5],
    pub(super) version: u8,
    /// In milliseconds.
    pub(super) liveness: u64,
    pub(super) peer: PeerId,
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) stage: &'a str,
    /// The name of the message that the stage takes, and its schema.
    pub(super) message: Option<(&'a str, u64)>,
    pub(super) worker: Option<StageTerms>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    FrontEnd,
    Worker,
    Inquirer,
}

/// What a worker says of its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StageTerms {
    pub(crate) slots: u32,
    pub(crate) queue: u64,
    /// In milliseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) idempotent: bool,
    pub(crate) strict_priority: bool,
    /// In milliseconds.
    pub(crate) max_delay: Option<u64>,
    pub(crate) refuse_hopeless: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Welcome<'a> {
    pub(super) version: u8,
    /// In milliseconds.
    pub(super) liveness: u64,
    pub(super) peer: PeerId,
    pub(super) name: &'a str,
    pub(super) stage: &'a str,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) slots: u64,
    pub(super) idempotent: bool,
}

/// What a job asks for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Task<'a> {
    pub(super) origin: PeerId,
    pub(super) request: (u32, u32),
    pub(super) trace: [u8; 16],
    pub(super) hops: u32,
    pub(super) class: u8,
    pub(super) kind: u8,
    pub(super) tenant: u64,
    pub(super) schema: u64,
    pub(super) part: bool,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) http_10: bool,
    /// The client's address: 4 bytes or 16, or none.
    pub(super) client: &'a [u8],
    pub(super) lines: &'a [u8],
    #[serde(borrow)]
    pub(super) payload: Carried<'a>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Carried<'a> {
    Request {
        #[serde(borrow)]
        params: Vec<(&'a str, &'a str)>,
        body: &'a [u8],
    },
    Message(&'a [u8]),
}

/// What a job has come to, or a piece of that.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Outcome<'a> {
    Answer {
        status: u16,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
        body: &'a [u8],
    },
    Forward {
        stage: &'a str,
        schema: u64,
        message: &'a [u8],
    },
    Split {
        stage: &'a str,
        schema: u64,
        #[serde(borrow)]
        parts: Vec<&'a [u8]>,
    },
    Join {
        stage: &'a str,
        schema: u64,
        message: &'a [u8],
    },
    Head {
        status: u16,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
    },
    Piece(&'a [u8]),
    End,
    Abort,
    Failure(Failure),
}

/// Why a job has come to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Failure {
    Lost,
    QueueFull,
    NoWorker,
    TimedOut,
    /// It has not been started, and may be sent elsewhere.
    Gone,
    Schema,
    Overloaded,
}

impl Outcome<'_> {
    /// Whether nothing follows it.
    pub(super) fn ends(&self) -> bool {
        !matches!(self, Outcome::Head { .. } | Outcome::Piece(_))
    }
}

/// The first bytes of commands that are about the link itself.
impl Command<'_> {
    pub(super) const HELLO: u8 = 0;
    pub(super) const WELCOME: u8 = 1;
    pub(super) const REFUSED: u8 = 2;
    pub(super) const WHO: u8 = 3;
    pub(super) const BEAT: u8 = 4;
    pub(super) const BYE: u8 = 5;
    pub(super) const FRAGMENT: u8 = 14;
    pub(super) const AFFINITY: u8 = 15;
}

/// Bytes as they stand in a frame.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("nothing of the protocol is refused by its format")
}

/// `None` where the bytes are none of these, or more.
pub(super) fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(frame) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// The headers of a response, as an outcome has them.
pub(super) fn headers(response: &Response) -> Vec<(&str, &[u8])> {
    response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// A response again. `None` where something of it is not allowed in one.
pub(super) fn response(status: u16, headers: Vec<(&str, &[u8])>, body: Bytes) -> Option<Response> {
    let mut builder = http::Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(body)).ok()
}

pub(super) fn reason(code: u8) -> Option<Reason> {
    Reason::from_code(code)
}

/// Microseconds, as a job's time left is told.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds, as limits are told: begun ones count, as no limit is to become none.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(any(test, fuzzing))]
#[allow(unreachable_pub, reason = "public for the fuzz targets alone")]
pub(super) mod fuzzing;
#[cfg(any(test, fuzzing))]
pub(super) mod samples;
#[cfg(test)]
mod tests;
