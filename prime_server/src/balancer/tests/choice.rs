//! What the balancer promises where the user chooses among idle workers.

use super::*;

const C: WorkerId = WorkerId(2);

/// A balancer whose workers A and B are idle, A for longer.
fn idle() -> (Balancer<TestJob>, Instant) {
    let (mut balancer, now) = balancer(Options { queue: 5, timeout: Some(HOUR), ..OPTIONS });
    balancer.set_chooses(true);
    assert_eq!((balancer.take(A, now), balancer.take(B, now)), (None, None));
    assert_eq!(balancer.candidates(), [A, B]);
    (balancer, now)
}

/// A choice is opened, for that job.
fn open(balancer: &mut Balancer<TestJob>, expected: u32) -> JobKey {
    let (key, opened) = balancer.open_choice(Instant::now()).expect("a job waits, and a worker is idle");
    assert_eq!(opened.id, expected);
    key
}

/// Job 1 is kept for A.
fn kept_for_a() -> (Balancer<TestJob>, Instant, u32) {
    let (mut balancer, now) = idle();
    let entry = balancer.offer(job(1), now).unwrap();
    let key = open(&mut balancer, 1);
    assert_eq!(balancer.close_choice(key, Some(A)), Choice::Wake(A));
    assert_eq!((balancer.waiting(), balancer.running(), balancer.open_choice(Instant::now()).is_none()), (1, 0, true));
    (balancer, now, entry)
}

#[test]
fn a_job_is_kept_for_the_worker_that_was_chosen() {
    let (mut balancer, now, _) = kept_for_a();
    assert_eq!(balancer.take(B, now), None, "though it is there first");
    assert_eq!(balancer.take(A, now), Some(job(1)));
    assert_eq!((balancer.waiting(), balancer.running(), balancer.candidates()), (0, 1, &[B][..]));
}

#[test]
fn where_any_worker_will_do_the_first_to_come_has_the_job() {
    let (mut balancer, now) = idle();
    balancer.offer(job(1), now).unwrap();
    let key = open(&mut balancer, 1);
    assert_eq!(balancer.close_choice(key, None), Choice::Wake(B), "the last that worked");
    assert_eq!(balancer.take(A, now), Some(job(1)));
    assert_eq!(balancer.take(B, now), None);
    assert_eq!(balancer.candidates(), [B]);
}

#[test]
fn who_has_just_become_free_takes_nothing_that_an_idle_worker_may_be_chosen_for() {
    let (mut balancer, now) = idle();
    balancer.offer(job(1), now).unwrap();
    let key = open(&mut balancer, 1);
    balancer.close_choice(key, Some(B));
    assert_eq!(balancer.take(B, now), Some(job(1)));
    balancer.offer(job(2), now).unwrap();
    balancer.done(B, RAN);
    assert_eq!((balancer.take(B, now), balancer.candidates()), (None, &[A, B][..]));
    let key = open(&mut balancer, 2);
    assert_eq!(balancer.close_choice(key, Some(A)), Choice::Wake(A));
}

#[test]
fn a_job_whose_chosen_worker_is_not_idle_any_more_goes_to_another_or_to_the_next_that_is_free() {
    let (mut balancer, now) = idle();
    balancer.offer(job(1), now).unwrap();
    balancer.offer(job(2), now).unwrap();
    let [first, second] = [open(&mut balancer, 1), open(&mut balancer, 2)];
    assert_eq!(balancer.close_choice(first, Some(A)), Choice::Wake(A));
    assert_eq!(balancer.close_choice(second, Some(A)), Choice::Again);
    assert_eq!(balancer.close_choice(second, Some(B)), Choice::Wake(B));
    balancer.offer(job(3), now).unwrap();
    assert!(balancer.open_choice(Instant::now()).is_none());
    assert_eq!(balancer.take(A, now), Some(job(1)));
    balancer.done(A, RAN);
    assert_eq!(balancer.take(A, now), Some(job(3)), "no other is idle");
}

