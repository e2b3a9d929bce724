//! The job of the balancers' tests.

use super::Job;
use crate::Priority;
use crate::ids::RequestId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestJob {
    pub(super) id: u32,
    pub(super) attempt: u32,
    pub(super) returns: bool,
    pub(super) is_part: bool,
    pub(super) priority: Priority,
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
    fn priority(&self) -> Priority {
        self.priority
    }
}

pub(super) fn job(id: u32) -> TestJob {
    TestJob { id, attempt: 1, returns: false, is_part: false, priority: Priority::DEFAULT }
}
