//! A request that is cancelled while its job goes from one queue to the next never stays in a queue.

use loom::sync::{Arc, Mutex};
use loom::thread;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
}

#[path = "../../../prime_server/src/cancellation.rs"]
mod cancellation;

use cancellation::Cancellation;

/// Two queues; true where the job waits.
struct Model {
    cancellation: Cancellation,
    queues: [Mutex<bool>; 2],
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self { cancellation: Cancellation::new(), queues: [Mutex::new(false), Mutex::new(false)] })
    }

    fn queue(&self, at: usize) {
        let mut waits = self.queues[at].lock().unwrap();
        *waits = !self.cancellation.queued_at(at as u64);
    }

    fn cancel(&self) {
        if let Some(place) = self.cancellation.cancel(1) {
            *self.queues[place as usize].lock().unwrap() = false;
        }
    }

    fn waits_anywhere(&self) -> bool {
        self.queues.iter().any(|waits| *waits.lock().unwrap())
    }
}

#[test]
fn a_job_that_is_queued_while_it_is_cancelled_does_not_stay() {
    loom::model(|| {
        let model = Model::new();
        let other = Arc::clone(&model);
        let canceller = thread::spawn(move || other.cancel());
        model.queue(0);
        canceller.join().unwrap();
        assert!(!model.waits_anywhere(), "a cancelled job waits");
    });
}

#[test]
fn a_job_that_moves_on_while_it_is_cancelled_does_not_stay() {
    loom::model(|| {
        let model = Model::new();
        model.queue(0);
        *model.queues[0].lock().unwrap() = false;
        let other = Arc::clone(&model);
        let canceller = thread::spawn(move || other.cancel());
        model.queue(1);
        canceller.join().unwrap();
        assert!(!model.waits_anywhere(), "a cancelled job waits");
    });
}
