//! What the same service written plainly in Python reaches.

use anyhow::Result;

use super::steady::Steady;
use super::{Settings, ours};
use crate::contest::{Contest, Contestant, Drive};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::sample::Metric;
use crate::server::Server;

const OURS_ALIVE: &str = "ours, keep-alive";
const OURS_CLOSING: &str = "ours, closing";
const PYTHON_ALIVE: &str = "python, keep-alive";
const PYTHON_CLOSING: &str = "python, closing";

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let alive = || Steady::new("/is_prime?possible_prime=7", settings.window).answering("true");
    let closing = || alive().closing();
    let python = |label, drive: Box<dyn Drive>| Contestant {
        label,
        server: Server::Python(settings.python_baseline.clone()),
        drive,
    };
    Ok(Contest {
        contestants: vec![
            ours(OURS_ALIVE, Kind::Primes, alive()),
            python(PYTHON_ALIVE, Box::new(alive())),
            ours(OURS_CLOSING, Kind::Primes, closing()),
            python(PYTHON_CLOSING, Box::new(closing())),
        ],
        yardstick: None,
        requirements: vec![
            Requirement::ratio(OURS_ALIVE, Metric::RequestsPerSecond, Bound::AtLeast(15.0), PYTHON_ALIVE),
            Requirement::ratio(OURS_CLOSING, Metric::RequestsPerSecond, Bound::AtLeast(3.0), PYTHON_CLOSING),
        ],
        notes: Vec::new(),
    })
}
