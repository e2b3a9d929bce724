//! What the balancer promises of workers that take several jobs at a time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::test_job::{TestJob, job};
use super::super::{Options, Order, Refused, Turns};
use super::*;
use crate::Priority;
use crate::labels::Labels;

const OPTIONS: Options = Options { queue: 2, ..Options::PLAIN };
const RAN: Duration = Duration::from_micros(30);
const A: WorkerId = WorkerId(0);
const B: WorkerId = WorkerId(1);
const MOST: usize = 3;

fn id(key: u32) -> RequestId {
    RequestId { key, generation: 0 }
}

/// Of so many workers that are idle.
fn balancer(options: Options, workers: usize) -> (Balancer<TestJob>, Instant) {
    let (mut balancer, now) = (Balancer::in_batches(options, workers, MOST), Instant::now());
    (0..workers).rev().for_each(|n| assert_eq!(balancer.take(WorkerId(n), now), None));
    (balancer, now)
}

/// What a worker takes that comes now.
fn take(balancer: &mut Balancer<TestJob>, worker: WorkerId, now: Instant) -> Vec<u32> {
    let first = balancer.take(worker, now);
    let more = std::iter::from_fn(|| balancer.take_more(worker, Instant::now())).take(MOST - 1);
    first.into_iter().chain(more).map(|job| job.id).collect()
}

#[test]
fn a_worker_is_woken_for_as_many_jobs_as_it_takes() {
    let (mut balancer, now) = balancer(OPTIONS, 2);
    (1..=3).for_each(|n| _ = balancer.offer(job(n), now).unwrap());
    assert_eq!((balancer.summon(), balancer.summon()), (Some(A), None), "one takes them all");
    balancer.offer(job(4), now).unwrap();
    assert_eq!((balancer.summon(), balancer.summon()), (Some(B), None));
    assert_eq!(take(&mut balancer, A, now), [1, 2, 3]);
    assert_eq!(take(&mut balancer, B, now), [4]);
    assert_eq!(balancer.running(), 4);
    balancer.done(A, RAN);
    assert_eq!(balancer.running(), 1);
}

#[test]
fn what_the_workers_at_hand_will_take_does_not_count_as_waiting() {
    let (mut balancer, now) = balancer(Options { queue: 0, ..OPTIONS }, 1);
    (1..=3).for_each(|n| _ = balancer.offer(job(n), now).unwrap());
    assert_eq!(balancer.offer(job(4), now), Err(Refused::Full(job(4))));
    balancer.cancel_all(id(3));
    balancer.cancel_all(id(2));
    assert_eq!(take(&mut balancer, A, now), [1]);
    balancer.gather(A, 2);
    (5..=6).for_each(|n| _ = balancer.offer(job(n), now).unwrap());
    assert_eq!(balancer.offer(job(7), now), Err(Refused::Full(job(7))));
}

#[test]
fn who_gathers_is_woken_before_who_idles_and_takes_up_to_what_it_lacks() {
    let (mut balancer, now) = balancer(OPTIONS, 2);
    balancer.offer(job(1), now).unwrap();
    assert_eq!(balancer.summon(), Some(A));
    assert_eq!(take(&mut balancer, A, now), [1]);
    balancer.gather(A, 2);
    assert_eq!(balancer.next_overdue(now), None, "it does not run yet");
    balancer.offer(job(2), now).unwrap();
    balancer.offer(job(3), now).unwrap();
    assert_eq!((balancer.summon(), balancer.summon()), (Some(A), None));
    balancer.offer(job(4), now).unwrap();
    assert_eq!((balancer.summon(), balancer.summon()), (Some(B), None), "that is more than it lacks");
    let later = now + RAN;
    balancer.gathered(A, later);
    assert_eq!(balancer.take_more(A, now).map(|job| job.id), Some(2));
    assert_eq!(balancer.take_more(A, now).map(|job| job.id), Some(3));
    assert_eq!(balancer.next_overdue(now), Some(later + balancer.quantum()), "its run counts from then");
}

#[test]
fn who_stops_gathering_by_itself_is_not_counted_on_any_more() {
    let (mut balancer, now) = balancer(OPTIONS, 2);
    balancer.offer(job(1), now).unwrap();
    balancer.summon();
    take(&mut balancer, A, now);
    balancer.gather(A, 2);
    balancer.gathered(A, now);
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.summon(), Some(B));
}

#[test]
fn a_job_that_is_not_begun_leaves_the_others_of_its_batch() {
    for left_out in 1..=3 {
        let (mut balancer, now) = balancer(OPTIONS, 1);
        (1..=3).for_each(|n| _ = balancer.offer(job(n), now).unwrap());
        take(&mut balancer, A, now);
        balancer.not_begun(A, id(left_out));
        balancer.not_begun(A, id(left_out));
        assert_eq!(balancer.running(), 2);
        let mut lost = balancer.lost(A);
        lost.sort();
        assert_eq!(lost, (1..=3).filter(|n| *n != left_out).map(id).collect::<Vec<_>>());
        assert_eq!(balancer.running(), 0);
    }
    let (mut balancer, now) = balancer(OPTIONS, 1);
    balancer.offer(job(1), now).unwrap();
    take(&mut balancer, A, now);
    balancer.not_begun(A, id(1));
    assert_eq!((balancer.running(), balancer.is_busy()), (0, false));
}

