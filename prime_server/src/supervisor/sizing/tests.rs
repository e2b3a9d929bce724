//! The controller before simulated stages: jobs come at random, each takes a worker for a time, and the controller looks each tick.

mod ticks;

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A stage at which so many jobs come a second, each of which takes about so long.
#[derive(Clone, Copy)]
struct Load {
    per_second: f64,
    mean: f64,
}

struct World {
    sizing: Sizing,
    random: ChaCha8Rng,
    stages: Vec<Queue>,
    now: Duration,
    moves: Vec<(Duration, Move)>,
    /// Jobs that have ended.
    ended: u64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Duration>,
    /// What is left of each that runs.
    running: Vec<Duration>,
    slots: usize,
    seen: Seen,
}

impl World {
    fn new(stages: &[(usize, usize)], budget: usize) -> Self {
        let queues = stages.iter().map(|(least, _)| Queue { slots: *least, ..Queue::default() });
        Self {
            sizing: Sizing::new(stages.iter().copied(), budget),
            random: ChaCha8Rng::seed_from_u64(7),
            stages: queues.collect(),
            now: Duration::ZERO,
            moves: Vec::new(),
            ended: 0,
        }
    }

    fn slots(&self) -> Vec<usize> {
        self.stages.iter().map(|stage| stage.slots).collect()
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        let uniform: f64 = self.random.random();
        -(1.0 - uniform).ln() * mean
    }

    /// Jobs come as from many clients that know nothing of each other.
    fn open(&mut self, loads: &[Load], time: Duration) {
        self.run(time, |world, _| {
            for (at, load) in loads.iter().enumerate() {
                let mut left = world.exponential(1.0);
                let expected = load.per_second * MS.as_secs_f64();
                while left < expected {
                    let takes = Duration::from_secs_f64(world.exponential(load.mean));
                    world.stages[at].waiting.push_back(takes);
                    left += world.exponential(1.0);
                }
            }
        });
    }

    /// So many clients each ask again as soon as they are answered, for a job of a stage that is drawn by weight.
    fn closed(&mut self, clients: usize, weights: &[f64], takes: Duration, time: Duration) {
        self.run(time, |world, _| {
            let there = |stage: &Queue| stage.waiting.len() + stage.running.len();
            let in_flight: usize = world.stages.iter().map(there).sum();
            for _ in in_flight..clients {
                let mut drawn = world.random.random::<f64>() * weights.iter().sum::<f64>();
                let at = weights.iter().position(|weight| {
                    drawn -= weight;
                    drawn < 0.0
                });
                world.stages[at.unwrap_or(0)].waiting.push_back(takes);
            }
        });
    }

    fn run(&mut self, time: Duration, mut come: impl FnMut(&mut Self, Duration)) {
        let until = self.now + time;
        while self.now < until {
            self.now += MS;
            come(self, MS);
            for stage in &mut self.stages {
                self.ended += stage.work();
            }
            if self.now.as_millis().is_multiple_of(TICK.as_millis()) {
                let seen: Vec<Seen> = self.stages.iter_mut().map(Queue::seen).collect();
                for change in self.sizing.tick(&seen, TICK) {
                    self.stages[change.stage].slots = change.slots;
                    self.moves.push((self.now, change));
                }
            }
        }
    }
}

impl Queue {
    fn work(&mut self) -> u64 {
        while self.running.len() < self.slots
            && let Some(next) = self.waiting.pop_front()
        {
            self.running.push(next);
        }
        self.seen.time += MS * self.running.len() as u32;
        let before = self.running.len();
        self.running.iter_mut().for_each(|left| *left = left.saturating_sub(MS));
        self.running.retain(|left| !left.is_zero());
        let ended = (before - self.running.len()) as u64;
        self.seen.jobs += ended;
        ended
    }

