//! Rule 7: memory is flat. What many requests leave behind is no more than what a few did.

use std::sync::{Arc, Barrier};

use std::alloc::System;

use cap::Cap;
use prime_server::prelude::*;
use support::{Client, Text, eventually, first, second, start};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn requests_leave_nothing_behind() {
    let forward = |request: Request, _: &Context| Text(request.head().path().to_owned());
    let barrier = Arc::new(Barrier::new(2));
    let held = Arc::clone(&barrier);
    let last = move |text: Text, _: &Context| {
        if text.0 == "/held" {
            held.wait();
        }
        text.0
    };
    let pipeline = Pipeline::new("memory")
        .metrics("/metrics")
        .stage_from(first(forward))
        .workers(2)
        .stage_from(second(last))
        .workers(2)
        .timeout(std::time::Duration::from_secs(600))
        .build()
        .unwrap();
    let (running, address) = start(&pipeline);
    // One request is there all the time, so that its deadlines stay before those of the others.
    let mut first_of_all = Client::connect(address);
    first_of_all.send_get("/held");
    eventually("it is held", || running.stages()[1].running == 1 && running.stages()[0].running == 0);
    let mut client = Client::connect(address);
    let batch = "GET /some/path?with=query HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n".repeat(32);
    let mut ask = |requests: usize| {
        for _ in 0..requests / 32 {
            client.send(&batch);
            for _ in 0..32 {
                assert_eq!(client.read().status, 200);
            }
        }
        eventually("the others are idle", || running.stages().iter().map(|stage| stage.running).sum::<usize>() == 1);
        ALLOCATOR.allocated()
    };
    let few = ask(3_200);
    let many = ask(32_000);
    // Each request that left 8 bytes would show as 256 KB.
    assert!(many < few + (64 << 10), "{few} bytes after 3,200 requests, {many} after 32,000 more");
    let connect = |connections: usize| {
        (0..connections).for_each(|_| assert_eq!(support::get(address, "/").status, 200));
        let mut metrics = Client::connect(address);
        eventually("they are gone", || metrics.get("/metrics").metric("prime_connections", &[]) == Some(3.0));
        ALLOCATOR.allocated()
    };
    let few = connect(50);
    let many = connect(4_000);
    assert!(many < few + (64 << 10), "{few} bytes after 50 connections, {many} after 4,000 more");
    barrier.wait();
    assert_eq!(first_of_all.read().status, 200);
}
