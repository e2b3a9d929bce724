//! What one tenant that sends a hundred times its share does to the others.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Settings, ours};
use crate::contest::{Contest, Drive};
use crate::generator::closed::{self, Until};
use crate::generator::schedule::{Arrival, poisson_of_each};
use crate::generator::{Generator, open, priority};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample, latencies, quantile, record};
use crate::server::Running;

const TENANTS: usize = 10;
/// What each request costs.
const MICROS: u64 = 10_000;
const WORKERS: f64 = 2.0;
/// How long requests of a tenant that sends too many wait before they are refused.
pub(crate) const MAX_DELAY: Duration = Duration::from_millis(40);
/// The part of what the workers can do that all tenants together send.
const LOAD: f64 = 0.5;
/// How much more the first sends.
const TIMES: f64 = 100.0;
const CONNECTIONS: usize = 1024;
const WARM_UP_REQUESTS: u64 = 20;
const WARM_UP: Duration = Duration::from_millis(500);

const EQUAL: &str = "ours, all alike";
const FLOODED: &str = "ours, one floods";
const NO_TENANTS: &str = "ours, one floods, not told apart";

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = |times| Tenants { seed: settings.seed, window: settings.window, times };
    Ok(Contest {
        contestants: vec![
            ours(EQUAL, Kind::Tenants, load(1.0)),
            ours("ours, all alike, not told apart", Kind::NoTenants, load(1.0)),
            ours(FLOODED, Kind::Tenants, load(TIMES)),
            ours(NO_TENANTS, Kind::NoTenants, load(TIMES)),
        ],
        yardstick: Some(EQUAL),
        requirements: vec![Requirement::ratio(FLOODED, Metric::OthersP99Millis, Bound::AtMost(1.5), EQUAL)],
        notes: Vec::new(),
    })
}

struct Tenants {
    seed: u64,
    window: Duration,
    times: f64,
}

impl Drive for Tenants {
    fn drive(&self, server: &Running, round: u32) -> Result<Sample> {
        thread::scope(|scope| scope.spawn(|| self.generate(server, round)).join())
            .expect("the generator does not panic")
    }
}

impl Tenants {
    fn generate(&self, server: &Running, round: u32) -> Result<Sample> {
        priority::raise();
        let requests: Vec<_> =
            (0..TENANTS).map(|tenant| response::get(&format!("/spin?us={MICROS}&tenant={tenant}"))).collect();
        let share = LOAD * WORKERS * 1e6 / MICROS as f64 / TENANTS as f64;
        let rates: Vec<f64> = (0..TENANTS).map(|tenant| if tenant == 0 { share * self.times } else { share }).collect();
        let mut generator = Generator::connect(server.address, CONNECTIONS)?.may_refuse();
        // The first jobs find out how fast this machine is.
        closed::run(&mut generator, &requests, |connection| connection % TENANTS, Until::Requests(WARM_UP_REQUESTS))?;
        let arrivals = poisson_of_each(self.seed + u64::from(round), &rates, WARM_UP + self.window);
        let found = open::run(&mut generator, &requests, &arrivals)?;
        let (mut others, mut refused) = (latencies(), 0_u32);
        let counted = |arrival: &Arrival| arrival.kind > 0 && arrival.due > WARM_UP;
        for (_, end) in arrivals.iter().zip(&found.ends).filter(|(arrival, _)| counted(arrival)) {
            record(&mut others, end.after);
            refused += u32::from(end.refused);
        }
        Ok(Sample::default()
            .with(Metric::OthersP99Millis, quantile(&others, 0.99) / 1e6)
            .with(Metric::LateShare, f64::from(refused) / others.len() as f64)
            .with(Metric::SentLateP99Millis, quantile(&found.sent_late, 0.99) / 1e6))
    }
}
