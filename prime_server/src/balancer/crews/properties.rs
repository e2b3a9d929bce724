//! What the balancer of crews promises for any sequence of events, against a model that is slow and obvious.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::super::test_job::{TestJob, job};
use super::*;
use crate::affinity::Affinity;

const ATTEMPTS: u32 = 2;

#[derive(Clone, Debug)]
enum Event {
    SetOptions {
        queue: usize,
        timeout: Option<u64>,
        wait: Option<u64>,
        idempotent: bool,
    },
    Enlist,
    Announce {
        crew: usize,
        slots: u32,
        ahead: u32,
    },
    AnnounceAffinities {
        crew: usize,
        affinities: Vec<usize>,
    },
    Withdraw(usize),
    Lost(usize),
    Offer {
        returns: bool,
        is_part: bool,
    },
    Assign,
    Done(usize),
    Returned(usize),
    /// What any crew that ever was says of any job that ever was.
    Late {
        crew: usize,
        job: usize,
        returned: bool,
    },
    Cancel(usize),
    Advance(u64),
    Clear,
}

fn event() -> impl Strategy<Value = Event> {
    let options = (0..6_usize, proptest::option::of(1..800_u64), proptest::option::of(1..800_u64), any::<bool>());
    prop_oneof![
        1 => options.prop_map(|(queue, timeout, wait, idempotent)| Event::SetOptions { queue, timeout, wait, idempotent }),
        3 => Just(Event::Enlist),
        5 => (any::<usize>(), 0..4_u32, 0..3_u32).prop_map(|(crew, slots, ahead)| Event::Announce { crew, slots, ahead }),
        2 => (any::<usize>(), proptest::collection::vec(0..3_usize, 0..4))
            .prop_map(|(crew, affinities)| Event::AnnounceAffinities { crew, affinities }),
        1 => any::<usize>().prop_map(Event::Withdraw),
        3 => any::<usize>().prop_map(Event::Lost),
        15 => any::<(bool, bool)>().prop_map(|(returns, is_part)| Event::Offer { returns, is_part }),
        12 => Just(Event::Assign),
        9 => any::<usize>().prop_map(Event::Done),
        5 => any::<usize>().prop_map(Event::Returned),
        3 => (any::<usize>(), any::<usize>(), any::<bool>())
            .prop_map(|(crew, job, returned)| Event::Late { crew, job, returned }),
        4 => any::<usize>().prop_map(Event::Cancel),
        3 => (0..400_u64).prop_map(Event::Advance),
        1 => Just(Event::Clear),
    ]
}

#[derive(Clone, Debug)]
struct ModelJob {
    job: TestJob,
    key: JobKey,
    offered: Instant,
    due: Option<Instant>,
    returned_by: Option<CrewId>,
    /// How often it was given out, but for when it came back unstarted.
    given: u32,
    /// It was handed back.
    ended: bool,
}

#[derive(Debug, Default)]
struct ModelCrew {
    slots: usize,
    ahead: usize,
    withdrawn: bool,
    last_done: usize,
    held: Vec<u32>,
    affinities: Vec<Affinity>,
    /// What jobs that it holds were given to it for.
    given: BTreeMap<u32, Affinity>,
}

impl ModelCrew {
    fn free(&self) -> bool {
        !self.withdrawn && self.held.len() < self.slots
    }
    fn room(&self) -> usize {
        if self.withdrawn { 0 } else { (self.slots + self.ahead).saturating_sub(self.held.len()) }
    }
    /// What is announced by threads that have no job of that kind.
    fn idle(&self) -> Vec<Affinity> {
        let of_kind = |kind: &Affinity| {
            let threads = self.affinities.iter().filter(|of_thread| *of_thread == kind).count();
            let given = self.given.values().filter(|of_job| *of_job == kind).count();
            vec![kind.clone(); threads.saturating_sub(given)]
        };
        let idle: Vec<Affinity> = KINDS.map(Affinity::from).iter().flat_map(of_kind).collect();
        if idle.is_empty() { vec![Affinity::NONE] } else { idle }
    }
}

