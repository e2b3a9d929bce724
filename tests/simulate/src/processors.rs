//! Processors that threads share, in two classes: those of the idle class have what the others leave.
//!
//! Within a class all run equally fast, as with time slices of no length (processor sharing), and none on two processors at a time. A
//! class has a clock of the work that each of its threads has had, so that a thread's end is a fixed moment on that clock whoever comes
//! and goes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::job::Nanos;

/// Work, in parts of a nanosecond of a processor: what is lost by rounding at each event is below one of them.
type Work = u64;
const PARTS: u32 = 10;

/// See the [module's docs](self).
#[derive(Debug)]
pub struct Processors {
    count: u64,
    now: Nanos,
    normal: Class,
    idle: Class,
    threads: Vec<Thread>,
}

#[derive(Debug, Default)]
struct Class {
    /// What each thread that was there all the time has had.
    clock: Work,
    runnable: u64,
    /// When threads end, by the clock. Of a thread that has left, there may be some that do not hold any more.
    ends: BinaryHeap<Reverse<(Work, usize)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    runs: Option<Run>,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    idle: bool,
    end: Work,
}

/// How fast each thread of a class runs: a fraction.
type Speed = (u64, u64);

impl Processors {
    /// So many, none of which has anything to do.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let (normal, idle) = (Class::default(), Class::default());
        Self { count: count as u64, now: 0, normal, idle, threads: Vec::new() }
    }

    /// A thread that has nothing to do begins some work.
    pub fn begin(&mut self, thread: usize, work: Nanos, now: Nanos) {
        self.pass(now);
        if thread >= self.threads.len() {
            self.threads.resize(thread + 1, Thread::default());
        }
        debug_assert!(self.threads[thread].runs.is_none(), "a thread does one thing at a time");
        let work = work << PARTS;
        let end = self.normal.enter(thread, work);
        self.threads[thread] = Thread { runs: Some(Run { idle: false, end }), work };
    }

    /// A thread that runs goes on in the idle class.
    pub fn set_back(&mut self, thread: usize, now: Nanos) {
        self.pass(now);
        let Some(Run { idle: false, end }) = self.threads[thread].runs else { return };
        self.normal.runnable -= 1;
        let end = self.idle.enter(thread, end.saturating_sub(self.normal.clock));
        self.threads[thread].runs = Some(Run { idle: true, end });
        self.tidy();
    }

    /// What a thread has had of a processor for what it does.
    pub fn had(&mut self, thread: usize, now: Nanos) -> Nanos {
        self.pass(now);
        let Thread { runs, work } = self.threads[thread];
        let left = runs.map_or(0, |run| run.end.saturating_sub(self.class(run.idle).clock));
        (work - left) >> PARTS
    }

    /// When the next thread ends what it does, if nothing changes.
    #[must_use]
    pub fn due(&self) -> Option<Nanos> {
        let (normal, idle) = self.speeds();
        let due = [self.normal.next(normal), self.idle.next(idle)].into_iter().flatten().min();
        due.map(|due| self.now + due)
    }

    /// A thread that has ended what it did by now; ask until there is none.
    pub fn ended(&mut self, now: Nanos) -> Option<usize> {
        self.pass(now);
        let idle = self.idle.is_over();
        if !idle && !self.normal.is_over() {
            return None;
        }
        let class = if idle { &mut self.idle } else { &mut self.normal };
        let Reverse((_, thread)) = class.ends.pop()?;
        class.runnable -= 1;
        self.threads[thread].runs = None;
        self.tidy();
        Some(thread)
    }

    fn pass(&mut self, now: Nanos) {
        let time = now - self.now;
        if time > 0 {
            let (normal, idle) = self.speeds();
            self.normal.pass(time, normal);
            self.idle.pass(time, idle);
            self.now = now;
        }
    }

    fn speeds(&self) -> (Speed, Speed) {
        let taken = self.normal.runnable.min(self.count);
        let left = (self.count - taken).min(self.idle.runnable);
        ((taken, self.normal.runnable), (left, self.idle.runnable))
    }

    fn class(&self, idle: bool) -> &Class {
        if idle { &self.idle } else { &self.normal }
    }

    /// Sees that the first end of each class holds.
    fn tidy(&mut self) {
        for (class, is_idle) in [(&mut self.normal, false), (&mut self.idle, true)] {
            let holds = |end: Work, thread: usize| {
                self.threads[thread].runs.is_some_and(|run| run.idle == is_idle && run.end == end)
            };
            while class.ends.peek().is_some_and(|Reverse((end, thread))| !holds(*end, *thread)) {
                class.ends.pop();
            }
        }
    }
}

impl Class {
    fn enter(&mut self, thread: usize, work: Work) -> Work {
        let end = self.clock + work;
        self.ends.push(Reverse((end, thread)));
        self.runnable += 1;
        end
    }

    fn pass(&mut self, time: Nanos, (part, of): Speed) {
        if part == of {
            self.clock += if of == 0 { 0 } else { time << PARTS };
        } else {
            self.clock += ((u128::from(time) << PARTS) * u128::from(part) / u128::from(of)) as Work;
        }
    }

    /// How long until the next end.
    fn next(&self, (part, of): Speed) -> Option<Nanos> {
        let Reverse((end, _)) = self.ends.peek().filter(|_| part > 0)?;
        let left = end.saturating_sub(self.clock);
        if part == of {
            return Some(left.div_ceil(1 << PARTS));
        }
        Some((u128::from(left) * u128::from(of)).div_ceil(u128::from(part) << PARTS) as Nanos)
    }

    fn is_over(&self) -> bool {
        self.ends.peek().is_some_and(|Reverse((end, _))| *end <= self.clock)
    }
}
