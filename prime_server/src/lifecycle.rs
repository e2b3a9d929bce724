//! Signals: the first asks the pipeline to drain, the second ends the process.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::StartError;
use crate::loopback::{Loopback, Note};

/// Catches SIGTERM and SIGINT until it is dropped.
#[derive(Debug)]
pub(crate) struct Caught {
    /// The pipeline to drain, once it has started.
    pipeline: Arc<OnceLock<Loopback>>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Caught {
    /// From here on the first signal drains the pipeline. The second, or the first while there is none, ends the process with
    /// status 128 plus the signal's number, as a shell says it.
    pub(crate) fn new() -> Result<Self, StartError> {
        let system = |source: std::io::Error| StartError::System { doing: "catch signals", source: source.into() };
        let signals = Signals::new([SIGTERM, SIGINT]).map_err(system)?;
        let handle = signals.handle();
        let pipeline = Arc::new(OnceLock::new());
        let drained = Arc::clone(&pipeline);
        let watch = move || watch(signals, &drained);
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(system)?;
        Ok(Self { pipeline, handle, thread: Some(thread) })
    }

    /// The pipeline has started.
    pub(crate) fn drains(&self, pipeline: Loopback) {
        let _ = self.pipeline.set(pipeline);
    }
}

fn watch(mut signals: Signals, pipeline: &OnceLock<Loopback>) {
    let mut coming = signals.forever();
    let Some(first) = coming.next() else { return };
    let Some(pipeline) = pipeline.get() else { std::process::exit(128 + first) };
    tracing::info!(signal = first, "draining; a second signal ends the process at once");
    pipeline.send(Note::Drain);
    if let Some(second) = coming.next() {
        std::process::exit(128 + second);
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // It ends with the handle, and cannot have panicked.
            let _ = thread.join();
        }
    }
}
