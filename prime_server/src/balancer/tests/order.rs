//! In which order jobs are taken: by priority, by kind, and by how long they have waited.

use super::overload::TARGET;
use super::*;
use crate::Tenant;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const UNBOUNDED: Options = Options { queue: usize::MAX, ..OPTIONS };
const PATIENCE: u32 = crate::balancer::costs::PATIENCE;

/// Kinds of which the user has said what they take.
pub(super) fn short() -> Kind {
    Kind::taking(MS / 100)
}

pub(super) fn long() -> Kind {
    Kind::taking(10 * MS)
}

pub(super) fn of_kind(id: u32, kind: Kind) -> TestJob {
    TestJob { labels: Labels { kind, ..Labels::default() }, ..job(id) }
}

/// Has a worker run a job for so long.
pub(super) fn run(balancer: &mut Balancer<TestJob>, job: TestJob, ran: Duration, now: Instant) {
    balancer.offer(job, now).unwrap();
    balancer.take(A, now).unwrap();
    balancer.done(A, ran);
}

/// The ids of the jobs that one worker takes, each as soon as the last is done.
fn taken(balancer: &mut Balancer<TestJob>, now: Instant) -> Vec<u32> {
    let next = || {
        let job = balancer.take(A, now)?;
        balancer.done(A, RAN);
        Some(job.id)
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn the_one_that_takes_least_goes_first_by_what_was_learned() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    let (dear, cheap) = (Kind::number(1), Kind::number(2));
    for _ in 0..20 {
        run(&mut balancer, of_kind(0, dear), 10 * MS, now);
        run(&mut balancer, of_kind(0, cheap), MS, now);
    }
    for id in 1..=3 {
        balancer.offer(of_kind(id, dear), now).unwrap();
        balancer.offer(of_kind(10 + id, cheap), now).unwrap();
    }
    assert_eq!(taken(&mut balancer, now), [11, 12, 13, 1, 2, 3]);
}

#[test]
fn jobs_of_kinds_that_nothing_is_known_of_go_first_come_first() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    for id in 0..5 {
        balancer.offer(of_kind(id, Kind::number(u64::from(7 * id % 5))), now + id * MS).unwrap();
    }
    assert_eq!(taken(&mut balancer, now + 5 * MS), [0, 1, 2, 3, 4]);
}

#[test]
fn a_long_one_goes_before_those_that_came_later_than_a_multiple_of_what_it_takes() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    balancer.offer(of_kind(1, long()), now).unwrap();
    let later = now + (long().said().unwrap() - short().said().unwrap()) * PATIENCE;
    balancer.offer(of_kind(2, short()), later - MS).unwrap();
    balancer.offer(of_kind(3, short()), later + MS).unwrap();
    assert_eq!(taken(&mut balancer, later + 2 * MS), [2, 1, 3]);
}

#[test]
fn what_is_known_to_be_long_makes_room_at_once_and_only_for_what_is_not() {
    let now = Instant::now();
    let mut balancer = Balancer::new(UNBOUNDED, 1);
    (0..100).for_each(|_| run(&mut balancer, of_kind(0, long()), 10 * MS, now));
    (0..1000).for_each(|_| run(&mut balancer, of_kind(0, short()), MS / 100, now));
    balancer.offer(of_kind(1, long()), now).unwrap();
    balancer.offer(of_kind(2, long()), now).unwrap();
    balancer.take(A, now).unwrap();
    balancer.take(B, now);
    assert!(balancer.is_long(A));
    assert_eq!(balancer.overdue(now + HOUR).count(), 0, "taking turns would gain nothing");
    assert_eq!(balancer.next_overdue(now), None);
    balancer.offer(of_kind(3, short()), now).unwrap();
    assert_eq!(balancer.overdue(now).count(), 1);
    assert_eq!(balancer.demote(A, now, now), Some(B));
    assert_eq!(balancer.take(B, now).map(|job| job.id), Some(3));
    assert_eq!(balancer.overdue(now).count(), 0, "one that is not known to be long has its quantum");
}

#[test]
fn what_is_known_to_be_long_makes_room_at_once_where_short_ones_may_wait_elsewhere() {
    let now = Instant::now();
    for from_afar in [true, false] {
        let mut balancer = Balancer::new(UNBOUNDED, 1).fed_from_afar(from_afar);
        (0..100).for_each(|_| run(&mut balancer, of_kind(0, long()), 10 * MS, now));
        (0..1000).for_each(|_| run(&mut balancer, of_kind(0, short()), MS / 100, now));
        balancer.offer(of_kind(1, long()), now).unwrap();
        balancer.take(A, now).unwrap();
        assert_eq!(balancer.overdue(now).count(), usize::from(from_afar));
    }
}

#[test]
fn each_priority_has_twice_the_share_of_the_next_by_default() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    let of =
        |id, level| TestJob { labels: Labels { priority: Priority::level(level), ..Labels::default() }, ..job(id) };
    for id in 0..400 {
        balancer.offer(of(2 * id, 4), now).unwrap();
        balancer.offer(of(2 * id + 1, 5), now).unwrap();
    }
    let of_less_urgent = (0..300).filter(|_| {
        let job = balancer.take(A, now).unwrap();
        balancer.done(A, MS);
        job.id % 2 == 1
    });
    assert!((99..=101).contains(&of_less_urgent.count()));
}

