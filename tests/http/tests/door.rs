//! The door: routes, health, metrics, answered without waking a worker.

use std::sync::LazyLock;

use prime_server::prelude::*;
use prime_server::{Limits, Outcome, Payload, Step};
use support::{Client, Gate, Text, eventually, first, get, second, start};

fn routed() -> Pipeline {
    Pipeline::new("routed")
        .route(Method::GET, "/tile/{z}/{x}")
        .route(Method::POST, "/tile/{z}/{x}")
        .route(Method::DELETE, "/files/{*path}")
        .health("/healthz")
        .metrics("/metrics")
}

#[test]
fn only_routed_paths_and_methods_reach_the_stage() {
    let stage = |request: Request, _: &Context| request.head().method().to_string();
    let (running, address) = start(&routed().stage_from(first(stage)).build().unwrap());
    let mut client = Client::connect(address);
    assert_eq!(client.get("/tile/1/2?q=3").text(), "GET");
    assert_eq!(client.post("/tile/1/2", "", "x").text(), "POST");
    client.send("HEAD /tile/1/2 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read_head().status, 200, "who answers GET answers HEAD");
    client.send("DELETE /files/a/b/c HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read().text(), "DELETE");
    let before = running.stages()[0].jobs;

    for missing in ["/", "/tile/1", "/tile/1/2/3", "/Tile/1/2", "/tile//2"] {
        let answer = client.get(missing);
        assert_eq!((answer.status, answer.closes()), (404, false), "{missing}");
    }
    client.send("PUT /tile/1/2 HTTP/1.1\r\nHost: test\r\n\r\n");
    let answer = client.read();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS, POST")));
    assert_eq!(client.post("/healthz", "", "").status, 405);
    assert_eq!(running.stages()[0].jobs, before, "no worker was woken");
}

#[test]
fn a_method_is_allowed_once() {
    let pipeline = Pipeline::new("both").route(Method::HEAD, "/").route(Method::GET, "/");
    let built = pipeline.stage_from(first(|_: Request, _: &Context| "x")).build().unwrap();
    assert_eq!(built.test(Request::post("/", "")).unwrap().headers()["allow"], "GET, HEAD, OPTIONS");
}

#[test]
fn path_parameters_come_typed_and_decoded() {
    #[derive(serde::Deserialize)]
    struct Tile {
        z: u8,
        x: String,
    }
    let stage = |request: Request, _: &Context| -> Result<String, prime_server::PathError> {
        let Tile { z, x } = request.path()?;
        Ok(format!("{z} {x}"))
    };
    let (_running, address) = start(&routed().stage_from(first(stage)).build().unwrap());
    assert_eq!(get(address, "/tile/7/a%2Fb%26c+d").text(), "7 a/b&c+d");
    assert_eq!(get(address, "/tile/7/%ff").status, 400, "no text of another kind than the path has");
    let wrong = get(address, "/tile/300/x");
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("`z`"), "{}", wrong.text());
}

#[test]
fn a_pipeline_without_routes_takes_everything() {
    let stage = |request: Request, _: &Context| request.head().target().to_owned();
    let pipeline = Pipeline::new("all").health("/healthz").stage_from(first(stage)).build().unwrap();
    let (_running, address) = start(&pipeline);
    assert_eq!(get(address, "/any/where?x").text(), "/any/where?x");
    assert_eq!(get(address, "/healthz").text(), "ok\n");
}

#[test]
fn routes_that_cannot_work_are_refused_when_built() {
    let built = |pipeline: Pipeline| {
        let built = pipeline.stage_from(first(|_: Request, _: &Context| "x")).build();
        built.map(|_| ()).unwrap_err().to_string()
    };
    let route = |path: &str| Pipeline::new("wrong").route(Method::GET, path);
    assert!(built(route("/a").route(Method::GET, "/a")).contains("GET /a"));
    assert!(built(route("/a/{x}").route(Method::GET, "/a/{y}")).contains("overlaps `/a/{x}`"));
    assert!(built(route("a")).contains("starts with `/`"));
    assert!(built(route("/{")).contains("both braces"));
    assert!(built(route("/{}")).contains("both braces"));
    assert!(built(route("/a/:x")).contains("`{name}`"));
    assert!(built(route("/{a}/{a}")).contains("one name"));
    for never in ["/a b", "/a?b", "/a#b", "/\u{e9}"] {
        assert!(built(route(never)).contains("percent-encoded"), "{never}");
    }
    assert!(built(route("/healthz").health("/healthz")).contains("the health check"));
    assert!(built(Pipeline::new("wrong").route(Method::TRACE, "/")).contains("501"));
}

struct Nameless;

impl Run for Nameless {
    type In = Request;
    type Out = &'static str;

    fn run(&mut self, _: Request, _: &Context) -> &'static str {
        "x"
    }
}

