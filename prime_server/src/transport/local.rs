//! All stages in this process: jobs go from pool to pool, and answers through the loopback.

use std::sync::Arc;
use std::time::Instant;

use super::{Envelope, Gather, Outlet, Pool, Rejected, Transport};
use crate::balancer::Expired;
use crate::context::{Context, Place, Reason, Ticket};
use crate::fork::Fork;
use crate::ids::{RequestId, StageId};
use crate::loopback::{Loopback, Note};
use crate::payload::Payload;
use crate::response::Reply;

/// All stages of a pipeline, in this process.
#[derive(Debug)]
pub(crate) struct Local {
    pools: Box<[Arc<Pool>]>,
    loopback: Loopback,
}

impl Local {
    pub(crate) fn new(pools: Vec<Pool>, loopback: Loopback) -> Self {
        Self { pools: pools.into_iter().map(Arc::new).collect(), loopback }
    }

    pub(crate) fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    fn pool(&self, stage: StageId) -> &Pool {
        &self.pools[stage.index()]
    }

    /// One job, or several that have one answer.
    fn dispatch(&self, to: StageId, jobs: &mut dyn Iterator<Item = Envelope>, now: Instant) -> Result<(), Rejected> {
        self.dispatch_all(to, jobs, now).pop().map_or(Ok(()), Err)
    }

    /// As many parts as may go now.
    fn send_parts(&self, fork: &Arc<Fork>, context: &Context, now: Instant) -> Result<(), Rejected> {
        let (to, most) = (fork.stage(), self.pool(fork.stage()).parts());
        let Some(first) = fork.next_part(most) else { return Ok(()) };
        let parts = std::iter::once(first).chain(std::iter::from_fn(|| fork.next_part(most)));
        let mut jobs = parts.map(|(part, payload)| Envelope::new(context.of_part(part, fork), payload, now));
        self.dispatch(to, &mut jobs, now)
    }
}

impl Transport for Local {
    fn dispatch_all(&self, to: StageId, jobs: &mut dyn Iterator<Item = Envelope>, now: Instant) -> Vec<Rejected> {
        let offered = self.pool(to).offer(jobs, now);
        if offered.plan {
            self.plan(to);
        }
        offered.refused
    }

    fn cancel(&self, ticket: &Ticket, why: Reason) {
        match ticket.cancel(why) {
            None => {}
            Some(Place::At(stage, entry)) => _ = self.pool(stage).cancel(entry, ticket.id),
            Some(Place::Parts) => self.pools.iter().for_each(|pool| pool.cancel_all(ticket.id)),
        }
    }

    fn loads(&self) -> Vec<(String, usize, usize)> {
        let load = |pool: &Arc<Pool>| {
            let (waiting, running) = pool.load();
            (pool.metrics().stage().to_owned(), waiting, running)
        };
        self.pools.iter().map(load).collect()
    }

    fn tick(&self, stage: StageId, now: Instant) -> (Vec<Expired<Envelope>>, Option<Instant>) {
        self.pool(stage).tick(now)
    }

    fn planned(&self, stage: StageId) -> Option<Instant> {
        self.pool(stage).planned()
    }

    fn discard(&self, stage: StageId, job: Envelope) {
        self.pool(stage).discard(job);
    }

    fn drain(&self) {
        self.pools.iter().for_each(|pool| pool.hurry());
    }

    fn close(&self) {
        self.pools.iter().for_each(|pool| pool.close());
    }
}

impl Outlet for Local {
    fn reply(&self, id: RequestId, reply: Reply) {
        self.loopback.send(Note::Reply(id, reply));
    }

    fn forward(&self, to: StageId, context: Context, payload: Payload, now: Instant) -> Result<(), Rejected> {
        self.dispatch(to, &mut std::iter::once(Envelope::new(context, payload, now)), now)
    }

    /// Sends the first parts; each that is joined lets others follow.
    fn split(&self, to: StageId, mut context: Context, parts: Vec<Payload>, now: Instant) -> Result<(), Rejected> {
        let fork = Fork::new(context.part.take(), to, context.hops, parts);
        self.send_parts(&fork, &context, now)
    }

