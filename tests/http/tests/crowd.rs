//! What a crowd of connections leaves behind. Alone in its process, since it reads how large that is.

use prime_server::prelude::*;
use support::{Client, eventually, first, resident, start};

#[test]
fn the_memory_of_a_crowd_is_given_back() {
    let stage = |request: Request, _: &Context| request.body().clone();
    let (_running, address) = start(&Pipeline::new("crowd").stage_from(first(stage)).workers(2).build().unwrap());
    let mut control = Client::connect(address);
    (0..100).for_each(|_| assert_eq!(control.post("/", "", "fine").text(), "fine"));
    let before = resident();
    let mut crowd: Vec<_> = (0..400).map(|_| Client::connect(address)).collect();
    for client in &mut crowd {
        assert_eq!(client.post("/", "", "fine").text(), "fine");
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf");
    }
    let peak = resident() - before;
    assert!(peak > 8 << 20, "{peak} bytes: ZeroMQ takes less than it did, and this test shows nothing");
    drop(crowd);
    eventually("the memory is given back", || resident() < before + peak / 4);
    assert_eq!(control.post("/", "", "fine").text(), "fine");
}
