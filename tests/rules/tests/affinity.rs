//! An idle worker may be preferred by what it announces.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use prime_server::builder::Last;
use prime_server::prelude::*;
use prime_server::{Affinity, Head, Running};
use support::{Client, Gate, Text, eventually, first, get, second, start};

const REQUESTS: usize = 10_000;

/// A worker of a region, which answers with that.
struct Regional {
    region: &'static str,
    /// Holds requests that begin with `/held`.
    gate: Gate,
}

#[stage(name = "regional", demote = false)]
impl Regional {
    fn run(&mut self, request: Request) -> &'static str {
        let path = request.head().path();
        if path.starts_with("/held") {
            self.gate.pass();
        }
        assert!(!path.starts_with("/lost"), "lost");
        self.region
    }

    fn affinity(&self) -> &str {
        self.region
    }
}

/// Two workers, one for each region; others after these, where one is made anew, have its region.
fn regional(gate: &Gate) -> Pipeline<Last<&'static str>> {
    let (gate, next) = (gate.clone(), AtomicUsize::new(0));
    let make = move || Regional { region: ["a", "b"][next.fetch_add(1, Ordering::Relaxed) % 2], gate: gate.clone() };
    Pipeline::new("p").stage_from(make).workers(2)
}

/// The worker of the region that the path ends with.
fn by_path(head: &Head, idle: &[Affinity]) -> Option<usize> {
    let region = head.path().rsplit('/').next()?;
    idle.iter().position(|worker| worker == region)
}

fn call(running: &Running, path: &str) -> String {
    let answer = running.client().call(Request::get(path)).unwrap();
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.body().as_bytes().to_vec()).unwrap()
}

fn wait_for_idle(running: &Running, stage: usize, workers: usize) {
    eventually("the workers are idle", || running.stages()[stage].idle == workers);
}

#[test]
fn all_requests_for_a_worker_go_to_it_when_it_is_idle() {
    let running = regional(&Gate::new()).choose(by_path).build().unwrap().start_in_process().unwrap();
    for request in 0..REQUESTS {
        // Without a choice the one that worked last has the next.
        if request % 10 == 0 {
            wait_for_idle(&running, 0, 2);
            assert_eq!(call(&running, "/b"), "b");
        }
        wait_for_idle(&running, 0, 2);
        assert_eq!(call(&running, "/a"), "a", "request {request}");
    }
}

