//! What the balancer promises, event by event and then for any sequence of events.

mod choice;
mod order;
mod overload;
mod tenants;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::test_job::{TestJob, job};
use super::*;
use crate::labels::Labels;
use crate::{Kind, Priority};

fn id(id: u32) -> RequestId {
    RequestId { key: id, generation: 0 }
}

const OPTIONS: Options = Options { queue: 2, attempts: 3, ..Options::PLAIN };
const RAN: Duration = Duration::from_micros(10);
const HOUR: Duration = Duration::from_secs(3600);
const A: WorkerId = WorkerId(0);
const B: WorkerId = WorkerId(1);

fn balancer(options: Options) -> (Balancer<TestJob>, Instant) {
    (Balancer::new(options, 2), Instant::now())
}

#[test]
fn jobs_are_taken_in_the_order_they_came() {
    let (mut balancer, now) = balancer(OPTIONS);
    balancer.offer(job(1), now).unwrap();
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.take(A, now), Some(job(1)));
    assert_eq!(balancer.take(B, now), Some(job(2)));
}

#[test]
fn a_full_queue_hands_the_job_back() {
    let (mut balancer, now) = balancer(OPTIONS);
    balancer.offer(job(1), now).unwrap();
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.offer(job(3), now), Err(Refused::Full(job(3))));
}

#[test]
fn what_an_idle_worker_will_take_does_not_count_as_waiting() {
    let (mut balancer, now) = balancer(Options { queue: 0, ..OPTIONS });
    assert_eq!(balancer.offer(job(1), now), Err(Refused::Full(job(1))));
    assert_eq!(balancer.take(A, now), None);
    balancer.offer(job(1), now).unwrap();
    assert_eq!(balancer.offer(job(2), now), Err(Refused::Full(job(2))));
}

#[test]
fn what_a_summoned_worker_will_take_does_not_count_as_waiting() {
    let (mut balancer, now) = balancer(Options { queue: 1, ..OPTIONS });
    assert_eq!(balancer.take(A, now), None);
    balancer.offer(job(1), now).unwrap();
    assert_eq!(balancer.summon(), Some(A));
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.offer(job(3), now), Err(Refused::Full(job(3))));
}

#[test]
fn a_job_that_returns_is_always_taken() {
    let (mut balancer, now) = balancer(Options { queue: 0, ..OPTIONS });
    balancer.offer(TestJob { returns: true, ..job(1) }, now).unwrap();
    assert_eq!(balancer.waiting(), 1);
}

#[test]
fn the_last_worker_to_park_is_the_first_summoned() {
    let (mut balancer, now) = balancer(OPTIONS);
    balancer.take(A, now);
    balancer.take(B, now);
    balancer.offer(job(1), now).unwrap();
    assert_eq!(balancer.summon(), Some(B));
    assert_eq!(balancer.summon(), None, "one job needs one worker");
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.summon(), Some(A));
}

#[test]
fn a_cancelled_job_leaves_the_queue_at_once() {
    let (mut balancer, now) = balancer(Options { queue: 3, ..OPTIONS });
    let entries: Vec<_> = (1..=3).map(|n| balancer.offer(job(n), now).unwrap()).collect();
    assert_eq!(balancer.cancel(entries[1], id(2)), Some(job(2)));
    assert_eq!(balancer.cancel(entries[1], id(2)), None);
    assert_eq!(balancer.cancel(entries[0], id(9)), None, "another's entry");
    assert_eq!(balancer.take(A, now), Some(job(1)));
    assert_eq!(balancer.cancel(entries[0], id(1)), None, "it runs");
    assert_eq!(balancer.take(B, now), Some(job(3)));
}

#[test]
fn the_timeout_covers_waiting_and_running() {
    let second = Duration::from_secs(1);
    let (mut balancer, now) = balancer(Options { timeout: Some(second), ..OPTIONS });
    balancer.offer(job(1), now).unwrap();
    balancer.offer(job(2), now).unwrap();
    balancer.take(A, now);
    assert_eq!(balancer.next_event(), Some(now + second));
    assert_eq!(balancer.tick(now), None);
    assert_eq!(balancer.tick(now + second), Some(Expired::Running(id(1))));
    assert_eq!(balancer.tick(now + second), Some(Expired::Waiting(job(2))));
    assert_eq!(balancer.tick(now + second), None);
    assert_eq!((balancer.waiting(), balancer.running()), (0, 1), "the worker has it until it is done");
    balancer.done(A, RAN);
    assert_eq!(balancer.next_event(), None);
}

