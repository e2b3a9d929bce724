//! What it gains, and what it costs, that workers take work ahead of their turn.

use std::time::Duration;

use anyhow::Result;

use super::Settings;
use super::mix::Mix;
use super::steady::Steady;
use crate::contest::{Contest, Contestant, Drive};
use crate::judge::{Bound, Requirement};
use crate::sample::Metric;
use crate::server::{Processes, Server, Wire};

const DISTANCE: Duration = Duration::from_millis(1);

const NEAR: &str = "near, 1 ms ahead";
const NONE: &str = "far, none ahead";
const ONE: &str = "far, 1 ms ahead";
const TWO: &str = "far, 2 ms ahead";
const FIVE: &str = "far, 5 ms ahead";

/// Workers that are far away.
pub(crate) fn distance(settings: &Settings) -> Result<Contest> {
    let load = || Steady::new("/spin?us=200", settings.window);
    let far = |label, ahead| contestant(label, Duration::from_millis(ahead), DISTANCE, load());
    Ok(Contest {
        contestants: vec![
            contestant(NEAR, Duration::from_millis(1), Duration::ZERO, load()),
            far(NONE, 0),
            far(ONE, 1),
            far(TWO, 2),
            far(FIVE, 5),
        ],
        yardstick: Some(NEAR),
        requirements: vec![Requirement::ratio(FIVE, Metric::RequestsPerSecond, Bound::AtLeast(0.9), NEAR)],
        notes: vec![
            "the distance is made by a relay in each worker's process, whose work counts in its CPU".to_owned(),
        ],
    })
}

const STRICT: &str = "none ahead";
const DEFAULT: &str = "1 ms ahead";
const FAR: &str = "5 ms ahead";

/// Jobs of which few are a thousand times as long as the others.
pub(crate) fn price(settings: &Settings) -> Result<Contest> {
    let mix = || Mix { seed: settings.seed, window: settings.window };
    let near = |label, ahead| contestant(label, Duration::from_millis(ahead), Duration::ZERO, mix());
    Ok(Contest {
        contestants: vec![near(STRICT, 0), near(DEFAULT, 1), near(FAR, 5)],
        yardstick: Some(STRICT),
        requirements: vec![Requirement::ratio(DEFAULT, Metric::CheapP99Millis, Bound::AtMost(1.25), STRICT)],
        notes: Vec::new(),
    })
}

fn contestant(label: &'static str, ahead: Duration, distance: Duration, drive: impl Drive + 'static) -> Contestant {
    let server = Server::Processes(Processes { ahead, distance, ..Processes::over(Wire::Tcp) });
    Contestant { label, server, drive: Box::new(drive) }
}