const KINDS: [&str; 3] = ["a", "b", "c"];

/// What the user would rather have a job done by.
fn wanted(job: u32) -> Affinity {
    KINDS[job as usize % 3].into()
}

struct Model {
    crews: Crews<TestJob>,
    chooses: bool,
    options: Options,
    now: Instant,
    left: Option<Instant>,
    there: BTreeMap<CrewId, ModelCrew>,
    ever: Vec<CrewId>,
    jobs: BTreeMap<u32, ModelJob>,
    waiting: VecDeque<u32>,
    offered: u32,
    done: usize,
}

impl Model {
    fn new(idempotent: bool, chooses: bool) -> Self {
        let wait = Some(Duration::from_millis(300));
        let options = Options { queue: 3, wait, idempotent, attempts: ATTEMPTS, ..Options::PLAIN };
        Self {
            crews: Crews::new(options),
            chooses,
            options,
            now: Instant::now(),
            left: None,
            there: BTreeMap::new(),
            ever: Vec::new(),
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            offered: 0,
            done: 0,
        }
    }

    fn any_crew(&self, n: usize) -> Option<CrewId> {
        pick(&self.there.keys().copied().collect::<Vec<_>>(), n)
    }

    fn any_held(&self, n: usize) -> Option<(CrewId, u32)> {
        let held = self.there.iter().flat_map(|(crew, state)| state.held.iter().map(|id| (*crew, *id)));
        pick(&held.collect::<Vec<_>>(), n)
    }

    fn any_job(&self, n: usize) -> Option<ModelJob> {
        pick(&self.jobs.values().cloned().collect::<Vec<_>>(), n)
    }

    fn holder(&self, id: u32) -> Option<CrewId> {
        self.there.iter().find(|(_, crew)| crew.held.contains(&id)).map(|(crew, _)| *crew)
    }

    fn job(&mut self, id: u32) -> &mut ModelJob {
        self.jobs.get_mut(&id).expect("it was offered")
    }

    /// A job was handed back: as it last was, and for the first time.
    fn ends(&mut self, job: &TestJob) -> TestCaseResult {
        self.waiting.retain(|id| *id != job.id);
        let model = self.job(job.id);
        prop_assert_eq!(&model.job, job);
        prop_assert!(!std::mem::replace(&mut model.ended, true), "job {} ended twice", job.id);
        Ok(())
    }

    fn release(&mut self, crew: CrewId, id: u32) {
        let crew = self.there.get_mut(&crew).expect("it is there");
        crew.held.retain(|held| *held != id);
        crew.given.remove(&id);
    }

    fn put_back(&mut self, id: u32, returned_by: Option<CrewId>) {
        self.job(id).returned_by = returned_by;
        self.waiting.push_front(id);
    }

    /// When the wait of each waiting job is too long.
    fn unattended(&self) -> BTreeMap<u32, Instant> {
        let Some(wait) = self.options.wait.filter(|_| self.there.values().all(|crew| crew.withdrawn)) else {
            return BTreeMap::new();
        };
        let since = |id: &u32| self.left.into_iter().chain([self.jobs[id].offered]).max().expect("one of two");
        self.waiting.iter().map(|id| (*id, since(id) + wait)).collect()
    }

    /// When the timeout of each job passes that was not handed back.
    fn expiries(&self) -> BTreeMap<u32, Instant> {
        self.jobs.iter().filter(|(_, job)| !job.ended).filter_map(|(id, job)| Some((*id, job.due?))).collect()
    }

