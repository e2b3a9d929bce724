//! What a cycle gives: jobs of a thousand rounds that yield between them, beside short ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Settings, ours};
use crate::client::Client;
use crate::contest::{Contest, Drive};
use crate::generator::Generator;
use crate::generator::open::{self, Open};
use crate::generator::schedule::{self, Arrival};
use crate::generator::{closed, priority};
use crate::judge::{Bound, Requirement};
use crate::ours::{Kind, ROUND};
use crate::response;
use crate::sample::{Metric, Sample, quantile};
use crate::server::{Running, WORKERS};

const CYCLE: &str = "ours, a cycle";
const ONE_CALL: &str = "ours, in one call";

const LONG_CLIENTS: usize = 2;
const LONG: u64 = 1_000;
/// The short ones' share of what the workers can do.
const SHARE: f64 = 0.3;
/// As many as can wait in the worse case.
const CONNECTIONS: usize = 2_000;
const WINDOW: Duration = Duration::from_secs(10);

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Rounds { seed: settings.seed };
    Ok(Contest {
        contestants: vec![ours(CYCLE, Kind::Cycle, load()), ours(ONE_CALL, Kind::OneCall, load())],
        yardstick: None,
        requirements: vec![
            Requirement::ratio(CYCLE, Metric::CheapP99Millis, Bound::AtMost(0.05), ONE_CALL),
            Requirement::ratio(CYCLE, Metric::RoundsPerSecond, Bound::AtLeast(0.97), ONE_CALL),
        ],
        notes: vec![format!(
            "{LONG_CLIENTS} clients asking for {LONG} rounds of {ROUND:?} again and again, short ones (cheap) of one round at \
             {SHARE} of capacity"
        )],
    })
}

struct Rounds {
    seed: u64,
}

impl Drive for Rounds {
    fn drive(&self, server: &Running, round: u32) -> Result<Sample> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let long: Vec<_> = (0..LONG_CLIENTS).map(|_| scope.spawn(|| ask_long(server, &over))).collect();
            let short = scope.spawn(|| self.short(server, round)).join().expect("the generator does not panic");
            over.store(true, Ordering::Relaxed);
            for client in long {
                client.join().expect("a client does not panic")?;
            }
            let (found, per_second) = short?;
            let millis = |q| quantile(&found.latencies[0], q) / 1e6;
            Ok(Sample::default()
                .with(Metric::CheapP50Millis, millis(0.5))
                .with(Metric::CheapP99Millis, millis(0.99))
                .with(Metric::RoundsPerSecond, per_second))
        })
    }
}

impl Rounds {
    /// Gives what the open loop saw, and how many rounds were done a second meanwhile.
    fn short(&self, server: &Running, round: u32) -> Result<(Open, f64)> {
        priority::raise();
        let per_second = SHARE * WORKERS as f64 / ROUND.as_secs_f64();
        let arrivals: Vec<Arrival> = schedule::poisson(self.seed + u64::from(round), per_second, WINDOW)
            .into_iter()
            .map(|arrival| Arrival { kind: 0, ..arrival })
            .collect();
        let requests = [response::get("/rounds?n=1")];
        let mut generator = Generator::connect(server.address, CONNECTIONS)?;
        closed::run(&mut generator, &requests, |_| 0, closed::Until::Requests(1))?;
        let mut counter = Client::connect(server.address)?;
        let mut done = move || -> Result<u64> {
            let (_, body) = counter.ask(&response::get("/done"))?;
            std::str::from_utf8(body)?.parse().context("the count is no number")
        };
        let (start, before) = (Instant::now(), done()?);
        let found = open::run(&mut generator, &requests, &arrivals)?;
        let (elapsed, after) = (start.elapsed(), done()?);
        Ok((found, (after - before) as f64 / elapsed.as_secs_f64()))
    }
}

fn ask_long(server: &Running, over: &AtomicBool) -> Result<()> {
    let mut client = Client::connect(server.address)?;
    while !over.load(Ordering::Relaxed) {
        let (status, _) = client.ask(&response::get(&format!("/rounds?n={LONG}")))?;
        ensure!(status == 200, "a long job was answered {status}");
    }
    Ok(())
}
