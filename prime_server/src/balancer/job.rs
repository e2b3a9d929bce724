//! What waits: what a balancer needs to know of it, and what names it.

use std::time::Instant;

use crate::ids::RequestId;
use crate::labels::Labels;

/// What a balancer needs to know of a job.
pub(crate) trait Job {
    fn id(&self) -> RequestId;
    /// Which attempt this is, from 1.
    fn attempt(&self) -> u32;
    /// Another attempt begins, as the last one's worker was lost.
    fn next_attempt(&mut self);
    /// The job has passed this stage before. It is always taken, since its sender must never be stuck with it: in a cycle
    /// the sender may be the one who should make room.
    fn returns(&self) -> bool;
    /// The job is a part of a request. It is always taken too, and does not count among those that wait, since no more are sent
    /// at a time than there are workers.
    fn is_part(&self) -> bool;
    fn labels(&self) -> Labels;
    /// When nobody waits for it any more.
    fn deadline(&self) -> Instant;
}

/// Why a job is not queued. It comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<J> {
    /// As many wait as may.
    Full(J),
    /// It takes longer than the time that it has left.
    Hopeless(J),
}

/// Names a job from its offer to its end, and never another one: slots are used again, serials are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobKey {
    pub(crate) serial: u64,
    pub(crate) slot: u32,
}

impl JobKey {
    /// As a number for other processes.
    pub(crate) fn to_bits(self) -> u64 {
        self.serial << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { serial: bits >> 32, slot: bits as u32 }
    }
}
