//! What others can see of a proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntCounter;

use crate::metrics::StageMetrics;
use crate::transport::Standing;

/// Its counts and gauges.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) counts: Arc<StageMetrics>,
    pub(crate) load: Arc<Load>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) malformed: IntCounter,
}

/// How many jobs wait, and how many run.
#[derive(Debug, Default)]
pub(crate) struct Load {
    waiting: AtomicUsize,
    running: AtomicUsize,
}

impl Load {
    /// As of that stage.
    pub(crate) fn of(&self, stage: &str) -> (String, usize, usize) {
        let [waiting, running] = [&self.waiting, &self.running].map(|count| count.load(Ordering::Relaxed));
        (stage.to_owned(), waiting, running)
    }
}

impl Load {
    /// So many wait and run now.
    pub(super) fn set(&self, waiting: usize, running: usize) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.running.store(running, Ordering::Relaxed);
    }
}
