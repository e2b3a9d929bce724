//! What each tenant has of the workers' time.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::order::{MS, UNBOUNDED, run};
use super::overload::TARGET;
use super::*;
use crate::Tenant;
use crate::balancer::tenants::hand;

/// Tenants that have no queue in common, by their numbers from 1.
pub(super) fn tenant(number: usize) -> Tenant {
    let mut dealt = BTreeSet::new();
    let mut apart =
        (1_u64..).map(|n| Tenant::from_number(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)).filter(|tenant| {
            let is_apart = hand(*tenant).all(|queue| !dealt.contains(&queue));
            dealt.extend(hand(*tenant).filter(|_| is_apart));
            is_apart
        });
    apart.nth(number - 1).expect("there is always another")
}

pub(super) fn of_tenant(id: u32, number: usize) -> TestJob {
    TestJob { labels: Labels { tenant: tenant(number), ..Labels::default() }, ..job(id) }
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
