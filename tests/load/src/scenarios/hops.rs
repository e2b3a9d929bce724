//! What a hop between stages costs: chains of 1, 2, 4 and 8 of them, and the slope.

use std::time::Duration;

use anyhow::Result;

use super::steady::CONNECTIONS;
use super::{OURS, Settings, ours};
use crate::contest::{Contest, Drive};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::sample::{Metric, Sample, Window, micros_each};
use crate::server::Running;
use crate::wrk::Wrk;

const CHAINS: [(f64, &str); 4] = [(1.0, "/1"), (2.0, "/2"), (4.0, "/4"), (8.0, "/8")];
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    Ok(Contest {
        contestants: vec![ours(OURS, Kind::Chains, Hops { window: settings.window })],
        yardstick: None,
        requirements: vec![Requirement::figure(OURS, Metric::HopMicros, Bound::AtMost(1.5))],
        notes: vec![
            "CPU a request of the chain of one stage, and what each stage more adds: the slope over 1, 2, 4 and 8"
                .to_owned(),
        ],
    })
}

struct Hops {
    window: Duration,
}

impl Drive for Hops {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        let mut points = Vec::new();
        for (stages, path) in CHAINS {
            let wrk = Wrk { connections: CONNECTIONS, pipelined: 1, keep_alive: true, path };
            wrk.run(server.address, WARM_UP)?;
            let window = Window::open(server)?;
            let found = wrk.run(server.address, self.window)?;
            points.push((stages, micros_each(window.cpu(server)?, found.requests)));
        }
        Ok(Sample::default().with(Metric::CpuMicros, points[0].1).with(Metric::HopMicros, slope(&points)))
    }
}

/// Of the line that fits best, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (mean_x, mean_y) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
    let (above, below) = points
        .iter()
        .fold((0.0, 0.0), |(above, below), (x, y)| (above + (x - mean_x) * (y - mean_y), below + (x - mean_x).powi(2)));
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_the_best_lines() {
        assert!((slope(&[(1.0, 3.0), (2.0, 5.0), (4.0, 9.0)]) - 2.0).abs() < 1e-9);
        assert!((slope(&[(1.0, 0.0), (2.0, 1.0), (3.0, 0.0)])).abs() < 1e-9);
    }
}
