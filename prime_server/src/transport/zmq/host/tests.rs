use super::*;
use crate::balancer::{Options as Queueing, WorkerId};
use crate::ids::StageId;
use crate::mailbox::{Post, mailbox};
use crate::metrics::{Metrics, Share};
use crate::security::Secured;
use crate::transport::zmq::links::Identity;
use crate::transport::zmq::outlet::HostOutlet;
use crate::transport::zmq::stand_in::{LIVENESS, StandIn, until, welcome};
use crate::transport::zmq::wire::{Role, StageTerms};
use crate::transport::zmq::{Options, task};
use crate::transport::{Batching, Next, Outlet, Source};
use crate::{Request, Schema};

const AHEAD: Duration = Duration::from_millis(10);

/// A worker of one thread, which is the test's.
struct Scene {
    proxy: StandIn,
    host: Host,
    thread: Source,
    post: Post<Note>,
    metrics: Metrics,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::in_batches(Batching::NONE)
    }

    fn in_batches(batching: Batching) -> Self {
        let options = Options { liveness: LIVENESS, wait: Duration::ZERO, secured: Secured::Open { insecure: false } };
        let terms = StageTerms {
            slots: 1,
            queue: 9,
            timeout: None,
            idempotent: false,
            strict_priority: false,
            max_delay: None,
            refuse_hopeless: false,
        };
        let identity = Identity {
            peer: [1; 16],
            name: "me".to_owned(),
            role: Role::Worker,
            only: Some("a".to_owned()),
            messages: Vec::new(),
            worker: Some(terms),
        };
        let links = Links::new(zmq::Context::new(), options, identity);
        let (post, notes) = mailbox().unwrap();
        let metrics = Metrics::new("test");
        let queueing = Queueing { attempts: 3, ..Queueing::PLAIN };
        let counts = metrics.stage("a", Share::Work);
        let pool = Arc::new(Pool::of_test_in_batches(StageId(0), counts, queueing, 1, batching));
        let outlet: Arc<dyn Outlet> = Arc::new(HostOutlet::new(post.clone(), vec![("a".to_owned(), Request::SCHEMA)]));
        let thread = pool.source(WorkerId(0), outlet);
        let told = Terms { takes: (Request::SCHEMA, true), ahead: AHEAD, drain_limit: Duration::from_secs(60) };
        let host = Host::new(links, notes, pool, told, Arc::default(), metrics.malformed.clone());
        let mut scene = Self { proxy: StandIn::new(), host, thread, post, metrics, now: Instant::now() };
        scene.find();
        scene
    }

    fn linked() -> Self {
        let mut scene = Self::new();
        scene.link();
        scene
    }

    /// The stand-in is found.
    fn find(&mut self) {
        let endpoint = self.proxy.endpoint().to_owned();
        let place = discovery::Place { stage: Some("a".to_owned()), endpoint };
        self.post.send(Note::Found(BTreeSet::from([place])));
    }

    fn link(&mut self) {
        assert_eq!(self.heard()[0], Command::HELLO);
        self.proxy.say(&[welcome("a")]);
        until("the link", || {
            self.host.turn(self.now);
            self.host.links.is_linked().then_some(())
        });
    }

    /// The next frame that the proxy hears.
    fn heard(&mut self) -> Vec<u8> {
        until("a frame", || {
            self.host.turn(self.now);
            self.proxy.hear()
        })
    }

    /// What the proxy hears next of a job's outcome.
    fn outcome(&mut self) -> Vec<u8> {
        loop {
            let frame = self.heard();
            if matches!(decode(&frame), Some(Command::Outcome { .. })) {
                return frame;
            }
        }
    }

    /// Gives jobs of these numbers, and waits until they are there.
    fn give(&mut self, jobs: &[u64]) {
        let task = body(Request::SCHEMA);
        let job = |job| Command::Job { job, left: 1_000_000_000, attempt: 1, always: false, body: &task };
        let frames: Vec<_> = jobs.iter().map(|number| job(*number)).collect();
        self.proxy.say(&frames);
        let before = self.host.jobs.here.len();
        until("the jobs", || {
            self.host.turn(self.now);
            (self.host.jobs.here.len() == before + jobs.len()).then_some(())
        });
    }

    /// What the one thread does next.
    fn run(&mut self) -> Envelope {
        match self.thread.next() {
            Next::Job(job, _) => job,
            Next::Drained => panic!("there is a job"),
        }
    }

    /// It has come to nothing.
    fn abort(&mut self, job: &Envelope) {
        let id = job.context.ticket.id;
        self.post.send(Note::Outcome { id, ends: true, body: encode(&Outcome::Abort) });
        self.thread.done(Duration::ZERO);
    }
}

/// A task whose message has that schema.
fn body(schema: u64) -> Vec<u8> {
    let request = Request::get("/");
    let ticket = Ticket::new(RequestId { key: 1, generation: 1 }, request.shared_head(), Instant::now());
    task::of_request([9; 16], &ticket, &request, schema).to_vec()
}

