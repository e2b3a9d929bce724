//! Which jobs are given up: what stands in an overloaded queue, and what cannot be done in time.

use super::order::{MS, UNBOUNDED, long, of_kind, run, short};
use super::tenants::of_tenant;
use super::*;

/// The ids of jobs, and how long each had waited.
type Waited = Vec<(u32, Duration)>;

pub(super) const TARGET: Duration = Duration::from_millis(20);

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
