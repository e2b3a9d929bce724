//! What the tests over real sockets share: a client that sees every byte, stages made of closures, and gates that hold a stage
//! until the test lets it go on.

mod client;
mod gate;
mod stages;

pub use client::{Answer, Client, get};
pub use gate::Gate;
pub use stages::{First, Second, Text, first, second};

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prime_server::{Built, Running};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// How long a test waits for what must happen before it fails. Generous, since only a failure ever takes this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a pipeline on a free port of this machine.
///
/// # Panics
/// If it does not start.
#[must_use]
pub fn start(pipeline: &Built) -> (Running, SocketAddr) {
    let running = pipeline.start("tcp://127.0.0.1:0").expect("the pipeline starts");
    let address = running.address().expect("it listens on an address");
    (running, address)
}

/// Looks again and again until something has happened.
///
/// # Panics
/// If it never does.
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::yield_now();
    }
}

/// This process's resident memory, in bytes.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("the second number");
    pages * rustix::param::page_size()
}

/// Runs a test with the rights that there are, and as a user without that to change how threads are scheduled. What a thread starts has its rights.
#[allow(clippy::missing_panics_doc, reason = "it panics as the test does")]
pub fn with_and_without_rights(test: impl Fn() + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for without in [false, true] {
            let run = move || {
                if without {
                    let mut rights = capabilities(None).unwrap();
                    rights.effective.remove(CapabilitySet::SYS_NICE);
                    rights.permitted.remove(CapabilitySet::SYS_NICE);
                    set_capabilities(None, rights).unwrap();
                }
                test();
            };
            if let Err(panic) = scope.spawn(run).join() {
                eprintln!("with fewer rights: {without}");
                std::panic::resume_unwind(panic);
            }
        }
    });
}
