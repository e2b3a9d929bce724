//! How many jobs a worker process tells its proxies that it can have.
//!
//! Late binding wants none ahead: a job that waits here behind a long one could run elsewhere. But then each thread stands idle for a
//! round trip after each job, and each job is a message of its own. So as many are taken ahead as are done within a set time, by
//! what jobs took lately, or had before they made room for others: of jobs that take longer, none. If one takes longer all the same, those behind it are given back once that
//! time has passed. What a job can lose is that time; what is gained is that threads find the next job at hand.
//!
//! Several proxies are told of the same free thread, as nobody knows which of them have jobs that wait. Where more than one has, the nearest
//! would always be first. So a proxy whose job went back is owed a turn: the next free thread is kept for it, and no other is told.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::links::LinkId;
use crate::balancer::Turns;

pub(super) struct Capacity {
    threads: usize,
    /// How many jobs each thread takes at a time.
    most: usize,
    /// The time that jobs may wait here.
    ahead: Duration,
    links: HashMap<LinkId, Announced>,
    /// The links that are owed a turn, the first first.
    owed: VecDeque<Owed>,
    /// How many are taken ahead, of all links.
    now_ahead: u32,
    /// What there had been when that was last computed.
    counted: Turns,
    look_at: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Announced {
    slots: u32,
    ahead: u32,
    held: u32,
}

struct Owed {
    link: LinkId,
    /// Since when a thread is kept for it.
    kept: Option<Instant>,
}

/// The most jobs taken ahead for each thread, or a batch of them where that is more.
const MOST_AHEAD: u32 = 64;

/// Jobs from which their usual time is computed.
const SAMPLE: u64 = 16;

/// The shortest patience with a job that waits here, as it is looked at by a timer.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);

impl Capacity {
    pub(super) fn new(threads: usize, most: usize, ahead: Duration) -> Self {
        let (links, owed, counted) = (HashMap::new(), VecDeque::new(), Turns::default());
        Self { threads, most, ahead, links, owed, now_ahead: 0, counted, look_at: None }
    }

    /// How many jobs the threads have at a time.
    pub(super) fn places(&self) -> usize {
        self.threads * self.most
    }

    /// A HELLO has announced all places, and nothing ahead.
    pub(super) fn linked(&mut self, link: LinkId) {
        self.links.insert(link, Announced { slots: self.places() as u32, ahead: 0, held: 0 });
    }

    pub(super) fn lost(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.had_its_turn(link);
    }

    pub(super) fn took(&mut self, link: LinkId) {
        if let Some(announced) = self.links.get_mut(&link) {
            announced.held += 1;
        }
        self.had_its_turn(link);
    }

    fn had_its_turn(&mut self, link: LinkId) {
        self.owed.retain(|owed| owed.link != link);
    }

    pub(super) fn ended(&mut self, link: LinkId) {
        if let Some(announced) = self.links.get_mut(&link) {
            announced.held = announced.held.saturating_sub(1);
        }
    }

    /// A job was given back: more was announced than there was room for.
    pub(super) fn returned(&mut self, link: LinkId) {
        self.ended(link);
        self.now_ahead /= 2;
        if let Some(announced) = self.links.get_mut(&link) {
            // To be told anew, with what there is room for now.
            announced.slots = u32::MAX;
        }
        if self.links.len() > 1 && !self.owed.iter().any(|owed| owed.link == link) {
            self.owed.push_back(Owed { link, kept: None });
        }
    }

    /// How long a job may wait here, and a thread for a job.
    pub(super) fn patience(&self) -> Duration {
        self.ahead.max(LEAST_PATIENCE)
    }

    pub(super) fn must_look(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Some jobs may have to wait.
    pub(super) fn look_later(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + self.patience());
    }

    /// So many wait still.
    pub(super) fn looked(&mut self, waiting: usize, now: Instant) {
        self.look_at = (waiting > 0).then(|| now + self.patience());
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let kept = self.owed.iter().filter_map(|owed| Some(owed.kept? + self.patience()));
        kept.chain(self.look_at).min()
    }

