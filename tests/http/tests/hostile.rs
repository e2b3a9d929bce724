//! Clients that mean no good, over real sockets, with a control client that is served all the while.

use std::fs;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Limits, Running};
use support::{Client, eventually, first, start};

fn served(set: impl FnOnce(&mut Limits)) -> (Running, SocketAddr) {
    let mut limits = Limits::default();
    set(&mut limits);
    let stage = |request: Request, _: &Context| request.body().clone();
    start(
        &Pipeline::new("hostile")
            .metrics("/metrics")
            .limits(limits)
            .stage_from(first(stage))
            .workers(2)
            .build()
            .unwrap(),
    )
}

/// Whether the server still answers, and one connection is all it has.
fn is_alone(control: &mut Client) -> bool {
    control.get("/metrics").metric("prime_connections", &[]) == Some(1.0)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A cheap pseudo-random sequence (xorshift), the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.next() % most).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn slow_heads_are_answered_408_and_closed_while_others_are_served() {
    let (_running, address) = served(|limits| limits.head_time = Duration::from_millis(300));
    let mut control = Client::connect(address);
    let mut slow: Vec<_> = (0..200)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send("GET / HTTP/1.1\r\nHost: t");
            client
        })
        .collect();
    assert_eq!(control.post("/", "", "fine").text(), "fine");
    for client in &mut slow {
        let answer = client.read();
        assert!(answer.status == 408 && answer.closes(), "{answer:?}");
        assert!(client.is_closed());
    }
    eventually("all are gone", || is_alone(&mut control));
}

#[test]
fn silent_clients_are_closed_without_a_word() {
    let (_running, address) = served(|limits| limits.idle_time = Duration::from_millis(300));
    let mut silent: Vec<_> = (0..50).map(|_| Client::connect(address)).collect();
    for client in &mut silent {
        assert!(client.is_closed(), "without a word");
    }
    let mut used = Client::connect(address);
    assert_eq!(used.post("/", "", "once").text(), "once");
    assert!(used.is_closed());
}

#[test]
fn whatever_comes_and_however_it_ends_nothing_is_left_behind() {
    let (_running, address) = served(|_| ());
    let mut control = Client::connect(address);
    assert!(is_alone(&mut control));
    let before = descriptors();
    let mut random = Random(7);
    let request = b"POST /a?b HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nX-Header: value\r\n\r\nbody";
    for round in 0..500 {
        let mut client = Client::connect(address);
        let mut bytes = request.to_vec();
        match round % 5 {
            0 => bytes = random.bytes(300),
            1 => {
                for _ in 0..=random.next() % 3 {
                    let at = random.next() as usize % bytes.len();
                    bytes[at] = random.next() as u8;
                }
            }
            2 => bytes.truncate(random.next() as usize % bytes.len()),
            3 => bytes.clear(),
            _ => {}
        }
        client.try_send(&bytes);
        match random.next() % 4 {
            0 => drop(rustix::net::sockopt::set_socket_linger(client.socket(), Some(Duration::ZERO))),
            1 => drop(client.socket().shutdown(Shutdown::Write)),
            2 => drop(client.socket().shutdown(Shutdown::Both)),
            _ => {}
        }
        if round % 50 == 0 {
            assert_eq!(control.post("/", "", "fine").text(), "fine");
        }
    }
    eventually("all are gone", || is_alone(&mut control) && descriptors() <= before);
}