#[test]
fn a_choice_that_comes_when_no_worker_is_idle_leaves_the_job_the_first_to_wait() {
    let (mut balancer, now) = idle();
    balancer.offer(job(1), now).unwrap();
    let key = open(&mut balancer, 1);
    assert_eq!((balancer.lost(A), balancer.lost(B)), (Vec::new(), Vec::new()));
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.close_choice(key, Some(A)), Choice::Over);
    assert_eq!(balancer.take(C, now), Some(job(1)));
}

#[test]
fn the_job_of_a_chosen_worker_that_is_lost_waits_again_for_another() {
    let (mut balancer, now, _) = kept_for_a();
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.lost(A), [], "it has not begun");
    let key = open(&mut balancer, 1);
    assert_eq!(balancer.close_choice(key, None), Choice::Wake(B));
    assert_eq!(balancer.take(B, now), Some(job(1)));
}

#[test]
fn a_job_that_is_kept_is_cancelled_as_one_that_waits_and_its_worker_has_another() {
    let (mut balancer, now, entry) = kept_for_a();
    assert_eq!(balancer.cancel(entry, id(9)), None, "another's entry");
    assert_eq!(balancer.cancel(entry, id(1)), Some(job(1)));
    assert_eq!((balancer.waiting(), balancer.running(), balancer.abandoned()), (0, 0, 0));
    balancer.offer(job(2), now).unwrap();
    assert_eq!(balancer.take(A, now), None, "B is idle too, so one of them is chosen");
    let key = open(&mut balancer, 2);
    assert_eq!(balancer.close_choice(key, Some(A)), Choice::Wake(A));
    assert_eq!(balancer.cancel_all(id(2)), [job(2)]);
    assert_eq!(balancer.take(A, now), None);
    assert_eq!(balancer.candidates(), [B, A]);
}

#[test]
fn a_job_that_is_kept_or_being_chosen_for_times_out_as_one_that_waits() {
    let (mut balancer, now, _) = kept_for_a();
    balancer.offer(job(2), now).unwrap();
    let key = open(&mut balancer, 2);
    assert_eq!(balancer.tick(now + HOUR), Some(Expired::Waiting(job(1))));
    assert_eq!(balancer.tick(now + HOUR), Some(Expired::Waiting(job(2))));
    assert_eq!(balancer.close_choice(key, Some(B)), Choice::Over, "its job is gone");
    assert_eq!((balancer.take(A, now), balancer.candidates()), (None, &[B, A][..]));
}

#[test]
fn a_job_that_is_kept_waits_again_where_the_pool_stands_still() {
    let (mut balancer, now, _) = kept_for_a();
    balancer.hold(Held::All);
    assert_eq!(
        (balancer.take(A, now), balancer.waiting(), balancer.open_choice(Instant::now()).is_none()),
        (None, 1, true)
    );
    balancer.hold(Held::Nothing);
    open(&mut balancer, 1);
}

#[test]
fn what_is_kept_is_given_up_with_what_waits() {
    let (mut balancer, now, _) = kept_for_a();
    balancer.offer(job(2), now).unwrap();
    open(&mut balancer, 2);
    balancer.offer(job(3), now).unwrap();
    assert_eq!(balancer.clear(), [job(1), job(2), job(3)]);
    assert_eq!((balancer.waiting(), balancer.running()), (0, 0));
}

#[test]
fn an_idle_worker_that_is_being_chosen_takes_one_job_at_once_and_not_two() {
    let (mut balancer, now) = balancer(Options { queue: 0, ..OPTIONS });
    balancer.set_chooses(true);
    balancer.take(A, now);
    balancer.offer(job(1), now).unwrap();
    open(&mut balancer, 1);
    assert_eq!(balancer.offer(job(2), now), Err(Refused::Full(job(2))));
}

