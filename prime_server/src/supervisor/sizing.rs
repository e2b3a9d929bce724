//! How many workers each stage is to have, where that may change: a pure controller, told each [`TICK`] how much of its workers' time each
//! stage has used and how many jobs wait there.
//!
//! A stage is behind while its workers are busy and its jobs wait for longer than they should. It gets what it needs for what comes (Little's law), from what the budget
//! has left, then from stages that have some to spare, then from one whose jobs wait far less. It grows fast and shrinks slowly, and what makes it
//! shrink is far from what makes it grow, so that a load that varies about a mean moves nothing.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

/// How often it is asked.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// A stage whose workers are busy for less of the time is not behind.
const BUSY: f64 = 0.9;

/// Nor is one whose jobs wait for less, or for less than half of what one takes.
const DELAY: f64 = 0.005;

/// It is, after so long.
const BEHIND: Duration = Duration::from_millis(200);

/// A stage is to have so many workers that each is busy for so much of the time.
const AIM: f64 = 0.7;

/// A worker is taken from a stage that is behind for one whose jobs wait so many times as long, and some ms more, for so long.
const UNEVEN: f64 = 3.0;
const UNEVEN_FOR: Duration = Duration::from_millis(300);

/// A stage that has had a worker to spare for so long gives one up, and the next after the pause.
const SLACK: Duration = Duration::from_secs(10);
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// A new tick's part of the mean of what a stage uses.
const NEW: f64 = 0.2;

#[derive(Debug)]
pub(super) struct Sizing {
    stages: Vec<Stage>,
    budget: usize,
}

#[derive(Debug)]
struct Stage {
    least: usize,
    most: usize,
    slots: usize,
    /// How many it had before this tick, and why it has got and given some in it.
    had: usize,
    got: Option<Why>,
    gave: Option<Why>,
    /// The seconds that a job takes, and since when none has ended although some run.
    mean: f64,
    none_ended: f64,
    /// How many workers it keeps busy.
    used: f64,
    waiting: usize,
    /// The seconds that a job waits, first come first.
    delay: f64,
    behind: Duration,
    uneven: Duration,
    slack: Duration,
}

/// What has been seen of a stage since the last tick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) waiting: usize,
    /// How many jobs have ended, and how long jobs had slots, those that run still among them.
    pub(super) jobs: u64,
    pub(super) time: Duration,
}

/// A stage is to have so many workers from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Move {
    pub(super) stage: usize,
    pub(super) slots: usize,
    pub(super) why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    /// Its jobs wait for so long, and its workers are busy for so much of the time.
    Behind { delay: Duration, busy: f64 },
    /// Another stage needs the worker more, by its number.
    Given { to: usize },
    /// It has had one to spare, and keeps so many busy.
    Slack { used: f64 },
}

impl Sizing {
    /// Stages that may have from the least to the most workers, and have the least of them. Those whose number may change have so many all
    /// together, if that is not less than their least; the others do not count, as theirs do not run all the time.
    pub(super) fn new(stages: impl IntoIterator<Item = (usize, usize)>, budget: usize) -> Self {
        let stages = stages.into_iter().map(|(least, most)| Stage {
            least,
            most,
            slots: least,
            had: least,
            got: None,
            gave: None,
            mean: 0.0,
            none_ended: 0.0,
            used: 0.0,
            waiting: 0,
            delay: 0.0,
            behind: Duration::ZERO,
            uneven: Duration::ZERO,
            slack: Duration::ZERO,
        });
        Self { stages: stages.collect(), budget }
    }

    /// What is to change after what was seen of the stages in that time: one move for each, those first that give workers up.
    pub(super) fn tick(&mut self, seen: &[Seen], time: Duration) -> Vec<Move> {
        let needs: Vec<usize> =
            std::iter::zip(&mut self.stages, seen).map(|(stage, seen)| stage.look(*seen, time)).collect();
        let mut by_delay: Vec<usize> = (0..self.stages.len()).filter(|at| needs[*at] > 0).collect();
        by_delay.sort_by(|a, b| self.stages[*b].delay.total_cmp(&self.stages[*a].delay));
        for at in by_delay {
            for _ in 0..needs[at] {
                if !self.grow(at, time) {
                    break;
                }
            }
        }
        for stage in &mut self.stages {
            if stage.slack >= SLACK && stage.spare() > 0 {
                stage.slack = SLACK - PAUSE;
                stage.gives(Why::Slack { used: stage.used });
            }
        }
        let mut moves: Vec<Move> = self.stages.iter().enumerate().filter_map(|(at, stage)| stage.moved(at)).collect();
        moves.sort_by_key(|to| matches!(to.why, Why::Behind { .. }));
        moves
    }