impl Stage for Nameless {
    const NAME: &'static str = "";
}

#[test]
fn options_that_cannot_work_are_refused_when_built() {
    use std::time::Duration;
    let stage = || first(|_: Request, _: &Context| "x");
    let error = |built: Result<prime_server::Built, StartError>| built.map(|_| ()).unwrap_err().to_string();
    assert!(error(Pipeline::new("p").stage_from(stage()).workers(0).build()).contains("stage `first` of pipeline `p`"));
    assert!(error(Pipeline::new("p").stage_from(stage()).workers(usize::MAX).build()).contains("8192"));
    assert!(error(Pipeline::new("p").stage_from(stage()).timeout(Duration::ZERO).build()).contains("504"));
    assert!(error(Pipeline::new("p").max_in_flight(0).stage_from(stage()).build()).contains("max_in_flight"));
    let too_many = usize::try_from(1_u64 << 32).unwrap();
    assert!(error(Pipeline::new("p").max_in_flight(too_many).stage_from(stage()).build()).contains("4294967295"));
    let mut stages = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| Text(String::new())));
    for _ in 0..63 {
        stages = stages.stage_from(second(|text: Text, _: &Context| text));
    }
    let end = |text: Text, _: &Context| text.0;
    assert!(error(stages.stage_from(second(end)).build()).contains("65 stages"));
    let forward = |_: Request, _: &Context| Text(String::new());
    let twice = Pipeline::new("p").stage_from(first(forward)).stage_from(second(|text: Text, _: &Context| text));
    assert!(error(twice.stage_from(second(end)).build()).contains("two stages named `second`"));
    assert!(error(Pipeline::new("p").stage_from(|| Nameless).build()).contains("the name is empty"));
    assert!(error(Pipeline::new("p").deadline(Duration::ZERO).stage_from(stage()).build()).contains("deadline"));
    let pass = || second(|text: Text, _: &Context| text);
    let twice = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| Text(String::new()))).stage_from(pass());
    let twice = twice.stage_from(second(|text: Text, _: &Context| text.0)).build();
    assert!(error(twice).contains("two stages named `second`"));
    assert!(error(Pipeline::new("p").max_parts(0).stage_from(stage()).build()).contains("`max_parts` is 0"));
    let limited = |set: fn(&mut Limits)| {
        let mut limits = Limits::default();
        set(&mut limits);
        error(Pipeline::new("p").limits(limits).stage_from(stage()).build())
    };
    assert!(limited(|limits| limits.connections = 0).contains("limits.connections"));
    assert!(limited(|limits| limits.held = 0).contains("limits.held"));
    assert!(limited(|limits| limits.take_answer = Duration::from_micros(999)).contains("limits.take_answer"));
    let endless = Pipeline::new("p").deadline(Duration::MAX).drain_limit(Duration::MAX);
    let endless = endless.stage_from(stage()).timeout(Duration::MAX).build().unwrap();
    let (running, address) = start(&endless);
    assert_eq!(get(address, "/").text(), "x", "the longest times are no limit");
    running.stop();
}

#[test]
fn an_endpoint_that_cannot_be_listened_on_says_so() {
    let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "x")).build().unwrap();
    let (_running, address) = start(&pipeline);
    let error = |endpoint: &str| pipeline.start(endpoint).map(|_| ()).unwrap_err().to_string();
    for endpoint in [
        "nonsense",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "tcp://:80",
        "http://127.0.0.1:0",
        "tcp://x.invalid:0",
        "tcp://127.0.0.1:+80",
        "tcp://127.0.0.1:0;127.0.0.1:0",
    ] {
        let error = error(endpoint);
        assert!(error.contains(endpoint) && error.contains("tcp://127.0.0.1:8002"), "{error}");
    }
    assert!(error(&format!("tcp://{address}")).contains("another socket listens there"));
    // RFC 5737: an address of documentation, which is nobody's.
    assert!(error("tcp://192.0.2.1:0").contains("no network interface"));
    let named = pipeline.start("tcp://localhost:0").unwrap();
    assert_eq!(get(named.address().unwrap(), "/").text(), "x");
}

#[test]
fn more_connections_than_the_process_may_open_files_are_refused_at_the_start() {
    let mut limits = Limits::default();
    limits.connections = usize::MAX;
    let pipeline = Pipeline::new("p").limits(limits).stage_from(first(|_: Request, _: &Context| "x")).build().unwrap();
    let error = pipeline.start("tcp://127.0.0.1:0").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("ulimit -n"), "{error}");
    pipeline.start_in_process().unwrap().stop();
}

/// An outcome that goes where it does not say.
struct Astray;

