//! Whether a demoted job holds anything that others wait for: every processor has a thread that is always busy, so that a demoted one
//! hardly runs, and whoever had to wait for it would wait for long.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Settings, ours};
use crate::contest::{Contest, Drive};
use crate::generator::Generator;
use crate::generator::closed::{self, Closed, Until};
use crate::generator::schedule::{self, CHEAP, HEAVY};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample, quantile};
use crate::server::Running;

/// What is asked of the front end alone, which takes whatever demoted jobs have to say.
pub(crate) const CONTROL: &str = "/healthz";

const ALONE: &str = "control alone";
const BESIDE_OTHERS: &str = "beside jobs that keep their place";
const BESIDE: &str = "beside demoted jobs";
const BESIDE_WITHOUT: &str = "beside those that cannot return";

/// The index of the control beside those of the mix.
const CONTROLS: usize = 2;

const CONTROL_CLIENTS: usize = 2;
/// And as many that ask for 8 µs, without which nothing would be demoted.
const HEAVY_CLIENTS: usize = 16;

const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = |heavy| Inversion { heavy, window: settings.window };
    Ok(Contest {
        contestants: vec![
            ours(ALONE, Kind::One, load(0)),
            ours(BESIDE_OTHERS, Kind::Fifo, load(HEAVY_CLIENTS)),
            ours(BESIDE, Kind::One, load(HEAVY_CLIENTS)),
            ours(BESIDE_WITHOUT, Kind::WithoutRights, load(HEAVY_CLIENTS)),
        ],
        yardstick: Some(ALONE),
        requirements: vec![
            Requirement::ratio(BESIDE, Metric::P99Micros, Bound::AtMost(1.25), BESIDE_OTHERS),
            Requirement::ratio(BESIDE_WITHOUT, Metric::P99Micros, Bound::AtMost(1.25), BESIDE_OTHERS),
        ],
        notes: Vec::new(),
    })
}

struct Inversion {
    /// How many clients ask for heavy jobs.
    heavy: usize,
    window: Duration,
}

impl Drive for Inversion {
    fn drive(&self, server: &Running, _: u32) -> Result<Sample> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        black_box((0..1000_u64).sum::<u64>());
                    }
                });
            }
            let found = self.generate(server);
            over.store(true, Ordering::Relaxed);
            found
        })
    }
}

impl Inversion {
    fn generate(&self, server: &Running) -> Result<Sample> {
        let mut generator = Generator::connect(server.address, CONTROL_CLIENTS + 2 * self.heavy)?;
        self.run(&mut generator, WARM_UP)?;
        let found = self.run(&mut generator, self.window)?;
        let (control, heavy) = (&found.latencies[CONTROLS], &found.latencies[HEAVY]);
        Ok(Sample::default()
            .with(Metric::RequestsPerSecond, found.per_second)
            .with(Metric::P50Micros, quantile(control, 0.5) / 1e3)
            .with(Metric::P99Micros, quantile(control, 0.99) / 1e3)
            .with(Metric::HeavyP50Millis, quantile(heavy, 0.5) / 1e6))
    }

    fn run(&self, generator: &mut Generator, time: Duration) -> Result<Closed> {
        let requests: Vec<_> = schedule::requests().into_iter().chain([response::get(CONTROL)]).collect();
        let kind = |connection| match connection {
            ..CONTROL_CLIENTS => CONTROLS,
            connection if connection < CONTROL_CLIENTS + self.heavy => HEAVY,
            _ => CHEAP,
        };
        closed::run(generator, &requests, kind, Until::Elapsed(time))
    }
}
