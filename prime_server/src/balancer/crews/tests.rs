//! What the balancer of crews promises, event by event.

use std::time::Duration;

use super::super::test_job::{TestJob, job};
use super::*;
use crate::affinity::Affinity;
use crate::labels::Labels;
use crate::{Kind, Priority, Tenant};

const OPTIONS: Options = Options { queue: 9, attempts: 3, ..Options::PLAIN };
const RAN: Duration = Duration::from_millis(1);
const IDEMPOTENT: Options = Options { idempotent: true, ..OPTIONS };
const SECOND: Duration = Duration::from_secs(1);

fn crews(options: Options) -> (Crews<TestJob>, Instant) {
    (Crews::new(options), Instant::now())
}

fn enlist(crews: &mut Crews<TestJob>, slots: u32, ahead: u32) -> CrewId {
    let crew = crews.enlist();
    crews.announce(crew, slots, ahead);
    crew
}

fn offer(crews: &mut Crews<TestJob>, id: u32, now: Instant) -> JobKey {
    crews.offer(job(id), now).expect("there is room")
}

fn assigned(crews: &mut Crews<TestJob>) -> Option<(CrewId, u32)> {
    crews.assign(None, Instant::now()).map(|(crew, _, job)| (crew, job.id))
}

fn attempt(id: u32, attempt: u32) -> TestJob {
    TestJob { attempt, ..job(id) }
}

#[test]
fn jobs_are_given_in_the_order_they_came() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 2, 0);
    let keys = [1, 2, 3].map(|id| offer(&mut crews, id, now));
    assert_eq!(crews.assign(None, Instant::now()), Some((crew, keys[0], &mut job(1))));
    assert_eq!(crews.assign(None, Instant::now()), Some((crew, keys[1], &mut job(2))));
    assert_eq!(crews.assign(None, Instant::now()), None);
    assert_eq!(crews.done(crew, keys[1], RAN, RAN), Some(job(2)));
    assert_eq!(crews.assign(None, Instant::now()), Some((crew, keys[2], &mut job(3))));
}

#[test]
fn a_crew_that_has_not_said_what_it_can_take_gets_nothing() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = crews.enlist();
    offer(&mut crews, 1, now);
    assert_eq!(crews.assign(None, Instant::now()), None);
    crews.announce(crew, 1, 0);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
}

#[test]
fn a_full_queue_hands_the_job_back_unless_it_returns_or_is_a_part() {
    let (mut crews, now) = crews(Options { queue: 1, ..OPTIONS });
    offer(&mut crews, 1, now);
    assert_eq!(crews.offer(job(2), now), Err(Refused::Full(job(2))));
    assert!(crews.offer(TestJob { returns: true, ..job(3) }, now).is_ok());
    assert!(crews.offer(TestJob { is_part: true, ..job(4) }, now).is_ok());
}

#[test]
fn what_crews_have_room_for_does_not_count_as_waiting() {
    let (mut crews, now) = crews(Options { queue: 0, ..OPTIONS });
    enlist(&mut crews, 1, 1);
    offer(&mut crews, 1, now);
    offer(&mut crews, 2, now);
    assert_eq!(crews.offer(job(3), now), Err(Refused::Full(job(3))));
    while crews.assign(None, Instant::now()).is_some() {}
    assert_eq!(crews.offer(job(3), now), Err(Refused::Full(job(3))));
}

#[test]
fn a_job_goes_to_the_crew_with_the_fewest_jobs_to_a_thread() {
    let (mut crews, now) = crews(OPTIONS);
    let (small, large) = (enlist(&mut crews, 2, 0), enlist(&mut crews, 4, 0));
    (1..=6).for_each(|id| _ = offer(&mut crews, id, now));
    let given: Vec<_> = std::iter::from_fn(|| assigned(&mut crews)).map(|(crew, _)| crew).collect();
    assert_eq!(given, [small, large, large, small, large, large]);
}

