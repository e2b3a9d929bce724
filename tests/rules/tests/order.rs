//! Of those that are equally urgent, the one goes first that is expected to take least, and each tenant has its share.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Head, Kind, Tenant};
use processes::start as start_processes;
use support::{Client, Gate, eventually, first, get, start};

const LONG: Duration = Duration::from_secs(2);

/// The paths that were asked for, in their order.
type Ran = Arc<Mutex<Vec<String>>>;

/// A stage that notes the paths that it is asked for, but holds `/gate`.
fn noted(gate: &Gate) -> (Ran, impl Fn(Request, &Context) -> &'static str + Clone + Send + Sync + use<>) {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let (pass, runs) = (gate.clone(), Arc::clone(&ran));
    let stage = move |request: Request, _: &Context| {
        match request.head().path() {
            "/gate" => pass.pass(),
            path => runs.lock().unwrap().push(path.to_owned()),
        }
        "done"
    };
    (ran, stage)
}

/// By the first segment of the path.
fn kind(head: &Head) -> Kind {
    match head.path().split('/').nth(1) {
        Some("long") => Kind::taking(LONG),
        Some("panic") => panic!("what is it?"),
        _ => Kind::taking(Duration::from_millis(1)),
    }
}

/// Has a worker held, sends requests one after the other, and lets it go when all wait.
fn ask(address: std::net::SocketAddr, gate: &Gate, paths: &[&str], waiting: impl Fn() -> usize) {
    let mut clients = vec![Client::connect(address)];
    clients[0].send_get("/gate");
    gate.wait_for(1);
    for (at, path) in paths.iter().enumerate() {
        let mut client = Client::connect(address);
        client.send_get(path);
        clients.push(client);
        eventually("it waits", || waiting() == at + 1);
    }
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
}

#[test]
fn the_one_that_is_said_to_take_least_goes_first() {
    let gate = Gate::new();
    let (ran, stage) = noted(&gate);
    let pipeline = Pipeline::new("p").kind(kind).stage_from(first(stage)).workers(1);
    let (running, address) = start(&pipeline.build().unwrap());
    let paths = ["/long/1", "/short/1", "/panic", "/long/2", "/short/2"];
    ask(address, &gate, &paths, || running.stages()[0].waiting);
    // What a function that panics says nothing of is taken as what takes no time.
    assert_eq!(*ran.lock().unwrap(), ["/panic", "/short/1", "/short/2", "/long/1", "/long/2"]);
}

#[test]
fn what_the_requests_of_a_route_take_is_learned() {
    let gate = Gate::new();
    let (ran, stage) = noted(&gate);
    let stage = move |request: Request, cx: &Context| {
        if request.head().path() == "/slow" {
            thread::sleep(Duration::from_millis(5));
        }
        stage(request, cx)
    };
    let pipeline =
        Pipeline::new("p").route(Method::GET, "/slow").route(Method::GET, "/quick").route(Method::GET, "/gate");
    let (running, address) = start(&pipeline.stage_from(first(stage)).workers(1).build().unwrap());
    let mut client = Client::connect(address);
    for path in [["/slow"; 20], ["/quick"; 20]].concat() {
        client.send_get(path);
        assert_eq!(client.read().status, 200);
    }
    ran.lock().unwrap().clear();
    ask(address, &gate, &["/slow", "/slow", "/quick", "/quick"], || running.stages()[0].waiting);
    assert_eq!(*ran.lock().unwrap(), ["/quick", "/quick", "/slow", "/slow"]);
}

#[test]
fn a_proxy_takes_first_what_takes_least() {
    let gate = Gate::new();
    let (ran, stage) = noted(&gate);
    let pipeline = Pipeline::new("p").kind(kind).metrics("/metrics").stage_from(first(stage));
    let parts = start_processes(&pipeline.build().unwrap(), &[("first", 1)]);
    let in_flight = || get(parts.address, "/metrics").metric("prime_stage_in_flight", &["stage=\"first\""]);
    // More than a worker has ahead.
    let paths = [["/long"; 12], ["/short"; 12]].concat();
    ask(parts.address, &gate, &paths, || in_flight().map_or(0, |all| all as usize - 1));
    let ran = ran.lock().unwrap();
    let last_short = ran.iter().rposition(|path| path == "/short").unwrap();
    let before = ran[..last_short].iter().filter(|path| *path == "/long").count();
    assert!(before < 6, "only what was ahead of its turn went before: {ran:?}");
}

#[test]
fn whoever_sends_much_does_not_keep_another_waiting() {
    let gate = Gate::new();
    let (ran, stage) = noted(&gate);
    let tenant = |head: &Head| Tenant::of(head.path().split('/').nth(1));
    let pipeline = Pipeline::new("p").tenant(tenant).stage_from(first(stage)).workers(1);
    let (running, address) = start(&pipeline.build().unwrap());
    ask(address, &gate, &[["/much"; 20].as_slice(), &["/little"]].concat(), || running.stages()[0].waiting);
    let ran = ran.lock().unwrap();
    let place = ran.iter().position(|path| path == "/little").unwrap();
    assert!(place <= 4, "a tenant has up to four queues: {ran:?}");
}

#[test]
fn where_a_request_comes_from_is_known_in_every_layout() {
    let stage = |_: Request, cx: &Context| format!("{:?}", cx.head().client());
    let pipeline = Pipeline::new("p").stage_from(first(stage)).build().unwrap();
    let (running, address) = start(&pipeline);
    assert_eq!(get(address, "/").text(), "Some(127.0.0.1)");
    assert_eq!(running.client().call(Request::get("/")).unwrap().body().as_bytes(), b"None");
    let of_both_families = pipeline.start("tcp://[::]:0").unwrap();
    let port = of_both_families.address().unwrap().port();
    assert_eq!(get(([127, 0, 0, 1], port).into(), "/").text(), "Some(127.0.0.1)");
    let parts = start_processes(&pipeline, &[("first", 1)]);
    assert_eq!(get(parts.address, "/").text(), "Some(127.0.0.1)");
}
