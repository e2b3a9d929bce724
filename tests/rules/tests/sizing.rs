//! A stage has as many workers as it needs, of those that it may have.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use prime_server::Built;
use prime_server::prelude::*;
use support::{Client, Gate, eventually, first, get, start};

/// A stage that holds what is asked for, and lets go of what `/` asks for.
fn held(gate: &Gate) -> impl Fn(Request, &Context) -> &'static str + Clone + Send + Sync + use<> {
    let pass = gate.clone();
    move |request: Request, _: &Context| {
        if request.head().path() != "/" {
            pass.pass();
        }
        "done"
    }
}

#[derive(Clone)]
struct Held(Gate);

impl Run for Held {
    type In = Request;
    type Out = &'static str;
    fn run(&mut self, _: Request, _: &Context) -> &'static str {
        self.0.pass();
        "done"
    }
}

impl Stage for Held {
    const NAME: &'static str = "other";
}

fn workers(address: std::net::SocketAddr, stage: &str) -> Option<f64> {
    get(address, "/metrics").metric("prime_stage_workers", &[&format!("stage=\"{stage}\"")])
}

#[test]
fn a_stage_that_is_behind_has_more_workers_and_no_more_than_it_may() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("p").metrics("/metrics").core_budget(64).stage_from(first(held(&gate)));
    let pipeline = pipeline.workers(1..=3).demote(false).build().unwrap();
    assert!(pipeline.describe().contains("1 to 3 workers"), "{}", pipeline.describe());
    let (running, address) = start(&pipeline);
    assert_eq!(workers(address, "first"), Some(1.0));
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/held"));
    gate.wait_for(3);
    eventually("it says so", || workers(address, "first") == Some(3.0));
    assert_eq!((running.stages()[0].running, running.stages()[0].waiting), (3, 2));
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
}

#[test]
fn the_budget_is_of_all_ranges_and_whoever_has_too_many_gives_some() {
    let (one, other) = (Gate::new(), Gate::new());
    let to_other = other.clone();
    let pipeline = Pipeline::new("p").metrics("/metrics").core_budget(4);
    let pipeline = pipeline.route(Method::GET, "/one").route_to::<Held>(Method::GET, "/other");
    let pipeline = pipeline.stage_from(first(held(&one))).workers(1..=8).demote(false);
    let pipeline = pipeline.node_from(move || Held(to_other.clone())).workers(1..=8).demote(false);
    let (_running, address) = start(&pipeline.build().unwrap());
    let ask = |path: &str, number| -> Vec<Client> {
        let clients = (0..number).map(|_| {
            let mut client = Client::connect(address);
            client.send_get(path);
            client
        });
        clients.collect()
    };
    let mut ones = ask("/one", 6);
    one.wait_for(3);
    eventually("three of four", || workers(address, "first") == Some(3.0));
    one.open();
    ones.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
    let mut others = ask("/other", 6);
    other.wait_for(3);
    eventually("they were given", || (workers(address, "first"), workers(address, "other")) == (Some(1.0), Some(3.0)));
    other.open();
    others.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
}

#[test]
fn a_stage_may_grow_beside_one_whose_number_is_fixed() {
    let gate = Gate::new();
    let to_other = gate.clone();
    let pipeline = Pipeline::new("p").core_budget(3).route(Method::GET, "/one").route_to::<Held>(Method::GET, "/other");
    let pipeline = pipeline.stage_from(first(held(&Gate::new()))).workers(8);
    let pipeline = pipeline.node_from(move || Held(to_other.clone())).workers(1..=8).demote(false).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut clients: Vec<_> = (0..6).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/other"));
    gate.wait_for(3);
    assert_eq!((running.stages()[1].running, running.stages()[1].waiting), (3, 3));
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
}

#[test]
fn a_constructor_is_called_for_each_worker_that_is_new() {
    let (gate, made) = (Gate::new(), Arc::new(Mutex::new(0)));
    let (count, pass) = (Arc::clone(&made), gate.clone());
    let stage = move || {
        *count.lock().unwrap() += 1;
        let pass = pass.clone();
        first(move |_: Request, _: &Context| {
            pass.pass();
            "done"
        })()
    };
    let pipeline = Pipeline::new("p").core_budget(8).stage_from(stage).workers(1..=2).demote(false);
    let (_running, address) = start(&pipeline.build().unwrap());
    assert_eq!(*made.lock().unwrap(), 1);
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/"));
    gate.wait_for(2);
    assert_eq!(*made.lock().unwrap(), 2);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
}

#[test]
fn what_cannot_be_is_refused() {
    let pipeline = || Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "done"));
    let said = |built: Result<Built, StartError>| built.map(drop).unwrap_err().to_string();
    let empty = RangeInclusive::new(4, 2);
    assert!(said(pipeline().workers(empty).build()).contains("`workers` is a range from more to less"));
    assert!(said(pipeline().workers(0..=2).build()).contains("`workers` is 0"));
    assert!(said(pipeline().core_budget(0).build()).contains("`core_budget` is 0"));
}