fn aborted(job: u64) -> Vec<u8> {
    encode(&Command::Outcome { job, ran: 0, had: 0, ends: true, body: &encode(&Outcome::Abort) })
}

#[test]
fn what_waits_goes_back_when_it_drains_and_what_runs_is_finished() {
    let mut scene = Scene::linked();
    scene.give(&[4, 5, 6]);
    let running = scene.run();
    scene.post.send(Note::Drain);
    assert_eq!(scene.heard(), [Command::BYE]);
    let mut returned = [scene.heard(), scene.heard()];
    returned.sort();
    assert_eq!(returned, [encode(&Command::Return { job: 5 }), encode(&Command::Return { job: 6 })]);
    scene.proxy.say(&[Command::Bye]);
    until("the proxy's BYE", || {
        scene.host.turn(scene.now);
        scene.host.giving.is_empty().then_some(())
    });
    assert!(!scene.host.is_over(), "one runs");
    scene.abort(&running);
    assert_eq!(scene.outcome(), aborted(4));
    assert!(scene.host.is_over());
    let pool = Arc::clone(&scene.host.pool);
    scene.host.run();
    assert!(pool.is_closed(), "its threads end");
}

#[test]
fn a_proxy_that_may_still_give_jobs_is_waited_for_until_it_says_bye_too() {
    let mut scene = Scene::linked();
    scene.post.send(Note::Drain);
    assert_eq!(scene.heard(), [Command::BYE]);
    assert!(!scene.host.is_over());
    // What it gave before it heard of it.
    scene.give(&[1]);
    let running = scene.run();
    scene.abort(&running);
    assert_eq!(scene.outcome(), aborted(1));
    assert!(!scene.host.is_over());
    scene.proxy.say(&[Command::Bye]);
    until("its end", || {
        scene.host.turn(scene.now);
        scene.host.is_over().then_some(())
    });
}

#[test]
fn a_proxy_that_is_found_while_it_drains_gives_nothing() {
    let mut scene = Scene::linked();
    scene.give(&[1]);
    let running = scene.run();
    scene.post.send(Note::Drain);
    assert_eq!(scene.heard(), [Command::BYE]);
    scene.proxy.say(&[Command::Who]);
    scene.link();
    assert_eq!(scene.heard(), [Command::BYE]);
    drop(running);
}

#[test]
fn a_proxy_is_told_for_how_much_of_its_run_a_job_has_had_a_slot_for_itself() {
    const MS: Duration = Duration::from_millis(1);
    let mut scene = Scene::linked();
    scene.give(&[4, 5]);
    let mut ended = |jobs: usize, made_room: Option<Duration>| {
        let job = scene.run();
        let id = job.context.ticket.id;
        if let Some(since) = made_room {
            scene.post.send(Note::Outruns(WorkerId(0), vec![id]));
            scene.host.turn(scene.now);
            scene.now += since;
        }
        scene.post.send(Note::Ran(id, 6 * MS, jobs));
        scene.abort(&job);
        scene.outcome()
    };
    let body = encode(&Outcome::Abort);
    let said = |job, had| encode(&Command::Outcome { job, ran: 6000, had, ends: true, body: &body });
    assert_eq!(ended(1, Some(4 * MS)), said(4, 2000), "the rest of the time another could have had it");
    assert_eq!(ended(3, None), said(5, 2000), "three ran in one call");
}

#[test]
fn what_waits_for_longer_than_it_was_meant_to_goes_back_and_the_room_is_told_anew() {
    let mut scene = Scene::linked();
    scene.give(&[1, 2]);
    let running = scene.run();
    scene.now += AHEAD - Duration::from_millis(1);
    scene.host.turn(scene.now);
    assert_eq!(scene.host.jobs.here.len(), 2);
    scene.now += Duration::from_millis(1);
    assert_eq!(scene.heard(), encode(&Command::Return { job: 2 }));
    // One thread, which has a job.
    assert_eq!(scene.heard(), encode(&Command::Announce { slots: 1, ahead: 0 }));
    assert_eq!(scene.host.pool.abandoned(), 0, "somebody waits for the one that runs");
    drop(running);
}

#[test]
fn what_waits_for_a_job_that_does_not_make_room_after_all_goes_back_too() {
    let mut scene = Scene::linked();
    scene.give(&[1]);
    let running = scene.run();
    scene.post.send(Note::Outruns(WorkerId(0), vec![running.context.ticket.id]));
    scene.host.turn(scene.now);
    scene.give(&[2]);
    scene.now += AHEAD;
    until("the job back", || (scene.heard() == encode(&Command::Return { job: 2 })).then_some(()));
    drop(running);
}

