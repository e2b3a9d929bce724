//! Stages that take several jobs at a time.

use std::collections::HashMap;

use prime_server::prelude::*;

use crate::messages::Candidate;

/// A function; it stays one. The names are the macro's own.
#[stage(batch = 32, batch_wait_us = 500)]
pub fn squares(mut job: Batch<Candidate, Result<Candidate, StatusCode>>) {
    job.sort_by_key(|job| job.input.0);
    for job in job {
        job.reply.send(job.input.0.checked_mul(job.input.0).map(Candidate).ok_or(StatusCode::RANGE_NOT_SATISFIABLE));
    }
}

/// `new`, `run` and `reset`.
#[derive(Debug)]
pub struct Names {
    names: HashMap<u64, &'static str>,
    batches: usize,
}

#[stage(batch = 8, workers = 2)]
impl Names {
    fn new() -> Self {
        Self { names: [(49, "forty-nine")].into_iter().collect(), batches: 0 }
    }

    fn run(&mut self, jobs: Batch<Candidate, &'static str>) {
        for job in jobs {
            job.reply.send(self.names.get(&job.input.0).copied().unwrap_or("none"));
        }
    }

    fn reset(&mut self) {
        self.batches += 1;
    }
}

impl Names {
    /// How often `reset` was called.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.batches
    }
}

/// A generic one, by hand.
#[derive(Debug, Stage)]
#[stage(name = "fixed", batch = 4)]
pub struct FixedForAll<T>(pub T);

impl<T: IntoResponse + Clone + 'static> BatchStage for FixedForAll<T> {
    type In = Request;
    type Out = T;

    fn run_batch(&mut self, jobs: Batch<Request, T>) {
        jobs.into_iter().for_each(|job| job.reply.send(self.0.clone()));
    }
}