#[derive(Clone, Debug)]
enum Event {
    Offer,
    Take(usize),
    Done(usize),
    Lost(usize),
    Demote(usize),
    Cancel(usize),
    Advance(u64),
    Hold(Held),
    /// One of the choices that are open ends: with a worker that was idle when it was asked, or with none.
    Close(usize, Option<usize>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => Just(Event::Offer),
        6 => (0..WORKERS).prop_map(Event::Take),
        3 => (0..WORKERS).prop_map(Event::Done),
        1 => (0..WORKERS).prop_map(Event::Lost),
        1 => (0..WORKERS).prop_map(Event::Demote),
        1 => any::<usize>().prop_map(Event::Cancel),
        1 => (0..400_u64).prop_map(Event::Advance),
        1 => super::held().prop_map(Event::Hold),
        6 => any::<(usize, Option<usize>)>().prop_map(|(open, chosen)| Event::Close(open, chosen)),
    ]
}

/// Threads that ask the user, and what became of the jobs.
struct Scene {
    balancer: Balancer<TestJob>,
    now: Instant,
    /// Choices that are open, with the workers that were idle when the user was asked.
    open: Vec<(JobKey, u32, Vec<WorkerId>)>,
    /// Jobs for which a worker was chosen that is on its way.
    promised: BTreeMap<u32, usize>,
    places: BTreeMap<u32, u32>,
    waiting: BTreeSet<u32>,
    running: BTreeMap<usize, u32>,
    ended: BTreeSet<u32>,
}

impl Scene {
    fn is_still(&self) -> bool {
        self.balancer.held == Held::All
    }

    /// A thread looks whether there is something to choose.
    fn look(&mut self) {
        let Some((key, job)) = self.balancer.open_choice(Instant::now()) else { return };
        let id = job.id;
        self.open.push((key, id, self.balancer.candidates().to_vec()));
    }

