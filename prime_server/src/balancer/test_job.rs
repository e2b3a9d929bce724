//! The job of the balancers' tests.

use std::time::Instant;

use super::Job;
use crate::context::FOREVER;
use crate::ids::RequestId;
use crate::labels::Labels;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestJob {
    pub(super) id: u32,
    pub(super) attempt: u32,
    pub(super) returns: bool,
    pub(super) is_part: bool,
    pub(super) labels: Labels,
    pub(super) deadline: Option<Instant>,
}

impl Job for TestJob {
    fn id(&self) -> RequestId {
        RequestId { key: self.id, generation: 0 }
    }
    fn attempt(&self) -> u32 {
        self.attempt
    }
    fn next_attempt(&mut self) {
        self.attempt += 1;
    }
    fn returns(&self) -> bool {
        self.returns
    }
    fn is_part(&self) -> bool {
        self.is_part
    }
    fn labels(&self) -> Labels {
        self.labels
    }
    fn deadline(&self) -> Instant {
        self.deadline.unwrap_or_else(|| Instant::now() + FOREVER)
    }
}

pub(super) fn job(id: u32) -> TestJob {
    TestJob { id, attempt: 1, returns: false, is_part: false, labels: Labels::default(), deadline: None }
}