#[test]
fn of_equal_crews_the_one_that_became_free_last_is_given_the_job() {
    let (mut crews, now) = crews(OPTIONS);
    let both = [1, 2].map(|_| enlist(&mut crews, 1, 0));
    for (id, last) in [(1, both[0]), (3, both[1])] {
        let keys = [id, id + 1].map(|id| offer(&mut crews, id, now));
        let mut given: Vec<_> =
            keys.map(|key| (crews.assign(None, Instant::now()).expect("two are free").0, key)).into();
        given.sort_by_key(|(crew, _)| *crew == last);
        given.into_iter().for_each(|(crew, key)| assert!(crews.done(crew, key, RAN, RAN).is_some()));
        let key = offer(&mut crews, 9, now);
        assert_eq!(assigned(&mut crews), Some((last, 9)));
        crews.done(last, key, RAN, RAN);
    }
}

#[test]
fn nothing_is_given_ahead_while_a_thread_is_free() {
    let (mut crews, now) = crews(OPTIONS);
    let (eager, plain) = (enlist(&mut crews, 1, 3), enlist(&mut crews, 2, 0));
    (1..=5).for_each(|id| _ = offer(&mut crews, id, now));
    let given: Vec<_> = std::iter::from_fn(|| assigned(&mut crews)).map(|(crew, _)| crew).collect();
    assert_eq!(given, [eager, plain, plain, eager, eager]);
}

#[test]
fn the_crew_with_the_fewest_ahead_is_given_the_next() {
    let (mut crews, now) = crews(OPTIONS);
    let both = [1, 2].map(|_| enlist(&mut crews, 1, 2));
    (1..=7).for_each(|id| _ = offer(&mut crews, id, now));
    let given: Vec<_> = std::iter::from_fn(|| assigned(&mut crews)).map(|(crew, _)| crew).collect();
    assert_eq!(given, [both[0], both[1], both[0], both[1], both[0], both[1]]);
}

#[test]
fn a_crew_that_has_shrunk_gets_nothing_until_it_is_below_again() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 3, 0);
    let keys = [1, 2, 3, 4].map(|id| offer(&mut crews, id, now));
    (1..=3).for_each(|id| assert_eq!(assigned(&mut crews), Some((crew, id))));
    crews.announce(crew, 2, 0);
    crews.done(crew, keys[0], RAN, RAN);
    assert_eq!(crews.assign(None, Instant::now()), None);
    crews.done(crew, keys[1], RAN, RAN);
    assert_eq!(assigned(&mut crews), Some((crew, 4)));
}

#[test]
fn a_crew_that_was_withdrawn_keeps_what_it_holds_and_gets_nothing_more() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 2, 0);
    let key = offer(&mut crews, 1, now);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    crews.withdraw(crew, now);
    offer(&mut crews, 2, now);
    assert_eq!(crews.assign(None, Instant::now()), None);
    assert_eq!(crews.done(crew, key, RAN, RAN), Some(job(1)));
    crews.announce(crew, 2, 0);
    assert_eq!(crews.assign(None, Instant::now()), None);
    assert_eq!(crews.lost(crew, now), Orphans { retried: vec![], given_up: vec![] });
}

#[test]
fn an_outcome_counts_only_from_the_crew_that_has_the_job() {
    let (mut crews, now) = crews(IDEMPOTENT);
    let first = enlist(&mut crews, 1, 0);
    let key = offer(&mut crews, 1, now);
    assert_eq!(crews.done(first, key, RAN, RAN), None, "it waits still");
    assert_eq!(assigned(&mut crews), Some((first, 1)));
    let second = enlist(&mut crews, 1, 0);
    assert_eq!(crews.done(second, key, RAN, RAN), None);
    crews.lost(first, now);
    assert_eq!(assigned(&mut crews), Some((second, 1)));
    assert_eq!(crews.done(first, key, RAN, RAN), None, "it came too late");
    assert_eq!(crews.done(second, key, RAN, RAN), Some(attempt(1, 2)));
}

#[test]
fn a_late_outcome_is_not_taken_for_that_of_the_next_job_at_the_same_place() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 1, 0);
    let old = offer(&mut crews, 1, now);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    assert_eq!(crews.done(crew, old, RAN, RAN), Some(job(1)));
    let new = offer(&mut crews, 2, now);
    assert_eq!(assigned(&mut crews), Some((crew, 2)));
    assert_eq!(old.slot, new.slot);
    assert_eq!(crews.done(crew, old, RAN, RAN), None);
    assert_eq!(crews.cancel(old), None);
    assert_eq!(crews.done(crew, new, RAN, RAN), Some(job(2)));
}

