//! The sizer before a real pool, looked at whenever it says so and not else, on a clock that the test turns.

use super::*;
use crate::Request;
use crate::balancer::Options;
use crate::context::{Context, Ticket};
use crate::ids::{RequestId, StageId};
use crate::loopback::Loopback;
use crate::mailbox::mailbox;
use crate::metrics::{Metrics, Share};
use crate::payload::Payload;
use crate::transport::{Batching, Envelope, Local, Next, Outlet, Size, Source, Transport};

const STAGE: StageId = StageId(0);
const SECOND: Duration = Duration::from_secs(1);

/// A stage of one or two workers, of which one works.
struct Scene {
    local: Arc<Local>,
    sizer: Sizer,
    now: Instant,
    due: Option<Instant>,
    looks: usize,
}

impl Scene {
    fn new(loopback: Loopback) -> Self {
        let metrics = Arc::new(Metrics::new("test").stage("stage", Share::Whole));
        let size =
            Size { slots: 1, most: 2, demotes: false, batching: Batching::NONE, instances: 2, fed_from_afar: false };
        let pool = Pool::new(STAGE, metrics, Options { queue: 64, ..Options::PLAIN }, size, Arc::default());
        let local = Arc::new(Local::new(vec![pool], loopback));
        let sizer = Sizer::new(local.pools().to_vec(), 2).expect("it has a range");
        Self { local, sizer, now: Instant::now(), due: None, looks: 0 }
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.local.pools()[0]
    }

    fn worker(&self) -> Source {
        let (worker, _) = self.pool().hire();
        self.pool().source(worker, Arc::clone(&self.local) as Arc<dyn Outlet>)
    }

    /// A job comes, and the supervisor looks if it waits.
    fn job(&mut self, key: u32) {
        let id = RequestId { key, generation: 1 };
        let ticket = Ticket::new(id, Request::get("/").shared_head(), self.now + 600 * SECOND);
        let job = Envelope::new(Context::new(ticket), Payload::new(Request::get("/")), self.now);
        assert!(self.local.dispatch_all(STAGE, &mut std::iter::once(job), self.now).is_empty());
        self.look();
    }

    fn look(&mut self) {
        self.looks += 1;
        self.due = self.sizer.look(self.now);
    }

    /// Time passes, in which the supervisor does what it does.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.due.filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.look();
        }
        self.now = until;
    }

    /// All jobs that wait are run, and take so long each.
    fn run_all(&mut self, each: Duration) {
        let mut worker = self.worker();
        while self.pool().load().0 > 0 {
            assert!(matches!(worker.next(), Next::Job(..)));
            self.pass(each);
            worker.done(each);
        }
    }
}

#[test]
fn a_stage_that_has_grown_shrinks_to_its_least_when_nothing_comes_any_more_and_is_not_looked_at_then() {
    let (loopback, _inbox) = mailbox().expect("an eventfd");
    let mut scene = Scene::new(loopback);
    (0..8).for_each(|key| scene.job(key));
    scene.run_all(SECOND);
    assert_eq!(scene.pool().slots(), 2);
    scene.looks = 0;
    scene.pass(60 * SECOND);
    assert_eq!(scene.pool().slots(), 1);
    assert_eq!(scene.due, None, "idle costs nothing");
    assert!(scene.looks < 40, "{} looks where one a second is enough", scene.looks);
}

#[test]
fn a_stage_that_has_grown_shrinks_while_few_jobs_come() {
    let (loopback, _inbox) = mailbox().expect("an eventfd");
    let mut scene = Scene::new(loopback);
    (0..8).for_each(|key| scene.job(key));
    scene.run_all(SECOND);
    assert_eq!(scene.pool().slots(), 2);
    for key in 8..68 {
        scene.job(key);
        scene.run_all(Duration::from_millis(10));
        scene.pass(SECOND);
    }
    assert_eq!(scene.pool().slots(), 1);
}
