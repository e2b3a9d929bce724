//! Stages with state: `impl` blocks.

use std::num::ParseIntError;

use prime_server::prelude::*;

use crate::messages::{Batch, Candidate};

/// `new`, `run` and `reset`, and methods of its own.
#[derive(Debug)]
pub struct Sieve {
    composite: Vec<bool>,
}

#[stage(workers = 2)]
impl Sieve {
    /// How far it goes.
    pub const LIMIT: usize = 1000;

    /// Made once for each worker.
    pub fn new() -> Self {
        Self { composite: Vec::new() }
    }

    /// Does one job.
    pub fn run(&mut self, Candidate(n): Candidate, cx: &Context) -> Result<Json<bool>, Cancelled> {
        cx.check()?;
        self.composite.resize(Self::LIMIT, false);
        for n in 2..Self::LIMIT {
            if !self.composite[n] {
                (n * n..Self::LIMIT).step_by(n).for_each(|multiple| self.composite[multiple] = true);
            }
        }
        Ok(Json(usize::try_from(n).is_ok_and(|n| n > 1 && !self.composite[n])))
    }

    /// Called after each job.
    pub fn reset(&mut self) {
        self.composite.clear();
    }

    /// Whether the last job has been cleared away.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.composite.is_empty()
    }
}

/// `new` may fail.
#[derive(Clone, Copy, Debug)]
pub struct Parsed(u64);

#[stage(name = "parsed")]
impl Parsed {
    fn new() -> Result<Self, ParseIntError> {
        "7".parse().map(Self)
    }

    fn run(&self, _: Request) -> Candidate {
        Candidate(self.0)
    }
}

/// `new` always fails.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

#[stage]
impl Broken {
    fn new() -> Result<Self, ParseIntError> {
        "seven".parse::<u64>().map(|_| Self)
    }

    #[allow(clippy::needless_arbitrary_self_type, reason = "a way to write it all the same")]
    fn run(self: &mut Self, _: Request) -> StatusCode {
        StatusCode::OK
    }
}

/// `Default` instead of `new`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    jobs: u64,
}

#[stage]
impl Counter {
    fn run(&mut self, _: Request) -> Json<u64> {
        self.jobs += 1;
        Json(self.jobs)
    }

    #[cfg(any())]
    fn reset(&mut self) {
        no_such_function();
    }
}

/// `new` takes arguments: for `stage_from`.
#[derive(Clone, Debug)]
pub struct Greeter {
    greeting: String,
}

#[stage]
impl Greeter {
    /// Greets so.
    #[must_use]
    pub fn new(greeting: &str) -> Self {
        Self { greeting: greeting.to_owned() }
    }

    fn run(&mut self, request: Request) -> String {
        format!("{} {}", self.greeting, request.head().path())
    }
}

/// Generic, by the block's own bounds.
#[derive(Clone, Debug)]
pub struct Gather<T, const N: usize> {
    jobs: Vec<T>,
}

#[stage(name = "gather")]
impl<T, const N: usize> Gather<T, N>
where
    T: Message + Clone + Schema + serde::Serialize + serde::de::DeserializeOwned,
{
    fn new() -> Self {
        Self { jobs: Vec::with_capacity(N) }
    }

    fn run(&mut self, job: T) -> Batch<T> {
        self.jobs.push(job);
        Batch { jobs: self.jobs.clone() }
    }
}

/// Which `run` there is, the configuration says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen;

#[stage]
impl Chosen {
    #[cfg(any())]
    fn run(&mut self, _: NoSuchType) -> NoSuchType {}

    #[cfg(not(any()))]
    fn run(&mut self, _: Request) -> &'static str {
        "chosen"
    }
}
