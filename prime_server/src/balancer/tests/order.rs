//! In which order jobs are taken, and which are given up: by kind, tenant, delay and deadline.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::Tenant;
use crate::balancer::tenants::hand;

const MS: Duration = Duration::from_millis(1);
const UNBOUNDED: Options = Options { queue: usize::MAX, ..OPTIONS };
const PATIENCE: u32 = crate::balancer::costs::PATIENCE;

/// Kinds of which the user has said what they take.
fn short() -> Kind {
    Kind::taking(MS / 100)
}

fn long() -> Kind {
    Kind::taking(10 * MS)
}

fn of_kind(id: u32, kind: Kind) -> TestJob {
    TestJob { labels: Labels { kind, ..Labels::default() }, ..job(id) }
}

/// Tenants that have no queue in common, by their numbers from 1.
fn tenant(number: usize) -> Tenant {
    let mut dealt = BTreeSet::new();
    let mut apart =
        (1_u64..).map(|n| Tenant::from_number(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)).filter(|tenant| {
            let is_apart = hand(*tenant).all(|queue| !dealt.contains(&queue));
            dealt.extend(hand(*tenant).filter(|_| is_apart));
            is_apart
        });
    apart.nth(number - 1).expect("there is always another")
}

fn of_tenant(id: u32, number: usize) -> TestJob {
    TestJob { labels: Labels { tenant: tenant(number), ..Labels::default() }, ..job(id) }
}

/// Has a worker run a job for so long.
fn run(balancer: &mut Balancer<TestJob>, job: TestJob, ran: Duration, now: Instant) {
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
fn whoever_sends_little_does_not_wait_for_whoever_sends_much() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    for id in 0..1000 {
        balancer.offer(of_tenant(id, 1), now).unwrap();
    }
    let first: Vec<u32> =
        (0..50).map_while(|_| balancer.take(A, now).inspect(|_| balancer.done(A, MS))).map(|job| job.id).collect();
    assert_eq!(first.len(), 50);
    for tenant in 2..=6 {
        balancer.offer(of_tenant(1000 * tenant as u32, tenant), now + MS).unwrap();
    }
    let next: Vec<u32> =
        (0..9).map_while(|_| balancer.take(A, now).inspect(|_| balancer.done(A, MS))).map(|job| job.id).collect();
    assert_eq!(
        next.iter().filter(|id| **id > 1000).count(),
        5,
        "{next:?}: each tenant's turn comes, and four times the other's"
    );
}

/// Each tenant has so many clients, who send their next job when the last is done, about a millisecond each, to one worker. Returns how many of each
/// tenant's are done of so many, and how many are done while one waits, at the most.
fn closed_loop(tenants: &[Tenant], clients: usize, jobs: usize) -> (Vec<usize>, usize) {
    let (mut balancer, start) = balancer(UNBOUNDED);
    // A job's number is the moment at which it was sent, and whose it is.
    let offer = |balancer: &mut Balancer<TestJob>, of: usize, at: usize| {
        let labels = Labels { tenant: tenants[of], ..Labels::default() };
        let job = TestJob { labels, ..job((at * tenants.len() + of) as u32) };
        balancer.offer(job, start + at as u32 * MS).unwrap();
    };
    for _ in 0..clients {
        (0..tenants.len()).for_each(|of| offer(&mut balancer, of, 0));
    }
    let (mut done, mut longest) = (vec![0; tenants.len()], 0);
    for at in 0..jobs {
        let job = balancer.take(A, start + at as u32 * MS).expect("some wait");
        let (since, of) = (job.id as usize / tenants.len(), job.id as usize % tenants.len());
        (done[of], longest) = (done[of] + 1, longest.max(at - since));
        balancer.done(A, MS + (at as u32 * 7919 % 97) * MS / 1000);
        offer(&mut balancer, of, at + 1);
    }
    let since = balancer.clear().into_iter().map(|job| job.id as usize / tenants.len()).min();
    (done, longest.max(jobs - since.expect("some wait")))
}

#[test]
fn requests_of_one_tenant_leave_in_their_order() {
    for tenant in (1..50_u64).map(Tenant::of) {
        let (_, longest) = closed_loop(&[tenant], 12, 200);
        assert!(longest <= 12, "{longest}");
    }
}

