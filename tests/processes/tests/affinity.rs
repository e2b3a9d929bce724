//! What idle workers announce is chosen by over processes too.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use prime_server::builder::Last;
use prime_server::prelude::*;
use prime_server::{Affinity, Head, Process, Role, WorkerRole};
use processes::{Parts, start};
use support::{Client, eventually, first, get};

struct Regional(&'static str);

#[stage(name = "regional", demote = false)]
impl Regional {
    fn run(&mut self, _: Request) -> &'static str {
        self.0
    }

    fn affinity(&self) -> &str {
        self.0
    }
}

fn by_path(head: &Head, idle: &[Affinity]) -> Option<usize> {
    idle.iter().position(|worker| worker == head.path().trim_start_matches('/'))
}

const REGIONS: [&str; 4] = ["a", "b", "c", "d"];

/// Workers of these regions, in the order in which they are made.
fn regional() -> Pipeline<Last<&'static str>> {
    let next = AtomicUsize::new(0);
    Pipeline::new("p").stage_from(move || Regional(REGIONS[next.fetch_add(1, Ordering::Relaxed)]))
}

fn another(pipeline: &prime_server::Built, parts: &Parts, stage: &str, threads: usize) -> Process {
    let role = WorkerRole::new(stage, parts.links.clone()).threads(threads);
    pipeline.start_as(Role::Worker(role)).unwrap()
}

/// Each is known to the proxy by what it announces: else the one that was done last would have the next.
fn wait_until_known(client: &mut Client, regions: &[&str]) {
    let mut right = |region: &&str| client.get(&format!("/{region}")).text() == *region;
    eventually("all are known", || regions.iter().all(&mut right));
}

#[test]
fn all_requests_for_a_worker_process_go_to_it_when_it_is_idle() {
    let pipeline = regional().choose(by_path).build().unwrap();
    let parts = start(&pipeline, &[("regional", 1)]);
    let other = another(&pipeline, &parts, "regional", 1);
    let mut client = Client::connect(parts.address);
    wait_until_known(&mut client, &["a", "b"]);
    for request in 0..1000 {
        let region = if request % 10 == 0 { "b" } else { "a" };
        assert_eq!(client.get(&format!("/{region}")).text(), region, "request {request}");
    }
    other.stop();
    assert_eq!(client.get("/b").text(), "a", "nobody else is there");
}

#[test]
fn without_a_choice_two_worker_processes_share_evenly_under_load() {
    const REQUESTS: usize = 1000;
    // Each job goes on when another is beside it, so both workers are busy all the time.
    let (both, next) = (Arc::new(Barrier::new(2)), AtomicUsize::new(0));
    let stage = move || {
        let (both, region) = (Arc::clone(&both), REGIONS[next.fetch_add(1, Ordering::Relaxed)]);
        first(move |_: Request, _: &Context| {
            both.wait();
            region
        })()
    };
    let pipeline = Pipeline::new("p").stage_from(stage).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let _other = another(&pipeline, &parts, "first", 1);
    let (asked, served_by_a) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while asked.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                    served_by_a.fetch_add(usize::from(get(parts.address, "/a").text() == "a"), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(served_by_a.into_inner(), REQUESTS / 2);
}

#[test]
fn in_a_worker_process_the_thread_is_chosen_by_what_it_announces() {
    let pipeline = regional().choose(by_path).build().unwrap();
    let parts = start(&pipeline, &[("regional", 2)]);
    let _other = another(&pipeline, &parts, "regional", 2);
    let mut client = Client::connect(parts.address);
    wait_until_known(&mut client, &["a", "c", "b", "d"]);
    // A thread answers before it is idle again, so a few may be wrong. Without the choice all would be: the one that worked last has the
    // next.
    let mut right = |request: usize| {
        let region = ["a", "c", "b", "d"][request % 4];
        client.get(&format!("/{region}")).text() == region
    };
    let right = (0..400).filter(|request| right(*request)).count();
    assert!(right > 200, "{right} of 400");
}
