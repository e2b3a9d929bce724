//! What names a request, and a stage.

use std::fmt;

/// Names a request in logs and metrics of your own; it prints as `3-1f`.
///
/// ```
/// # use prime_server::prelude::*;
/// let cx = Context::test();
/// println!("{}: {}", cx.id(), cx.head().path());
/// ```
///
/// Names it for as long as it is in flight: the key of its place at the front end and that place's generation, so
/// that an answer that comes too late finds nobody instead of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    pub(crate) key: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.key, self.generation)
    }
}

/// A stage's place in its pipeline, resolved once when the pipeline is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StageId(pub(crate) u16);

impl StageId {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The stage's bit in [`Context::passed`]; a pipeline has at most 64 stages.
    pub(crate) fn bit(self) -> u64 {
        1 << self.0
    }
}
