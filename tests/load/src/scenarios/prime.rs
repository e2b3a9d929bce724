//! Real work: the arithmetic outweighs the way, so the pool has to keep both cores busy.

use anyhow::Result;

use super::steady::Steady;
use super::{AXUM_RAYON, OURS, Settings, ours, peer};
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::sample::Metric;

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Steady::new("/is_prime?possible_prime=32416190071", settings.window).answering("true");
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::Primes, load()),
            peer(Peer::AxumRayon, load()),
            peer(Peer::AxumSpawnBlocking, load()),
        ],
        yardstick: Some(AXUM_RAYON),
        requirements: vec![Requirement::ratio(OURS, Metric::RequestsPerSecond, Bound::AtLeast(0.97), AXUM_RAYON)],
        notes: Vec::new(),
    })
}
