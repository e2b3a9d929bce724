//! Rule 7: memory is flat. What many requests leave behind is no more than what a few did.

use std::alloc::System;

use cap::Cap;
use prime_server::prelude::*;
use support::{Client, Text, eventually, first, second, start};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn requests_leave_nothing_behind() {
    let forward = |request: Request, _: &Context| Text(request.head().path().to_owned());
    let last = |text: Text, _: &Context| text.0;
    let pipeline = Pipeline::new("memory")
        .stage_from(first(forward))
        .workers(2)
        .stage_from(second(last))
        .workers(2)
        .timeout(std::time::Duration::from_secs(600))
        .build()
        .unwrap();
    let (running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    let batch = "GET /some/path?with=query HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n".repeat(32);
    let mut ask = |requests: usize| {
        for _ in 0..requests / 32 {
            client.send(&batch);
            for _ in 0..32 {
                assert_eq!(client.read().status, 200);
            }
        }
        eventually("all workers are idle", || running.stages().iter().all(|stage| stage.running == 0));
        ALLOCATOR.allocated()
    };
    let few = ask(3_200);
    let many = ask(32_000);
    // Each request that left 8 bytes would show as 256 KB.
    assert!(many < few + (64 << 10), "{few} bytes after 3,200 requests, {many} after 32,000 more");
}
