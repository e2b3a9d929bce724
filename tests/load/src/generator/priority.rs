//! Priority for the generator's thread, so that a busy server does not delay its own next request.

use rustix::process::setpriority_process;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Runs this thread, and what it starts, before all others: in real time, or with a nice value of
/// -10, or, for an ordinary user, not at all.
pub(crate) fn raise() {
    let lowest = 1_u8.try_into().map(ThreadPriority::Crossplatform).expect("one is a priority");
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    if set_thread_priority_and_policy(thread_native_id(), lowest, fifo).is_err() {
        // Refused too, it leaves a generator that is late more often, which it notices itself.
        let _ = setpriority_process(None, -10);
    }
}
