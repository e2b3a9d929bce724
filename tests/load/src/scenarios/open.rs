//! The mix as it arrives from many people who do not wait for one another.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::mix;
use super::{AXUM_RAYON, OURS, Settings, ours, peer};
use crate::contest::{Contest, Contestant, Drive};
use crate::generator::Generator;
use crate::generator::open::{self, Open};
use crate::generator::priority;
use crate::generator::schedule::{self, CHEAP, HEAVY, Kinds};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::sample::{Metric, Sample, Window, micros_each, quantile};
use crate::server::{Processes, Running, Server, Wire};
use crate::stats::Spread;

const CONNECTIONS: usize = 512;
const WARM_UP: Duration = Duration::from_secs(1);
const CAPACITY_RUNS: u64 = 3;

/// A generator later than this at the 99th percentile measures itself.
const LATE: Duration = Duration::from_millis(1);
const TRIES: u32 = 3;

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let capacity = capacity(settings).context("the capacity of axum-rayon cannot be measured")?;
    let per_second = settings.load * capacity;
    let load = || OpenMix { seed: settings.seed, window: settings.window, per_second };
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::One, load()),
            ours("ours, two stages", Kind::Two, load()),
            Contestant {
                label: "ours, processes",
                server: Server::Processes(Processes::over(Wire::Ipc)),
                drive: Box::new(load()),
            },
            peer(Peer::AxumRayon, load()),
            peer(Peer::AxumSpawnBlocking, load()),
        ],
        yardstick: Some(AXUM_RAYON),
        requirements: vec![
            Requirement::ratio(OURS, Metric::CheapP50Millis, Bound::AtMost(0.25), AXUM_RAYON),
            Requirement::ratio(OURS, Metric::CheapP99Millis, Bound::AtMost(0.5), AXUM_RAYON),
            Requirement::ratio(OURS, Metric::HeavyP99Millis, Bound::AtMost(5.0), AXUM_RAYON),
        ],
        notes: vec![format!(
            "{per_second:.0} requests due a second, {} of the {capacity:.0} that axum-rayon answers in a closed loop",
            settings.load
        )],
    })
}

/// What axum-rayon answers a second when it is never idle.
fn capacity(settings: &Settings) -> Result<f64> {
    let rates = (0..CAPACITY_RUNS)
        .map(|run| {
            let server = Server::Peer(Peer::AxumRayon).start()?;
            let mut generator = Generator::connect(server.address, mix::CLIENTS)?;
            let mut kinds = Kinds::seeded(settings.seed + run);
            Ok(mix::run(&mut generator, &mut kinds, settings.window)?.per_second)
        })
        .collect::<Result<Vec<f64>>>()?;
    Ok(Spread::of(rates).context("no runs")?.median)
}

struct OpenMix {
    seed: u64,
    window: Duration,
    per_second: f64,
}

impl Drive for OpenMix {
    fn drive(&self, server: &Running, round: u32) -> Result<Sample> {
        // Only the generator's own thread may be raised: a server started from it would inherit its
        // priority.
        thread::scope(|scope| scope.spawn(|| self.generate(server, round)).join())
            .expect("the generator does not panic")
    }
}

impl OpenMix {
    fn generate(&self, server: &Running, round: u32) -> Result<Sample> {
        priority::raise();
        let seed = self.seed + u64::from(round);
        let mut generator = Generator::connect(server.address, CONNECTIONS)?;
        let mut warm_up = Kinds::seeded(seed);
        mix::run(&mut generator, &mut warm_up, WARM_UP)?;
        let arrivals = schedule::poisson(seed, self.per_second, self.window);
        let mut late = Duration::ZERO;
        for attempt in 1..=TRIES {
            let window = Window::open(server)?;
            let found = open::run(&mut generator, &schedule::requests(), &arrivals)?;
            let cpu = window.cpu(server)?;
            late = Duration::from_nanos(found.sent_late.value_at_quantile(0.99));
            if late <= LATE {
                return Ok(sample(&found, cpu));
            }
            eprintln!("  void: the generator itself was {late:.1?} late at p99, try {attempt} of {TRIES}");
        }
        bail!("the generator itself was late, {late:.1?} at p99, in {TRIES} tries; the machine is too busy")
    }
}

fn sample(found: &Open, cpu: Duration) -> Sample {
    let millis = |kind: usize, q| quantile(&found.latencies[kind], q) / 1e6;
    Sample::default()
        .with(Metric::CpuMicros, micros_each(cpu, found.answers))
        .with(Metric::CheapP50Millis, millis(CHEAP, 0.5))
        .with(Metric::CheapP99Millis, millis(CHEAP, 0.99))
        .with(Metric::HeavyP50Millis, millis(HEAVY, 0.5))
        .with(Metric::HeavyP99Millis, millis(HEAVY, 0.99))
        .with(Metric::SentLateP99Millis, quantile(&found.sent_late, 0.99) / 1e6)
}
