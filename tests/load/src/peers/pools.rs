//! Where an axum handler does its work: in place, on tokio's blocking threads, or on a rayon pool.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use crate::work::Job;

/// Runs a job and gives its answer's body. Every job goes through the pool, the fixed answer too.
pub(crate) trait Pool: Clone + Send + Sync + 'static {
    /// Runs `job` where this pool runs jobs.
    fn run(&self, job: Job) -> impl Future<Output = &'static str> + Send;
}

/// In place, on the thread that serves the connection.
#[derive(Clone)]
pub(crate) struct Inline;

impl Pool for Inline {
    async fn run(&self, job: Job) -> &'static str {
        job.run()
    }
}

/// On tokio's blocking threads.
#[derive(Clone)]
pub(crate) struct Blocking {
    permits: Option<Arc<Semaphore>>,
}

impl Blocking {
    /// At most `workers` jobs at a time.
    pub(crate) fn limited(workers: usize) -> Self {
        Self { permits: Some(Arc::new(Semaphore::new(workers))) }
    }

    /// As many jobs at a time as tokio allows.
    pub(crate) fn unlimited() -> Self {
        Self { permits: None }
    }
}

impl Pool for Blocking {
    async fn run(&self, job: Job) -> &'static str {
        let _permit = match &self.permits {
            Some(permits) => Some(permits.acquire().await.expect("the semaphore is never closed")),
            None => None,
        };
        spawn_blocking(move || job.run()).await.expect("a job does not panic")
    }
}

/// On a rayon pool of its own.
#[derive(Clone)]
pub(crate) struct Rayon {
    pool: Arc<rayon::ThreadPool>,
}

impl Rayon {
    /// A pool of `workers` threads.
    pub(crate) fn new(workers: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build()?;
        Ok(Self { pool: Arc::new(pool) })
    }
}

impl Pool for Rayon {
    async fn run(&self, job: Job) -> &'static str {
        let (answer, answered) = oneshot::channel();
        self.pool.spawn(move || {
            // The receiver is gone where the client is; then nobody wants the answer.
            let _ = answer.send(job.run());
        });
        answered.await.expect("a job does not panic")
    }
}
