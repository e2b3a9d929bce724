//! What a worker is good at, and the user's own choice among idle workers by that.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Head;
use crate::panics::{caught, log};

/// What a worker says of itself, for [`Pipeline::choose`](crate::Pipeline::choose) to choose by: the region whose data it has at hand, a
/// hash of what its cache holds. Bytes that mean what you want them to mean, [`MOST`](Self::MOST) at the most. A stage says it by
/// [`Run::affinity`](crate::Run::affinity).
///
/// ```
/// # use prime_server::Affinity;
/// let north = Affinity::from("north");
/// assert!(north == *"north" && north.as_bytes() == b"north");
/// assert_eq!(Affinity::from(7_u64.to_le_bytes().to_vec()).as_bytes(), [7, 0, 0, 0, 0, 0, 0, 0]);
/// assert_eq!(Affinity::default(), Affinity::NONE);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Affinity(Bytes);

impl Affinity {
    /// That of a worker that says nothing of itself: no bytes.
    pub const NONE: Self = Self(Bytes::new());

    /// The most bytes. Of a worker that says more the log tells, and it has [`NONE`](Self::NONE).
    pub const MOST: usize = 256;

    /// What the worker has said.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl From<Vec<u8>> for Affinity {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Affinity {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&[u8]> for Affinity {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Affinity {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl PartialEq<[u8]> for Affinity {
    fn eq(&self, bytes: &[u8]) -> bool {
        self.0 == bytes
    }
}

impl PartialEq<str> for Affinity {
    fn eq(&self, text: &str) -> bool {
        self.0 == text
    }
}

/// A user's function that chooses among idle workers.
#[derive(Clone)]
pub(crate) struct Chooser(Arc<Choose>);

type Choose = dyn Fn(&Head, &[Affinity]) -> Option<usize> + Send + Sync;

impl Chooser {
    pub(crate) fn new(choose: impl Fn(&Head, &[Affinity]) -> Option<usize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(choose))
    }

    /// Which of these is to have the job of such a request. `None` where that is all the same, or the function is wrong.
    pub(crate) fn choose(&self, head: &Head, idle: &[Affinity]) -> Option<usize> {
        let chosen = caught(|| (self.0)(head, idle)).unwrap_or_else(|panic| {
            log(|| tracing::error!(panic, "the function panicked that chooses a worker"));
            None
        });
        chosen.filter(|at| *at < idle.len())
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    #[test]
    fn a_choice_that_is_none_of_the_idle_workers_or_a_panic_is_no_choice() {
        let choose = |head: &Head, idle: &[Affinity]| match head.path() {
            "/panic" => panic!("which one?"),
            "/nonsense" => Some(idle.len()),
            path => idle.iter().position(|worker| worker == path.trim_start_matches('/')),
        };
        let (chooser, idle) = (Chooser::new(choose), ["a", "b"].map(Affinity::from));
        let chosen = |path: &str| chooser.choose(Request::get(path).head(), &idle);
        assert_eq!(["/b", "/c", "/panic", "/nonsense"].map(chosen), [Some(1), None, None, None]);
    }
}
