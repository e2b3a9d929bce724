//! What a split gives: one sum, in parts and in one piece, one client.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Settings, ours};
use crate::client::Client;
use crate::contest::{Contest, Drive};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample, latencies, quantile, record};
use crate::server::Running;

const SPLIT: &str = "ours, 64 parts";
const WHOLE: &str = "ours, one part";
const TERMS: u64 = 100_000_000;
const ASKED: u32 = 5;
/// The sum of all inverse squares.
const LIMIT: f64 = std::f64::consts::PI * std::f64::consts::PI / 6.0;

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    Ok(Contest {
        contestants: vec![ours(SPLIT, Kind::Sums, Sum { parts: 64 }), ours(WHOLE, Kind::Sums, Sum { parts: 1 })],
        yardstick: None,
        requirements: vec![Requirement::ratio(SPLIT, Metric::P50Micros, Bound::AtMost(0.55), WHOLE)],
        notes: vec![format!("the sum of {TERMS} inverse squares, two workers, one client, one request at a time")],
    })
}

struct Sum {
    parts: u64,
}

impl Drive for Sum {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        let request = response::get(&format!("/sum?terms={TERMS}&parts={}", self.parts));
        let mut client = Client::connect(server.address)?;
        let mut found = latencies();
        for _ in 0..ASKED {
            let sent = Instant::now();
            let (status, body) = client.ask(&request)?;
            ensure!(status == 200, "a sum was answered {status}");
            let sum: f64 = std::str::from_utf8(body)?.parse().context("the sum is no number")?;
            ensure!((sum - LIMIT).abs() < 2.0 / TERMS as f64, "the sum is {sum}");
            record(&mut found, sent.elapsed());
        }
        Ok(Sample::default().with(Metric::P50Micros, quantile(&found, 0.5) / 1e3))
    }
}