#[test]
fn what_is_done_in_time_never_expires() {
    let (mut balancer, now) = balancer(Options { timeout: Some(Duration::from_secs(1)), ..OPTIONS });
    balancer.offer(job(1), now).unwrap();
    balancer.take(A, now);
    balancer.done(A, RAN);
    assert_eq!(balancer.next_event(), None);
    assert_eq!(balancer.tick(now + Duration::from_secs(9)), None);
}

#[test]
fn a_worker_is_lost_with_its_job() {
    let (mut balancer, now) = balancer(OPTIONS);
    balancer.offer(job(1), now).unwrap();
    balancer.take(A, now);
    assert_eq!(balancer.lost(A), [id(1)]);
    assert_eq!((balancer.lost(A), balancer.running()), (Vec::new(), 0));
}

#[test]
fn parts_are_always_taken_and_take_no_place_from_others() {
    let (mut balancer, now) = balancer(OPTIONS);
    for _ in 0..5 {
        balancer.offer(TestJob { is_part: true, ..job(1) }, now).unwrap();
    }
    balancer.offer(job(2), now).unwrap();
    balancer.offer(job(3), now).unwrap();
    assert_eq!(balancer.offer(job(4), now), Err(Refused::Full(job(4))));
    assert_eq!(balancer.cancel_all(id(1)).len(), 5);
    assert_eq!(balancer.waiting(), 2);
    assert_eq!(balancer.offer(job(4), now), Err(Refused::Full(job(4))));
}

/// A balancer with one slot, of which A runs a job, another that waits, and a spare B.
fn demotable() -> (Balancer<TestJob>, Instant) {
    let now = Instant::now();
    let mut balancer = Balancer::new(OPTIONS, 1);
    balancer.offer(job(1), now).unwrap();
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.take(A, now), Some(job(1)));
    assert_eq!(balancer.take(B, now), None, "there is one slot");
    assert_eq!((balancer.spares(), balancer.summon()), (1, None));
    (balancer, now)
}

#[test]
fn a_spare_takes_the_slot_of_a_job_that_is_demoted() {
    let (mut balancer, now) = demotable();
    assert_eq!(balancer.demote(A, now, now), Some(B));
    assert_eq!(balancer.take(B, now), Some(job(2)));
    assert_eq!((balancer.demoted(), balancer.running(), balancer.spares()), (1, 2, 0));
    balancer.done(A, RAN);
    assert_eq!((balancer.demoted(), balancer.running()), (0, 1));
    balancer.offer(job(3), now).unwrap();
    assert_eq!((balancer.take(A, now), balancer.spares()), (None, 1), "B has the slot");
    balancer.done(B, RAN);
    assert_eq!(balancer.take(B, now), Some(job(3)));
}

#[test]
fn a_demoted_worker_has_a_slot_again_where_one_is_free() {
    let (mut balancer, now) = demotable();
    balancer.demote(A, now, now);
    balancer.lost(B);
    balancer.done(A, RAN);
    assert_eq!(balancer.take(A, now), Some(job(2)));
}

#[test]
fn nothing_is_demoted_without_a_spare_or_once_it_is_over() {
    let (mut balancer, now) = demotable();
    assert_eq!(balancer.demote(A, now - RAN, now), None, "an earlier job of that worker");
    assert_eq!(balancer.dismiss(), Some(B));
    assert_eq!(balancer.demote(A, now, now), None);
    assert_eq!(balancer.take(B, now), None);
    balancer.done(A, RAN);
    assert_eq!(balancer.demote(A, now, now), None);
}

#[test]
fn a_job_is_overdue_after_its_quantum() {
    let (mut balancer, now) = demotable();
    let quantum = balancer.quantum();
    assert_eq!(balancer.next_overdue(now), Some(now + quantum));
    assert_eq!(balancer.overdue(now + quantum - RAN).count(), 0);
    assert_eq!(balancer.overdue(now + quantum).collect::<Vec<_>>(), [(A, vec![id(1)], now)]);
    assert_eq!(balancer.next_overdue(now + quantum), None);
    balancer.demote(A, now, now + quantum);
    assert_eq!(balancer.overdue(now + 2 * quantum).count(), 0);
    assert_eq!(balancer.longest_demoted(None), Some((A, now + quantum)));
    assert_eq!(balancer.longest_demoted(Some(now + quantum)), None);
}