    fn ends_waiting(&mut self, job: &TestJob) {
        assert!(self.waiting.remove(&job.id) && self.ended.insert(job.id), "job {} ended twice", job.id);
        self.promised.remove(&job.id);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Offer => {
                let id = self.places.len() as u32 + 1;
                let Ok(place) = self.balancer.offer(job(id), self.now) else { unreachable!("the queue has no limit") };
                self.places.insert(id, place);
                self.waiting.insert(id);
                self.look();
            }
            Event::Take(n) if !self.running.contains_key(&n) => match self.balancer.take(WorkerId(n), self.now) {
                Some(job) => {
                    let promised_to = self.promised.remove(&job.id);
                    assert!(promised_to.is_none_or(|worker| worker == n), "another was chosen for job {}", job.id);
                    assert!(!self.promised.values().any(|worker| *worker == n), "it was chosen for another job");
                    assert!(self.waiting.remove(&job.id) && !self.is_still());
                    self.running.insert(n, job.id);
                }
                None => {
                    assert!(
                        self.is_still() || !self.promised.values().any(|worker| *worker == n),
                        "the job is kept for it"
                    );
                    self.promised.retain(|_, worker| *worker != n);
                    self.look();
                }
            },
            Event::Take(_) => {}
            Event::Done(n) => {
                self.balancer.done(WorkerId(n), RAN);
                if let Some(id) = self.running.remove(&n) {
                    assert!(self.ended.insert(id));
                }
                // It asks for another, and may find none although a slot is not kept free any more.
                self.look();
            }
            Event::Lost(n) => {
                let lost = self.balancer.lost(WorkerId(n)).first().map(|lost| lost.key);
                assert_eq!(lost, self.running.remove(&n));
                assert!(lost.is_none_or(|id| self.ended.insert(id)));
                self.promised.retain(|_, worker| *worker != n);
                self.look();
            }
            Event::Demote(n) => {
                let since = self.balancer.overdue(self.now + HOUR).find(|(worker, ..)| worker.0 == n);
                since.and_then(|(worker, _, since)| self.balancer.demote(worker, since, self.now));
            }
            Event::Cancel(n) => {
                let Some(id) = self.waiting.iter().nth(n % self.waiting.len().max(1)).copied() else { return };
                let cancelled = self.balancer.cancel(self.places[&id], super::id(id));
                self.ends_waiting(&cancelled.expect("it waits"));
            }
            Event::Advance(ms) => {
                self.now += Duration::from_millis(ms);
                while let Some(expired) = self.balancer.tick(self.now) {
                    match expired {
                        Expired::Waiting(job) | Expired::Shed(job) => self.ends_waiting(&job),
                        Expired::Running(id) => assert!(self.running.values().any(|job| *job == id.key)),
                    }
                }
            }
            Event::Hold(held) => {
                self.balancer.hold(held);
                self.look();
            }
            Event::Close(n, chosen) if !self.open.is_empty() => {
                let (key, id, idle) = self.open.swap_remove(n % self.open.len());
                let chosen = chosen.map(|chosen| idle[chosen % idle.len()]);
                let is_idle = |worker: &WorkerId| self.balancer.candidates().contains(worker);
                let may_be_had = chosen.as_ref().is_some_and(is_idle) && self.waiting.contains(&id) && !self.is_still();
                match self.balancer.close_choice(key, chosen) {
                    Choice::Wake(worker) => {
                        assert!(self.waiting.contains(&id) && chosen.is_none_or(|chosen| chosen == worker));
                        if chosen.is_some() {
                            self.promised.insert(id, worker.0);
                        }
                        self.look();
                    }
                    Choice::Again => {
                        assert!(!may_be_had);
                        self.open.push((key, id, self.balancer.candidates().to_vec()));
                    }
                    Choice::Over => {
                        assert!(!may_be_had);
                        self.look();
                    }
                }
            }
            Event::Close(..) => {}
        }
        self.check();
    }

    fn check(&self) {
        let balancer = &self.balancer;
        assert_eq!((balancer.waiting(), balancer.running()), (self.waiting.len(), self.running.len()));
        assert!(balancer.running() - balancer.demoted() + self.promised.len() <= SLOTS);
        // Who is choosing goes on until there is nothing to choose.
        let kept_free = if self.is_still() { SLOTS } else { balancer.reserved() };
        assert!(!self.open.is_empty() || balancer.queue.waiting() == 0 || balancer.idle() <= kept_free);
        assert!(balancer.spares() == 0 || balancer.roster.held() == SLOTS, "a spare has no slot though one is free");
    }
}

proptest! {
    /// No sequence of events, in however many threads, loses a job or doubles it, none waits while a worker idles for which nobody chooses,
    /// and one for which an idle worker was chosen goes to that, if it does not end before.
    #[test]
    fn every_job_ends_once_with_the_worker_that_was_chosen(events in proptest::collection::vec(event(), 1..200), timed: bool) {
        let timeout = timed.then_some(Duration::from_millis(500));
        let mut balancer = Balancer::new(Options { queue: usize::MAX, timeout, ..OPTIONS }, SLOTS);
        balancer.set_chooses(true);
        let mut scene = Scene {
            balancer,
            now: Instant::now(),
            open: Vec::new(),
            promised: BTreeMap::new(),
            places: BTreeMap::new(),
            waiting: BTreeSet::new(),
            running: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        events.into_iter().for_each(|event| scene.step(event));
        // All that is left is done, with nothing but what a pool would do.
        scene.step(Event::Hold(Held::Nothing));
        for _ in 0..3 * scene.places.len() + 9 {
            while !scene.open.is_empty() {
                scene.step(Event::Close(0, Some(0)));
            }
            for n in 0..WORKERS {
                scene.step(Event::Done(n));
                scene.step(Event::Take(n));
            }
        }
        (0..WORKERS).for_each(|n| scene.step(Event::Done(n)));
        prop_assert_eq!(scene.ended.len(), scene.places.len());
        prop_assert_eq!((scene.balancer.waiting(), scene.balancer.running()), (0, 0));
    }
}