proptest! {
    #[test]
    fn each_tenant_has_its_share_however_many_there_are_and_whichever_queues_they_have(seed: u32, tenants in 2..40_usize, clients in 1..4_usize) {
        let tenants: Vec<Tenant> = (0..tenants).map(|n| Tenant::from_number(u64::from(seed).wrapping_add(n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)).collect();
        let rounds = 60;
        let (done, longest) = closed_loop(&tenants, clients, rounds * tenants.len());
        prop_assert!(done.iter().all(|jobs| (rounds * 9 / 10..=rounds * 11 / 10).contains(jobs)), "{:?}", done);
        prop_assert!(longest <= 2 * clients * tenants.len(), "{longest}");
    }
}

/// A tenant, and four others, of which each has one of its queues.
fn beset() -> Vec<Tenant> {
    let tenants = || (1_u64..).map(|n| Tenant::from_number(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
    let one = tenants().next().expect("there are many");
    let is_in_hand = |queue: &usize| hand(one).any(|other| other == *queue);
    let has_only = |queue: usize, tenant: &Tenant| hand(*tenant).filter(is_in_hand).eq([queue]);
    let others = hand(one).map(|queue| tenants().find(|tenant| has_only(queue, tenant)).expect("there are many"));
    std::iter::once(one).chain(others).collect()
}

#[test]
fn a_tenant_has_its_share_although_others_have_each_of_its_queues() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    let tenants = beset();
    for id in 0..2000 {
        let labels = Labels { tenant: tenants[id as usize % 5], ..Labels::default() };
        balancer.offer(TestJob { labels, ..job(id) }, now).unwrap();
    }
    let mut had = [0; 5];
    for _ in 0..500 {
        had[balancer.take(A, now).unwrap().id as usize % 5] += 1;
        balancer.done(A, MS);
    }
    assert!(had.iter().all(|jobs| (70..130).contains(jobs)), "{had:?}");
}

#[test]
fn shares_are_of_time_and_not_of_jobs() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    for id in 0..4000 {
        balancer.offer(of_tenant(id, 1 + id as usize % 2), now).unwrap();
    }
    let mut had = [Duration::ZERO; 2];
    for _ in 0..1000 {
        let tenant = balancer.take(A, now).unwrap().id as usize % 2;
        let ran = if tenant == 0 { 5 * MS } else { MS };
        balancer.done(A, ran);
        had[tenant] += ran;
    }
    let ratio = had[0].as_secs_f64() / had[1].as_secs_f64();
    assert!((0.9..1.1).contains(&ratio), "{had:?}");
}

#[test]
fn a_job_that_was_longer_than_the_others_is_charged_when_it_is_over() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    run(&mut balancer, of_tenant(0, 1), 50 * MS, now);
    (0..100).for_each(|id| _ = balancer.offer(of_tenant(id, 1 + usize::from(id > 0)), now).unwrap());
    let mut others = 0;
    while balancer.take(A, now).unwrap().id > 0 {
        balancer.done(A, MS);
        others += 1;
    }
    assert!((49..=51).contains(&others), "{others}");
}