    /// Whether no stage has more than its least.
    pub(super) fn is_least(&self) -> bool {
        self.stages.iter().all(|stage| stage.slots == stage.least)
    }

    /// Gives a stage one worker more. Returns whether one was found.
    fn grow(&mut self, at: usize, time: Duration) -> bool {
        let sized = self.stages.iter().filter(|stage| stage.least < stage.most);
        let all: usize = sized.map(|stage| stage.slots).sum();
        if all >= self.budget {
            let Some(from) = self.to_spare(at).or_else(|| self.better_off(at, time)) else { return false };
            self.stages[from].gives(Why::Given { to: at });
        }
        self.stages[at].gets();
        true
    }

    /// The stage that has most workers to spare.
    fn to_spare(&self, needs: usize) -> Option<usize> {
        let others = (0..self.stages.len()).filter(|at| *at != needs && self.stages[*at].spare() > 0);
        others.max_by_key(|at| self.stages[*at].spare())
    }

    /// The stage whose jobs wait least, where that has been far less than at this one for some time.
    fn better_off(&mut self, needs: usize, time: Duration) -> Option<usize> {
        let may_give = |at: &usize| *at != needs && self.stages[*at].slots > self.stages[*at].least;
        let best = (0..self.stages.len())
            .filter(may_give)
            .min_by(|a, b| self.stages[*a].delay.total_cmp(&self.stages[*b].delay))?;
        let theirs = self.stages[best].delay;
        let stage = &mut self.stages[needs];
        if stage.delay <= UNEVEN * theirs + DELAY {
            stage.uneven = Duration::ZERO;
            return None;
        }
        stage.uneven += time;
        (stage.uneven >= UNEVEN_FOR).then(|| {
            stage.uneven = Duration::ZERO;
            best
        })
    }
}

impl Stage {
    /// Takes note of what was seen. Returns how many workers more it needs.
    fn look(&mut self, Seen { waiting, jobs, time: busy }: Seen, time: Duration) -> usize {
        (self.had, self.got, self.gave) = (self.slots, None, None);
        let (seconds, busy) = (time.as_secs_f64(), busy.as_secs_f64());
        let now_used = busy / seconds;
        self.none_ended = if jobs > 0 || busy == 0.0 { 0.0 } else { self.none_ended + seconds };
        if jobs > 0 {
            let mean = busy / jobs as f64;
            self.mean = if self.mean == 0.0 { mean } else { self.mean + (mean - self.mean) * NEW };
        }
        self.used += (now_used - self.used) * NEW.max(seconds / SLACK.as_secs_f64()).min(1.0);
        let came = (jobs as f64 + waiting as f64 - self.waiting as f64).max(jobs as f64);
        self.waiting = waiting;
        let takes = self.mean.max(self.none_ended);
        self.delay = waiting as f64 * takes / self.slots as f64;
        let is_behind = now_used >= BUSY * self.slots as f64 && self.delay > DELAY.max(takes / 2.0);
        self.behind = if is_behind { self.behind + time } else { Duration::ZERO };
        self.slack = if self.spare() > 0 && !is_behind { self.slack + time } else { Duration::ZERO };
        if self.behind < BEHIND {
            return 0;
        }
        let needed = (came / seconds * self.mean / AIM).ceil() as usize;
        needed.saturating_sub(self.slots).clamp(1, self.slots).min(self.most - self.slots)
    }

    fn gets(&mut self) {
        let (delay, busy) = (Duration::from_secs_f64(self.delay), (self.used / self.slots as f64).min(1.0));
        self.got.get_or_insert(Why::Behind { delay, busy });
        self.slots += 1;
        self.slack = Duration::ZERO;
    }

    fn gives(&mut self, why: Why) {
        self.gave = Some(why);
        self.slots -= 1;
    }

    /// What has become of it in this tick.
    fn moved(&self, at: usize) -> Option<Move> {
        let why = match self.slots.cmp(&self.had) {
            Ordering::Less => self.gave,
            Ordering::Equal => None,
            Ordering::Greater => self.got,
        };
        Some(Move { stage: at, slots: self.slots, why: why? })
    }

    /// How many workers it can do without.
    fn spare(&self) -> usize {
        let needed = (self.used / AIM).ceil() as usize;
        self.slots.saturating_sub(needed.max(self.least))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Behind { delay, busy } => {
                write!(f, "jobs wait {delay:.1?} and its workers are {:.0} % busy", 100.0 * busy)
            }
            Why::Given { .. } => f.write_str("another stage needs it more"),
            Why::Slack { used } => write!(f, "{used:.1} were enough"),
        }
    }
}

#[cfg(test)]
mod tests;