#[test]
fn who_takes_the_slot_of_a_lost_worker_is_woken() {
    let (mut balancer, now) = demotable();
    assert_eq!(balancer.lost(A), [id(1)]);
    assert_eq!(balancer.summon(), Some(B));
    assert_eq!(balancer.take(B, now), Some(job(2)));
}

#[test]
fn who_runs_for_nobody_is_counted_until_it_ends() {
    let (mut balancer, now) = balancer(OPTIONS);
    let entry = balancer.offer(job(1), now).unwrap();
    balancer.offer(job(2), now).unwrap();
    balancer.take(A, now);
    balancer.take(B, now);
    assert_eq!((balancer.cancel(entry, id(9)), balancer.abandoned()), (None, 0), "another's entry");
    assert_eq!((balancer.cancel(entry, id(1)), balancer.abandoned()), (None, 1));
    balancer.cancel_all(id(1));
    assert_eq!(balancer.abandoned(), 1, "each once");
    balancer.cancel_all(id(2));
    assert_eq!(balancer.abandoned(), 2, "parts too");
    balancer.done(A, RAN);
    balancer.lost(B);
    assert_eq!(balancer.abandoned(), 0);
}

#[test]
fn it_is_behind_while_more_wait_than_the_workers_at_hand_take() {
    let (mut balancer, now) = balancer(OPTIONS);
    balancer.take(A, now);
    balancer.offer(job(1), now).unwrap();
    assert!(!balancer.is_behind());
    balancer.offer(job(2), now).unwrap();
    assert!(balancer.is_behind());
}

#[test]
fn a_pool_that_stands_still_gives_out_nothing() {
    let (mut balancer, now) = demotable();
    balancer.hold(Held::All);
    balancer.done(A, RAN);
    assert_eq!((balancer.take(A, now), balancer.summon()), (None, None));
    balancer.hold(Held::Nothing);
    assert_eq!(balancer.summon(), Some(A));
    assert_eq!(balancer.take(A, now), Some(job(2)));
}