    /// Tells each link what it does not know. `taken` counts the places that are or will be taken: by the jobs of lost links too, and not by
    /// those that make room for others.
    pub(super) fn announce(
        &mut self,
        turns: Turns,
        taken: usize,
        now: Instant,
        mut tell: impl FnMut(LinkId, u32, u32),
    ) {
        self.learn(turns);
        let free = self.places().saturating_sub(taken);
        self.keep_turns(free, now);
        let kept = self.owed.iter().filter(|owed| owed.kept.is_some()).count();
        let ahead = self.now_ahead / (self.links.len().max(1) as u32);
        let alone = self.links.len() == 1;
        for (link, announced) in &mut self.links {
            let room = announced.slots.saturating_sub(announced.held);
            let before = self.owed.iter().take(kept).position(|owed| owed.link == *link).unwrap_or(kept);
            let free = free.saturating_sub(before * self.most) as u32;
            // With one proxy that is always all places, and one more for each job that makes room. Several share them: one that has too
            // little room while there is some is told, and one that has too much while another is owed a turn. Else that one finds out when
            // a job comes back.
            let is_wrong = room < free || (alone || kept > 0) && room != free;
            let slots = if announced.slots == u32::MAX || is_wrong { announced.held + free } else { announced.slots };
            if slots != announced.slots || differ(ahead, announced.ahead) {
                (announced.slots, announced.ahead) = (slots, ahead);
                tell(*link, slots, ahead);
            }
        }
    }

    /// Keeps free places for those that are owed a turn, a whole batch for each. One that has not used them in time has nothing to send.
    fn keep_turns(&mut self, free: usize, now: Instant) {
        let patience = self.patience();
        self.owed.retain(|owed| owed.kept.is_none_or(|since| now < since + patience));
        for (place, owed) in self.owed.iter_mut().enumerate() {
            owed.kept = (place * self.most < free).then(|| owed.kept.unwrap_or(now));
        }
    }

