//! The loop: arrivals and what a policy has to do, in the order of time.

use crate::job::{Ended, Job};
use crate::policy::Policy;

/// Gives jobs, in the order of their arrival, to a policy, until all have ended. What ends at the moment of an arrival ends before it.
pub fn run(jobs: impl Iterator<Item = Job>, policy: &mut dyn Policy, ended: &mut Ended<'_>) {
    let mut jobs = jobs.peekable();
    loop {
        let due = policy.due();
        match (jobs.next_if(|job| due.is_none_or(|due| job.arrives < due)), due) {
            (Some(job), _) => policy.arrive(job, ended),
            (None, Some(due)) => policy.advance(due, ended),
            (None, None) => return,
        }
    }
}