#[test]
fn a_returned_job_goes_before_all_others_to_another_free_crew_as_the_same_attempt() {
    let (mut crews, now) = crews(OPTIONS);
    let first = enlist(&mut crews, 1, 1);
    let keys = [1, 2, 3].map(|id| offer(&mut crews, id, now));
    (1..=2).for_each(|id| assert_eq!(assigned(&mut crews), Some((first, id))));
    crews.returned(first, keys[1]);
    let other = enlist(&mut crews, 9, 0);
    crews.done(first, keys[0], RAN, RAN);
    assert_eq!(crews.assign(None, Instant::now()), Some((other, keys[1], &mut job(2))));
}

#[test]
fn a_job_that_returns_to_an_overloaded_queue_is_the_next_as_any_that_returns() {
    let (mut crews, now) = crews(Options { queue: 999, max_delay: Some(RAN), ..OPTIONS });
    for id in 1..=200 {
        offer(&mut crews, id, now + id * RAN);
    }
    let crew = enlist(&mut crews, 1, 0);
    let (_, key, job) = crews.assign(None, now + 200 * RAN).expect("a thread is free");
    assert_eq!(job.id, 200, "the newest go first");
    crews.returned(crew, key);
    assert_eq!(assigned(&mut crews), Some((crew, 200)));
}

#[test]
fn a_returned_job_has_cost_its_tenant_nothing() {
    let (mut crews, now) = crews(Options { queue: 99, ..OPTIONS });
    let of_tenant =
        |id, number| TestJob { labels: Labels { tenant: Tenant::from_number(number), ..Labels::default() }, ..job(id) };
    // Their hands have no queue in common.
    let (one, other) = (1, u64::MAX);
    let worker = enlist(&mut crews, 1, 0);
    for (tenant, ran) in [(one, 2 * RAN), (other, 3 * RAN)] {
        let key = crews.offer(of_tenant(0, tenant), now).unwrap();
        assert!(crews.assign(None, now).is_some());
        crews.done(worker, key, ran, ran);
    }
    let key = crews.offer(of_tenant(1, one), now).unwrap();
    for _ in 0..3 {
        assert_eq!(crews.assign(None, now).map(|(_, key, _)| key), Some(key));
        crews.returned(worker, key);
    }
    crews.offer(of_tenant(2, other), now).unwrap();
    assert_eq!(assigned(&mut crews), Some((worker, 1)));
}

#[test]
fn a_returned_job_goes_back_to_its_crew_where_no_other_has_a_free_thread() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 1, 1);
    enlist(&mut crews, 0, 1);
    let keys = [1, 2].map(|id| offer(&mut crews, id, now));
    (1..=2).for_each(|id| assert_eq!(assigned(&mut crews), Some((crew, id))));
    crews.returned(crew, keys[1]);
    crews.done(crew, keys[0], RAN, RAN);
    assert_eq!(assigned(&mut crews), Some((crew, 2)));
}

#[test]
fn a_returned_job_is_not_given_ahead_again_and_none_is_before_it() {
    let (mut crews, now) = crews(OPTIONS);
    let both = [1, 2].map(|_| enlist(&mut crews, 1, 1));
    let keys = [1, 2, 3].map(|id| offer(&mut crews, id, now));
    (0..3).for_each(|n| assert_eq!(assigned(&mut crews), Some((both[n % 2], n as u32 + 1))));
    offer(&mut crews, 4, now);
    crews.returned(both[0], keys[2]);
    assert_eq!(crews.assign(None, Instant::now()), None);
    crews.done(both[1], keys[1], RAN, RAN);
    assert_eq!(assigned(&mut crews), Some((both[1], 3)));
    assert_eq!(assigned(&mut crews).map(|(_, id)| id), Some(4));
}