#[test]
fn the_jobs_of_a_batch_share_its_time_and_are_one_run() {
    let (mut balancer, now) = balancer(OPTIONS, 1);
    (1..=3).for_each(|n| _ = balancer.offer(job(n), now).unwrap());
    take(&mut balancer, A, now);
    let mut overdue = balancer.overdue(now + balancer.quantum()).collect::<Vec<_>>();
    overdue[0].1.sort();
    assert_eq!(overdue, [(A, vec![id(1), id(2), id(3)], now)]);
    balancer.done(A, RAN);
    let Turns { jobs, time } = balancer.turns();
    assert_eq!((jobs, time), (3, RAN));
}

#[test]
fn a_demoted_batch_answers_all_of_its_jobs_when_it_is_done() {
    let (mut balancer, now) = balancer(OPTIONS, 1);
    (1..=4).for_each(|n| _ = balancer.offer(job(n), now).unwrap());
    take(&mut balancer, A, now);
    assert_eq!(balancer.take(B, now), None);
    assert_eq!(balancer.demote(A, now, now), Some(B));
    assert_eq!(take(&mut balancer, B, now), [4]);
    assert_eq!((balancer.demoted(), balancer.running(), balancer.turns().jobs), (1, 4, 3));
    balancer.done(A, RAN);
    assert_eq!((balancer.demoted(), balancer.running(), balancer.turns().jobs), (0, 1, 3));
}

#[derive(Clone, Debug)]
enum Event {
    Offer {
        urgent: bool,
    },
    /// The worker comes: for its first jobs, or for what its batch lacks. It waits for more, if that is so.
    Come(usize, bool),
    Done(usize),
    Lost(usize),
    NotBegun(usize, usize),
    Cancel(usize),
    Demote(usize),
    Hold(Held),
}

const SLOTS: usize = 3;
const WORKERS: usize = 5;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any::<bool>().prop_map(|urgent| Event::Offer { urgent }),
        8 => (0..WORKERS, any::<bool>()).prop_map(|(n, waits)| Event::Come(n, waits)),
        3 => (0..WORKERS).prop_map(Event::Done),
        1 => (0..WORKERS).prop_map(Event::Lost),
        1 => (0..WORKERS, 0..MOST).prop_map(|(n, at)| Event::NotBegun(n, at)),
        1 => (0..20_usize).prop_map(Event::Cancel),
        2 => (0..WORKERS).prop_map(Event::Demote),
        1 => crate::balancer::tests::held().prop_map(Event::Hold),
    ]
}

/// What a worker does, as a correct balancer would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Does {
    /// It is parked, and was woken or not.
    Nothing {
        woken: bool,
    },
    Gathers {
        jobs: Vec<u32>,
        woken: bool,
    },
    Runs {
        jobs: Vec<u32>,
        demoted: bool,
    },
}

impl Does {
    fn jobs(&self) -> &[u32] {
        match self {
            Does::Nothing { .. } => &[],
            Does::Gathers { jobs, .. } | Does::Runs { jobs, .. } => jobs,
        }
    }

    /// How many jobs it will take, if it has been woken.
    fn will_take(&self) -> usize {
        match self {
            Does::Nothing { woken: true } => MOST,
            Does::Gathers { jobs, woken: true } => MOST - jobs.len(),
            _ => 0,
        }
    }
}