#[test]
fn a_tenants_job_waits_in_the_shortest_of_its_queues() {
    let (mut balancer, now) = balancer(UNBOUNDED);
    let much = tenant(1);
    let first = hand(much).next();
    let shares_its_first = |tenant: &Tenant| {
        hand(*tenant).next() == first && hand(*tenant).skip(1).all(|queue| hand(much).all(|other| other != queue))
    };
    let little = (1_u64..)
        .map(|n| Tenant::from_number(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
        .find(shares_its_first)
        .expect("there is one");
    let of = |id, tenant| TestJob { labels: Labels { tenant, ..Labels::default() }, ..job(id) };
    (0..1000).for_each(|id| _ = balancer.offer(of(id, much), now).unwrap());
    for _ in 0..4 {
        balancer.take(A, now).unwrap();
        balancer.done(A, MS);
    }
    balancer.offer(of(1000, little), now).unwrap();
    assert!((0..5).any(|_| balancer.take(A, now).inspect(|_| balancer.done(A, MS)).unwrap().id == 1000));
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

/// The ids of jobs, and how long each had waited.
type Waited = Vec<(u32, Duration)>;

const TARGET: Duration = Duration::from_millis(20);

/// Three jobs come to one worker for each that it has done, for so long, and what is given up is asked for each millisecond. Returns what was served and what was given up,
/// with the time that each had waited.
fn overload(balancer: &mut Balancer<TestJob>, from: Instant, time: Duration, first: u32) -> (Waited, Waited) {
    let (mut served, mut shed, mut id) = (Vec::new(), Vec::new(), first);
    let mut offered = std::collections::HashMap::new();
    let mut now = from;
    while now < from + time {
        for _ in 0..3 {
            balancer.offer(job(id), now).unwrap();
            offered.insert(id, now);
            id += 1;
        }
        while let Some(expired) = balancer.tick(now) {
            let Expired::Shed(job) = expired else { panic!("{expired:?}") };
            shed.push((job.id, now - *offered.get(&job.id).unwrap_or(&from)));
        }
        let job = balancer.take(A, now).expect("jobs wait");
        served.push((job.id, now - *offered.get(&job.id).unwrap_or(&from)));
        balancer.done(A, MS);
        now += MS;
    }
    (served, shed)
}

#[test]
fn a_burst_is_queued_and_nothing_of_it_is_given_up() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    let (served, shed) = overload(&mut balancer, now, 100 * MS, 0);
    assert!(shed.is_empty() && !balancer.is_overloaded());
    assert!(served.iter().map(|(id, _)| *id).eq(0..100), "first come, first served");
}

#[test]
fn while_it_is_overloaded_the_newest_go_first_and_the_oldest_are_given_up() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    overload(&mut balancer, now, 200 * MS, 0);
    assert!(balancer.is_overloaded());
    let (served, shed) = overload(&mut balancer, now + 200 * MS, 200 * MS, 100_000);
    assert!(served.iter().all(|(_, waited)| *waited <= MS), "{served:?}");
    assert!(shed.iter().filter(|(id, _)| *id >= 100_000).all(|(_, waited)| *waited <= TARGET + MS));
    assert!(shed.len() > 300 && balancer.waiting() <= 2 * TARGET.as_millis() as usize + 3);
    let next = balancer.next_event().expect("the oldest is to be given up");
    assert!(next <= now + 400 * MS + TARGET);
    while balancer.tick(next - MS / 1000).is_some() {}
    assert!(matches!(balancer.tick(next), Some(Expired::Shed(_))));
}

#[test]
fn of_kinds_that_take_the_same_too_the_newest_go_first_while_it_is_overloaded() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    overload(&mut balancer, now, 200 * MS, 0);
    let kinds = [2, 1, 3].map(Kind::number);
    for (at, kind) in (0..).zip(kinds) {
        balancer.offer(of_kind(100_000 + at, kind), now + (200 + at) * MS).unwrap();
    }
    let next = [(); 3].map(|()| balancer.take(A, now + 203 * MS).inspect(|_| balancer.done(A, MS)).unwrap().id);
    assert_eq!(next, [100_002, 100_001, 100_000]);
}

#[test]
fn what_stands_is_noticed_whether_jobs_only_come_or_are_only_taken() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    (0..200).for_each(|id| _ = balancer.offer(job(id), now + id * MS).unwrap());
    assert!(balancer.is_overloaded());
    let (mut balancer, now) = self::balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    (0..200).for_each(|id| _ = balancer.offer(job(id), now).unwrap());
    for ms in 0..150 {
        balancer.take(A, now + ms * MS).expect("jobs wait");
        balancer.done(A, MS);
    }
    assert!(balancer.is_overloaded());
}

#[test]
fn one_kind_that_stands_is_an_overload_though_another_is_served() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    balancer.offer(of_kind(0, long()), now).unwrap();
    for ms in 1..200 {
        balancer.offer(of_kind(ms, short()), now + ms * MS).unwrap();
        if !balancer.is_overloaded() {
            assert_eq!(balancer.take(A, now + ms * MS).map(|job| job.id), Some(ms));
            balancer.done(A, MS / 100);
        }
    }
    assert!(balancer.is_overloaded());
    assert_eq!(balancer.tick(now + 200 * MS), Some(Expired::Shed(of_kind(0, long()))));
}

#[test]
fn jobs_that_come_far_apart_end_an_overload() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    overload(&mut balancer, now, 200 * MS, 0);
    while balancer.take(A, now + 200 * MS).is_some() {
        balancer.done(A, MS);
    }
    let overloaded: Vec<bool> = (1..=4)
        .map(|id| {
            let at = now + 200 * MS + id * 80 * MS;
            balancer.offer(job(100_000 + id), at).unwrap();
            let is_overloaded = balancer.is_overloaded();
            assert!(balancer.take(A, at).is_some());
            balancer.done(A, MS);
            is_overloaded
        })
        .collect();
    assert!(overloaded[0] && !overloaded[3], "{overloaded:?}");
}