#[test]
fn lost_jobs_are_tried_again_before_all_others_and_in_their_order() {
    let (mut crews, now) = crews(IDEMPOTENT);
    let lost = enlist(&mut crews, 2, 0);
    let keys = [1, 2, 3].map(|id| offer(&mut crews, id, now));
    (1..=2).for_each(|id| assert_eq!(assigned(&mut crews), Some((lost, id))));
    let mut orphans = crews.lost(lost, now);
    orphans.retried.sort();
    assert_eq!(orphans, Orphans { retried: keys[..2].to_vec(), given_up: vec![] });
    assert_eq!(crews.get(keys[0]), Some(&attempt(1, 2)));
    let crew = enlist(&mut crews, 3, 0);
    assert_ne!(crew, lost);
    assert_eq!(crews.assign(None, Instant::now()), Some((crew, keys[0], &mut attempt(1, 2))));
    assert_eq!(crews.assign(None, Instant::now()), Some((crew, keys[1], &mut attempt(2, 2))));
    assert_eq!(crews.assign(None, Instant::now()), Some((crew, keys[2], &mut job(3))));
}

#[test]
fn a_lost_job_is_given_up_unless_its_stage_is_idempotent() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 1, 0);
    let key = offer(&mut crews, 1, now);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    assert_eq!(crews.lost(crew, now), Orphans { retried: vec![], given_up: vec![job(1)] });
    assert_eq!(crews.get(key), None);
    assert_eq!((crews.waiting(), crews.running(), crews.crews()), (0, 0, 0));
}

#[test]
fn attempts_are_bounded() {
    let (mut crews, now) = crews(IDEMPOTENT);
    offer(&mut crews, 1, now);
    for n in 1..=3 {
        let crew = enlist(&mut crews, 1, 0);
        assert_eq!(crews.assign(None, Instant::now()).map(|(_, _, job)| job.attempt), Some(n));
        let orphans = crews.lost(crew, now);
        assert_eq!((orphans.retried.len(), orphans.given_up.len()), if n < 3 { (1, 0) } else { (0, 1) });
    }
}

#[test]
fn a_cancelled_job_leaves_the_queue_at_once() {
    let (mut crews, now) = crews(OPTIONS);
    let keys = [1, 2].map(|id| offer(&mut crews, id, now));
    assert_eq!(crews.cancel(keys[0]), Some(Cancelled::Waiting(job(1))));
    assert_eq!(crews.cancel(keys[0]), None);
    let crew = enlist(&mut crews, 2, 0);
    assert_eq!(assigned(&mut crews), Some((crew, 2)));
}

#[test]
fn a_job_that_is_cancelled_at_a_crew_keeps_a_thread_until_it_is_done() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 1, 0);
    let keys = [1, 2].map(|id| offer(&mut crews, id, now));
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    assert_eq!(crews.cancel(keys[0]), Some(Cancelled::Running(crew, job(1))));
    assert_eq!(crews.cancel(keys[0]), None);
    assert_eq!((crews.running(), crews.assign(None, Instant::now())), (1, None));
    assert_eq!(crews.done(crew, keys[0], RAN, RAN), None);
    assert_eq!(assigned(&mut crews), Some((crew, 2)));
}

#[test]
fn a_cancelled_job_is_not_queued_again_where_its_crew_is_lost_or_returns_it() {
    let (mut crews, now) = crews(Options { timeout: Some(SECOND), ..IDEMPOTENT });
    let crew = enlist(&mut crews, 2, 0);
    let keys = [1, 2].map(|id| offer(&mut crews, id, now));
    for key in keys {
        assert!(crews.assign(None, Instant::now()).is_some());
        assert!(matches!(crews.cancel(key), Some(Cancelled::Running(..))));
    }
    assert_eq!(crews.next_event(), None);
    crews.returned(crew, keys[0]);
    assert_eq!((crews.waiting(), crews.running()), (0, 1));
    assert_eq!(crews.lost(crew, now), Orphans { retried: vec![], given_up: vec![] });
    assert_eq!((crews.waiting(), crews.running()), (0, 0));
}

#[test]
fn the_timeout_covers_waiting_and_running_and_all_attempts() {
    let (mut crews, now) = crews(Options { timeout: Some(SECOND), ..IDEMPOTENT });
    let lost = enlist(&mut crews, 1, 0);
    let keys = [1, 2].map(|id| offer(&mut crews, id, now));
    assert_eq!(assigned(&mut crews), Some((lost, 1)));
    crews.lost(lost, now + SECOND / 2);
    let crew = enlist(&mut crews, 1, 0);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    assert_eq!(crews.next_event(), Some(now + SECOND));
    assert_eq!(crews.tick(now + SECOND / 2), None);
    assert_eq!(crews.tick(now + SECOND), Some(Overdue::Running(crew, keys[0], attempt(1, 2))));
    assert_eq!(crews.tick(now + SECOND), Some(Overdue::Waiting(job(2))));
    assert_eq!((crews.tick(now + SECOND), crews.next_event()), (None, None));
    assert_eq!((crews.waiting(), crews.running()), (0, 1), "the crew has it until it is done");
    assert_eq!(crews.lost(crew, now + SECOND), Orphans { retried: vec![], given_up: vec![] });
}