#[test]
fn what_waits_is_given_up_first_come_first_whatever_its_kind() {
    let (mut balancer, now) = balancer(Options { queue: 9, ..OPTIONS });
    let of_kind = |id, kind| TestJob { labels: Labels { kind: Kind::number(kind), ..Labels::default() }, ..job(id) };
    for (id, kind) in [(1, 3), (2, 1), (3, 3), (4, 2), (5, 1)] {
        balancer.offer(of_kind(id, kind), now).unwrap();
    }
    assert_eq!(balancer.clear().into_iter().map(|job| job.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

/// Three jobs that were demoted, and as many idle workers as there are slots.
fn three_demoted(slots: usize) -> (Balancer<TestJob>, Instant) {
    let (mut balancer, now) = (Balancer::new(Options { queue: 9, ..OPTIONS }, slots), Instant::now());
    for n in 0..3 {
        balancer.offer(job(n), now).unwrap();
        balancer.take(WorkerId(n as usize), now).unwrap();
    }
    (3..slots + 3).for_each(|n| _ = balancer.take(WorkerId(n), now));
    (0..3).for_each(|n| _ = balancer.demote(WorkerId(n), now, now).map(|spare| balancer.take(spare, now)));
    assert_eq!((balancer.demoted(), balancer.idle()), (3, slots));
    (balancer, now)
}

fn summoned(balancer: &mut Balancer<TestJob>) -> Vec<WorkerId> {
    std::iter::from_fn(|| balancer.summon()).collect()
}

#[test]
fn as_many_slots_are_kept_free_as_jobs_were_demoted_and_half_at_the_most() {
    for (slots, given) in [(4, 2), (8, 5)] {
        let (mut balancer, now) = three_demoted(slots);
        balancer.hold(Held::Half);
        (10..18).for_each(|id| _ = balancer.offer(job(id), now).unwrap());
        let woken = summoned(&mut balancer);
        assert_eq!(woken.len(), given, "of {slots}");
        for worker in woken {
            assert!(balancer.take(worker, now).is_some());
        }
        let idle = balancer.candidates()[0];
        assert_eq!(balancer.take(idle, now), None, "one that comes by itself has none either");
        balancer.hold(Held::Nothing);
        assert_eq!(summoned(&mut balancer).len(), slots - given);
    }
}

#[test]
fn a_slot_is_not_kept_free_for_a_job_that_is_over_nor_from_what_a_later_one_makes_room_for() {
    let (mut balancer, now) = three_demoted(8);
    balancer.hold(Held::Half);
    (10..17).for_each(|id| _ = balancer.offer(job(id), now).unwrap());
    let woken = summoned(&mut balancer);
    woken.iter().for_each(|worker| _ = balancer.take(*worker, now).unwrap());
    assert!(balancer.is_behind(), "those that are idle are not at hand");
    assert_eq!(balancer.take(WorkerId(11), now), None, "it is a spare");
    let spare = balancer.demote(woken[0], now, now).unwrap();
    assert!(balancer.take(spare, now).is_some());
    balancer.done(woken[0], RAN);
    assert_eq!(balancer.take(woken[0], now), None, "the spare has its slot");
    assert_eq!(balancer.summon(), None);
    balancer.done(WorkerId(0), RAN);
    assert_eq!((balancer.take(WorkerId(0), now), summoned(&mut balancer).len()), (None, 1));
}

/// Which slots are kept free.
pub(super) fn held() -> impl Strategy<Value = Held> {
    prop_oneof![Just(Held::Nothing), Just(Held::Half), Just(Held::All)]
}

#[derive(Clone, Debug)]
enum Event {
    Offer { returns: bool, is_part: bool, urgent: bool },
    Take(usize),
    Done(usize),
    Lost(usize),
    Cancel(usize),
    Advance(u64),
    Demote(usize),
    Dismiss,
    Hold(Held),
}

const SLOTS: usize = 3;
const WORKERS: usize = 5;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<(bool, bool, bool)>().prop_map(|(returns, is_part, urgent)| Event::Offer { returns, is_part, urgent }),
        4 => (0..WORKERS).prop_map(Event::Take),
        3 => (0..WORKERS).prop_map(Event::Done),
        1 => (0..WORKERS).prop_map(Event::Lost),
        2 => (0..WORKERS).prop_map(Event::Demote),
        1 => held().prop_map(Event::Hold),
        1 => Just(Event::Dismiss),
        1 => (0..20_usize).prop_map(Event::Cancel),
        1 => (0..400_u64).prop_map(Event::Advance),
    ]
}

/// What a correct balancer would say, kept the slow and obvious way.
#[derive(Default)]
struct Model {
    waiting: VecDeque<u32>,
    running: BTreeMap<usize, u32>,
    demoted: BTreeSet<usize>,
    places: BTreeMap<u32, u32>,
    ended: BTreeSet<u32>,
    parts: BTreeSet<u32>,
    urgent: BTreeSet<u32>,
}

impl Model {
    fn end(&mut self, id: u32) {
        assert!(self.ended.insert(id), "job {id} ended twice");
    }
    fn waiting_parts(&self) -> usize {
        self.waiting.iter().filter(|id| self.parts.contains(id)).count()
    }
    /// The first that waits, of those that are urgent or of the others.
    fn first(&self, urgent: bool) -> Option<u32> {
        self.waiting.iter().copied().find(|id| self.urgent.contains(id) == urgent)
    }
    fn unqueue(&mut self, id: u32) {
        let at = self.waiting.iter().position(|waiting| *waiting == id).expect("it waits");
        self.waiting.remove(at);
    }
}

proptest! {
    /// No sequence of events loses a job or doubles it, none waits while a worker idles that nobody has woken, and no more than there are
    /// slots run that were not demoted. Those of a priority are taken in their order, and strictly, none before one that is more urgent.
    #[test]
    fn every_job_ends_once(events in proptest::collection::vec(event(), 1..200), timed: bool, strict: bool) {
        let timeout = timed.then_some(Duration::from_millis(500));
        let mut balancer = Balancer::new(Options { queue: 5, timeout, attempts: 3, order: if strict { Order::Strict } else { Order::Weighted }, ..Options::PLAIN }, SLOTS);
        let mut model = Model::default();
        let mut parked: BTreeSet<usize> = BTreeSet::new();
        let mut now = Instant::now();
        let mut offered = 0;

        for event in events {
            match event {
                Event::Offer { returns, is_part, urgent } => {
                    offered += 1;
                    let priority = if urgent { Priority::INTERACTIVE } else { Priority::BATCH };
                    let labels = Labels { priority, ..Labels::default() };
                    let job = TestJob { returns, is_part, labels, ..job(offered) };
                    if urgent {
                        model.urgent.insert(offered);
                    }
                    if is_part {
                        model.parts.insert(offered);
                    }
                    match balancer.offer(job, now) {
                        Ok(entry) => {
                            model.waiting.push_back(offered);
                            model.places.insert(offered, entry);
                        }
                        Err(Refused::Hopeless(job)) => prop_assert!(false, "{job:?} has time"),
                        Err(Refused::Full(job)) => {
                            prop_assert!(!returns && !is_part && model.waiting.len() - model.waiting_parts() >= 5);
                            model.end(job.id);
                        }
                    }
                }
                Event::Take(n) if !model.running.contains_key(&n) => {
                    parked.remove(&n);
                    match balancer.take(WorkerId(n), now) {
                        Some(job) => {
                            prop_assert!(balancer.held != Held::All && balancer.idle() >= balancer.reserved());
                            let urgent = model.urgent.contains(&job.id);
                            prop_assert_eq!(model.first(urgent), Some(job.id));
                            prop_assert!(!strict || urgent || model.first(true).is_none());
                            model.unqueue(job.id);
                            model.running.insert(n, job.id);
                        }
                        None => _ = parked.insert(n),
                    }
                }
                Event::Done(n) => {
                    let spares = balancer.spares();
                    balancer.done(WorkerId(n), RAN);
                    if model.demoted.remove(&n) && balancer.spares() > spares {
                        parked.insert(n);
                    }
                    if let Some(id) = model.running.remove(&n) {
                        model.end(id);
                    }
                }
                Event::Demote(n) => {
                    let since = balancer.overdue(now + HOUR).find(|(worker, ..)| worker.0 == n);
                    let spare = since.and_then(|(worker, _, since)| balancer.demote(worker, since, now));
                    if let Some(WorkerId(spare)) = spare {
                        prop_assert!(parked.remove(&spare) && model.demoted.insert(n));
                    }
                }
                Event::Dismiss => {
                    if let Some(WorkerId(n)) = balancer.dismiss() {
                        prop_assert!(parked.remove(&n));
                    }
                }
                Event::Hold(held) => balancer.hold(held),
                Event::Lost(n) => {
                    parked.remove(&n);
                    model.demoted.remove(&n);
                    let lost = balancer.lost(WorkerId(n));
                    let job = model.running.remove(&n);
                    prop_assert_eq!(lost, job.map(id).into_iter().collect::<Vec<_>>());
                    job.into_iter().for_each(|job| model.end(job));
                }
                Event::Cancel(n) => {
                    if let Some(id) = model.waiting.get(n).copied() {
                        let job = balancer.cancel(model.places[&id], RequestId { key: id, generation: 0 });
                        prop_assert_eq!(job.map(|job| job.id), Some(id));
                        model.unqueue(id);
                        model.end(id);
                    }
                }
                Event::Advance(ms) => {
                    now += Duration::from_millis(ms);
                    while let Some(expired) = balancer.tick(now) {
                        match expired {
                            Expired::Waiting(job) => {
                                model.unqueue(job.id);
                                model.end(job.id);
                            }
                            Expired::Shed(job) => prop_assert!(false, "{job:?} may wait"),
                            Expired::Running(id) => prop_assert!(model.running.values().any(|job| *job == id.key)),
                        }
                    }
                    prop_assert!(balancer.next_event().is_none_or(|due| due > now));
                }
                Event::Take(_) => {}
            }
            while let Some(WorkerId(n)) = balancer.summon() {
                prop_assert!(parked.remove(&n), "only a parked worker is woken");
            }
            prop_assert_eq!(balancer.waiting(), model.waiting.len());
            prop_assert_eq!(balancer.queue.parts(), model.waiting_parts());
            prop_assert_eq!(balancer.running(), model.running.len());
            prop_assert_eq!(balancer.demoted(), model.demoted.len());
            prop_assert!(model.running.len() - model.demoted.len() <= SLOTS);
            // Whoever is left parked has nothing to do: the others on their way are enough, or it has no slot.
            let idle = parked.len() - balancer.spares();
            let kept_free = if balancer.held == Held::All { SLOTS } else { balancer.reserved() };
            prop_assert!(idle <= kept_free || balancer.roster.expected() >= model.waiting.len());
            prop_assert!(balancer.spares() == 0 || balancer.roster.held() == SLOTS, "a spare has no slot though one is free");
        }

        for n in 0..WORKERS {
            if let Some(id) = model.running.remove(&n) {
                balancer.done(WorkerId(n), RAN);
                model.end(id);
            }
        }
        for job in balancer.clear() {
            model.unqueue(job.id);
            model.end(job.id);
        }
        prop_assert_eq!(model.ended.len(), offered as usize);
        prop_assert!(model.waiting.is_empty() && balancer.waiting() + balancer.running() == 0);
    }
}