const KINDS: u8 = 4;

#[derive(Clone, Debug)]
enum Event {
    Offer { kind: u8, tenant: u8, urgent: bool, left: u32 },
    Take,
    Cancel(usize),
    Advance(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0..KINDS, 0..3_u8, any::<bool>(), 1..100_u32)
            .prop_map(|(kind, tenant, urgent, left)| Event::Offer { kind, tenant, urgent, left }),
        3 => Just(Event::Take),
        1 => (0..20_usize).prop_map(Event::Cancel),
        2 => (0..60_u32).prop_map(Event::Advance),
    ]
}

proptest! {
    /// Whatever is offered is taken, cancelled, given up or refused: once. None is given up that has not waited for as long as it may, or before the queue
    /// is overloaded; of those that are not overloaded, none is taken while another of its priority and tenant comes before it by what both take and since
    /// when they wait; none waits while the worker asks in vain.
    #[test]
    fn none_is_lost_and_none_overtaken_beyond_the_bound(events in proptest::collection::vec(event(), 1..300), refuse: bool, shed: bool) {
        let options = Options { refuse_hopeless: refuse, max_delay: shed.then_some(TARGET), ..UNBOUNDED };
        let mut balancer = Balancer::new(options, 1);
        let mut waiting: BTreeMap<u32, (TestJob, Instant, u32)> = BTreeMap::new();
        let (mut now, mut offered) = (Instant::now(), 0);
        let of_number = |kind: u8| Kind::taking(MS * 4_u32.pow(kind.into()) / 8);
        let takes = |job: &TestJob| job.labels.kind.said().unwrap();
        // What is learned is right to a sixteenth.
        let at_most = |job: &TestJob| takes(job) * 17 / 16;
        for kind in (0..KINDS).map(of_number) {
            (0..100).for_each(|_| run(&mut balancer, of_kind(0, kind), kind.said().unwrap(), now));
        }
        for event in events {
            match event {
                Event::Offer { kind, tenant, urgent, left } => {
                    offered += 1;
                    let priority = if urgent { Priority::INTERACTIVE } else { Priority::BATCH };
                    let tenant = if tenant == 0 { Tenant::default() } else { Tenant::of(tenant) };
                    let kind = of_number(kind);
                    let labels = Labels { priority, kind, tenant };
                    let job = TestJob { labels, deadline: Some(now + left * MS), ..job(offered) };
                    match balancer.offer(job.clone(), now) {
                        Ok(entry) => _ = waiting.insert(offered, (job, now, entry)),
                        Err(Refused::Hopeless(job)) => prop_assert!(refuse && at_most(&job) > left * MS),
                        Err(Refused::Full(_)) => prop_assert!(false),
                    }
                }
                Event::Take => {
                    let was_overloaded = balancer.is_overloaded();
                    let job = balancer.take(A, now);
                    for job in balancer.hopeless() {
                        let (job, ..) = waiting.remove(&job.id).expect("it waits");
                        prop_assert!(refuse && now + at_most(&job) > job.deadline.unwrap());
                    }
                    prop_assert_eq!(job.is_none(), waiting.is_empty());
                    if let Some(job) = job {
                        let (job, since, _) = waiting.remove(&job.id).expect("it waits");
                        let rank = |job: &TestJob, since: Instant| since + takes(job) * PATIENCE;
                        let slack = |other: &TestJob| (takes(&job) + takes(other)) * PATIENCE / 16;
                        let with = |other: &TestJob| (other.labels.priority, other.labels.tenant) == (job.labels.priority, job.labels.tenant);
                        // Those without a tenant are one flow for certain.
                        if !was_overloaded && job.labels.tenant == Tenant::default() {
                            let overtaken = waiting.values().filter(|(other, ..)| with(other)).find(|(other, at, _)| rank(other, *at) + slack(other) < rank(&job, since));
                            prop_assert!(overtaken.is_none(), "{:?} before {:?}", job, overtaken);
                        }
                        // Nothing more is learned.
                        balancer.lost(A);
                    }
                }
                Event::Cancel(n) => {
                    if let Some(id) = waiting.keys().nth(n).copied() {
                        let (job, _, entry) = waiting.remove(&id).expect("it waits");
                        prop_assert_eq!(balancer.cancel(entry, RequestId { key: id, generation: 0 }), Some(job));
                    }
                }
                Event::Advance(ms) => {
                    now += ms * MS;
                    while let Some(expired) = balancer.tick(now) {
                        let Expired::Shed(job) = expired else { panic!("{expired:?}") };
                        let (_, since, _) = waiting.remove(&job.id).expect("it waits");
                        prop_assert!(shed && now - since >= TARGET);
                    }
                }
            }
            prop_assert_eq!(balancer.waiting(), waiting.len());
        }
        prop_assert_eq!(balancer.clear().len(), waiting.len());
        prop_assert!(!balancer.is_overloaded() && balancer.next_event().is_none());
    }
}