#[test]
fn places_that_a_batch_leaves_empty_cannot_be_had_until_it_is_done_or_makes_room() {
    let announce = |slots| encode(&Command::Announce { slots, ahead: 0 });
    let mut scene = Scene::in_batches(Batching { most: 4, wait: Duration::ZERO });
    scene.link();
    scene.give(&[1]);
    let first = scene.run();
    scene.post.send(Note::Lacks(WorkerId(0), 3));
    assert_eq!(scene.heard(), announce(1));
    scene.abort(&first);
    assert_eq!(scene.outcome(), aborted(1));
    scene.post.send(Note::LacksNone(WorkerId(0)));
    assert_eq!(scene.heard(), announce(4));
    scene.give(&[2]);
    let long = scene.run();
    scene.post.send(Note::Lacks(WorkerId(0), 3));
    assert_eq!(scene.heard(), announce(1));
    scene.post.send(Note::Outruns(WorkerId(0), vec![long.context.ticket.id]));
    assert_eq!(scene.heard(), announce(5), "another thread takes a whole batch");
}

#[test]
fn a_lost_link_takes_its_jobs_with_it_and_nothing_is_told_of_them_later() {
    let mut scene = Scene::linked();
    scene.give(&[1, 2]);
    let running = scene.run();
    scene.proxy.say(&[Command::Who]);
    until("the loss", || {
        scene.host.turn(scene.now);
        running.context.ticket.cancelled()
    });
    assert_eq!(running.context.ticket.cancelled(), Some(Reason::Disconnected));
    assert_eq!(scene.host.pool.load(), (0, 1), "what waited is gone");
    scene.link();
    scene.abort(&running);
    until("it is known", || {
        scene.host.turn(scene.now);
        scene.host.jobs.here.is_empty().then_some(())
    });
    scene.give(&[7]);
    let next = scene.run();
    scene.abort(&next);
    assert_eq!(scene.outcome(), aborted(7), "the first that is heard");
    assert!(scene.host.jobs.here.is_empty() && scene.host.jobs.there.is_empty());
    // Only links that are there share what is taken ahead.
    for job in 8..24 {
        scene.give(&[job]);
        let short = scene.run();
        scene.abort(&short);
        until("it is known", || {
            scene.host.turn(scene.now);
            scene.host.jobs.here.is_empty().then_some(())
        });
    }
    let ahead = until("it is told", || match decode(&scene.heard()) {
        Some(Command::Announce { ahead, .. }) if ahead > 0 => Some(ahead),
        _ => None,
    });
    assert_eq!(ahead, 64);
}

#[test]
fn a_job_that_nobody_waits_for_is_taken_out_or_flagged() {
    let mut scene = Scene::linked();
    scene.give(&[1, 2]);
    let running = scene.run();
    let reason = Reason::TimedOut.code();
    scene.proxy.say(&[Command::Cancel { job: 2, reason }, Command::Cancel { job: 1, reason }]);
    assert_eq!(scene.outcome(), aborted(2));
    assert_eq!(running.context.ticket.cancelled(), Some(Reason::TimedOut));
    assert_eq!(scene.host.jobs.here.len(), 1, "it runs on until it looks");
}

#[test]
fn a_message_that_the_stage_does_not_take_and_a_frame_of_no_protocol_are_seen_to_be() {
    let mut scene = Scene::linked();
    let other = body(Request::SCHEMA + 1);
    for body in [&other[..], b"no task"] {
        scene.proxy.say(&[Command::Job { job: 3, left: 1_000_000, attempt: 1, always: false, body }]);
        let schema = encode(&Outcome::Failure(Failure::Schema));
        assert_eq!(scene.outcome(), encode(&Command::Outcome { job: 3, ran: 0, had: 0, ends: true, body: &schema }));
    }
    scene.proxy.say_frame(&[99, 1]);
    until("it is counted", || {
        scene.host.turn(scene.now);
        (scene.metrics.malformed.get() == 1).then_some(())
    });
}

#[test]
fn what_its_thread_announces_is_told_where_it_changes_and_to_a_proxy_that_comes_later() {
    let mut scene = Scene::linked();
    let told = |value: &[u8]| encode(&Command::Affinity { values: vec![value] });
    scene.thread.announce(Affinity::NONE);
    for value in ["a", "a", "b", ""] {
        scene.thread.announce(value.into());
    }
    // One turn may find several changes at once, and the last of them counts.
    scene.thread.announce("c".into());
    while scene.heard() != told(b"c") {}
    scene.thread.announce("c".into());
    scene.host.turn(scene.now);
    scene.proxy.say(&[Command::Who]);
    scene.link();
    assert_eq!(scene.heard(), told(b"c"));
    scene.thread.announce(Affinity::NONE);
    assert_eq!(scene.heard(), told(b""));
    scene.proxy.say(&[Command::Who]);
    scene.link();
    scene.thread.announce("d".into());
    assert_eq!(scene.heard(), told(b"d"), "there was nothing to tell before");
    let outlet: Arc<dyn Outlet> = Arc::new(HostOutlet::new(scene.post.clone(), Vec::new()));
    scene.thread = scene.host.pool.source(WorkerId(0), outlet);
    assert_eq!(scene.heard(), told(b""), "of a stage that is made anew nothing is known");
}
