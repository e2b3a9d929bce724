//! Rule 6: idle costs nothing. No thread wakes up while nothing happens.

use std::time::Duration;

use prime_server::prelude::*;
use support::{Client, Gate, first, start};

/// How often the threads of this process have gone to sleep, and for how many ticks they have run, all but the calling one.
fn activity() -> (u64, u64) {
    let own = std::fs::read_link("/proc/thread-self").unwrap();
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let activities = threads.filter_map(|thread| {
        let path = thread.ok()?.path();
        if path.file_name() == own.file_name() {
            return None;
        }
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        let sleeps: u64 = line.trim().parse().ok()?;
        // After the name in parentheses utime and stime are the 12th and 13th field.
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(2);
        Some((sleeps, fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>()))
    });
    activities.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[test]
fn no_thread_wakes_up_while_nothing_happens() {
    let pipeline = Pipeline::new("idle")
        .core_budget(4)
        .health("/healthz")
        .stage_from(first(|_: Request, _: &Context| "ok"))
        .workers(2..=4)
        .timeout(Duration::from_secs(600))
        .build()
        .unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 200);
    // Another whose stage timeout has fired.
    let until_cancelled = |_: Request, cx: &Context| -> Result<&'static str, Cancelled> {
        loop {
            cx.check()?;
            std::thread::yield_now();
        }
    };
    let late = Pipeline::new("late").stage_from(first(until_cancelled)).workers(1).timeout(Duration::from_millis(50));
    let (_late, address) = start(&late.build().unwrap());
    assert_eq!(support::get(address, "/").status, 504);
    // Another whose number of workers has changed.
    let gate = Gate::new();
    let pass = gate.clone();
    let held = move |_: Request, _: &Context| {
        pass.pass();
        "done"
    };
    let sized = Pipeline::new("sized").stage_from(first(held)).workers(1..=2).demote(false).build().unwrap();
    let (_sized, address) = start(&sized);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/"));
    gate.wait_for(2);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
    // What the answer set in motion may still come to rest: the quiet second must come, not be the first.
    let quiet = (0..20).any(|_| {
        let before = activity();
        std::thread::sleep(Duration::from_secs(1));
        activity() == before
    });
    assert!(quiet, "some thread wakes up every second, or never sleeps");
    assert_eq!(client.get("/").status, 200);
}
