//! What a job carries, without its type.

use std::any::Any;
use std::fmt;

use bytes::Bytes;

use crate::{CodecError, Message};

/// A message without its type: as it is between threads, encoded between processes.
pub struct Payload(Carried);

enum Carried {
    Local(Box<dyn Parcel>),
    Wire(Bytes),
}

impl Payload {
    /// Wraps a message; one allocation.
    #[must_use]
    pub fn new<M: Message>(message: M) -> Self {
        Self(Carried::Local(Box::new(message)))
    }

    /// The message again.
    ///
    /// # Errors
    /// [`CodecError`] where the payload came over a wire and is no `M`.
    ///
    /// # Panics
    /// If the payload was made of another type in this process, which the typed builder rules out.
    pub(crate) fn open<M: Message>(self) -> Result<M, CodecError> {
        match self.0 {
            Carried::Local(parcel) => {
                let parcel: Box<dyn Any> = parcel;
                Ok(*parcel.downcast().expect("the builder connects stages whose types meet"))
            }
            Carried::Wire(frame) => M::decode(frame),
        }
    }
}

impl Payload {
    /// A message that came over a wire.
    pub(crate) fn from_wire(frame: Bytes) -> Self {
        Self(Carried::Wire(frame))
    }

    /// Whether it came over a wire, encoded.
    pub(crate) fn is_wire(&self) -> bool {
        matches!(self.0, Carried::Wire(_))
    }

    /// The message as it goes over a wire.
    pub(crate) fn into_wire(self) -> Result<Bytes, CodecError> {
        match self.0 {
            Carried::Local(parcel) => parcel.encode(),
            Carried::Wire(frame) => Ok(frame),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Carried::Local(_) => "Payload::Local",
            Carried::Wire(_) => "Payload::Wire",
        })
    }
}

/// Any message, as a trait object that only a wire transport asks to encode itself.
trait Parcel: Any + Send {
    fn encode(&self) -> Result<Bytes, CodecError>;
}

impl<M: Message> Parcel for M {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Message::encode(self)
    }
}
