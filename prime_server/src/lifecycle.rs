//! Signals: the first asks the pipeline to drain, the second ends the process.

use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::StartError;

/// Catches SIGTERM and SIGINT until it is dropped.
#[derive(Debug)]
pub(crate) struct Caught {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Calls `drain` at the first signal. At the second the process exits with 128 plus the signal's number, as a shell says it.
pub(crate) fn on_signal(drain: impl FnOnce() + Send + 'static) -> Result<Caught, StartError> {
    let system = |source: std::io::Error| StartError::System { doing: "catch signals", source: source.into() };
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(system)?;
    let handle = signals.handle();
    let watch = move || {
        let mut coming = signals.forever();
        if let Some(signal) = coming.next() {
            tracing::info!(signal, "draining; a second signal ends the process at once");
            drain();
        }
        if let Some(signal) = coming.next() {
            std::process::exit(128 + signal);
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(system)?;
    Ok(Caught { handle, thread: Some(thread) })
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
