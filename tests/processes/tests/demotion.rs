//! A worker process whose job runs for long tells its proxy that there is room for another.

use prime_server::prelude::*;
use prime_server::{Role, WorkerRole};
use processes::{Parts, start};
use support::{Client, Gate, Text, eventually, first, get, second, with_and_without_rights};

fn send(parts: &Parts, target: &str) -> Client {
    let mut client = Client::connect(parts.address);
    client.send_get(target);
    client
}

/// What waits at the gate if its path says so.
fn held(gate: &Gate) -> impl Fn(Request, &Context) -> Text + Clone + use<> {
    let gate = gate.clone();
    move |request, _| {
        let path = request.head().path().to_owned();
        if path == "/long" {
            gate.pass();
        }
        Text(path)
    }
}

#[test]
fn short_jobs_do_not_wait_for_long_ones() {
    with_and_without_rights(|| {
        let gate = Gate::new();
        let pipeline = Pipeline::new("p").stage_from(first(held(&gate))).demote(true).max_instances(8);
        let pipeline = pipeline.stage_from(second(|Text(text), _: &Context| text)).build().unwrap();
        let parts = start(&pipeline, &[("first", 1), ("second", 1)]);
        let mut long: Vec<_> = (0..4).map(|_| send(&parts, "/long")).collect();
        assert_eq!(get(parts.address, "/short").text(), "/short");
        gate.wait_for(4);
        for _ in 0..20 {
            assert_eq!(get(parts.address, "/short").text(), "/short");
        }
        gate.open();
        for client in &mut long {
            assert_eq!(client.read().text(), "/long");
            assert_eq!(client.get("/again").text(), "/again");
        }
    });
}

#[test]
fn a_worker_with_room_takes_no_more_than_it_has_instances_for() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("p").stage_from(first(held(&gate))).workers(1).demote(true).max_instances(2);
    let pipeline = pipeline.stage_from(second(|Text(text), _: &Context| text)).build().unwrap();
    let parts = start(&pipeline, &[("first", 1), ("second", 1)]);
    let mut long: Vec<_> = (0..3).map(|_| send(&parts, "/long")).collect();
    gate.wait_for(2);
    // The third one waits at the proxy, from where another worker takes it.
    let more = parts.links.clone();
    let more = pipeline.start_as(Role::Worker(WorkerRole::new("first", more).threads(1))).unwrap();
    gate.wait_for(3);
    eventually("a short one is answered", || get(parts.address, "/short").text() == "/short");
    gate.open();
    long.iter_mut().for_each(|client| assert_eq!(client.read().text(), "/long"));
    drop(more);
}
