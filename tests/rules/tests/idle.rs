//! Rule 6: idle costs nothing. No thread wakes up while nothing happens.

use std::time::Duration;

use prime_server::prelude::*;
use support::{Client, first, start};

/// How often the threads of this process have gone to sleep, all but the calling one.
fn sleeps() -> u64 {
    let own = std::fs::read_link("/proc/thread-self").unwrap();
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let sleeps = threads.filter_map(|thread| {
        let path = thread.ok()?.path();
        if path.file_name() == own.file_name() {
            return None;
        }
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    });
    sleeps.sum()
}

#[test]
fn no_thread_wakes_up_while_nothing_happens() {
    let pipeline = Pipeline::new("idle")
        .health("/healthz")
        .stage_from(first(|_: Request, _: &Context| "ok"))
        .workers(2)
        .timeout(Duration::from_secs(600))
        .build()
        .unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 200);
    // What the answer set in motion may still come to rest: the quiet second must come, not be the first.
    let quiet = (0..20).any(|_| {
        let before = sleeps();
        std::thread::sleep(Duration::from_secs(1));
        sleeps() == before
    });
    assert!(quiet, "some thread wakes up every second");
    assert_eq!(client.get("/").status, 200);
}
