//! Cheap requests among heavy ones that look the same: here a queue's policy outweighs everything
//! else.

use std::time::Duration;

use anyhow::Result;

use super::{AXUM_RAYON, OURS, Settings, ours, peer};
use crate::contest::{Contest, Contestant, Drive};
use crate::generator::Generator;
use crate::generator::closed::{self, Closed, Until};
use crate::generator::schedule::{self, CHEAP, HEAVY, Kinds};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::sample::{Metric, Sample, Window, micros_each, quantile};
use crate::server::{Processes, Running, Server, Wire};

pub(crate) const CLIENTS: usize = 64;

const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Mix { seed: settings.seed, window: settings.window };
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
            Requirement::ratio(OURS, Metric::CheapP50Millis, Bound::AtMost(1.0 / 25.0), AXUM_RAYON),
            Requirement::ratio(OURS, Metric::CheapP99Millis, Bound::AtMost(0.6), AXUM_RAYON),
            Requirement::ratio(OURS, Metric::RequestsPerSecond, Bound::AtLeast(0.93), AXUM_RAYON),
        ],
        notes: Vec::new(),
    })
}

pub(super) struct Mix {
    pub(super) seed: u64,
    pub(super) window: Duration,
}

impl Drive for Mix {
    fn drive(&self, server: &Running, round: u32) -> Result<Sample> {
        let mut kinds = Kinds::seeded(self.seed + u64::from(round));
        let mut generator = Generator::connect(server.address, CLIENTS)?;
        run(&mut generator, &mut kinds, WARM_UP)?;
        let window = Window::open(server)?;
        let found = run(&mut generator, &mut kinds, self.window)?;
        let cpu = window.cpu(server)?;
        let millis = |kind: usize, q| quantile(&found.latencies[kind], q) / 1e6;
        Ok(Sample::default()
            .with(Metric::RequestsPerSecond, found.per_second)
            .with(Metric::CpuMicros, micros_each(cpu, found.answers))
            .with(Metric::CheapP50Millis, millis(CHEAP, 0.5))
            .with(Metric::CheapP99Millis, millis(CHEAP, 0.99))
            .with(Metric::HeavyP50Millis, millis(HEAVY, 0.5))
            .with(Metric::HeavyP99Millis, millis(HEAVY, 0.99)))
    }
}

/// Keeps all of `generator`'s connections busy with the mix.
pub(crate) fn run(generator: &mut Generator, kinds: &mut Kinds, time: Duration) -> Result<Closed> {
    closed::run(generator, &schedule::requests(), |_| kinds.next(), Until::Elapsed(time))
}
