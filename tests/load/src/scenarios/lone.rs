//! What one request alone takes: every wake-up on the way shows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{AXUM_SPAWN_BLOCKING, OURS, Settings, ours, peer};
use crate::client::Client;
use crate::contest::{Contest, Drive};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::response;
use crate::sample::{Metric, Sample, Window, latencies, micros_each, quantile, record};
use crate::server::Running;

const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Lone { window: settings.window };
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::One, load()),
            peer(Peer::AxumSpawnBlocking, load()),
            peer(Peer::AxumRayon, load()),
            peer(Peer::AxumInline, load()),
        ],
        yardstick: Some(AXUM_SPAWN_BLOCKING),
        requirements: vec![Requirement::ratio(OURS, Metric::P50Micros, Bound::AtMost(1.3), AXUM_SPAWN_BLOCKING)],
        notes: Vec::new(),
    })
}

/// A blocking client of our own, as wrk measures in whole microseconds.
struct Lone {
    window: Duration,
}

impl Drive for Lone {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        let request = response::get("/");
        let mut client = Client::connect(server.address)?;
        let mut ask = || -> Result<Duration> {
            let sent = Instant::now();
            let (status, _) = client.ask(&request)?;
            ensure!(status == 200, "an answer was {status}");
            Ok(sent.elapsed())
        };

        let warming = Instant::now();
        while warming.elapsed() < WARM_UP {
            ask()?;
        }
        let mut found = latencies();
        let window = Window::open(server)?;
        while window.elapsed() < self.window {
            record(&mut found, ask()?);
        }
        let (elapsed, cpu) = (window.elapsed(), window.cpu(server)?);
        Ok(Sample::default()
            .with(Metric::RequestsPerSecond, found.len() as f64 / elapsed.as_secs_f64())
            .with(Metric::CpuMicros, micros_each(cpu, found.len()))
            .with(Metric::P50Micros, quantile(&found, 0.5) / 1e3)
            .with(Metric::P99Micros, quantile(&found, 0.99) / 1e3))
    }
}
