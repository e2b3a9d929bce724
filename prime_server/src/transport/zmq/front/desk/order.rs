//! What a test sees of a front end's notes.

use super::*;

impl Desk {
    /// Whether it holds no job.
    pub(in crate::transport::zmq) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }
}