#[test]
fn an_overload_lasts_while_more_comes_than_is_served_however_long_each_takes() {
    for (every, takes) in [(1, 5), (3, 10), (1, 50), (5, 10_000)] {
        let (mut balancer, start) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
        let mut free_at = 0;
        for ms in 0..2000 {
            let now = start + ms * MS;
            if ms % every == 0 {
                balancer.offer(job(ms), now).unwrap();
            }
            while balancer.tick(now).is_some() {}
            assert!(ms < 300 || balancer.is_overloaded(), "{takes} ms each, after {ms} ms");
            if ms >= free_at {
                balancer.done(A, takes * MS);
                balancer.take(A, now).expect("jobs wait");
                free_at = ms + takes;
            }
        }
    }
}

#[test]
fn what_stands_behind_others_is_given_up_although_nothing_happens_to_it() {
    let strict = Options { max_delay: Some(TARGET), order: Order::Strict, ..UNBOUNDED };
    let (mut balancer, now) = balancer(strict);
    let of_level = |id, priority| TestJob { labels: Labels { priority, ..Labels::default() }, ..job(id) };
    balancer.offer(of_level(0, Priority::BATCH), now).unwrap();
    for ms in 1..=150 {
        let now = now + ms * MS;
        balancer.offer(of_level(ms, Priority::INTERACTIVE), now).unwrap();
        assert_eq!(balancer.take(A, now).map(|job| job.id), Some(ms));
        balancer.done(A, MS);
    }
    let Some(Expired::Shed(shed)) = balancer.tick(now + 150 * MS) else { panic!("it has waited for too long") };
    assert_eq!(shed.id, 0);
}

#[test]
fn it_is_over_once_what_comes_has_been_served_in_time_for_a_while() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    overload(&mut balancer, now, 300 * MS, 0);
    let begin = now + 300 * MS;
    let (mut at, mut waits) = (begin, Vec::new());
    for id in 0..200 {
        // Half of what the worker can do.
        balancer.offer(job(1_000_000 + id), at).unwrap();
        for _ in 0..2 {
            while balancer.tick(at).is_some() {}
            if let Some(job) = balancer.take(A, at) {
                waits.extend((job.id >= 1_000_000).then_some((at, job.id)));
                balancer.done(A, MS);
            }
            at += MS;
        }
    }
    assert!(!balancer.is_overloaded() && waits.len() == 200);
    let first_come_first = waits.iter().skip_while(|(at, _)| *at < begin + 130 * MS).map(|(_, id)| *id);
    assert!(first_come_first.clone().is_sorted() && first_come_first.count() > 100);
}

#[test]
fn a_tenant_that_overloads_its_share_has_its_own_given_up() {
    let (mut balancer, now) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    let mut shed = Vec::new();
    for ms in 0..400 {
        let at = now + ms * MS;
        (0..3).for_each(|n| _ = balancer.offer(of_tenant(10 * ms + n, 1), at).unwrap());
        if ms % 4 == 0 {
            balancer.offer(of_tenant(1_000_000 + ms, 2), at).unwrap();
        }
        while let Some(expired) = balancer.tick(at) {
            let Expired::Shed(job) = expired else { panic!("{expired:?}") };
            shed.push(job.id);
        }
        balancer.take(A, at).expect("jobs wait");
        balancer.done(A, MS);
    }
    assert!(shed.len() > 200 && shed.iter().all(|id| *id < 1_000_000));
}

#[test]
fn what_cannot_be_done_in_time_is_handed_back_when_it_comes_or_when_its_turn_does() {
    let (mut balancer, now) = balancer(Options { refuse_hopeless: true, ..UNBOUNDED });
    let until = |id, left: Duration| TestJob { deadline: Some(now + left), ..of_kind(id, long()) };
    (0..100).for_each(|_| run(&mut balancer, of_kind(0, long()), 10 * MS, now));
    assert_eq!(balancer.offer(until(1, 5 * MS), now), Err(Refused::Hopeless(until(1, 5 * MS))));
    balancer.offer(until(2, 50 * MS), now).unwrap();
    balancer.offer(until(3, HOUR), now).unwrap();
    assert_eq!(balancer.take(A, now + 45 * MS).map(|job| job.id), Some(3));
    assert_eq!(balancer.hopeless(), [until(2, 50 * MS)]);
    assert!(balancer.hopeless().is_empty());
    let mut lenient = Balancer::new(UNBOUNDED, 1);
    lenient.offer(until(1, 5 * MS), now).unwrap();
}

