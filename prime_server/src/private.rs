//! What the macros and our own tests need and nobody else: no part of the public interface.

use std::collections::BTreeSet;

pub use bytes::Bytes;
pub use serde::Serialize;
pub use serde::de::DeserializeOwned;

pub use crate::cli::{httpd, keygen, proxyd};
pub use crate::codec::{from_json, from_postcard, to_json, to_postcard};
use crate::discovery::{self, Discover};
pub use crate::stage::RunBatch;
use crate::{BoxError, Feeds, Flow, Message, Outcome, Stage, StartError, Step};

/// What the `new` of the stage `S` returns.
#[diagnostic::on_unimplemented(
    message = "`new` returns `{Self}`, which does not make the stage",
    label = "not `{S}`, nor a `Result` of it",
    note = "write `-> Self`, or `-> Result<Self, E>` where `E` is an error"
)]
pub trait Made<S> {
    fn made(self) -> Result<S, StartError>;
}

impl<S: Stage> Made<S> for S {
    fn made(self) -> Result<S, StartError> {
        Ok(self)
    }
}

impl<S: Stage, E: Into<BoxError>> Made<S> for Result<S, E> {
    fn made(self) -> Result<S, StartError> {
        self.map_err(StartError::construct::<S>)
    }
}

/// Stands in for what a stage returns where the macro cannot tell, so that its message is the only one.
#[derive(Debug)]
pub enum Unknown {}

impl<In: Message> Feeds<In> for Unknown {
    fn feed(self) -> Flow<In> {
        match self {}
    }
}

impl Outcome for Unknown {
    fn resolve(self) -> Step {
        match self {}
    }
}

/// The step of a variant that leads nowhere.
pub fn answer<O: Outcome>(answer: O) -> Step {
    const { assert!(O::ROUTES.is_empty(), "a variant whose value has routes of its own cannot be an answer") };
    answer.resolve()
}

/// Tells the stages and endpoints that are found, until what it returns is dropped.
pub fn discover(
    discover: &Discover,
    own: [u8; 16],
    found: impl Fn(BTreeSet<(Option<String>, String)>) + Send + 'static,
) -> Result<impl Sized, StartError> {
    discover.watch(own, move |places| found(places.into_iter().map(|place| (place.stage, place.endpoint)).collect()))
}

/// Announces the port by beacon, until what it returns is dropped.
pub fn announce(interface: Option<&str>, uuid: [u8; 16], port: u16) -> Result<impl Sized, StartError> {
    discovery::announce(interface, uuid, port)
}
