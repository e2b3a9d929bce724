use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use super::*;
use crate::balancer::{Options, WorkerId};
use crate::chooser::Chooser;
use crate::context::{Context, Ticket};
use crate::ids::{RequestId, StageId};
use crate::mailbox::mailbox;
use crate::metrics::{Metrics, Share, StageMetrics};
use crate::payload::Payload;
use crate::transport::{Batching, Envelope, Local, Next, Outlet, Pool, Size, StreamSink, Transport};
use crate::{Limits, Request};

const LIMIT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

fn metrics() -> StageMetrics {
    Metrics::new("test").stage("stage", Share::Whole)
}

fn watches(local: &Arc<Local>) -> Vec<Watch> {
    let watch = |pool: &Arc<Pool>| {
        let outlet = Arc::clone(local) as Arc<dyn Outlet>;
        Watch::new(Arc::new(Duties {
            stage: "stage",
            factory: Arc::new(|| unreachable!("nobody is hired")),
            routes: Arc::new([]),
            max_hops: 1,
            max_parts: 1,
            pool: Arc::clone(pool),
            metrics: Arc::clone(pool.metrics()),
            sink: Arc::new(StreamSink::new(Arc::clone(&outlet), &Limits::default(), || 1)),
            outlet,
            compress: None,
            announces: false,
        }))
    };
    local.pools().iter().map(watch).collect()
}

/// A supervisor of these pools, while none of them gives out a job until then.
fn supervisor(local: &Arc<Local>, until: Instant, hire: Hire) -> Supervisor {
    let supervisor = Supervisor { watches: watches(local), hire, turn: Turn::Still(until), sizer: None };
    supervisor.hold(Held::All);
    supervisor
}

#[test]
fn while_no_job_is_given_out_a_supervisor_does_nothing_else() {
    let size = Size { slots: 1, most: 1, demotes: false, batching: Batching::NONE, instances: 1, fed_from_afar: false };
    let pool = Pool::new(StageId(0), Arc::new(metrics()), Options::PLAIN, size, Arc::default());
    let local = Arc::new(Local::new(vec![pool], mailbox().unwrap().0));
    let (hired, now) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let count = Arc::clone(&hired);
    let hire = move |_: &_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let mut supervisor = supervisor(&local, now + HOUR, Box::new(hire));
    assert_eq!((supervisor.look(now), hired.load(Ordering::Relaxed)), (Some(now + HOUR), 0));
    supervisor.look(now + HOUR);
    assert_eq!(hired.load(Ordering::Relaxed), 1);
}

#[test]
fn every_stage_gives_out_jobs_again_before_the_user_chooses_at_one() {
    let stages = [StageId(0), StageId(1)];
    let both = Arc::new(OnceLock::<Arc<Local>>::new());
    let (say, said) = channel();
    let of_choice = Arc::clone(&both);
    let choose = Chooser::new(move |_, _| {
        let local = Arc::clone(of_choice.get().expect("it was set"));
        let (tell, told) = channel();
        thread::spawn(move || {
            let outlet = Arc::clone(&local) as Arc<dyn Outlet>;
            let next = local.pools()[1].source(WorkerId(0), outlet).next();
            let _ = tell.send(matches!(next, Next::Job(..)));
        });
        say.send(told.recv_timeout(LIMIT)).unwrap();
        None
    });
    let first = Pool::of_test(stages[0], metrics(), Options::PLAIN, 2).choosing(Some(choose));
    let second = Pool::of_test(stages[1], metrics(), Options::PLAIN, 1);
    let local = Arc::new(Local::new(vec![first, second], mailbox().unwrap().0));
    both.set(Arc::clone(&local)).expect("it was not set");
    for worker in [0, 1].map(WorkerId) {
        let local = Arc::clone(&local);
        thread::spawn(move || {
            let outlet = Arc::clone(&local) as Arc<dyn Outlet>;
            local.pools()[0].source(worker, outlet).next()
        });
    }
    let start = Instant::now();
    while local.pools()[0].idle() < 2 {
        assert!(start.elapsed() < LIMIT, "they do not come");
        thread::yield_now();
    }

    let now = Instant::now();
    let mut supervisor = supervisor(&local, now, Box::new(|_| unreachable!("there are enough")));
    for stage in stages {
        let ticket = Ticket::new(RequestId { key: 1, generation: 0 }, Request::get("/").shared_head(), now + HOUR);
        let job = Envelope::new(Context::new(ticket), Payload::new(Request::get("/")), now);
        assert!(local.dispatch_all(stage, &mut std::iter::once(job), now).is_empty());
    }
    supervisor.look(now);
    let said = said.try_recv();
    local.close();
    assert_eq!(said, Ok(Ok(true)));
}

