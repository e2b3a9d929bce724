//! What stages that size themselves get done once the work has gone from one to another.

use std::time::Duration;

use anyhow::Result;

use super::{OURS, Settings, ours};
use crate::contest::{Contest, Drive};
use crate::generator::Generator;
use crate::generator::closed::{self, Closed, Until};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample};
use crate::server::Running;

const CLIENTS: usize = 64;
const BEFORE: Duration = Duration::from_secs(3);
/// What the stages have to settle after the shift.
const SETTLES: Duration = Duration::from_secs(2);

const BEST: &str = "ours, 1 and 7 workers";

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Shift { window: settings.window };
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::Sized, load()),
            ours(BEST, Kind::OneAndSeven, load()),
            ours("ours, 4 and 4 workers", Kind::FourAndFour, load()),
        ],
        yardstick: Some(BEST),
        requirements: vec![Requirement::ratio(OURS, Metric::RequestsPerSecond, Bound::AtLeast(0.95), BEST)],
        notes: Vec::new(),
    })
}

struct Shift {
    window: Duration,
}

impl Drive for Shift {
    fn drive(&self, server: &Running, _: u32) -> Result<Sample> {
        let mut generator = Generator::connect(server.address, CLIENTS)?;
        run(&mut generator, 9, BEFORE)?;
        run(&mut generator, 1, SETTLES)?;
        let found = run(&mut generator, 1, self.window)?;
        Ok(Sample::default().with(Metric::RequestsPerSecond, found.per_second))
    }
}

/// So many of ten requests ask for what is here.
fn run(generator: &mut Generator, here: u32, time: Duration) -> Result<Closed> {
    let mut asked = 0;
    // Spread evenly, so that each window has the same mix.
    let kind = move |_| {
        asked = (asked + 7) % 10;
        usize::from(asked >= here)
    };
    closed::run(generator, &[response::get("/here"), response::get("/there")], kind, Until::Elapsed(time))
}