    /// Computes from what jobs took lately how many are done in the time that others may wait.
    fn learn(&mut self, turns: Turns) {
        if self.ahead.is_zero() {
            return;
        }
        let sample = turns.jobs - self.counted.jobs;
        if sample >= SAMPLE {
            let busy = turns.time.saturating_sub(self.counted.time);
            self.counted = turns;
            let each = busy.div_f64(sample as f64).max(Duration::from_nanos(100));
            let done = self.ahead.as_secs_f64() / each.as_secs_f64();
            let most = f64::from(MOST_AHEAD).max(self.most as f64);
            self.now_ahead = (done.min(most) * self.threads as f64) as u32;
        }
    }
}

/// Whether a change is worth a message.
fn differ(a: u32, b: u32) -> bool {
    (a == 0) != (b == 0) || a.abs_diff(b) * 4 > a.max(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId::of_test(1);
    const OTHER: LinkId = LinkId::of_test(2);
    const THIRD: LinkId = LinkId::of_test(3);
    const AHEAD: Duration = Duration::from_millis(1);

    fn told(capacity: &mut Capacity, turns: &Turns, held: usize) -> Vec<(LinkId, u32, u32)> {
        told_at(capacity, turns, held, Instant::now())
    }

    fn told_at(capacity: &mut Capacity, turns: &Turns, held: usize, now: Instant) -> Vec<(LinkId, u32, u32)> {
        let mut told = Vec::new();
        capacity.announce(*turns, held, now, |link, slots, ahead| told.push((link, slots, ahead)));
        told.sort_unstable();
        told
    }

    fn ran(turns: &mut Turns, each: Duration) {
        turns.jobs += SAMPLE;
        turns.time += each * SAMPLE as u32;
    }

    #[test]
    fn short_jobs_are_taken_ahead_and_long_ones_are_not() {
        let mut turns = Turns::default();
        let mut capacity = Capacity::new(2, 1, AHEAD);
        capacity.linked(LINK);
        assert!(told(&mut capacity, &turns, 0).is_empty(), "the HELLO has said it");
        ran(&mut turns, Duration::from_micros(100));
        assert_eq!(told(&mut capacity, &turns, 0), [(LINK, 2, 20)]);
        ran(&mut turns, Duration::from_micros(1));
        assert_eq!(told(&mut capacity, &turns, 0), [(LINK, 2, 2 * MOST_AHEAD)]);
        ran(&mut turns, Duration::from_millis(5));
        assert_eq!(told(&mut capacity, &turns, 0), [(LINK, 2, 0)]);
    }

    #[test]
    fn nothing_is_taken_ahead_where_it_is_not_wanted() {
        let mut turns = Turns::default();
        let mut capacity = Capacity::new(2, 1, Duration::ZERO);
        capacity.linked(LINK);
        ran(&mut turns, Duration::from_micros(1));
        assert!(told(&mut capacity, &turns, 0).is_empty());
    }

    #[test]
    fn a_job_that_makes_room_is_one_more_that_can_be_had() {
        let turns = Turns::default();
        let mut capacity = Capacity::new(2, 1, Duration::ZERO);
        capacity.linked(LINK);
        (0..2).for_each(|_| capacity.took(LINK));
        assert!(told(&mut capacity, &turns, 2).is_empty());
        assert_eq!(told(&mut capacity, &turns, 1), [(LINK, 3, 0)]);
        capacity.took(LINK);
        assert!(told(&mut capacity, &turns, 2).is_empty());
        (0..2).for_each(|_| capacity.ended(LINK));
        assert_eq!(told(&mut capacity, &turns, 1), [(LINK, 2, 0)]);
    }

    #[test]
    fn two_proxies_share_the_threads() {
        let turns = Turns::default();
        let mut capacity = Capacity::new(2, 1, AHEAD);
        capacity.linked(LINK);
        capacity.linked(OTHER);
        // Both give as many as there are threads: one of them has its jobs back.
        (0..2).for_each(|_| capacity.took(LINK));
        (0..2).for_each(|_| capacity.took(OTHER));
        (0..2).for_each(|_| capacity.returned(OTHER));
        assert_eq!(told(&mut capacity, &turns, 2), [(OTHER, 0, 0)]);
        capacity.ended(LINK);
        assert_eq!(told(&mut capacity, &turns, 1), [(LINK, 1, 0), (OTHER, 1, 0)], "it is the other's turn");
        assert!(told(&mut capacity, &turns, 1).is_empty());
    }

    #[test]
    fn a_free_thread_is_kept_for_the_proxy_whose_job_went_back_and_for_no_longer_than_a_job_may_wait() {
        let turns = Turns::default();
        let mut capacity = Capacity::new(1, 1, AHEAD);
        capacity.linked(LINK);
        capacity.linked(OTHER);
        let now = Instant::now();
        [LINK, OTHER].into_iter().for_each(|link| capacity.took(link));
        capacity.returned(OTHER);
        assert_eq!(told_at(&mut capacity, &turns, 1, now), [(OTHER, 0, 0)]);
        assert_eq!(capacity.due(), None, "no thread is free");
        capacity.ended(LINK);
        assert_eq!(told_at(&mut capacity, &turns, 0, now), [(LINK, 0, 0), (OTHER, 1, 0)]);
        assert_eq!(capacity.due(), Some(now + AHEAD));
        assert!(told_at(&mut capacity, &turns, 0, now + AHEAD - Duration::from_nanos(1)).is_empty());
        assert_eq!(told_at(&mut capacity, &turns, 0, now + AHEAD), [(LINK, 1, 0)], "it has nothing to send");
        assert_eq!(capacity.due(), None);
    }

    #[test]
    fn a_proxys_turn_is_a_whole_batch_and_the_next_ones_comes_after_it() {
        let turns = Turns::default();
        let mut capacity = Capacity::new(2, 4, AHEAD);
        let now = Instant::now();
        [LINK, OTHER, THIRD].into_iter().for_each(|link| capacity.linked(link));
        (0..8).for_each(|_| capacity.took(LINK));
        for link in [OTHER, THIRD] {
            capacity.took(link);
            capacity.returned(link);
        }
        assert_eq!(told_at(&mut capacity, &turns, 8, now), [(OTHER, 0, 0), (THIRD, 0, 0)]);
        (0..4).for_each(|_| capacity.ended(LINK));
        assert_eq!(told_at(&mut capacity, &turns, 4, now), [(LINK, 4, 0), (OTHER, 4, 0)], "all that is free is kept");
        assert_eq!(told_at(&mut capacity, &turns, 4, now + AHEAD), [(OTHER, 0, 0), (THIRD, 4, 0)]);
    }

    #[test]
    fn a_thread_has_a_place_for_each_job_of_a_batch() {
        let mut turns = Turns::default();
        let mut capacity = Capacity::new(2, 100, AHEAD);
        capacity.linked(LINK);
        assert!(told(&mut capacity, &turns, 0).is_empty(), "the HELLO has said it");
        capacity.took(LINK);
        // It runs by itself, and 99 places are left empty.
        assert_eq!(told(&mut capacity, &turns, 100), [(LINK, 101, 0)]);
        capacity.ended(LINK);
        assert_eq!(told(&mut capacity, &turns, 0), [(LINK, 200, 0)]);
        ran(&mut turns, Duration::from_micros(1));
        assert_eq!(told(&mut capacity, &turns, 0), [(LINK, 200, 200)], "a whole batch ahead for each");
    }
}
