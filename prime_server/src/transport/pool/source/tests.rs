use std::sync::mpsc;
use std::thread;

use bytes::Bytes;

use super::*;
use crate::balancer::Options;
use crate::context::Context;
use crate::fork::{Fork, Part};
use crate::ids::StageId;
use crate::labels::Labels;
use crate::loopback::{Inbox, Note};
use crate::mailbox::mailbox;
use crate::metrics::{Metrics, Share};
use crate::payload::Payload;
use crate::transport::{Batching, Local, Transport};
use crate::{CodecError, Kind, Message, Request, Schema};

const STAGE: StageId = StageId(0);
const WORKER: WorkerId = WorkerId(0);
const LIMIT: Duration = Duration::from_secs(30);
const TAKES: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);

/// A pool of one worker, and where its answers go.
fn pool() -> (Arc<Local>, Inbox) {
    pool_in_batches(&Metrics::new("test"), Batching::NONE)
}

fn pool_in_batches(metrics: &Metrics, batching: Batching) -> (Arc<Local>, Inbox) {
    let (loopback, inbox) = mailbox().expect("an eventfd");
    let options = Options { refuse_hopeless: true, ..Options::PLAIN };
    let pool = Pool::of_test_in_batches(STAGE, metrics.stage("stage", Share::Whole), options, 1, batching);
    // It learns how long jobs of a kind take.
    for _ in 0..100 {
        let (mut station, now) = (pool.lock(), Instant::now());
        assert!(station.balancer.offer(long(0, now + HOUR, Request::get("/"), None), now).is_ok());
        assert!(station.balancer.take(WORKER, now).is_some());
        station.balancer.done(WORKER, TAKES);
    }
    (Arc::new(Local::new(vec![pool], loopback)), inbox)
}

/// A job of which it is known how long it takes.
fn long<M: Message>(key: u32, deadline: Instant, message: M, part: Option<Box<Part>>) -> Envelope {
    let id = RequestId { key, generation: 0 };
    let labels = Labels { kind: Kind::number(1), ..Labels::default() };
    let context = Context { part, ..Context::new(Ticket::named(id, id, head(), labels, deadline)) };
    Envelope::new(context, Payload::new(message), Instant::now())
}

fn source(local: &Arc<Local>) -> Source {
    local.pools()[0].source(WORKER, Arc::clone(local) as Arc<dyn Outlet>)
}

fn job<M: Message>(key: u32, message: M) -> Envelope {
    let ticket = Ticket::new(RequestId { key, generation: 0 }, head(), Instant::now() + HOUR);
    Envelope::new(Context::new(ticket), Payload::new(message), Instant::now())
}

fn head() -> Arc<crate::Head> {
    Request::get("/").shared_head()
}

fn offer(local: &Local, job: Envelope, now: Instant) {
    assert!(local.dispatch_all(STAGE, &mut std::iter::once(job), now).is_empty());
}

/// Offers a job that takes two seconds two seconds ago: it could have been done then, and cannot any more.
fn offer_hopeless<M: Message>(local: &Local, key: u32, message: M) {
    offer_hopeless_part(local, key, message, None);
}

fn offer_hopeless_part<M: Message>(local: &Local, key: u32, message: M, part: Option<Box<Part>>) {
    let offered = Instant::now() - TAKES;
    offer(local, long(key, offered + TAKES * 3 / 2, message, part), offered);
}

/// A message that does something when it is dropped.
struct Dropped<F: FnMut() + Send + 'static>(F);

impl<F: FnMut() + Send + 'static> Drop for Dropped<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<F: FnMut() + Send + 'static> Schema for Dropped<F> {
    const NAME: &'static str = "Dropped";
    const SCHEMA: u64 = 1;
}

impl<F: FnMut() + Send + 'static> Message for Dropped<F> {
    fn encode(&self) -> Result<Bytes, CodecError> {
        unreachable!("it does not travel")
    }

    fn decode(_: Bytes) -> Result<Self, CodecError> {
        unreachable!("it does not travel")
    }
}

