//! Requests that split: their parts are balanced over a pool at once, and joined again.

use std::ops::Deref;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::payload::Payload;
use crate::schema::{Schema, Shape};
use crate::{CodecError, Message};

/// A request in parts, each of which becomes a job of the next stage.
///
/// The parts are balanced over that stage's workers like any other jobs, as many at a time as it has workers, so that other requests
/// get their turn. What they come to is [joined](Join) again, in the order of the parts. A part that answers, panics, is lost or is
/// too late answers the whole request, once, and the others are cancelled.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Range { from: u64, to: u64 }
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Sum(u64);
///
/// #[stage]
/// fn divide(_: Request) -> Split<Range> {
///     (0..10).map(|n| Range { from: n * 100, to: (n + 1) * 100 }).collect()
/// }
///
/// #[stage]
/// fn sum(range: Range) -> Sum {
///     Sum((range.from..range.to).sum())
/// }
///
/// #[stage(workers = 1)]
/// fn total(sums: Join<Sum>) -> Json<u64> {
///     Json(sums.iter().map(|Sum(sum)| sum).sum())
/// }
///
/// let pipeline = Pipeline::new("sums").stage::<divide>().split::<sum>().join::<total>().build()?;
/// assert_eq!(pipeline.test(Request::get("/"))?.body().as_bytes(), b"499500");
/// # Ok::<(), StartError>(())
/// ```
///
/// There is at least one part, and at most [`max_parts`](crate::Pipeline::max_parts): of none, or of more, the request is answered
/// 500 and the log says why. A part may be split again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<M> {
    parts: Vec<M>,
}

impl<M: Message> Split<M> {
    /// Of these parts.
    pub fn new(parts: impl IntoIterator<Item = M>) -> Self {
        parts.into_iter().collect()
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &[M] {
        &self.parts
    }

    pub(crate) fn into_payloads(self) -> Vec<Payload> {
        self.parts.into_iter().map(Payload::new).collect()
    }
}

impl<M> IntoIterator for Split<M> {
    type Item = M;
    type IntoIter = std::vec::IntoIter<M>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter()
    }
}

impl<M: Message> FromIterator<M> for Split<M> {
    fn from_iter<I: IntoIterator<Item = M>>(parts: I) -> Self {
        Self { parts: parts.into_iter().collect() }
    }
}

/// What the parts of a [`Split`] have come to, in their order. A stage that takes this is reached by the last of them.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize)]
/// struct Sum(u64);
///
/// #[stage]
/// fn total(sums: Join<Sum>) -> Json<u64> {
///     Json(sums.into_iter().map(|Sum(sum)| sum).sum())
/// }
///
/// assert_eq!(total(Join::from_iter([Sum(1), Sum(2)])).0, 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join<R>(Vec<R>);

impl<R: Message> Join<R> {
    /// Makes one payload of those of the parts.
    pub(crate) fn gather(parts: Vec<Payload>) -> Result<Payload, CodecError> {
        let parts = parts.into_iter().map(Payload::open).collect::<Result<Vec<R>, _>>()?;
        Ok(Payload::new(Self(parts)))
    }
}

impl<R> Deref for Join<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.0
    }
}

impl<R> IntoIterator for Join<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<R> FromIterator<R> for Join<R> {
    fn from_iter<I: IntoIterator<Item = R>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl<R: Schema> Schema for Join<R> {
    const NAME: &'static str = "Join";
    const SCHEMA: u64 = Shape::new(Self::NAME).of::<R>().finish();
}

/// On a wire, the frames of the parts, each after its length as four bytes, the lowest first.
impl<R: Message> Message for Join<R> {
    fn encode(&self) -> Result<Bytes, CodecError> {
        let mut frames = BytesMut::new();
        for part in &self.0 {
            let frame = part.encode()?;
            let length = u32::try_from(frame.len()).map_err(|_| CodecError::encode::<Self>("a part is over 4 GiB"))?;
            frames.put_u32_le(length);
            frames.put(frame);
        }
        Ok(frames.freeze())
    }

    fn decode(mut frames: Bytes) -> Result<Self, CodecError> {
        let mut parts = Vec::new();
        while !frames.is_empty() {
            let short = |_| CodecError::decode::<Self>("it ends within a part");
            let length = frames.try_get_u32_le().map_err(short)? as usize;
            if length > frames.len() {
                return Err(CodecError::decode::<Self>("it ends within a part"));
            }
            parts.push(R::decode(frames.split_to(length))?);
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    #[test]
    fn joined_parts_survive_a_wire() {
        let parts = [Request::post("/a", "one"), Request::get("/b")];
        let frame = Join::from_iter(parts).encode().unwrap();
        let decoded = Join::<Request>::decode(frame.clone()).unwrap();
        let paths: Vec<_> = decoded.iter().map(|request| request.head().path()).collect();
        assert_eq!(paths, ["/a", "/b"]);
        assert_eq!(decoded[0].text().unwrap(), "one");
        for cut in 1..frame.len() {
            let _ = Join::<Request>::decode(frame.slice(..cut)).map(|joined| assert_eq!(joined.len(), 1));
        }
        assert!(Join::<Request>::decode(frame.slice(..2)).is_err());
        assert!(Join::<Request>::decode(Bytes::from_static(&[0xff; 8])).is_err());
    }
}
