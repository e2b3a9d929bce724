//! In no interleaving is a worker demoted while it is in our code, unless it knows.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU8, Ordering};
    pub(crate) use loom::thread::yield_now;
}

#[path = "../../../prime_server/src/demotion.rs"]
mod demotion;

use demotion::Gate;

struct Model {
    gate: Gate,
    /// What the kernel thinks of the worker.
    set_back: AtomicBool,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self { gate: Gate::new(), set_back: AtomicBool::new(false) })
    }

    fn demote(&self) -> bool {
        let held = self.gate.hold();
        if held {
            self.set_back.store(true, Relaxed);
            self.gate.demoted();
        }
        held
    }

    /// The worker leaves the user's code. Whether it is demoted.
    fn close(&self) -> bool {
        let demoted = self.gate.close();
        assert_eq!(demoted, self.set_back.load(Relaxed), "the worker knows what it is");
        demoted
    }
}

#[test]
fn a_worker_that_comes_to_our_code_knows_whether_it_is_demoted() {
    loom::model(|| {
        let model = Model::new();
        let worker = Arc::clone(&model);
        let worker = thread::spawn(move || {
            worker.gate.open();
            worker.close()
        });
        let demoted = model.demote();
        assert_eq!(worker.join().unwrap(), demoted);
        assert_eq!(model.gate.is_demoted(), demoted);
    });
}

#[test]
fn a_worker_that_returned_can_be_demoted_again() {
    loom::model(|| {
        let model = Model::new();
        let worker = Arc::clone(&model);
        let worker = thread::spawn(move || {
            let mut times = 0;
            for _ in 0..2 {
                worker.gate.open();
                assert!(!worker.gate.is_closed());
                if worker.close() {
                    times += 1;
                    worker.set_back.store(false, Relaxed);
                    worker.gate.restored();
                }
                assert!(worker.gate.is_closed());
            }
            times
        });
        let demoted = model.demote();
        assert_eq!(worker.join().unwrap(), u32::from(demoted));
        assert!(!model.gate.is_demoted());
    });
}

#[test]
fn a_gate_that_is_let_go_again_demotes_nobody() {
    loom::model(|| {
        let model = Model::new();
        let worker = Arc::clone(&model);
        let worker = thread::spawn(move || {
            worker.gate.open();
            worker.close()
        });
        if model.gate.hold() {
            model.gate.release();
        }
        assert!(!worker.join().unwrap());
    });
}
