//! Messages: what travels between stages, and how it is written where it leaves the process.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::Schema;

/// A type that travels between stages: one stage returns it, the next takes it.
///
/// `#[derive(Message)]` beside serde's derives is the usual way. Between threads a message is handed over as it is; only
/// between processes is it encoded, with [postcard](https://docs.rs/postcard), or with JSON under `#[message(json)]` for
/// workers in other languages. Postcard's bytes do not say what they are, so serde's `untagged`, `tag`, `flatten` and
/// `skip_serializing_if` need JSON; and a field that serde skips is empty behind a process's border.
/// [`Built::test`](crate::Built::test) hands messages on as processes do, encoded.
///
/// ```
/// use prime_server::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Serialize, Deserialize, Debug, PartialEq)]
/// struct Candidate(u64);
///
/// let frame = Candidate(7).encode()?;
/// assert_eq!(Candidate::decode(frame)?, Candidate(7));
/// # Ok::<(), prime_server::CodecError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    label = "cannot travel between stages",
    note = "put `#[derive(Message, Serialize, Deserialize)]` on a type of your own, and wrap what is not yours in one"
)]
pub trait Message: Schema + Sized + Send + 'static {
    /// Writes the message for another process.
    ///
    /// # Errors
    /// [`CodecError`] where the value cannot be written, such as a JSON map whose keys are not strings.
    fn encode(&self) -> Result<Bytes, CodecError>;

    /// Reads a message that another process wrote.
    ///
    /// # Errors
    /// [`CodecError`] where the frame is not what [`encode`](Self::encode) writes.
    fn decode(frame: Bytes) -> Result<Self, CodecError>;
}

/// A message could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("message `{message}` cannot be {verb}: {detail}")]
pub struct CodecError {
    message: &'static str,
    verb: &'static str,
    detail: String,
}

impl CodecError {
    /// A message of this name could not be encoded.
    pub fn encode<M: Schema>(detail: impl ToString) -> Self {
        Self { message: M::NAME, verb: "encoded", detail: detail.to_string() }
    }

    /// A frame could not be decoded as the message of this name.
    pub fn decode<M: Schema>(detail: impl ToString) -> Self {
        Self { message: M::NAME, verb: "decoded", detail: detail.to_string() }
    }
}

/// What the derive writes into `encode` and `decode`.
pub mod codec {
    use super::{Bytes, CodecError, DeserializeOwned, Schema, Serialize};

    /// What a derived message is written by: serde, with a message that says what to derive.
    #[diagnostic::on_unimplemented(
        message = "message `{Self}` cannot be written",
        label = "derive `Serialize` for it",
        note = "`#[derive(Message)]` stands beside serde's derives: `#[derive(Message, Serialize, Deserialize)]`"
    )]
    pub trait Written: Serialize {}

    impl<M: Serialize> Written for M {}

    /// What a derived message is read by.
    #[diagnostic::on_unimplemented(
        message = "message `{Self}` cannot be read",
        label = "derive `Deserialize` for it",
        note = "`#[derive(Message)]` stands beside serde's derives: `#[derive(Message, Serialize, Deserialize)]`"
    )]
    pub trait Read: DeserializeOwned {}

    impl<M: DeserializeOwned> Read for M {}

    /// Writes with postcard.
    ///
    /// # Errors
    /// As [`Message::encode`](super::Message::encode).
    pub fn to_postcard<M: Schema + Written>(message: &M) -> Result<Bytes, CodecError> {
        postcard::to_allocvec(message).map(Bytes::from).map_err(|error| CodecError::encode::<M>(said(error)))
    }

    /// Reads with postcard; bytes left over are an error.
    ///
    /// # Errors
    /// As [`Message::decode`](super::Message::decode).
    pub fn from_postcard<M: Schema + Read>(frame: &[u8]) -> Result<M, CodecError> {
        match postcard::take_from_bytes(frame) {
            Ok((message, [])) => Ok(message),
            Ok((_, rest)) => Err(CodecError::decode::<M>(format_args!("{} bytes left over", rest.len()))),
            Err(error) => Err(CodecError::decode::<M>(said(error))),
        }
    }

    /// What postcard, whose bytes do not say what they are, cannot do for a type that asks to be told.
    fn said(error: postcard::Error) -> String {
        use postcard::Error::{SerdeDeCustom, SerdeSerCustom, SerializeSeqLengthUnknown, WontImplement};
        match error {
            WontImplement | SerializeSeqLengthUnknown | SerdeDeCustom | SerdeSerCustom => format!(
                "{error}; serde's `untagged`, `tag`, `flatten` and `skip_serializing_if` need `#[message(json)]`"
            ),
            error => error.to_string(),
        }
    }

    /// Writes as JSON.
    ///
    /// # Errors
    /// As [`Message::encode`](super::Message::encode).
    pub fn to_json<M: Schema + Written>(message: &M) -> Result<Bytes, CodecError> {
        serde_json::to_vec(message).map(Bytes::from).map_err(CodecError::encode::<M>)
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// As [`Message::decode`](super::Message::decode).
    pub fn from_json<M: Schema + Read>(frame: &[u8]) -> Result<M, CodecError> {
        serde_json::from_slice(frame).map_err(CodecError::decode::<M>)
    }
}
