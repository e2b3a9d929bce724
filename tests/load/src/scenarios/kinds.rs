//! The mix, where the server is told what each request costs: rightly, and wrongly for half of them.

use anyhow::Result;

use super::mix::Mix;
use super::{AXUM_RAYON, OURS, Settings, ours, peer};
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::sample::Metric;

const RIGHT: &str = "ours, told";
const SHUFFLED: &str = "ours, told wrongly";

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Mix { seed: settings.seed, window: settings.window };
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::One, load()),
            ours(RIGHT, Kind::Kinds, load()),
            ours(SHUFFLED, Kind::Shuffled, load()),
            peer(Peer::AxumRayon, load()),
        ],
        yardstick: Some(OURS),
        requirements: vec![
            Requirement::ratio(RIGHT, Metric::CheapP99Millis, Bound::AtMost(1.0), OURS),
            Requirement::ratio(SHUFFLED, Metric::CheapP50Millis, Bound::AtMost(1.25), OURS),
            Requirement::ratio(SHUFFLED, Metric::RequestsPerSecond, Bound::AtLeast(0.95), OURS),
            Requirement::ratio(SHUFFLED, Metric::CheapP99Millis, Bound::AtMost(0.6), AXUM_RAYON),
        ],
        notes: Vec::new(),
    })
}
