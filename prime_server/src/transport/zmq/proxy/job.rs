//! A job as a proxy has it.

use std::time::Instant;

use bytes::Bytes;

use crate::balancer::Job;
use crate::ids::RequestId;
use crate::labels::Labels;

#[derive(Debug)]
pub(super) struct Held {
    /// The front end that sent it, and its number there.
    pub(super) sender: usize,
    pub(super) number: u64,
    pub(super) since: Instant,
    /// It was given to a worker before.
    pub(super) given: bool,
    pub(super) deadline: Instant,
    pub(super) attempt: u32,
    pub(super) always: bool,
    pub(super) labels: Labels,
    /// The task.
    pub(super) body: Bytes,
}

impl Job for Held {
    fn id(&self) -> RequestId {
        RequestId { key: (self.number >> 32) as u32, generation: self.number as u32 }
    }
    fn attempt(&self) -> u32 {
        self.attempt
    }
    fn next_attempt(&mut self) {
        self.attempt += 1;
    }
    fn returns(&self) -> bool {
        self.always
    }
    fn is_part(&self) -> bool {
        false
    }
    fn labels(&self) -> Labels {
        self.labels
    }
    fn deadline(&self) -> Instant {
        self.deadline
    }
}