#[test]
fn without_a_choice_two_workers_share_evenly_under_load() {
    // Each job goes on when another is beside it, so both workers are busy all the time.
    let (both, next) = (Arc::new(Barrier::new(2)), AtomicUsize::new(0));
    let stage = move || {
        let (both, region) = (Arc::clone(&both), ["a", "b"][next.fetch_add(1, Ordering::Relaxed)]);
        first(move |_: Request, _: &Context| {
            both.wait();
            region
        })()
    };
    let running = Pipeline::new("p").stage_from(stage).workers(2).build().unwrap().start_in_process().unwrap();
    let (asked, served_by_a) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while asked.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                    served_by_a.fetch_add(usize::from(call(&running, "/a") == "a"), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(served_by_a.into_inner(), REQUESTS / 2);
}

#[test]
fn a_request_for_a_worker_that_is_busy_goes_to_an_idle_one_at_once() {
    let gate = Gate::new();
    let (running, address) = start(&regional(&gate).choose(by_path).build().unwrap());
    wait_for_idle(&running, 0, 2);
    let mut client = Client::connect(address);
    client.send_get("/held/a");
    gate.wait_for(1);
    for _ in 0..10 {
        assert_eq!(get(address, "/a").text(), "b");
    }
    gate.open();
    assert_eq!(client.read().text(), "a");
}

#[test]
fn where_no_worker_is_idle_the_first_that_is_free_has_the_job_whatever_it_announces() {
    let (gates, next) = ([Gate::new(), Gate::new()], AtomicUsize::new(0));
    let make = {
        let gates = gates.clone();
        move || {
            let at = next.fetch_add(1, Ordering::Relaxed);
            Regional { region: ["a", "b"][at], gate: gates[at].clone() }
        }
    };
    let pipeline = Pipeline::new("p").stage_from(make).workers(2).choose(by_path).build().unwrap();
    let (running, address) = start(&pipeline);
    wait_for_idle(&running, 0, 2);
    let mut clients = [Client::connect(address), Client::connect(address), Client::connect(address)];
    clients[0].send_get("/held");
    clients[1].send_get("/held");
    gates.iter().for_each(|gate| gate.wait_for(1));
    clients[2].send_get("/a");
    eventually("it waits", || running.stages()[0].waiting == 1);
    gates[1].open();
    assert_eq!(clients[2].read().text(), "b");
    gates[0].open();
    clients[..2].iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
}

#[test]
fn a_choice_that_panics_or_gives_nonsense_is_none() {
    let choose = |head: &Head, idle: &[Affinity]| match head.path() {
        "/panic" => panic!("which one?"),
        "/none" => None,
        "/next" => Some(idle.len()),
        _ => Some(usize::MAX),
    };
    let running = regional(&Gate::new()).choose(choose).build().unwrap().start_in_process().unwrap();
    for path in ["/panic", "/none", "/next", "/far"].iter().cycle().take(400) {
        assert!(["a", "b"].contains(&&*call(&running, path)));
    }
}

#[test]
fn a_worker_that_was_made_anew_is_chosen_by_what_it_announces_then() {
    let running = regional(&Gate::new()).choose(by_path).build().unwrap().start_in_process().unwrap();
    wait_for_idle(&running, 0, 2);
    // Its successor is of the region that comes next, which is `a` again.
    let lost = running.client().call(Request::get("/lost/a")).unwrap();
    assert_eq!(lost.status(), 500);
    wait_for_idle(&running, 0, 2);
    assert_eq!(call(&running, "/a"), "a");
}

#[test]
fn what_a_worker_announces_may_change_with_each_job() {
    struct Cache(String);
    #[stage(name = "cache", demote = false)]
    impl Cache {
        fn run(&mut self, request: Request) -> String {
            std::mem::replace(&mut self.0, request.head().path().to_owned())
        }
        fn affinity(&self) -> &str {
            &self.0
        }
    }
    let choose = |head: &Head, idle: &[Affinity]| {
        let known = idle.iter().position(|worker| worker == head.path());
        known.or_else(|| idle.iter().position(|worker| *worker == Affinity::NONE))
    };
    let pipeline = Pipeline::new("p").stage_from(|| Cache(String::new())).workers(4).choose(choose).build().unwrap();
    let running = pipeline.start_in_process().unwrap();
    for round in 0..50 {
        for path in ["/1", "/2", "/3", "/4"] {
            wait_for_idle(&running, 0, 4);
            let before = call(&running, path);
            assert_eq!(before, if round == 0 { "" } else { path }, "the worker that has it at hand");
        }
    }
}

#[test]
fn what_is_too_long_or_panics_is_announced_by_nobody() {
    struct Odd(usize);
    #[stage(name = "odd", demote = false)]
    impl Odd {
        fn run(&mut self, _: Request) -> String {
            self.0.to_string()
        }
        fn affinity(&self) -> Vec<u8> {
            assert_ne!(self.0, 0, "no idea");
            vec![b'x'; [0, 256, 257][self.0]]
        }
    }
    let next = AtomicUsize::new(0);
    let choose = |head: &Head, idle: &[Affinity]| {
        assert!(idle.iter().all(|worker| [0, 256].contains(&worker.as_bytes().len())));
        idle.iter().position(|worker| worker.as_bytes().is_empty() == (head.path() == "/none"))
    };
    let stage = move || Odd(next.fetch_add(1, Ordering::Relaxed));
    let running = Pipeline::new("p").stage_from(stage).workers(3).choose(choose).build().unwrap();
    let running = running.start_in_process().unwrap();
    for _ in 0..20 {
        wait_for_idle(&running, 0, 3);
        assert_eq!(call(&running, "/long"), "1");
        wait_for_idle(&running, 0, 3);
        assert_ne!(call(&running, "/none"), "1");
    }
}

#[test]
fn only_of_a_stage_with_a_choice_is_anything_asked() {
    struct Asked(Arc<AtomicUsize>);
    #[stage(name = "asked")]
    impl Asked {
        fn run(&mut self, _: Request) -> &'static str {
            "done"
        }
        fn affinity(&self) -> &'static str {
            self.0.fetch_add(1, Ordering::Relaxed);
            "a"
        }
    }
    for (chooses, times) in [(false, 0), (true, 3)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let pipeline = Pipeline::new("p").stage_from(move || Asked(Arc::clone(&counted))).workers(1);
        let pipeline = if chooses { pipeline.choose(|_, _| None) } else { pipeline };
        let running = pipeline.build().unwrap().start_in_process().unwrap();
        (0..2).for_each(|_| assert_eq!(call(&running, "/"), "done"));
        wait_for_idle(&running, 0, 1);
        assert_eq!(asked.load(Ordering::Relaxed), times, "once it is constructed, and after each job");
    }
}

