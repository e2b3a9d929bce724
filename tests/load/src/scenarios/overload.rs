//! Three times as much as the server can do, and then half of it.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{OURS, Settings, ours};
use crate::contest::{Contest, Drive};
use crate::generator::closed::{self, Until};
use crate::generator::schedule::poisson_of_each;
use crate::generator::{Generator, open, priority};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample, latencies, quantile, record};
use crate::server::{Running, Server};
use crate::stats::Spread;

/// What each request costs.
const MICROS: u64 = 10_000;
pub(crate) const DEADLINE: Duration = Duration::from_millis(100);
pub(crate) const MAX_DELAY: Duration = Duration::from_millis(5);
/// What an answer may take to the client after that.
const WAY: Duration = Duration::from_millis(2);
const TIMES: f64 = 3.0;
/// What comes afterwards, as a part of capacity.
const AFTERWARDS: f64 = 0.5;
/// After so long the queue is to be as short as ever.
const RECOVERY: Duration = Duration::from_millis(100);
const CLIENTS: usize = 16;
const CONNECTIONS: usize = 1024;
const WARM_UP: u64 = 20;
const CAPACITY_RUNS: usize = 3;
/// A window is so many times the usual one: the first moments of an overload are a burst.
const WINDOWS: u32 = 10;

const CALM: &str = "ours, at half of capacity";
const FIFO: &str = "ours, nothing is given up";

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let capacity = capacity(settings).context("the capacity cannot be measured")?;
    let load = |times| Overload { seed: settings.seed, window: WINDOWS * settings.window, capacity, times };
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::Overload, load(TIMES)),
            ours(CALM, Kind::Overload, load(AFTERWARDS)),
            ours(FIFO, Kind::OverloadFifo, load(TIMES)),
        ],
        yardstick: None,
        requirements: vec![
            Requirement::figure(OURS, Metric::Goodput, Bound::AtLeast(0.95)),
            Requirement::figure(OURS, Metric::LateShare, Bound::AtMost(0.0)),
            Requirement::figure(OURS, Metric::RefusedP99Millis, Bound::AtMost(10.0)),
            Requirement::ratio(OURS, Metric::AfterwardsP99Millis, Bound::AtMost(1.5), CALM),
        ],
        notes: vec![format!(
            "{:.0} requests due a second, {TIMES} times the {capacity:.0} of a closed loop",
            TIMES * capacity
        )],
    })
}

/// What the server answers a second when it is never idle.
fn capacity(settings: &Settings) -> Result<f64> {
    let rates = (0..CAPACITY_RUNS).map(|_| {
        let server = Server::Ours(Kind::One).start()?;
        let mut generator = Generator::connect(server.address, CLIENTS)?;
        Ok(closed::run(&mut generator, &requests(), |_| 0, Until::Elapsed(settings.window))?.per_second)
    });
    Ok(Spread::of(rates.collect::<Result<Vec<f64>>>()?).context("no runs")?.median)
}

fn requests() -> Vec<Vec<u8>> {
    vec![response::get(&format!("/spin?us={MICROS}"))]
}

struct Overload {
    seed: u64,
    window: Duration,
    capacity: f64,
    times: f64,
}

impl Drive for Overload {
    fn drive(&self, server: &Running, round: u32) -> Result<Sample> {
        thread::scope(|scope| scope.spawn(|| self.generate(server, round)).join())
            .expect("the generator does not panic")
    }
}

impl Overload {
    fn generate(&self, server: &Running, round: u32) -> Result<Sample> {
        priority::raise();
        let seed = self.seed + u64::from(round);
        let mut generator = Generator::connect(server.address, CONNECTIONS)?.may_refuse();
        // The first jobs find out how fast this machine is.
        closed::run(&mut generator, &requests(), |_| 0, Until::Requests(WARM_UP))?;
        let mut arrivals = poisson_of_each(seed, &[self.times * self.capacity], self.window);
        let afterwards = poisson_of_each(seed + 1, &[AFTERWARDS * self.capacity], self.window / 2);
        arrivals.extend(afterwards.into_iter().map(|mut arrival| {
            arrival.due += self.window;
            arrival
        }));
        let found = open::run(&mut generator, &requests(), &arrivals)?;
        let (mut refused, mut recovered) = (latencies(), latencies());
        let (mut good, mut late) = (0_u32, 0_u32);
        for (arrival, end) in arrivals.iter().zip(&found.ends) {
            if arrival.due < self.window {
                match end.refused {
                    true => record(&mut refused, end.after),
                    false if end.after > DEADLINE + WAY => late += 1,
                    false => good += 1,
                }
            } else if arrival.due > self.window + RECOVERY {
                record(&mut recovered, end.after);
            }
        }
        let offered = self.window.as_secs_f64() * self.capacity * self.times.min(1.0);
        Ok(Sample::default()
            .with(Metric::Goodput, f64::from(good) / offered)
            .with(Metric::LateShare, f64::from(late) / f64::from(good + late))
            .with(Metric::RefusedP99Millis, quantile(&refused, 0.99) / 1e6)
            .with(Metric::AfterwardsP99Millis, quantile(&recovered, 0.99) / 1e6)
            .with(Metric::SentLateP99Millis, quantile(&found.sent_late, 0.99) / 1e6))
    }
}
