//! What the controller decides, tick by tick.

use super::*;

/// A stage has so many waiting, and so many jobs of so many ms have ended, in which all its time went.
fn seen(waiting: usize, jobs: u32, each: u32) -> Seen {
    Seen { waiting, jobs: jobs.into(), time: jobs * each * MS }
}

const IDLE: Seen = Seen { waiting: 0, jobs: 0, time: Duration::ZERO };

/// How many workers a stage gets in a second in which each tick is like this.
fn second(sizing: &mut Sizing, seen: Seen) -> Option<usize> {
    (0..10).flat_map(|_| sizing.tick(&[seen], TICK)).last().map(|change| change.slots)
}

/// A controller of stages of which each has one worker at least and has got so many, and is as busy as they can be with jobs of 1 ms.
fn grown(slots: &[usize]) -> Sizing {
    let mut sizing = Sizing::new(slots.iter().map(|_| (1, 16)), slots.iter().sum());
    for (at, slots) in slots.iter().enumerate() {
        sizing.stages[at].slots = *slots;
    }
    let busy: Vec<_> = slots.iter().map(|slots| seen(0, 100 * *slots as u32, 1)).collect();
    for _ in 0..20 {
        assert_eq!(sizing.tick(&busy, TICK), []);
    }
    sizing
}

fn slots(moves: &[Move]) -> Vec<(usize, usize)> {
    moves.iter().map(|change| (change.stage, change.slots)).collect()
}

#[test]
fn a_stage_is_behind_while_jobs_wait_for_some_ms_and_half_of_what_one_takes() {
    let sizing = || Sizing::new([(2, 16)], 16);
    assert_eq!(second(&mut sizing(), seen(0, 200, 1)), None, "none waits");
    assert_eq!(second(&mut sizing(), seen(8, 200, 1)), None, "for 4 ms");
    assert!(second(&mut sizing(), seen(12, 200, 1)).is_some(), "for 6 ms");
    assert_eq!(second(&mut sizing(), seen(1, 2, 100)), None, "for half of what one takes");
    assert!(second(&mut sizing(), seen(2, 2, 100)).is_some(), "for as long as one takes");
    assert_eq!(second(&mut sizing(), seen(12, 100, 1)), None, "half of its workers idle");
}

#[test]
fn it_gets_what_it_needs_for_what_comes_and_doubles_at_the_most() {
    let mut sizing = Sizing::new([(2, 16)], 16);
    let (mut waiting, mut has) = (0, 2);
    let mut grown = Vec::new();
    for _ in 0..4 {
        // 800 jobs of 1 ms come each tick: 8 workers' work, which 12 do with some room.
        let jobs = 100 * has;
        waiting += 800 - jobs.min(800);
        let moves = sizing.tick(&[seen(waiting, jobs as u32, 1)], TICK);
        has = moves.last().map_or(has, |change| change.slots);
        grown.push(has);
    }
    assert_eq!(grown, [2, 4, 8, 12]);
    assert_eq!(second(&mut Sizing::new([(2, 5)], 16), seen(1000, 500, 1)), Some(5), "and no more than it may");
}

#[test]
fn one_whose_jobs_do_not_end_is_behind_too() {
    let mut sizing = Sizing::new([(2, 16)], 16);
    let stuck = Seen { waiting: 3, jobs: 0, time: 2 * TICK };
    assert_eq!(sizing.tick(&[stuck], TICK), []);
    assert_eq!(slots(&sizing.tick(&[stuck], TICK)), [(0, 3)]);
}

#[test]
fn some_jobs_that_take_long_do_not_put_a_stage_behind() {
    let mut sizing = grown(&[2]);
    sizing.budget = 16;
    for _ in 0..2 {
        assert_eq!(sizing.tick(&[seen(2, 20, 10)], TICK), []);
    }
}

#[test]
fn where_two_are_behind_the_one_whose_jobs_wait_longer_has_what_is_left() {
    let mut sizing = grown(&[1, 1]);
    sizing.budget = 3;
    let both = [seen(20, 100, 1), seen(40, 100, 1)];
    assert_eq!(sizing.tick(&both, TICK), []);
    assert_eq!(slots(&sizing.tick(&both, TICK)), [(1, 2)]);
}

#[test]
fn a_worker_is_taken_from_whom_has_most_to_spare_and_not_for_one_tick_without_work() {
    let mut sizing = grown(&[5, 3, 1]);
    let behind = seen(100, 100, 1);
    for _ in 0..20 {
        assert_eq!(sizing.tick(&[IDLE, IDLE, IDLE], TICK), []);
    }
    assert_eq!(sizing.tick(&[IDLE, IDLE, behind], TICK), []);
    assert_eq!(slots(&sizing.tick(&[IDLE, IDLE, behind], TICK)), [(0, 4), (2, 2)]);

    let mut sizing = grown(&[5, 1]);
    assert_eq!(sizing.tick(&[seen(0, 500, 1), behind], TICK), []);
    assert_eq!(sizing.tick(&[IDLE, behind], TICK), []);
}

#[test]
fn one_that_is_behind_gives_a_worker_where_anothers_jobs_wait_three_times_as_long_and_some_ms() {
    // The jobs of the first wait for 10 ms.
    let ticks = |theirs: usize| {
        let mut sizing = grown(&[3, 1]);
        let both = [seen(30, 300, 1), seen(theirs, 100, 1)];
        (0..10).map(|_| slots(&sizing.tick(&both, TICK))).position(|moves| moves == [(0, 2), (1, 2)])
    };
    assert_eq!((ticks(31), ticks(34)), (None, None));
    assert_eq!(ticks(37), Some(3), "after 200 ms it is behind, and then for 300 ms");
}

#[test]
fn whoever_was_behind_for_a_moment_has_had_nothing_to_spare() {
    let mut sizing = grown(&[5]);
    let idle = |sizing: &mut Sizing| (0..).find(|_| !sizing.tick(&[IDLE], TICK).is_empty()).expect("it shrinks");
    let usual = idle(&mut grown(&[5]));
    for _ in 0..usual - 1 {
        assert_eq!(sizing.tick(&[IDLE], TICK), []);
    }
    assert_eq!(sizing.tick(&[seen(100, 500, 1)], TICK), []);
    assert!(idle(&mut sizing) >= 99);
}

#[test]
fn a_long_time_says_more_than_a_tick() {
    assert_eq!(slots(&grown(&[5]).tick(&[IDLE], SLACK)), [(0, 4)]);
}

#[test]
fn whoever_has_just_given_its_last_spare_worker_keeps_the_least() {
    for begin in 90..=115 {
        let mut sizing = grown(&[2, 1]);
        for tick in 0..120 {
            let other = if tick < begin { IDLE } else { seen(100, 100, 1) };
            let moves = sizing.tick(&[IDLE, other], TICK);
            assert!(moves.iter().all(|change| change.slots > 0), "{begin} {moves:?}");
        }
    }
}
