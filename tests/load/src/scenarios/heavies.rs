//! Heavy requests that never cease, beside as many cheap ones as there can be: how long the heavy ones take at the most.

use anyhow::Result;

use super::{AXUM_RAYON, OURS, Settings, ours, peer};
use crate::contest::{Contest, Drive};
use crate::generator::Generator;
use crate::generator::closed::{self, Closed, Until};
use crate::generator::schedule::{self, CHEAP, HEAVY};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::sample::{Metric, Sample, Window, micros_each, quantile};
use crate::server::Running;
use std::time::Duration;

/// Clients that ask for heavy jobs alone, and all others for cheap ones.
const HEAVY_CLIENTS: usize = 8;
const CLIENTS: usize = 64 + HEAVY_CLIENTS;

const WARM_UP: Duration = Duration::from_secs(1);

/// What the documentation of `Pipeline::demote` promises for so many demoted jobs of 8 ms at two workers: 100 ms, and then 8 ms, and the
/// 4 ms that it may be behind, at an eighth of a quarter of two processors.
const BOUND_MILLIS: f64 = 100.0 + (8.0 + 4.0) / (0.25 * 2.0 / HEAVY_CLIENTS as f64);

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Heavies { window: settings.window };
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::One, load()),
            ours("ours, first in first out", Kind::Fifo, load()),
            peer(Peer::AxumRayon, load()),
        ],
        yardstick: Some(AXUM_RAYON),
        requirements: vec![Requirement::figure(OURS, Metric::HeavyMaxMillis, Bound::AtMost(BOUND_MILLIS))],
        notes: Vec::new(),
    })
}

struct Heavies {
    window: Duration,
}

impl Drive for Heavies {
    fn drive(&self, server: &Running, _: u32) -> Result<Sample> {
        let mut generator = Generator::connect(server.address, CLIENTS)?;
        run(&mut generator, WARM_UP)?;
        let window = Window::open(server)?;
        let found = run(&mut generator, self.window)?;
        let cpu = window.cpu(server)?;
        let millis = |kind: usize, q| quantile(&found.latencies[kind], q) / 1e6;
        Ok(Sample::default()
            .with(Metric::RequestsPerSecond, found.per_second)
            .with(Metric::CpuMicros, micros_each(cpu, found.answers))
            .with(Metric::CheapP50Millis, millis(CHEAP, 0.5))
            .with(Metric::CheapP99Millis, millis(CHEAP, 0.99))
            .with(Metric::HeavyP50Millis, millis(HEAVY, 0.5))
            .with(Metric::HeavyMaxMillis, millis(HEAVY, 1.0)))
    }
}

fn run(generator: &mut Generator, time: Duration) -> Result<Closed> {
    let kind = |connection| if connection < HEAVY_CLIENTS { HEAVY } else { CHEAP };
    closed::run(generator, &schedule::requests(), kind, Until::Elapsed(time))
}
