//! What a client makes the server hold that does not read its answers. Alone in its process, since it reads how large that is.

use prime_server::prelude::*;
use support::{Client, eventually, first, resident, start};

#[test]
fn unread_answers_take_no_more_than_their_limits() {
    static BODY: [u8; 64 << 10] = [b'x'; 64 << 10];
    let stage = |_: Request, _: &Context| BODY.as_slice();
    let (running, address) = start(&Pipeline::new("unread").stage_from(first(stage)).workers(2).build().unwrap());
    let jobs = || running.stages()[0].jobs;
    let mut control = Client::connect(address);
    (0..100).for_each(|_| assert_eq!(control.get("/").body.len(), 64 << 10));
    let before = resident();
    let mut deaf = Client::connect(address);
    deaf.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2_000));
    eventually("nothing more is accepted", || {
        let before = jobs();
        assert_eq!(control.get("/").status, 200);
        before > 101 && jobs() == before + 1
    });
    let growth = resident().saturating_sub(before);
    assert!(growth <= 4 << 20, "{growth} bytes for one client that does not read");
    assert!(jobs() < 1_000, "most were not accepted");
}
