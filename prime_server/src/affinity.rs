//! What a worker is good at.

use std::fmt;

use bytes::Bytes;

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
