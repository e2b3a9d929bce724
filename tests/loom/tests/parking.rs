//! In no interleaving does a thread sleep on that was woken, whatever else it has parked for meanwhile.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread::{self, Thread};

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::thread::{Thread, park};

    /// Its time is over as soon as nobody else has anything to do.
    pub(crate) fn park_timeout(_: std::time::Duration) {
        loom::thread::yield_now();
    }
}

#[path = "../../../prime_server/src/parking.rs"]
mod parking;

use parking::Parking;
use sync::{AtomicBool, Ordering};

struct Model {
    parking: Parking,
    work: AtomicBool,
    /// What the user's code waits for.
    message: AtomicBool,
}

impl Model {
    fn new() -> Arc<Self> {
        let (work, message) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { parking: Parking::default(), work, message })
    }

    fn leave(&self, worker: &Thread) {
        self.work.store(true, Ordering::Relaxed);
        self.parking.unpark(worker);
    }

    fn send(&self, worker: &Thread) {
        self.message.store(true, Ordering::Release);
        worker.unpark();
    }

    /// As a channel does.
    fn receive(&self) {
        while !self.message.load(Ordering::Acquire) {
            thread::park();
        }
    }

    fn has_work(&self) -> bool {
        self.work.load(Ordering::Relaxed)
    }
}

fn spawn(model: &Arc<Model>, run: fn(&Model, &Thread)) {
    let (model, worker) = (Arc::clone(model), thread::current());
    thread::spawn(move || run(&model, &worker));
}

#[test]
fn a_wake_up_that_the_users_code_takes_is_not_lost() {
    loom::model(|| {
        let model = Model::new();
        spawn(&model, Model::leave);
        spawn(&model, Model::send);
        if !model.has_work() {
            model.receive();
            model.parking.park();
            assert!(model.has_work(), "it was woken for nothing");
        }
    });
}

#[test]
fn a_thread_that_sleeps_for_some_time_finds_what_was_left() {
    loom::model(|| {
        let model = Model::new();
        spawn(&model, Model::leave);
        while !model.has_work() {
            model.parking.park_timeout(Duration::ZERO);
        }
    });
}
