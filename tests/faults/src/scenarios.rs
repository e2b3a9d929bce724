//! The faults, each with the load that has to survive it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{Came, Deployment, Hosts, Load, Report, Wire, until};

/// Clients of every load.
const CLIENTS: usize = 16;

/// A stage's target for request `n`, which takes some milliseconds.
fn target(stage: &'static str, ms: u64) -> impl Fn(u64) -> String + Send + Sync + 'static {
    move |n| format!("/{stage}/{n}?ms={ms}")
}

/// A front end, one proxy and two workers of a stage, once they are at work.
fn pair(exe: &Path, wire: Wire, stage: &'static str) -> (Deployment, Load) {
    let mut deployment = Deployment::new(exe, wire, &[("p0", stage)]);
    deployment.all_proxies();
    deployment.worker("w0", stage);
    deployment.worker("w1", stage);
    let address = deployment.front_end("f0");
    let load = Load::start(&[address], CLIENTS, target(stage, 5));
    load.wait(50);
    (deployment, load)
}

/// `kill -9` a worker, many times over, and another one takes its place.
#[must_use]
pub fn workers_killed(exe: &Path, wire: Wire, stage: &'static str, kills: u32) -> Report {
    let (mut deployment, load) = pair(exe, wire, stage);
    for kill in 0..kills {
        let name = if kill % 2 == 0 { "w0" } else { "w1" };
        deployment.kill(name);
        deployment.worker(name, stage);
        load.wait(20);
    }
    load.stop()
}

/// `kill -9` both workers of a stage, new ones a while later.
#[must_use]
pub fn all_workers_killed(exe: &Path, wire: Wire, stage: &'static str, pause: Duration) -> Report {
    let (mut deployment, load) = pair(exe, wire, stage);
    deployment.kill("w0");
    deployment.kill("w1");
    thread::sleep(pause);
    deployment.worker("w0", stage);
    deployment.worker("w1", stage);
    load.wait(100);
    load.stop()
}

/// `kill -9` the only proxy of a stage, and start it again a while later.
#[must_use]
pub fn proxy_killed(exe: &Path, wire: Wire, stage: &'static str, pause: Duration) -> Report {
    let (mut deployment, load) = pair(exe, wire, stage);
    deployment.kill("p0");
    thread::sleep(pause);
    deployment.proxy("p0");
    load.wait(100);
    for name in ["f0", "w0", "w1"] {
        assert!(!deployment.has_ended(name), "`{name}` has ended");
    }
    load.stop()
}

/// `kill -9` one of two proxies of a stage.
#[must_use]
pub fn one_of_two_proxies_killed(exe: &Path, wire: Wire, stage: &'static str) -> Report {
    let mut deployment = Deployment::new(exe, wire, &[("p0", stage), ("p1", stage)]);
    deployment.all_proxies();
    deployment.worker("w0", stage);
    deployment.worker("w1", stage);
    let address = deployment.front_end("f0");
    let load = Load::start(&[address], CLIENTS, target(stage, 5));
    load.wait(100);
    deployment.kill("p0");
    load.wait(200);
    deployment.proxy("p0");
    load.wait(200);
    deployment.kill("p1");
    load.wait(200);
    load.stop()
}

/// `kill -9` a front end that has a job at a worker. Gives how long it took until the stage saw that nobody waits any more.
#[must_use]
pub fn front_end_killed(exe: &Path, wire: Wire) -> Duration {
    let mut deployment = Deployment::new(exe, wire, &[("p0", "steady")]);
    deployment.proxy("p0");
    deployment.worker("w0", "steady");
    let address = deployment.front_end("f0");
    let (begun, cancelled) = (deployment.path("begun"), deployment.path("cancelled"));
    let target = format!("/steady/0?ms=600000&begun={}&cancelled={}", begun.display(), cancelled.display());
    let load = Load::start(&[address], 1, move |_| target.clone());
    let _ = deployment.wait_for(&begun);
    deployment.kill("f0");
    let killed = Instant::now();
    let reason = deployment.wait_for(&cancelled);
    let took = killed.elapsed();
    assert_eq!(reason, "disconnected");
    let report = load.stop();
    assert!(report.of(Came::Closed) > 0, "the client's connection was not closed: {:?}", report.counts);
    took
}

/// A worker is stopped for a while, and goes on.
#[must_use]
pub fn worker_stopped(exe: &Path, wire: Wire, stage: &'static str, pause: Duration) -> Report {
    let (deployment, load) = pair(exe, wire, stage);
    deployment.signal("w0", Signal::STOP);
    thread::sleep(pause);
    deployment.signal("w0", Signal::CONT);
    load.wait(200);
    load.stop()
}

/// The network between two hosts is gone for a while: between the proxy and its workers, or between the front end and the proxy.
#[must_use]
pub fn network_cut(exe: &Path, hosts: &Hosts, there: &[&str], stage: &'static str, pause: Duration) -> Report {
    let mut deployment = Deployment::across(exe, hosts, there, &[("p0", stage)]);
    deployment.all_proxies();
    deployment.worker("w0", stage);
    deployment.worker("w1", stage);
    let address = deployment.front_end("f0");
    let load = Load::start(&[address], CLIENTS, target(stage, 5));
    load.wait(50);
    hosts.cut(pause);
    load.wait(100);
    load.stop()
}

/// A worker on another host, which finds the proxy by its beacon. Gives what came.
#[must_use]
pub fn beacon(exe: &Path, hosts: &Hosts) -> Report {
    let mut deployment = Deployment::across(exe, hosts, &["w0"], &[("p0", "steady")]).by_beacon();
    deployment.worker("w0", "steady");
    let address = deployment.front_end("f0");
    deployment.proxy("p0");
    let load = Load::start(&[address], 1, target("steady", 1));
    load.wait(20);
    load.stop()
}

/// Everything is restarted by SIGTERM, one after the other, while clients use two front ends.
#[must_use]
pub fn rolling_restart(exe: &Path, wire: Wire, stage: &'static str, rounds: u32) -> Report {
    let mut deployment = Deployment::new(exe, wire, &[("p0", stage), ("p1", stage)]);
    deployment.all_proxies();
    deployment.worker("w0", stage);
    deployment.worker("w1", stage);
    let addresses = [deployment.front_end("f0"), deployment.front_end("f1")];
    let load = Load::start(&addresses, CLIENTS, target(stage, 5));
    load.wait(50);
    for _ in 0..rounds {
        for name in ["w0", "w1"] {
            deployment.stop(name);
            deployment.worker(name, stage);
            load.wait(50);
        }
        for name in ["p0", "p1"] {
            deployment.stop(name);
            deployment.proxy(name);
            load.wait(50);
        }
        for name in ["f0", "f1"] {
            deployment.stop(name);
            deployment.front_end(name);
            load.wait(50);
        }
    }
    if std::env::var_os("LOGS").is_some() {
        eprintln!("{}", deployment.logs());
    }
    load.stop()
}

/// A stage that has no worker at all. Gives what came, and when.
#[must_use]
pub fn no_worker(exe: &Path, wire: Wire) -> Report {
    let mut deployment = Deployment::new(exe, wire, &[("p0", "steady")]).with(&["--liveness", "1s"]);
    deployment.proxy("p0");
    let address = deployment.front_end_with("f0", &["--wait", "500ms"]);
    let load = Load::start(&[address], 1, target("once", 0));
    load.wait(1);
    load.stop()
}

/// A request kills each worker that it comes to. Gives what came, and how many of `workers` have died.
#[must_use]
pub fn poison(exe: &Path, wire: Wire, workers: usize) -> (Report, usize) {
    let mut deployment = Deployment::new(exe, wire, &[("p0", "steady")]);
    deployment.proxy("p0");
    let names: Vec<String> = (0..workers).map(|at| format!("w{at}")).collect();
    names.iter().for_each(|name| deployment.worker(name, "steady"));
    let address = deployment.front_end("f0");
    let load = Load::start(&[address], 1, |n| format!("/steady/{n}?poison={}", n == 0));
    load.wait(2);
    let report = load.stop();
    let dead = until(|| {
        let dead = names.iter().filter(|name| deployment.has_ended(name)).count();
        (dead >= 3).then_some(dead)
    });
    (report, dead)
}

/// Requests of two stages, while workers and proxies of both are killed.
#[must_use]
pub fn chain(exe: &Path, wire: Wire, rounds: u32) -> Report {
    let mut deployment = Deployment::new(exe, wire, &[("pl", "lead"), ("pe", "end")]);
    deployment.all_proxies();
    for (name, stage) in [("l0", "lead"), ("l1", "lead"), ("e0", "end"), ("e1", "end")] {
        deployment.worker(name, stage);
    }
    let address = deployment.front_end("f0");
    let load = Load::start(&[address], CLIENTS, target("chain", 2));
    load.wait(50);
    for _ in 0..rounds {
        for (name, stage) in [("l0", "lead"), ("e0", "end"), ("l1", "lead"), ("e1", "end")] {
            deployment.kill(name);
            deployment.worker(name, stage);
            load.wait(20);
        }
        for name in ["pl", "pe"] {
            deployment.kill(name);
            deployment.proxy(name);
            load.wait(20);
        }
    }
    load.stop()
}

/// Random faults for so long. Every request is accounted for: the client's load counts each once, by what it came to.
#[must_use]
pub fn random(exe: &Path, wire: Wire, seed: u64, time: Duration, mut progress: impl FnMut(u64, &str)) -> Report {
    let mut deployment = Deployment::new(exe, wire, &[("p0", "steady"), ("p1", "steady"), ("q0", "once")]);
    deployment.all_proxies();
    let workers = [("w0", "steady"), ("w1", "steady"), ("w2", "steady"), ("v0", "once"), ("v1", "once")];
    workers.iter().for_each(|(name, stage)| deployment.worker(name, stage));
    let addresses = [deployment.front_end("f0"), deployment.front_end("f1")];
    let load =
        Load::start(&addresses, CLIENTS, |n| format!("/{}/{n}?ms={}", ["steady", "once"][n as usize % 2], n % 7));
    load.wait(50);
    let mut random = Random(seed);
    let begun = Instant::now();
    let mut faults = 0;
    while begun.elapsed() < time {
        faults += 1;
        let what = random.below(10);
        match what {
            0..=4 => {
                let (name, stage) = workers[random.below(workers.len() as u64) as usize];
                deployment.kill(name);
                deployment.worker(name, stage);
            }
            5 | 6 => {
                let name = ["p0", "p1", "q0"][random.below(3) as usize];
                deployment.kill(name);
                deployment.proxy(name);
            }
            7 => {
                let name = ["f0", "f1"][random.below(2) as usize];
                deployment.kill(name);
                deployment.front_end(name);
            }
            8 => {
                let (name, _) = workers[random.below(workers.len() as u64) as usize];
                deployment.signal(name, Signal::STOP);
                thread::sleep(Duration::from_millis(random.below(2000)));
                deployment.signal(name, Signal::CONT);
            }
            _ => {
                let name = ["f0", "f1"][random.below(2) as usize];
                deployment.stop(name);
                deployment.front_end(name);
            }
        }
        progress(
            faults,
            ["a worker", "a proxy", "a front end", "a worker stopped", "a front end drained"]
                [[0, 0, 0, 0, 0, 1, 1, 2, 3, 4][what as usize]],
        );
        load.wait(1 + random.below(50));
    }
    load.stop()
}

/// A small generator (xorshift64*, Vigna 2014), so that a run can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}