    fn join(
        &self,
        to: StageId,
        mut context: Context,
        part: Payload,
        gather: Gather,
        now: Instant,
    ) -> Result<(), Rejected> {
        let joined = context.part.take().and_then(|place| Some((Arc::clone(place.fork()?), place)));
        let (fork, place) =
            joined.expect("the worker has looked, and parts have a fork where they do not leave the process");
        if let Some(whole) = place.join(part, context.hops) {
            let context = context.of_whole(whole.outer, whole.hops);
            return match gather(whole.parts) {
                Ok(payload) => self.forward(to, context, payload, now),
                Err(error) => Err(Rejected::Message(context, error)),
            };
        }
        self.send_parts(&fork, &context, now)
    }

    fn plan(&self, stage: StageId) {
        self.loopback.send(Note::Plan(stage));
    }

    fn dropped(&self, _: RequestId) {}

    fn cancel_parts(&self, ticket: &Ticket) {
        self.cancel(ticket, Reason::Answered);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use http::StatusCode;

    use crate::Request;
    use crate::balancer::{Options, WorkerId};
    use crate::loopback::Inbox;
    use crate::mailbox::mailbox;
    use crate::metrics::{Metrics, Share};
    use crate::transport::{Next, Source};

    const STAGE: StageId = StageId(0);

    fn pool(timeout: Option<Duration>) -> (Arc<Local>, Inbox) {
        pool_of(Options { queue: 8, timeout, idempotent: true, attempts: 3, ..Options::PLAIN })
    }

    fn pool_of(options: Options) -> (Arc<Local>, Inbox) {
        let (loopback, inbox) = mailbox().expect("an eventfd");
        let stage = Pool::of_test(STAGE, Metrics::new("test").stage("stage", Share::Whole), options, 2);
        (Arc::new(Local::new(vec![stage], loopback)), inbox)
    }

    fn job(key: u32) -> Envelope {
        let id = RequestId { key, generation: 1 };
        let now = Instant::now();
        let ticket = Ticket::new(id, Request::get("/").shared_head(), now + Duration::from_secs(60));
        Envelope::new(Context::new(ticket), Payload::new(Request::get("/")), now)
    }

    fn source(local: &Arc<Local>, worker: usize) -> Source {
        local.pools()[0].source(WorkerId(worker), Arc::clone(local) as Arc<dyn Outlet>)
    }

    fn offer(local: &Local, job: Envelope) {
        assert!(local.dispatch(STAGE, &mut std::iter::once(job), Instant::now()).is_ok());
    }

    #[test]
    fn a_worker_that_is_lost_with_its_job_answers_502() {
        let (local, inbox) = pool(None);
        let mut source = source(&local, 0);
        offer(&local, job(1));
        assert!(matches!(source.next(), Next::Job(..)));
        drop(source);
        let Ok(Note::Reply(id, Reply::Whole(answer))) = inbox.notes.try_recv() else { panic!("no answer") };
        assert_eq!((id.key, answer.status()), (1, StatusCode::BAD_GATEWAY));
        assert_eq!(local.pools()[0].load(), (0, 0));
    }

    #[test]
    fn a_worker_that_is_lost_with_a_part_leaves_the_other_parts_in_vain() {
        let (local, inbox) = pool(None);
        let mut source = source(&local, 0);
        let Envelope { context, .. } = job(1);
        let fork = Fork::new(None, STAGE, 1, (0..3).map(|_| Payload::new(Request::get("/"))).collect());
        for (part, payload) in std::iter::from_fn(|| fork.next_part(usize::MAX)) {
            let context = Context { part: Some(part), ..context.clone() };
            offer(&local, Envelope::new(context, payload, Instant::now()));
        }
        assert!(matches!(source.next(), Next::Job(..)));
        source.done(Duration::ZERO);
        assert!(matches!(source.next(), Next::Job(..)));
        assert!(context.check().is_ok());
        drop(source);
        assert_eq!(context.check().map_err(|cancelled| cancelled.reason), Err(Reason::Answered));
        assert_eq!(local.pools()[0].load(), (0, 0));
        assert_eq!(inbox.notes.len(), 1);
    }

    #[test]
    fn a_worker_that_ends_after_its_job_answers_nothing() {
        let (local, inbox) = pool(None);
        let mut source = source(&local, 0);
        offer(&local, job(1));
        assert!(matches!(source.next(), Next::Job(..)));
        source.done(Duration::ZERO);
        drop(source);
        assert!(inbox.notes.is_empty());
    }

    #[test]
    fn a_lost_worker_leaves_what_waits_to_the_others() {
        let (local, _inbox) = pool(None);
        let (mut lost, mut other) = (source(&local, 0), source(&local, 1));
        offer(&local, job(1));
        offer(&local, job(2));
        assert!(matches!(lost.next(), Next::Job(..)));
        drop(lost);
        let Next::Job(job, _) = other.next() else { panic!("a job waits") };
        assert_eq!(job.context.ticket.id.key, 2);
    }

    #[test]
    fn a_cancelled_job_leaves_the_queue_or_is_flagged_where_it_runs() {
        let (local, _inbox) = pool(None);
        let mut source = source(&local, 0);
        let (first, second) = (job(1), job(2));
        let tickets = [&first, &second].map(|job| Arc::clone(&job.context.ticket));
        offer(&local, first);
        offer(&local, second);
        let Next::Job(running, _) = source.next() else { panic!("a job waits") };
        assert_eq!(local.pools()[0].load(), (1, 1));
        local.cancel(&tickets[1], Reason::TimedOut);
        assert_eq!(local.pools()[0].load(), (0, 1));
        assert!(running.context.check().is_ok());
        local.cancel(&tickets[0], Reason::Disconnected);
        assert_eq!(running.context.check().map_err(|cancelled| cancelled.reason), Err(Reason::Disconnected));
    }

    #[test]
    fn a_job_that_was_cancelled_on_its_way_is_not_queued() {
        let (local, _inbox) = pool(None);
        let (first, second) = (job(1), job(2));
        for job in [&first, &second] {
            local.cancel(&job.context.ticket, Reason::Disconnected);
        }
        offer(&local, first);
        assert!(local.dispatch_all(STAGE, &mut [second].into_iter(), Instant::now()).is_empty());
        assert_eq!(local.pools()[0].load(), (0, 0));
    }

    #[test]
    fn the_front_end_is_told_of_an_overload_that_is_found_after_the_last_offer() {
        let max_delay = Some(Duration::from_millis(1));
        let (local, inbox) = pool_of(Options { max_delay, ..Options::PLAIN });
        let mut source = source(&local, 0);
        let mut jobs = (0..200).map(job);
        assert!(local.dispatch_all(STAGE, &mut jobs, Instant::now()).is_empty());
        for _ in 0..200 {
            assert!(inbox.notes.is_empty(), "the queue has not stood for long enough");
            assert!(matches!(source.next(), Next::Job(..)));
            if let Ok(note) = inbox.notes.try_recv() {
                assert!(matches!(note, Note::Plan(STAGE)), "{note:?}");
                let (expired, _) = local.tick(STAGE, Instant::now());
                assert!(!expired.is_empty() && expired.iter().all(|expired| matches!(expired, Expired::Shed(_))));
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
            source.done(Duration::ZERO);
        }
        panic!("it was not told");
    }

    #[test]
    fn the_front_end_is_told_of_a_timeout_only_where_it_does_not_look_anyway() {
        let (local, inbox) = pool(Some(Duration::from_secs(1)));
        offer(&local, job(1));
        assert!(matches!(inbox.notes.try_recv(), Ok(Note::Plan(STAGE))));
        offer(&local, job(2));
        assert!(inbox.notes.is_empty(), "it will look at the first job's timeout, which is sooner");
        let later = Instant::now() + Duration::from_secs(2);
        let (expired, planned) = local.tick(STAGE, later);
        assert_eq!((expired.len(), planned), (2, None));
        offer(&local, job(3));
        assert!(matches!(inbox.notes.try_recv(), Ok(Note::Plan(STAGE))));
    }

    #[test]
    fn a_closed_stage_hands_jobs_back_and_lets_workers_go() {
        let (local, _inbox) = pool(None);
        let mut source = source(&local, 0);
        offer(&local, job(1));
        local.close();
        assert!(matches!(local.dispatch(STAGE, &mut std::iter::once(job(2)), Instant::now()), Err(Rejected::Gone(_))));
        assert!(matches!(source.next(), Next::Drained));
        assert_eq!(local.pools()[0].load(), (0, 0));
    }
}