#[test]
fn one_of_some_whose_turn_comes_too_late_is_tried_all_the_same() {
    let (mut balancer, now) = balancer(Options { refuse_hopeless: true, ..UNBOUNDED });
    let kind = Kind::number(1);
    (0..100).for_each(|_| run(&mut balancer, of_kind(0, kind), 10 * MS, now));
    for id in 0..160 {
        balancer.offer(TestJob { deadline: Some(now + 50 * MS), ..of_kind(id, kind) }, now).unwrap();
    }
    let tried = std::iter::from_fn(|| balancer.take(A, now + 45 * MS).inspect(|_| balancer.done(A, 10 * MS))).count();
    assert_eq!((tried, balancer.hopeless().len()), (10, 150));
}

#[test]
fn one_of_some_that_cannot_be_done_in_time_is_tried_and_tells_when_they_have_become_shorter() {
    let (mut balancer, now) = balancer(Options { refuse_hopeless: true, ..UNBOUNDED });
    let kind = Kind::number(1);
    let hasty = |id| TestJob { deadline: Some(now + 5 * MS), ..of_kind(id, kind) };
    (0..100).for_each(|_| run(&mut balancer, of_kind(0, kind), 10 * MS, now));
    let mut tried = 0;
    for id in 0..5000 {
        if balancer.offer(hasty(id), now).is_ok() {
            assert_eq!(balancer.take(A, now).map(|job| job.id), Some(id), "it is not refused after all");
            balancer.done(A, MS);
            tried += 1;
        }
    }
    assert!(balancer.hopeless().is_empty() && tried > 4900, "{tried}");
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

/// Ten tenants that send jobs of 5 ms at random, at 0.7 of what two workers can do, but the first one so many times as much. Returns the 99th percentile of
/// how long the others' jobs wait, and how many of theirs were given up.
fn others_p99(times: f64) -> (Duration, usize) {
    const STEP: Duration = Duration::from_micros(100);
    const SHARE: f64 = 0.7 * 2.0 / 0.005 / 10.0;
    let (mut balancer, start) = balancer(Options { max_delay: Some(TARGET), ..UNBOUNDED });
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let tenants: Vec<Tenant> = (1..=10).map(tenant).collect();
    let (mut offered, mut given_up, mut waits) = (Vec::new(), 0, Vec::new());
    let mut free_at = [start; 2];
    for step in 0..100_000 {
        let now = start + step * STEP;
        for (at, tenant) in tenants.iter().enumerate() {
            let rate = if at == 0 { times * SHARE } else { SHARE };
            if random.random_bool(rate * STEP.as_secs_f64()) {
                let labels = Labels { tenant: *tenant, ..Labels::default() };
                balancer.offer(TestJob { labels, ..job(offered.len() as u32) }, now).unwrap();
                offered.push((at, now));
            }
        }
        while let Some(expired) = balancer.tick(now) {
            let Expired::Shed(job) = expired else { panic!("{expired:?}") };
            given_up += usize::from(offered[job.id as usize].0 > 0);
        }
        for (worker, free_at) in free_at.iter_mut().enumerate().filter(|(_, free_at)| **free_at <= now) {
            balancer.done(WorkerId(worker), 5 * MS);
            if let Some(job) = balancer.take(WorkerId(worker), now) {
                let (at, since) = offered[job.id as usize];
                waits.extend((at > 0).then_some(now - since));
                *free_at = now + 5 * MS;
            }
        }
    }
    waits.sort_unstable();
    (waits[waits.len() * 99 / 100], given_up)
}

#[test]
fn a_tenant_that_sends_a_hundred_times_its_share_hardly_slows_the_others() {
    let (alike, flooded) = (others_p99(1.0), others_p99(100.0));
    assert_eq!(flooded.1, 0, "nothing of theirs is given up");
    assert!(flooded.0 + 5 * MS <= (alike.0 + 5 * MS) * 3 / 2, "{flooded:?} {alike:?}");
}