#[test]
fn a_timeout_that_becomes_known_is_that_of_later_jobs_and_of_those_that_wait_without_one() {
    let (mut crews, now) = crews(OPTIONS);
    offer(&mut crews, 1, now);
    assert_eq!(crews.next_event(), None);
    crews.set_options(Options { timeout: Some(SECOND), ..OPTIONS });
    crews.set_options(Options { timeout: Some(10 * SECOND), ..OPTIONS });
    offer(&mut crews, 2, now);
    assert_eq!(crews.tick(now + SECOND), Some(Overdue::Waiting(job(1))));
    assert_eq!(crews.tick(now + SECOND), None);
    assert_eq!(crews.tick(now + 10 * SECOND), Some(Overdue::Waiting(job(2))));
}

#[test]
fn where_no_crew_has_come_a_job_waits_no_longer_than_it_may() {
    let (mut crews, now) = crews(Options { wait: Some(SECOND), ..OPTIONS });
    offer(&mut crews, 1, now);
    offer(&mut crews, 2, now + SECOND / 2);
    assert_eq!(crews.next_event(), Some(now + SECOND));
    assert_eq!(crews.tick(now + SECOND / 2), None);
    assert_eq!(crews.tick(now + SECOND), Some(Overdue::Unattended(job(1))));
    assert_eq!(crews.tick(now + SECOND), None);
    assert_eq!(crews.next_event(), Some(now + SECOND * 3 / 2));
    crews.enlist();
    assert_eq!(crews.next_event(), None);
    assert_eq!(crews.tick(now + SECOND * 9), None);
}

#[test]
fn the_wait_begins_anew_when_the_last_crew_is_lost() {
    let (mut crews, now) = crews(Options { wait: Some(SECOND), ..IDEMPOTENT });
    let crew = enlist(&mut crews, 1, 0);
    offer(&mut crews, 1, now);
    offer(&mut crews, 2, now);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    crews.lost(crew, now + SECOND);
    assert_eq!(crews.tick(now + SECOND), None);
    offer(&mut crews, 3, now + SECOND * 3 / 2);
    assert_eq!(crews.next_event(), Some(now + SECOND * 2));
    let unattended: Vec<_> = std::iter::from_fn(|| crews.tick(now + SECOND * 2)).collect();
    assert_eq!(unattended, [attempt(1, 2), job(2)].map(Overdue::Unattended));
    assert_eq!(crews.next_event(), Some(now + SECOND * 5 / 2));
}

#[test]
fn a_crew_that_was_withdrawn_is_not_there_for_what_waits() {
    let (mut crews, now) = crews(Options { wait: Some(SECOND), ..OPTIONS });
    let crew = enlist(&mut crews, 1, 0);
    offer(&mut crews, 1, now);
    offer(&mut crews, 2, now);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    crews.withdraw(crew, now + SECOND);
    crews.withdraw(crew, now + SECOND * 2);
    assert_eq!(crews.next_event(), Some(now + SECOND * 2));
    assert_eq!(crews.tick(now + SECOND * 2), Some(Overdue::Unattended(job(2))));
    assert_eq!(crews.running(), 1);
}

#[test]
fn what_waits_is_given_up_first_come_first_and_what_runs_is_kept() {
    let (mut crews, now) = crews(OPTIONS);
    let crew = enlist(&mut crews, 1, 0);
    let key = offer(&mut crews, 1, now);
    assert_eq!(assigned(&mut crews), Some((crew, 1)));
    offer(&mut crews, 2, now);
    offer(&mut crews, 3, now);
    assert_eq!(crews.clear(), [job(2), job(3)]);
    assert_eq!(crews.done(crew, key, RAN, RAN), Some(job(1)));
}