#[test]
fn any_stage_may_choose_by_the_request_that_its_job_belongs_to() {
    struct After(&'static str);
    #[stage(name = "after", demote = false)]
    impl After {
        fn run(&mut self, Text(text): Text) -> String {
            text + self.0
        }
        fn affinity(&self) -> &str {
            self.0
        }
    }
    let next = AtomicUsize::new(0);
    let pipeline = Pipeline::new("p")
        .stage_from(first(|request: Request, _: &Context| Text(request.head().path().to_owned())))
        .stage_from(move || After(["a", "b"][next.fetch_add(1, Ordering::Relaxed)]))
        .workers(2)
        .choose(by_path)
        .build()
        .unwrap();
    let running = pipeline.start_in_process().unwrap();
    for path in ["/a", "/b", "/a", "/a", "/b", "/b", "/a"] {
        wait_for_idle(&running, 1, 2);
        assert_eq!(call(&running, path), format!("{path}{}", &path[1..]));
    }
}

#[test]
fn a_choice_among_jobs_that_come_at_once_gives_each_the_worker_that_it_is_for() {
    struct Apart {
        region: &'static str,
        both: Arc<Barrier>,
    }
    #[stage(name = "apart", demote = false)]
    impl Apart {
        fn run(&mut self, Text(text): Text) -> Text {
            self.both.wait();
            Text(text + self.region)
        }
        fn affinity(&self) -> &str {
            self.region
        }
    }
    let (both, next) = (Arc::new(Barrier::new(2)), AtomicUsize::new(0));
    let make = move || Apart { region: ["a", "b"][next.fetch_add(1, Ordering::Relaxed)], both: Arc::clone(&both) };
    let parts = || Split::new(["1", "2"].map(|part| Text(part.to_owned())));
    let pipeline = Pipeline::new("p")
        .stage_from(first(move |_: Request, _: &Context| parts()))
        .split_from(make)
        .workers(2)
        .choose(|_, idle| idle.iter().position(|worker| worker == "a"))
        .join_from(|| Joining)
        .build()
        .unwrap();
    let running = pipeline.start_in_process().unwrap();
    for _ in 0..100 {
        wait_for_idle(&running, 1, 2);
        assert_eq!(call(&running, "/"), "1a2b", "the first has the one that is chosen, the second what is left");
    }
}

#[test]
fn a_choice_that_takes_long_keeps_no_other_job_from_a_worker_that_becomes_free() {
    let (held, slow, ran) = (Gate::new(), Gate::new(), Gate::new());
    let stage = {
        let (held, ran) = (held.clone(), ran.clone());
        move |Text(text): Text, _: &Context| {
            if text == "held" {
                held.pass()
            } else {
                ran.arrive()
            }
            Text(text)
        }
    };
    let parts = |request: Request, _: &Context| match request.head().path() {
        "/held" => Split::new([Text("held".to_owned())]),
        _ => Split::new(["1", "2"].map(|part| Text(part.to_owned()))),
    };
    let once = AtomicUsize::new(0);
    let choosing = slow.clone();
    let choose = move |head: &Head, _: &[Affinity]| {
        if head.path() == "/parts" && once.fetch_add(1, Ordering::Relaxed) == 0 {
            choosing.pass();
        }
        None
    };
    let pipeline = Pipeline::new("p").stage_from(first(parts)).workers(2).split_from(second(stage)).workers(3);
    let pipeline = pipeline.choose(choose).join_from(|| Joining).build().unwrap();
    let (running, address) = start(&pipeline);
    wait_for_idle(&running, 1, 3);
    let mut clients = [Client::connect(address), Client::connect(address)];
    clients[0].send_get("/held");
    held.wait_for(1);
    clients[1].send_get("/parts");
    slow.wait_for(1);
    assert_eq!((running.stages()[1].waiting, ran.arrived()), (2, 0));
    held.open();
    ran.wait_for(1);
    slow.open();
    assert_eq!(clients[0].read().text(), "held");
    assert_eq!(clients[1].read().text(), "12");
}

#[test]
fn no_job_is_lost_where_workers_are_chosen_while_others_are_demoted_lost_or_left_by_their_clients() {
    struct Mixed(usize);
    #[stage(name = "mixed")]
    impl Mixed {
        fn run(&mut self, request: Request) -> &'static str {
            match request.head().path() {
                "/long" => {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_millis(3) {}
                }
                "/lost" => panic!("lost"),
                _ => {}
            }
            self.0 += 1;
            "done"
        }
        fn affinity(&self) -> String {
            (self.0 % 3).to_string()
        }
    }
    let choose = |head: &Head, idle: &[Affinity]| match head.path() {
        "/none" => None,
        _ => idle.iter().position(|worker| worker == "1"),
    };
    let pipeline = Pipeline::new("p").stage_from(|| Mixed(0)).workers(2).max_instances(6).choose(choose);
    let (running, address) = start(&pipeline.build().unwrap());
    thread::scope(|scope| {
        for client in 0..6 {
            scope.spawn(move || {
                let mut connection = Client::connect(address);
                for request in 0..300 {
                    match (request + 17 * client) % 60 {
                        0 => assert_eq!(connection.get("/long").status, 200),
                        1 => assert_eq!(connection.get("/lost").status, 500),
                        2 => {
                            connection.send_get("/long");
                            connection = Client::connect(address);
                        }
                        at => assert_eq!(connection.get(["/short", "/none"][at % 2]).status, 200),
                    }
                }
            });
        }
    });
    eventually("nothing is left", || {
        let stage = &running.stages()[0];
        (stage.waiting, stage.running, stage.idle) == (0, 0, 2)
    });
}

/// Joins what the parts have come to.
#[derive(Stage)]
struct Joining;

impl Run for Joining {
    type In = Join<Text>;
    type Out = String;
    fn run(&mut self, parts: Join<Text>, _: &Context) -> String {
        parts.into_iter().map(|Text(part)| part).collect()
    }
}