    fn step(&mut self, event: Event) -> TestCaseResult {
        match event {
            Event::SetOptions { queue, timeout, wait, idempotent } => {
                let [timeout, wait] = [timeout, wait].map(|ms| ms.map(Duration::from_millis));
                self.options = Options { queue, timeout, wait, idempotent, attempts: ATTEMPTS, ..Options::PLAIN };
                self.crews.set_options(self.options);
                for number in &self.waiting {
                    let job = self.jobs.get_mut(number).expect("it waits");
                    job.due = job.due.or(timeout.map(|timeout| job.offered + timeout));
                }
            }
            Event::Enlist => {
                let crew = self.crews.enlist();
                prop_assert!(!self.ever.contains(&crew));
                self.ever.push(crew);
                self.there.insert(crew, ModelCrew::default());
            }
            Event::Announce { crew, slots, ahead } => {
                let Some(id) = self.any_crew(crew) else { return Ok(()) };
                let crew = self.there.get_mut(&id).expect("it is there");
                (crew.slots, crew.ahead) = (slots as usize, ahead as usize);
                self.crews.announce(id, slots, ahead);
            }
            Event::AnnounceAffinities { crew, affinities } => {
                let Some(id) = self.any_crew(crew) else { return Ok(()) };
                let affinities: Vec<Affinity> = affinities.into_iter().map(|kind| KINDS[kind].into()).collect();
                self.there.get_mut(&id).expect("it is there").affinities.clone_from(&affinities);
                self.crews.announce_affinities(id, affinities);
            }
            Event::Withdraw(n) => {
                let Some(id) = self.any_crew(n) else { return Ok(()) };
                let crew = self.there.get_mut(&id).expect("it is there");
                if !std::mem::replace(&mut crew.withdrawn, true) {
                    self.left = Some(self.now);
                }
                self.crews.withdraw(id, self.now);
            }
            Event::Lost(n) => {
                if let Some(crew) = self.any_crew(n) {
                    self.lose(crew)?;
                }
            }
            Event::Offer { returns, is_part } => self.offer(returns, is_part)?,
            Event::Assign => self.assign_all()?,
            Event::Done(n) => {
                if let Some((crew, id)) = self.any_held(n) {
                    self.release(crew, id);
                    self.done += 1;
                    self.there.get_mut(&crew).expect("it is there").last_done = self.done;
                    let ModelJob { key, ended, .. } = self.jobs[&id];
                    let outcome = self.crews.done(crew, key, Duration::ZERO, Duration::ZERO);
                    prop_assert_eq!(outcome.is_none(), ended, "an outcome is wanted unless the job has ended");
                    outcome.map_or(Ok(()), |job| self.ends(&job))?;
                }
            }
            Event::Returned(n) => {
                if let Some((crew, id)) = self.any_held(n) {
                    self.release(crew, id);
                    let ModelJob { key, ended, .. } = self.jobs[&id];
                    self.crews.returned(crew, key);
                    if !ended {
                        self.job(id).given -= 1;
                        self.put_back(id, Some(crew));
                    }
                }
            }
            Event::Late { crew, job, returned } => {
                if let Some(crew) = pick(&self.ever, crew)
                    && let Some(job) = self.any_job(job)
                    && self.holder(job.job.id) != Some(crew)
                {
                    match returned {
                        true => self.crews.returned(crew, job.key),
                        false => prop_assert_eq!(self.crews.done(crew, job.key, Duration::ZERO, Duration::ZERO), None),
                    }
                }
            }
            Event::Cancel(n) => {
                if let Some(ModelJob { key, job, ended, .. }) = self.any_job(n) {
                    let expected = match self.holder(job.id) {
                        _ if ended => None,
                        Some(crew) => Some(Cancelled::Running(crew, job.clone())),
                        None => Some(Cancelled::Waiting(job.clone())),
                    };
                    prop_assert_eq!(self.crews.cancel(key), expected);
                    if !ended {
                        self.ends(&job)?;
                    }
                }
            }
            Event::Advance(ms) => self.advance(ms)?,
            Event::Clear => {
                let given_up = self.crews.clear();
                prop_assert!(given_up.iter().map(|job| job.id).eq(self.waiting.clone()));
                given_up.iter().try_for_each(|job| self.ends(job))?;
            }
        }
        self.check()
    }