    fn seen(&mut self) -> Seen {
        Seen { waiting: self.waiting.len(), ..std::mem::take(&mut self.seen) }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_stage_that_is_behind_has_what_it_needs_in_less_than_a_second() {
    let mut world = World::new(&[(2, 16)], 16);
    world.open(&[Load { per_second: 1000.0, mean: 0.01 }], SECOND);
    assert!(world.slots()[0] >= 11, "{:?}", world.slots());
    world.open(&[Load { per_second: 1000.0, mean: 0.01 }], 5 * SECOND);
    assert!(world.stages[0].waiting.len() < 20, "{}", world.stages[0].waiting.len());
}

#[test]
fn the_bounds_and_the_budget_hold() {
    let mut world = World::new(&[(1, 4), (2, 16)], 8);
    world.open(&[Load { per_second: 5000.0, mean: 0.01 }; 2], 20 * SECOND);
    assert!(world.moves.iter().all(|(_, Move { stage, slots, .. })| [1..=4, 2..=16][*stage].contains(slots)));
    assert_eq!(world.slots().iter().sum::<usize>(), 8);
}

#[test]
fn a_tick_moves_each_stage_once_and_first_those_that_give_workers_up() {
    let mut world = World::new(&[(2, 16), (1, 16)], 17);
    let (high, low) = (Load { per_second: 2000.0, mean: 0.01 }, Load { per_second: 10.0, mean: 0.01 });
    world.open(&[high, low], 3 * SECOND);
    world.open(&[low, high], 3 * SECOND);
    let at_once = |(at, moves): (_, &[(Duration, Move)])| {
        let stages: Vec<usize> = moves.iter().map(|(_, to)| to.stage).collect();
        let grow: Vec<bool> = moves.iter().map(|(_, to)| matches!(to.why, Why::Behind { .. })).collect();
        assert!(matches!((&stages[..], &grow[..]), ([_], _) | ([0, 1] | [1, 0], [false, true])), "{at:?}: {moves:?}");
        moves.len()
    };
    let ticks = world.moves.chunk_by(|(before, _), (after, _)| before == after).map(|moves| (moves[0].0, moves));
    assert_eq!(ticks.map(at_once).max(), Some(2), "{:?}", world.moves);
}

#[test]
fn workers_whose_number_is_fixed_take_nothing_of_the_budget() {
    let mut world = World::new(&[(8, 8), (2, 16)], 8);
    world.open(&[Load { per_second: 10.0, mean: 0.01 }, Load { per_second: 5000.0, mean: 0.01 }], 5 * SECOND);
    assert_eq!(world.slots(), [8, 8]);
}

#[test]
fn it_shrinks_slowly_and_to_the_least() {
    let mut world = World::new(&[(2, 16)], 16);
    world.open(&[Load { per_second: 1000.0, mean: 0.01 }], 3 * SECOND);
    let grown = world.slots()[0];
    world.open(&[Load { per_second: 10.0, mean: 0.01 }], 9 * SECOND);
    assert!(world.slots()[0] >= grown - 3);
    world.open(&[Load { per_second: 10.0, mean: 0.01 }], 30 * SECOND);
    assert_eq!(world.slots()[0], 2);
}

/// At every load, a stage that has settled has hardly any worker moved.
#[test]
fn a_steady_load_moves_nothing() {
    for tenths in 2..=16 {
        let load = Load { per_second: 100.0 * f64::from(tenths), mean: 0.005 };
        let mut world = World::new(&[(1, 16)], 16);
        world.open(&[load], 60 * SECOND);
        world.moves.clear();
        world.open(&[load], 300 * SECOND);
        assert!(world.moves.len() <= 6, "{tenths}: {:?}", world.moves);
    }
}

/// A load that goes up and down each few seconds does not take workers away that it needs again.
#[test]
fn a_load_that_swings_flaps_nothing() {
    let mut world = World::new(&[(1, 16)], 16);
    let (high, low) = (Load { per_second: 800.0, mean: 0.01 }, Load { per_second: 200.0, mean: 0.01 });
    world.open(&[high], 20 * SECOND);
    world.moves.clear();
    for _ in 0..60 {
        world.open(&[low], 3 * SECOND);
        world.open(&[high], 3 * SECOND);
    }
    assert!(world.moves.len() <= 8, "{:?}", world.moves);
}

/// What the best of all splits that never change gets done.
fn best_fixed(clients: usize, weights: &[f64; 2], takes: Duration, budget: usize, time: Duration) -> u64 {
    let of_split = |a: usize| {
        let mut world = World::new(&[(a, a), (budget - a, budget - a)], budget);
        world.closed(clients, weights, takes, time);
        world.ended
    };
    (1..budget).map(of_split).max().unwrap()
}

#[test]
fn where_the_mix_shifts_it_settles_near_the_best_split() {
    let (clients, takes, budget) = (64, 10 * MS, 8);
    let mut world = World::new(&[(1, 8), (1, 8)], budget);
    for weights in [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.9, 0.1]] {
        world.closed(clients, &weights, takes, 5 * SECOND);
        let before = world.ended;
        world.moves.clear();
        world.closed(clients, &weights, takes, 20 * SECOND);
        let best = best_fixed(clients, &weights, takes, budget, 20 * SECOND);
        let got = world.ended - before;
        assert!(
            got as f64 >= 0.95 * best as f64,
            "{weights:?}: {got} of {best}, {:?}, {:?}",
            world.slots(),
            world.moves
        );
    }
}
