//! What the way through a server costs: nothing is computed.

use anyhow::Result;

use super::steady::Steady;
use super::{AXUM_SPAWN_BLOCKING, OURS, Settings, ours, peer};
use crate::contest::{Contest, Contestant};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::sample::Metric;

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    Ok(against_peers(ours(OURS, Kind::One, load(settings)), settings))
}

/// The load of this contest, for a contestant that joins it.
pub(crate) fn load(settings: &Settings) -> Steady {
    Steady::new("/", settings.window)
}

/// `one`, labelled [`OURS`], with every peer that a user might take instead.
pub(crate) fn against_peers(one: Contestant, settings: &Settings) -> Contest {
    Contest {
        contestants: vec![
            one,
            peer(Peer::AxumSpawnBlocking, load(settings)),
            peer(Peer::AxumSpawnBlockingDefault, load(settings)),
            peer(Peer::AxumRayon, load(settings)),
            peer(Peer::AxumInline, load(settings)),
        ],
        yardstick: Some(AXUM_SPAWN_BLOCKING),
        requirements: vec![
            Requirement::ratio(OURS, Metric::CpuMicros, Bound::AtMost(0.9), AXUM_SPAWN_BLOCKING),
            Requirement::ratio(OURS, Metric::RequestsPerSecond, Bound::AtLeast(1.15), AXUM_SPAWN_BLOCKING),
        ],
        notes: Vec::new(),
    }
}
