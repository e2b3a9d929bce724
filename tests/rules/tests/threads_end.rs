//! A demoted worker that may not return ends with its job, and others are made. No other test is here: it counts the process's threads.

use prime_server::Pipeline;
use support::{Client, Gate, eventually, first, get, start, with_and_without_rights};

/// The threads of this process whose name begins so.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|comm| comm.starts_with(name)).count()
}

#[test]
fn workers_that_could_not_return_are_replaced_and_all_threads_end_with_the_pipeline() {
    with_and_without_rights(|| {
        let gate = Gate::new();
        let pipeline = Pipeline::new("p").stage_from(first(gate.stage())).workers(1).demote(true).max_instances(40);
        let (running, address) = start(&pipeline.build().unwrap());
        let mut long: Vec<_> = (0..40).map(|_| Client::connect(address)).collect();
        long.iter_mut().for_each(|client| client.send_get("/"));
        gate.wait_for(40);
        gate.open();
        long.iter_mut().for_each(|client| assert_eq!(client.read().text(), "done"));
        for _ in 0..100 {
            assert_eq!(get(address, "/").text(), "done");
        }
        assert!(threads("first-") <= 40);
        drop(running);
        eventually("all threads have ended", || threads("first-") + threads("supervisor") == 0);
    });
}