proptest! {
    /// No sequence of events loses a job or doubles it; batches are bounded, and filled in the queue's order; nobody is woken for what those
    /// take that are on their way, and none idles or gathers while a job waits for which nobody is.
    #[test]
    fn every_job_of_a_batch_ends_once(events in proptest::collection::vec(event(), 1..300), strict: bool) {
        let order = if strict { Order::Strict } else { Order::Weighted };
        let mut balancer = Balancer::in_batches(Options { queue: 7, order, ..OPTIONS }, SLOTS, MOST);
        let now = Instant::now();
        let mut workers: BTreeMap<usize, Does> = BTreeMap::new();
        let (mut waiting, mut places, mut urgents) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let (mut offered, mut ended) = (0, 0);
        for event in events {
            match event {
                Event::Offer { urgent } => {
                    offered += 1;
                    let priority = if urgent { Priority::INTERACTIVE } else { Priority::BATCH };
                    urgents.extend(urgent.then_some(offered));
                    match balancer.offer(TestJob { labels: Labels { priority, ..Labels::default() }, ..job(offered) }, now) {
                        Ok(entry) => {
                            places.insert(offered, entry);
                            waiting.push(offered);
                        }
                        Err(_) => ended += 1,
                    }
                }
                Event::Come(n, waits) => {
                    let worker = WorkerId(n);
                    let mut jobs = match workers.remove(&n) {
                        Some(runs @ Does::Runs { .. }) => {
                            workers.insert(n, runs);
                            continue;
                        }
                        Some(Does::Gathers { jobs, .. }) => {
                            balancer.gathered(worker, now);
                            jobs
                        }
                        _ => Vec::new(),
                    };
                    while jobs.len() < MOST
                        && let Some(job) =
                            if jobs.is_empty() { balancer.take(worker, now) } else { balancer.take_more(worker, now) }
                    {
                        let urgent = urgents.contains(&job.id);
                        let first = |urgent| waiting.iter().copied().find(|id| urgents.contains(id) == urgent);
                        prop_assert!(balancer.held != Held::All);
                        prop_assert_eq!(first(urgent), Some(job.id));
                        prop_assert!(!strict || urgent || first(true).is_none());
                        waiting.retain(|id| *id != job.id);
                        jobs.push(job.id);
                    }
                    let does = match jobs.len() {
                        0 => Does::Nothing { woken: false },
                        1 | 2 if waits => {
                            balancer.gather(worker, MOST - jobs.len());
                            Does::Gathers { jobs, woken: false }
                        }
                        _ => Does::Runs { jobs, demoted: false },
                    };
                    workers.insert(n, does);
                }
                Event::Done(n) => {
                    if let Some(Does::Runs { jobs, demoted }) = workers.get(&n).cloned() {
                        let spares = balancer.spares();
                        balancer.done(WorkerId(n), RAN);
                        ended += jobs.len();
                        workers.remove(&n);
                        if demoted && balancer.spares() > spares {
                            workers.insert(n, Does::Nothing { woken: false });
                        }
                    }
                }
                Event::Lost(n) => {
                    let mut lost = balancer.lost(WorkerId(n));
                    lost.sort();
                    let mut had = workers.remove(&n).map(|does| does.jobs().to_vec()).unwrap_or_default();
                    had.sort_unstable();
                    ended += had.len();
                    prop_assert_eq!(lost, had.into_iter().map(id).collect::<Vec<_>>());
                }
                Event::NotBegun(n, at) => {
                    if let Some(Does::Runs { jobs, .. }) = workers.get_mut(&n)
                        && jobs.len() > 1
                        && at < jobs.len()
                    {
                        balancer.not_begun(WorkerId(n), id(jobs.remove(at)));
                        ended += 1;
                    }
                }
                Event::Cancel(n) => {
                    if let Some(cancelled) = waiting.get(n).copied() {
                        prop_assert!(balancer.cancel(places[&cancelled], id(cancelled)).is_some());
                        waiting.remove(n);
                        ended += 1;
                    }
                }
                Event::Demote(n) => {
                    let hour = Duration::from_secs(3600);
                    let since = balancer.overdue(now + hour).find(|(worker, ..)| worker.0 == n).map(|(.., since)| since);
                    let is_busy = matches!(workers.get(&n), Some(Does::Runs { demoted: false, .. }));
                    prop_assert_eq!(since.is_some(), is_busy, "who gathers does not run");
                    if let Some(WorkerId(spare)) = since.and_then(|since| balancer.demote(WorkerId(n), since, now)) {
                        let Some(Does::Runs { demoted, .. }) = workers.get_mut(&n) else { unreachable!("it is busy") };
                        *demoted = true;
                        let before = workers.insert(spare, Does::Nothing { woken: true });
                        prop_assert_eq!(before, Some(Does::Nothing { woken: false }));
                    }
                }
                Event::Hold(held) => balancer.hold(held),
            }
            loop {
                let will_take: usize = workers.values().map(Does::will_take).sum();
                let Some(WorkerId(n)) = balancer.summon() else { break };
                prop_assert!(will_take < waiting.len(), "those on their way take them");
                let gathers = |does: &Does| matches!(does, Does::Gathers { woken: false, .. });
                prop_assert!(gathers(&workers[&n]) || !workers.values().any(gathers), "who gathers comes first");
                match workers.get_mut(&n) {
                    Some(Does::Nothing { woken } | Does::Gathers { woken, .. }) if !*woken => *woken = true,
                    other => prop_assert!(false, "{other:?} is woken"),
                }
            }
            let will_take: usize = workers.values().map(Does::will_take).sum();
            let asleep = workers.values().filter(|does| match does {
                Does::Nothing { woken } | Does::Gathers { woken, .. } => !woken,
                Does::Runs { .. } => false,
            });
            let kept_free = if balancer.held == Held::All { SLOTS } else { balancer.reserved() };
            prop_assert!(asleep.count() <= balancer.spares() + kept_free || will_take >= waiting.len());
            prop_assert_eq!(balancer.waiting(), waiting.len());
            prop_assert_eq!(balancer.running(), workers.values().map(|does| does.jobs().len()).sum::<usize>());
        }
        let left = waiting.len() + workers.values().map(|does| does.jobs().len()).sum::<usize>();
        prop_assert_eq!(ended + left, offered as usize);
    }
}