#[test]
fn a_summons_that_the_users_code_takes_is_not_lost() {
    let (local, inbox) = pool();
    let (tell, dropping) = mpsc::channel();
    offer_hopeless(
        &local,
        1,
        Dropped(move || {
            tell.send(()).unwrap();
            // As one does that waits for a message.
            thread::park();
        }),
    );
    let (tell, had) = mpsc::channel();
    let worker = Arc::clone(&local);
    thread::spawn(move || {
        let Next::Job(job, _) = source(&worker).next() else { return };
        tell.send(job.context.ticket.id.key).unwrap();
    });
    assert_eq!(dropping.recv_timeout(LIMIT), Ok(()));
    assert!(matches!(inbox.notes.try_recv(), Ok(Note::Reply(RequestId { key: 1, .. }, _))));
    offer(&local, job(2, Request::get("/")), Instant::now());
    let had = had.recv_timeout(LIMIT);
    local.close();
    assert_eq!(had, Ok(2));
}

#[test]
fn a_job_runs_since_it_was_taken_and_not_since_the_last_one_was_over() {
    let (local, _inbox) = pool();
    let mut source = source(&local);
    for key in 1..3 {
        offer(&local, job(key, Request::get("/")), Instant::now());
    }
    assert!(matches!(source.next(), Next::Job(..)));
    source.done(Duration::ZERO);
    // The worker resets its stage, for as long as that takes.
    let reset = Instant::now();
    let Next::Job(_, started) = source.next() else { panic!("a job waits") };
    assert!(started >= reset);
    let used = |after: Duration| local.pools()[0].usage(started + after).time;
    assert_eq!(used(2 * HOUR) - used(HOUR), HOUR);
    assert_eq!(used(HOUR) - local.pools()[0].turns().time, HOUR, "it has had its slot since then");
}

#[test]
fn a_part_that_is_refused_is_counted_once() {
    let metrics = Metrics::new("test");
    let (local, _inbox) = pool_in_batches(&metrics, Batching { most: 2, wait: Duration::ZERO });
    let fork = Fork::new(None, STAGE, 1, vec![Payload::new(Request::get("/"))]);
    let part = fork.next_part(1).map(|(part, _)| part);
    offer_hopeless_part(&local, 1, Request::get("/"), part);
    offer(&local, job(2, Request::get("/")), Instant::now());
    let mut source = source(&local);
    assert!(matches!(source.next(), Next::Job(..)));
    let page = String::from_utf8(metrics.render(&[])).unwrap();
    let counted = page.lines().filter(|line| line.starts_with("prime_stage_outcomes_total{") && !line.ends_with(" 0"));
    assert_eq!(counted.count(), 1, "{page}");
    assert!(page.contains("reason=\"hopeless\",stage=\"stage\",pipeline=\"test\"} 1"), "{page}");
}

#[test]
fn who_is_refused_hears_it_before_the_worker_waits_for_a_full_batch() {
    let (local, inbox) = pool_in_batches(&Metrics::new("test"), Batching { most: 3, wait: HOUR });
    offer_hopeless(&local, 1, Request::get("/"));
    offer(&local, job(2, Request::get("/")), Instant::now());
    let worker = Arc::clone(&local);
    let worker = thread::spawn(move || {
        let mut source = source(&worker);
        (matches!(source.next(), Next::Job(..)), source.more().len())
    });
    let said = inbox.notes.recv_timeout(LIMIT / 2);
    let is_refused = matches!(said, Ok(Note::Reply(RequestId { key: 1, .. }, Reply::Whole(_))));
    let still_gathers = !worker.is_finished();
    local.drain();
    assert_eq!(worker.join().unwrap(), (true, 0));
    assert!(is_refused && still_gathers);
}