    fn offer(&mut self, returns: bool, is_part: bool) -> TestCaseResult {
        self.offered += 1;
        let offered = TestJob { returns, is_part, ..job(self.offered) };
        let parts = self.waiting.iter().filter(|id| self.jobs[id].job.is_part).count();
        let room: usize = self.there.values().map(ModelCrew::room).sum();
        let is_full = self.waiting.len() - parts >= self.options.queue + room.saturating_sub(parts);
        let taken = self.crews.offer(offered.clone(), self.now);
        prop_assert_eq!(taken.is_err(), is_full && !returns && !is_part);
        if let Ok(key) = taken {
            prop_assert!(self.jobs.values().all(|job| job.key != key), "a key names one job only");
            let due = self.options.timeout.map(|timeout| self.now + timeout);
            let (offered, job) = (self.now, offered);
            self.waiting.push_back(job.id);
            self.jobs.insert(job.id, ModelJob { job, key, offered, due, returned_by: None, given: 0, ended: false });
        }
        Ok(())
    }

    fn assign_all(&mut self) -> TestCaseResult {
        let asked = RefCell::new(Vec::new());
        let mut choose = |job: &TestJob, idle: &[Affinity]| {
            asked.borrow_mut().extend_from_slice(idle);
            idle.iter().position(|affinity| *affinity == wanted(job.id))
        };
        while let Some((id, key, job)) = self.crews.assign(self.chooses.then_some(&mut choose), self.now) {
            let (job, mut asked) = (job.clone(), asked.take());
            prop_assert_eq!(Some(job.id), self.waiting.pop_front(), "first come, first served");
            let model = self.jobs.get_mut(&job.id).expect("it was offered");
            prop_assert!(!model.ended && model.key == key && model.job == job);
            model.given += 1;
            prop_assert!(model.given == job.attempt && job.attempt <= ATTEMPTS);

            let crew = &self.there[&id];
            let rank = |id: &CrewId, crew: &ModelCrew| {
                let load = crew.held.len() * 1000 / crew.slots;
                (model.returned_by == Some(*id), load, std::cmp::Reverse(crew.last_done))
            };
            let ahead = |crew: &ModelCrew| (crew.held.len() - crew.slots, std::cmp::Reverse(crew.last_done));
            let idle = self.there.values().filter(|crew| crew.free()).flat_map(ModelCrew::idle);
            let mut idle: Vec<Affinity> = idle.filter(|_| self.chooses).collect();
            if idle.len() < 2 {
                idle.clear();
            }
            asked.sort();
            idle.sort();
            prop_assert_eq!(&asked, &idle, "the user is asked where there is something to choose");
            let for_what = Some(wanted(job.id)).filter(|wanted| asked.contains(wanted));
            if for_what.is_some() {
                prop_assert!(crew.free() && crew.idle().contains(&wanted(job.id)), "it is the user's choice");
            } else if self.there.values().any(ModelCrew::free) {
                prop_assert!(crew.free());
                let free = self.there.iter().filter(|(_, crew)| crew.free());
                prop_assert_eq!(free.map(|(id, crew)| rank(id, crew)).min(), Some(rank(&id, crew)));
            } else {
                prop_assert!(crew.room() > 0 && model.returned_by.is_none());
                let roomy = self.there.values().filter(|crew| crew.room() > 0);
                prop_assert_eq!(roomy.map(ahead).min(), Some(ahead(crew)));
            }
            let crew = self.there.get_mut(&id).expect("it is there");
            crew.held.push(job.id);
            crew.given.extend(for_what.map(|for_what| (job.id, for_what)));
        }
        if let Some(first) = self.waiting.front() {
            prop_assert!(!self.there.values().any(ModelCrew::free), "a job waits while a thread is free");
            let has_room = self.there.values().any(|crew| crew.room() > 0);
            prop_assert!(!has_room || self.jobs[first].returned_by.is_some(), "a job waits that could be given ahead");
        }
        Ok(())
    }