fn offer(local: &Local, key: u32, now: Instant) {
    let ticket = Ticket::new(RequestId { key, generation: 0 }, Request::get("/").shared_head(), now + HOUR);
    let job = Envelope::new(Context::new(ticket), Payload::new(Request::get("/")), now);
    assert!(local.dispatch_all(StageId(0), &mut std::iter::once(job), now).is_empty());
}

/// Waits for something that another thread does.
fn until(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < LIMIT, "never: {what}");
        thread::yield_now();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_demoted_job_that_sleeps_is_owed_nothing() {
    let size = Size { slots: 1, most: 1, demotes: true, batching: Batching::NONE, instances: 2, fed_from_afar: false };
    let pool = Pool::new(StageId(0), Arc::new(metrics()), Options::PLAIN, size, Arc::default());
    let local = Arc::new(Local::new(vec![pool], mailbox().unwrap().0));
    let pool = Arc::clone(&local.pools()[0]);
    let (wake, sleep) = channel::<()>();
    let (worker, seat) = pool.hire();
    let (of_worker, of_pool) = (Arc::clone(&seat), Arc::clone(&pool));
    let outlet = Arc::clone(&local) as Arc<dyn Outlet>;
    thread::spawn(move || {
        let mut source = of_pool.source(worker, outlet);
        source.next();
        of_worker.gate.open();
        let _ = sleep.recv();
        of_worker.gate.close();
    });
    let now = Instant::now();
    offer(&local, 1, now);
    until("it sleeps", || pool.load() == (0, 1) && seat.tid().and_then(|tid| tid.is_runnable()) == Some(false));
    let (spare, _) = pool.hire();
    let (of_pool, outlet) = (Arc::clone(&pool), Arc::clone(&local) as Arc<dyn Outlet>);
    thread::spawn(move || {
        let mut source = of_pool.source(spare, outlet);
        while let Next::Job(..) = source.next() {
            source.done(Duration::ZERO);
        }
    });
    until("the spare is there", || pool.view(now).spares == 1);
    offer(&local, 2, now);
    let view = pool.view(now + HOUR);
    assert!(pool.demote(&view.overdue[0], now, || {}));
    until("the spare has done the other", || pool.load() == (0, 1));
    let mut watch = watches(&local).pop().expect("of one pool");
    let hire: Hire = Box::new(|_| Ok(()));
    let times = (0..1000).map(|turn| now + share::BOUND + turn * share::TURN);
    assert!(times.map(|at| watch.look(&hire, at).owed).all(|owed| owed == Owed::Little));
    drop(wake);
    local.close();
}

#[test]
fn spares_are_made_ahead_for_some_time_after_a_job_has_outrun_its_quantum_and_no_longer() {
    let size = Size { slots: 1, most: 1, demotes: true, batching: Batching::NONE, instances: 8, fed_from_afar: false };
    let pool = Pool::new(StageId(0), Arc::new(metrics()), Options::PLAIN, size, Arc::default());
    let local = Arc::new(Local::new(vec![pool], mailbox().unwrap().0));
    let pool = Arc::clone(&local.pools()[0]);
    let (worker, _) = pool.hire();
    let mut source = pool.source(worker, Arc::clone(&local) as Arc<dyn Outlet>);
    let now = Instant::now();
    (1..3).for_each(|key| offer(&local, key, now));
    assert!(matches!(source.next(), Next::Job(..)));
    let mut watch = watches(&local).pop().expect("of one pool");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let hire: Hire = Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let late = now + HOUR;
    let mut look = |at| {
        watch.look(&hire, at);
        asked.swap(0, Ordering::Relaxed)
    };
    assert_eq!(look(late), 2);
    source.done(Duration::ZERO);
    assert!(matches!(source.next(), Next::Job(..)));
    source.done(Duration::ZERO);
    drop(source);
    assert_eq!(look(late + lull::LULL / 2), 2);
    assert_eq!(look(late + 2 * lull::LULL), 0);
}