impl Outcome for Astray {
    fn resolve(self) -> Step {
        Step::Send { route: 0, payload: Payload::new(Text(String::new())) }
    }
}

#[test]
fn an_outcome_that_names_no_route_of_its_stage_answers_500() {
    let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| Astray)).build().unwrap();
    assert_eq!(pipeline.test(Request::get("/")).unwrap().status(), 500);
    let (_running, address) = start(&pipeline);
    assert_eq!(get(address, "/").status, 500);
}

type Plain = support::First<fn(Request, &Context) -> &'static str>;

#[test]
fn it_listens_on_ipv6_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "x")).build().unwrap();
    let running = pipeline.start("tcp://[::1]:0").unwrap();
    assert_eq!(get(running.address().unwrap(), "/").text(), "x");
}

static NARROW: LazyLock<Gate> = LazyLock::new(Gate::new);

#[stage(workers = 1, queue = 1, demote = false)]
fn narrow(_: Request) -> &'static str {
    NARROW.pass();
    "passed"
}

#[test]
fn the_options_of_the_attribute_hold_where_the_builder_sets_none() {
    let answers = |pipeline: Result<prime_server::Built, StartError>| {
        let running = pipeline.unwrap().start_in_process().unwrap();
        let client = running.client();
        let before = NARROW.arrived();
        let runs = client.send(Request::get("/")).unwrap();
        NARROW.wait_for(before + 1);
        let waits = client.send(Request::get("/")).unwrap();
        eventually("the second waits", || running.stages()[0].waiting == 1);
        let third = client.send(Request::get("/")).unwrap();
        (running, runs, waits, third)
    };
    let (_running, _runs, _waits, third) = answers(Pipeline::new("attribute").stage::<narrow>().build());
    assert_eq!(third.wait().unwrap().status(), 503);
    let (running, _runs, _waits, third) = answers(Pipeline::new("builder").stage::<narrow>().queue(2).build());
    eventually("the third waits too", || running.stages()[0].waiting == 2);
    NARROW.open();
    assert_eq!(third.wait().unwrap().status(), 200);
}

#[test]
fn a_constructor_that_fails_stops_the_start() {
    let error = |pipeline: prime_server::Built| pipeline.start_in_process().map(|_| ()).unwrap_err().to_string();
    let fails = || -> Result<Plain, &'static str> { Err("no map here") };
    assert!(error(Pipeline::new("p").stage_from(fails).build().unwrap()).contains("no map here"));
    let panics = || -> Plain { panic!("no memory") };
    assert!(error(Pipeline::new("p").stage_from(panics).build().unwrap()).contains("no memory"));
    let bytes = 1_u64 << 40;
    let panics = move || -> Plain { panic!("no memory for {bytes} bytes") };
    assert!(
        error(Pipeline::new("p").stage_from(panics).build().unwrap()).contains("no memory for 1099511627776 bytes")
    );
}

#[test]
fn metrics_tell_queue_run_time_and_outcomes_of_each_stage() {
    let forward = |request: Request, _: &Context| match request.head().path() {
        "/early" => Flow::answer("early"),
        path => Flow::Forward(Text(path.to_owned())),
    };
    let last = |text: Text, _: &Context| {
        assert_ne!(text.0, "/panic", "asked to");
        text.0
    };
    let pipeline = Pipeline::new("measured").metrics("/metrics").stage_from(first(forward)).stage_from(second(last));
    let (running, address) = start(&pipeline.build().unwrap());
    let mut client = Client::connect(address);
    for path in ["/early", "/late", "/late", "/panic"] {
        client.get(path);
    }
    eventually("all workers are idle", || running.stages().iter().all(|stage| stage.running == 0));
    let page = client.get("/metrics");
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4"));
    let lines: Vec<String> = page.text().lines().map(sorted).collect();
    for line in [
        "prime_stage_outcomes_total{pipeline=\"measured\",reason=\"answered\",stage=\"first\"} 1",
        "prime_stage_outcomes_total{pipeline=\"measured\",reason=\"forwarded\",stage=\"first\"} 3",
        "prime_stage_outcomes_total{pipeline=\"measured\",reason=\"answered\",stage=\"second\"} 2",
        "prime_stage_outcomes_total{pipeline=\"measured\",reason=\"panicked\",stage=\"second\"} 1",
        "prime_stage_outcomes_total{pipeline=\"measured\",reason=\"timed_out\",stage=\"second\"} 0",
        "prime_stage_queue_length{pipeline=\"measured\",stage=\"first\"} 0",
        "prime_stage_in_flight{pipeline=\"measured\",stage=\"second\"} 0",
        "prime_stage_queue_delay_seconds_count{pipeline=\"measured\",stage=\"first\"} 4",
        "prime_stage_run_seconds_count{pipeline=\"measured\",stage=\"second\"} 3",
        "prime_answers_total{code=\"200\",pipeline=\"measured\"} 3",
        "prime_answers_total{code=\"500\",pipeline=\"measured\"} 1",
        "prime_requests_in_flight{pipeline=\"measured\"} 0",
        "prime_connections{pipeline=\"measured\"} 1",
    ] {
        assert!(lines.iter().any(|there| there == line), "{line} is missing in\n{}", page.text());
    }
}