    fn lose(&mut self, crew: CrewId) -> TestCaseResult {
        let orphans = self.crews.lost(crew, self.now);
        let held = self.there.remove(&crew).expect("it is there").held;
        self.left = Some(self.now);
        let (mut retried, mut given_up) = (BTreeSet::new(), BTreeSet::new());
        for id in held.into_iter().rev() {
            let Options { idempotent, .. } = self.options;
            let model = self.job(id);
            match model.ended {
                true => {}
                false if idempotent && model.job.attempt < ATTEMPTS => {
                    model.job.attempt += 1;
                    retried.insert(model.key);
                    self.put_back(id, None);
                }
                false => _ = given_up.insert(id),
            }
        }
        prop_assert_eq!(orphans.retried.len(), retried.len());
        prop_assert_eq!(orphans.retried.into_iter().collect::<BTreeSet<_>>(), retried);
        prop_assert_eq!(orphans.given_up.iter().map(|job| job.id).collect::<BTreeSet<_>>(), given_up);
        orphans.given_up.iter().try_for_each(|job| self.ends(job))
    }

    fn advance(&mut self, ms: u64) -> TestCaseResult {
        self.now += Duration::from_millis(ms);
        let now = self.now;
        while let Some(overdue) = self.crews.tick(now) {
            let job = match overdue {
                Overdue::Running(crew, key, job) => {
                    prop_assert_eq!((Some(crew), key), (self.holder(job.id), self.jobs[&job.id].key));
                    prop_assert!(self.expiries().get(&job.id).is_some_and(|due| *due <= now));
                    job
                }
                Overdue::Waiting(job) => {
                    prop_assert!(self.waiting.contains(&job.id));
                    prop_assert!(self.expiries().get(&job.id).is_some_and(|due| *due <= now));
                    job
                }
                Overdue::Shed(job) => return Err(TestCaseError::fail(format!("{job:?} may wait"))),
                Overdue::Unattended(job) => {
                    prop_assert!(self.unattended().get(&job.id).is_some_and(|due| *due <= now));
                    job
                }
            };
            self.ends(&job)?;
        }
        prop_assert!(self.crews.next_event().is_none_or(|due| due > now));
        Ok(())
    }

    fn check(&mut self) -> TestCaseResult {
        let next = self.expiries().into_values().chain(self.unattended().into_values()).min();
        prop_assert_eq!(self.crews.next_event(), next);
        prop_assert_eq!(self.crews.waiting(), self.waiting.len());
        prop_assert_eq!(self.crews.running(), self.there.values().map(|crew| crew.held.len()).sum::<usize>());
        prop_assert_eq!(self.crews.crews(), self.there.len());
        prop_assert_eq!(self.crews.slots(), self.there.values().map(|crew| crew.slots).sum::<usize>());
        for job in self.jobs.values() {
            prop_assert_eq!(self.crews.get(job.key), Some(&job.job).filter(|_| !job.ended), "no job is lost");
        }
        Ok(())
    }
}

fn pick<T: Clone>(all: &[T], n: usize) -> Option<T> {
    all.get(n.checked_rem(all.len())?).cloned()
}

proptest! {
    /// Each job is with one crew at a time, given out as often as it may be, and handed back once; crews get what they have
    /// said that they can take, and no job waits that they could have. Of several with a free thread the user's choice has it.
    #[test]
    fn crews_do_as_the_model(events in proptest::collection::vec(event(), 1..200), idempotent: bool, chooses: bool) {
        let mut model = Model::new(idempotent, chooses);
        for event in events {
            model.step(event)?;
        }
        while let Some(crew) = model.any_crew(0) {
            model.lose(crew)?;
        }
        model.step(Event::Clear)?;
        prop_assert!(model.jobs.values().all(|job| job.ended));
        prop_assert_eq!((model.crews.free, model.crews.room), (0, 0));
        prop_assert!(model.crews.choices.is_none_or(|choices| choices.is_empty()), "nobody is left to choose");
    }
}
