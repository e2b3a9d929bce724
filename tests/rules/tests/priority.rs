//! Requests wait by how urgent they are.

use std::sync::{Arc, Mutex};

use prime_server::prelude::*;
use prime_server::{Head, Priority};
use processes::start as start_processes;
use support::{Client, Gate, eventually, first, get, start};

/// By the first segment of the path.
fn of(head: &Head) -> Priority {
    match head.path().split('/').nth(1) {
        Some("urgent") => Priority::level(0),
        Some("interactive") => Priority::INTERACTIVE,
        Some("batch") => Priority::BATCH,
        Some("panic") => panic!("how urgent is it?"),
        _ => Priority::DEFAULT,
    }
}

#[test]
fn strictly_the_most_urgent_go_first_and_each_priority_in_its_order() {
    let (gate, ran) = (Gate::new(), Arc::new(Mutex::new(Vec::new())));
    let (pass, runs) = (gate.clone(), Arc::clone(&ran));
    let stage = move |request: Request, cx: &Context| {
        let path = request.head().path().to_owned();
        if path == "/gate" {
            pass.pass();
        } else {
            runs.lock().unwrap().push((path, cx.priority()));
        }
        "done"
    };
    let pipeline = Pipeline::new("p").priority(of).stage_from(first(stage)).workers(1).strict_priority();
    let (running, address) = start(&pipeline.build().unwrap());
    let mut clients = vec![Client::connect(address)];
    clients[0].send_get("/gate");
    gate.wait_for(1);
    for (at, path) in
        ["/batch/1", "/other/1", "/urgent/1", "/interactive/1", "/batch/2", "/urgent/2"].iter().enumerate()
    {
        let mut client = Client::connect(address);
        client.send_get(path);
        clients.push(client);
        eventually("it waits", || running.stages()[0].waiting == at + 1);
    }
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
    let expected = [
        ("/urgent/1", Priority::level(0)),
        ("/urgent/2", Priority::level(0)),
        ("/interactive/1", Priority::INTERACTIVE),
        ("/other/1", Priority::DEFAULT),
        ("/batch/1", Priority::BATCH),
        ("/batch/2", Priority::BATCH),
    ];
    let ran = ran.lock().unwrap();
    assert_eq!(ran.iter().map(|(path, priority)| (&**path, *priority)).collect::<Vec<_>>(), expected);
}

#[test]
fn a_request_has_the_usual_priority_where_nothing_says_it() {
    let stage = |_: Request, cx: &Context| (cx.priority() == Priority::DEFAULT).to_string();
    let pipeline = Pipeline::new("p").priority(of).stage_from(first(stage)).build().unwrap();
    let (_running, address) = start(&pipeline);
    assert_eq!(get(address, "/panic").text(), "true");
    assert_eq!(get(address, "/batch").text(), "false");
    assert_eq!(pipeline.test(Request::get("/batch")).unwrap().body().as_bytes(), b"false");
    let (_running, address) = start(&Pipeline::new("p").stage_from(first(stage)).build().unwrap());
    assert_eq!(get(address, "/batch").text(), "true");
}

#[test]
fn a_proxy_takes_the_most_urgent_first_if_its_workers_say_so() {
    let (gate, ran) = (Gate::new(), Arc::new(Mutex::new(Vec::new())));
    let (pass, runs) = (gate.clone(), Arc::clone(&ran));
    let stage = move |request: Request, cx: &Context| {
        match request.head().path() {
            "/gate" => pass.pass(),
            _ => runs.lock().unwrap().push(cx.priority()),
        }
        "done"
    };
    let pipeline = Pipeline::new("p").priority(of).metrics("/metrics").stage_from(first(stage)).strict_priority();
    let parts = start_processes(&pipeline.build().unwrap(), &[("first", 1)]);
    let mut clients = vec![Client::connect(parts.address)];
    clients[0].send_get("/gate");
    gate.wait_for(1);
    // More of the less urgent come first than a share of theirs would have wait.
    for path in [["/batch"; 12], ["/urgent"; 12]].concat() {
        clients.push(Client::connect(parts.address));
        clients.last_mut().unwrap().send_get(path);
    }
    let waiting = || get(parts.address, "/metrics").metric("prime_stage_in_flight", &["stage=\"first\""]);
    eventually("all are at the proxy", || waiting() == Some(25.0));
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
    assert!(ran.lock().unwrap().is_sorted());
}

#[test]
fn a_priority_goes_with_its_request_over_processes() {
    let stage = |_: Request, cx: &Context| (cx.priority() == Priority::BATCH).to_string();
    let pipeline = Pipeline::new("p").priority(of).stage_from(first(stage)).build().unwrap();
    let parts = start_processes(&pipeline, &[("first", 1)]);
    assert_eq!(get(parts.address, "/batch").text(), "true");
    assert_eq!(get(parts.address, "/other").text(), "false");
}