#[test]
fn metrics_tell_what_is_there_and_why_what_came_was_refused() {
    for (permits, reason) in [(2, "max_in_flight"), (3, "queue_full")] {
        let gate = Gate::new();
        let pass = gate.clone();
        let stage = first(move |_: Request, _: &Context| {
            pass.pass();
            "done"
        });
        let pipeline = Pipeline::new("busy").route(Method::GET, "/").metrics("/metrics").max_in_flight(permits);
        let (running, address) = start(&pipeline.stage_from(stage).workers(1).queue(1).build().unwrap());
        let mut clients: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
        clients[0].send_get("/");
        gate.wait_for(1);
        clients[1].send_get("/");
        eventually("the second waits", || running.stages()[0].waiting == 1);
        assert_eq!(get(address, "/").status, 503);
        assert_eq!(get(address, "/nowhere").status, 404);
        let page = get(address, "/metrics");
        assert_eq!(page.metric("prime_refused_total", &[&format!("reason=\"{reason}\"")]), Some(1.0));
        assert_eq!(page.metric("prime_refused_total", &["reason=\"route\""]), Some(1.0));
        assert_eq!(page.metric("prime_answers_total", &["code=\"503\""]), Some(1.0));
        assert_eq!(page.metric("prime_answers_total", &["code=\"404\""]), Some(1.0));
        assert_eq!(page.metric("prime_requests_in_flight", &[]), Some(2.0));
        assert_eq!(page.metric("prime_stage_queue_length", &["stage=\"first\""]), Some(1.0));
        assert_eq!(page.metric("prime_stage_in_flight", &["stage=\"first\""]), Some(1.0));
        gate.open();
        clients.iter_mut().for_each(|client| assert_eq!(client.read().text(), "done"));
        eventually("the worker is idle", || running.stages()[0].running == 0);
        let page = get(address, "/metrics");
        let delay = page.metric("prime_stage_queue_delay_seconds_sum", &["stage=\"first\""]);
        assert!(delay > Some(0.0), "the second has waited: {delay:?}");
        let stats = &running.stages()[0];
        assert!(stats.jobs == 2 && !stats.busy.is_zero(), "{stats:?}");
    }
}

#[test]
fn a_client_of_this_process_passes_the_same_door() {
    let running =
        routed().stage_from(first(|_: Request, _: &Context| "done")).build().unwrap().start_in_process().unwrap();
    let client = running.client();
    let status = |target| client.call(Request::get(target)).unwrap().status().as_u16();
    assert_eq!((status("/tile/1/2"), status("/nowhere"), status("/files/a")), (200, 404, 405));
    running.stop();
    assert!(client.send(Request::get("/tile/1/2")).is_err(), "it has stopped");
}

#[test]
fn what_is_tested_passes_the_same_door() {
    let stage = |request: Request, _: &Context| -> Result<String, prime_server::PathError> {
        let params: Vec<(String, String)> = request.path()?;
        Ok(params.into_iter().map(|(name, value)| format!("{name}={value};")).collect())
    };
    let built = routed().stage_from(first(stage)).build().unwrap();
    let answer = |target| {
        let response = built.test(Request::get(target)).unwrap();
        (response.status().as_u16(), String::from_utf8_lossy(response.body().as_bytes()).into_owned())
    };
    assert_eq!(answer("/tile/7/a%2Fb"), (200, "z=7;x=a/b;".to_owned()));
    assert_eq!(answer("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!((answer("/nowhere").0, answer("/files/a").0), (404, 405));
}

#[test]
fn threads_are_named_after_their_stages() {
    #[stage(name = "a rather long name", workers = 2)]
    fn long(_: Request) -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }
    let (_running, address) = start(&Pipeline::new("named").stage::<long>().build().unwrap());
    let name = get(address, "/");
    assert!(["a rather lo-0", "a rather lo-1"].contains(&name.text()), "{name:?}");
}

/// A line of metrics with its labels in alphabetical order, which means nothing in Prometheus text.
fn sorted(line: &str) -> String {
    let parts = line.split_once('{').and_then(|(name, rest)| Some((name, rest.rsplit_once('}')?)));
    let Some((name, (labels, value))) = parts else { return line.to_owned() };
    let mut labels: Vec<&str> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}{value}", labels.join(","))
}
