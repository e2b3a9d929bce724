//! No interleaving loses a wake-up, and none rings twice for one sleep.

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

#[path = "../../../prime_server/src/wake.rs"]
mod wake;

use sync::{AtomicBool, Ordering};
use wake::WakeFlag;

/// A front end that sleeps at most once, with the wakers' channel and eventfd.
///
/// The channel is no more than what a channel promises: release when work is left, acquire when it is found. A mutex would
/// order too much, and hide that the protocol needs its fences.
struct Model {
    flag: WakeFlag,
    work: [AtomicBool; 2],
    rings: AtomicUsize,
}

impl Model {
    fn new() -> Arc<Self> {
        let work = [AtomicBool::new(false), AtomicBool::new(false)];
        Arc::new(Self { flag: WakeFlag::new(), work, rings: AtomicUsize::new(0) })
    }

    fn leave(&self, work: usize) {
        self.work[work].store(true, Ordering::Release);
        if self.flag.must_wake() {
            self.rings.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn has_work(&self) -> bool {
        self.work.iter().any(|work| work.load(Ordering::Acquire))
    }
}

fn with_wakers(wakers: usize) {
    loom::model(move || {
        let model = Model::new();
        let threads: Vec<_> = (0..wakers)
            .map(|n| {
                let model = Arc::clone(&model);
                thread::spawn(move || model.leave(n))
            })
            .collect();

        model.flag.arm();
        let found = model.has_work();
        threads.into_iter().for_each(|thread| thread.join().unwrap());

        // All wakers are done: who sleeps now sleeps for ever, unless somebody rang.
        let rings = model.rings.load(Ordering::Relaxed);
        assert!(found || rings > 0, "work was left and nobody rang");
        assert!(rings <= 1, "one sleep, one ring");
    });
}

#[test]
fn one_waker_never_leaves_the_sleeper_asleep() {
    with_wakers(1);
}

#[test]
fn two_wakers_never_leave_the_sleeper_asleep_and_ring_once() {
    with_wakers(2);
}

#[test]
fn a_disarmed_sleeper_is_not_rung() {
    loom::model(|| {
        let model = Model::new();
        model.flag.arm();
        model.flag.disarm();
        let waker = Arc::clone(&model);
        thread::spawn(move || waker.leave(0)).join().unwrap();
        assert_eq!(model.rings.load(Ordering::Relaxed), 0);
        assert!(model.has_work());
    });
}