#[test]
fn what_jobs_ran_for_is_learned_of_their_kind_and_charged_to_their_priority() {
    let (mut crews, now) = crews(Options { queue: usize::MAX, ..OPTIONS });
    let crew = enlist(&mut crews, 1, 0);
    let of = |id, labels| TestJob { labels, ..job(id) };
    let kind = |number| Labels { kind: Kind::number(number), ..Labels::default() };
    let priority = |priority| Labels { priority, ..Labels::default() };
    let next = |crews: &mut Crews<TestJob>, ran| {
        let (_, key, job) = crews.assign(None, now).expect("one waits");
        let id = job.id;
        crews.done(crew, key, ran, ran);
        id
    };
    for _ in 0..20 {
        for (number, ran) in [(1, 10 * RAN), (2, RAN)] {
            crews.offer(of(0, kind(number)), now).unwrap();
            next(&mut crews, ran);
        }
    }
    crews.offer(of(1, kind(1)), now).unwrap();
    crews.offer(of(2, kind(2)), now).unwrap();
    assert_eq!([(); 2].map(|()| next(&mut crews, RAN)), [2, 1], "the one first that takes less");
    for id in 0..60 {
        crews.offer(of(id, priority(Priority::INTERACTIVE)), now).unwrap();
        crews.offer(of(100 + id, priority(Priority::DEFAULT)), now).unwrap();
    }
    let of_less_urgent = (0..50).filter(|_| next(&mut crews, RAN) >= 100).count();
    assert!((9..=11).contains(&of_less_urgent), "{of_less_urgent}: one of five");
}

#[test]
fn what_waits_for_too_long_in_a_queue_that_stands_is_given_up() {
    let target = 20 * RAN;
    let (mut crews, now) = crews(Options { queue: usize::MAX, max_delay: Some(target), ..OPTIONS });
    for ms in 0..=121 {
        assert_eq!(crews.tick(now + ms * RAN), None);
        offer(&mut crews, ms, now + ms * RAN);
    }
    assert_eq!(crews.tick(now + 121 * RAN), Some(Overdue::Shed(job(0))));
    while crews.tick(now + 121 * RAN).is_some() {}
    assert_eq!(crews.next_event(), Some(now + (102 + 20) * RAN));
}

#[test]
fn what_cannot_be_done_in_time_is_not_given_to_a_crew() {
    let (mut crews, now) = crews(Options { refuse_hopeless: true, ..OPTIONS });
    let crew = enlist(&mut crews, 1, 0);
    let labels = Labels { kind: Kind::taking(10 * RAN), ..Labels::default() };
    let hasty = |id, left: u32| TestJob { labels, deadline: Some(now + left * RAN), ..job(id) };
    for _ in 0..100 {
        let key = crews.offer(hasty(0, 1000), now).unwrap();
        assert!(crews.assign(None, now).is_some());
        crews.done(crew, key, 10 * RAN, 10 * RAN);
    }
    assert_eq!(crews.offer(hasty(1, 5), now), Err(Refused::Hopeless(hasty(1, 5))));
    crews.offer(hasty(2, 50), now).unwrap();
    crews.offer(hasty(3, 1000), now).unwrap();
    assert_eq!(crews.assign(None, now + 45 * RAN).map(|(to, _, job)| (to, job.id)), Some((crew, 3)));
    assert_eq!(crews.hopeless(), [hasty(2, 50)]);
    assert!(crews.hopeless().is_empty());
}

#[test]
fn a_choice_that_is_none_of_those_there_are_is_as_none() {
    let (mut crews, now) = crews(OPTIONS);
    let first = enlist(&mut crews, 1, 0);
    enlist(&mut crews, 1, 0);
    offer(&mut crews, 1, now);
    let mut choose = |_: &TestJob, there: &[Affinity]| Some(there.len());
    assert_eq!(crews.assign(Some(&mut choose), now).map(|(crew, ..)| crew), Some(first));
}

#[test]
fn threads_are_counted_as_announced() {
    let (mut crews, now) = crews(OPTIONS);
    let first = enlist(&mut crews, 2, 1);
    enlist(&mut crews, 3, 1);
    assert_eq!((crews.crews(), crews.slots()), (2, 5));
    crews.announce(first, 1, 0);
    assert_eq!(crews.slots(), 4);
    crews.lost(first, now);
    assert_eq!((crews.crews(), crews.slots()), (1, 3));
}
