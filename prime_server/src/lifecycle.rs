//! Signals: the first asks the pipeline to drain, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::StartError;
use crate::panics::log;

const SIGNALS: [i32; 2] = [SIGTERM, SIGINT];

type Drain = Box<dyn Fn() + Send + Sync>;

/// Catches SIGTERM and SIGINT until it is dropped; then they do what they do by default.
pub(crate) struct Caught {
    /// What drains the pipeline, once it has started.
    drain: Arc<OnceLock<Drain>>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    _catching: Catching,
}

impl Caught {
    /// From here on the first signal drains the pipeline. The second, or the first while there is none, ends the process with
    /// status 128 plus the signal's number, as a shell says it.
    pub(crate) fn new() -> Result<Self, StartError> {
        let system = |source: std::io::Error| StartError::System { doing: "catch signals", source: source.into() };
        let catching = Catching::begin().map_err(system)?;
        let signals = Signals::new(SIGNALS).map_err(system)?;
        let handle = signals.handle();
        let drain = Arc::new(OnceLock::new());
        let drains = Arc::clone(&drain);
        let watch = move || watch(signals, &drains);
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(system)?;
        Ok(Self { drain, handle, thread: Some(thread), _catching: catching })
    }

    /// The pipeline has started, and is drained in that way.
    pub(crate) fn drains(&self, drain: impl Fn() + Send + Sync + 'static) {
        let _ = self.drain.set(Box::new(drain));
    }
}

fn watch(mut signals: Signals, drain: &OnceLock<Drain>) {
    let mut coming = signals.forever();
    let Some(first) = coming.next() else { return };
    let Some(drain) = drain.get() else { exit(first) };
    drain();
    let signal = signal_hook::low_level::signal_name(first);
    log(|| tracing::info!(signal, "draining; a second signal ends the process at once"));
    if let Some(second) = coming.next() {
        exit(second);
    }
}

/// Ends the process without its exit handlers: they would meet threads that still work.
fn exit(signal: i32) -> ! {
    signal_hook::low_level::exit(128 + signal)
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

/// One of this process that catches signals. A handler once installed cannot be taken out again, so that with the end of the
/// last of them it must do what would have happened without it.
#[derive(Debug)]
struct Catching;

#[derive(Debug)]
struct Catchers {
    count: usize,
    /// There is none. `None` before the first has installed the handlers.
    nobody: Option<Arc<AtomicBool>>,
}

fn catchers() -> MutexGuard<'static, Catchers> {
    static CATCHERS: Mutex<Catchers> = Mutex::new(Catchers { count: 0, nobody: None });
    CATCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Catching {
    fn begin() -> std::io::Result<Self> {
        let mut catchers = catchers();
        if catchers.nobody.is_none() {
            let nobody = Arc::new(AtomicBool::new(false));
            for signal in SIGNALS {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(&nobody))?;
            }
            catchers.nobody = Some(nobody);
        }
        catchers.change(1);
        Ok(Self)
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        catchers().change(-1);
    }
}

impl Catchers {
    fn change(&mut self, by: isize) {
        self.count = self.count.saturating_add_signed(by);
        if let Some(nobody) = &self.nobody {
            nobody.store(self.count == 0, Ordering::SeqCst);
        }
    }
}
