//! Whether a deadline is answered on time while every worker is busy and more jobs queue than could
//! ever be run.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::{OURS, Settings, ours};
use crate::client::Client;
use crate::contest::{Contest, Drive};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample, latencies, quantile, record};
use crate::server::Running;

/// The timeout of the stage under test.
pub(crate) const LIMIT: Duration = Duration::from_millis(200);

const CLIENTS: usize = 8;
const JOB: Duration = Duration::from_secs(2);
/// Clocks tick differently in two threads; an answer earlier than this is no deadline's.
const EARLY: Duration = Duration::from_millis(2);

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    Ok(Contest {
        contestants: vec![ours(OURS, Kind::Deadline, Deadline { window: settings.window })],
        yardstick: None,
        requirements: vec![Requirement::figure(OURS, Metric::LatenessP99Millis, Bound::AtMost(20.0))],
        notes: Vec::new(),
    })
}

struct Deadline {
    window: Duration,
}

impl Drive for Deadline {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        let mut lateness = latencies();
        thread::scope(|scope| -> Result<()> {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| self.client(server))).collect();
            for client in clients {
                lateness += client.join().expect("a client does not panic")?;
            }
            Ok(())
        })?;
        Ok(Sample::default()
            .with(Metric::LatenessP50Millis, quantile(&lateness, 0.5) / 1e6)
            .with(Metric::LatenessP99Millis, quantile(&lateness, 0.99) / 1e6))
    }
}

impl Deadline {
    /// Asks again and again for more than the deadline allows; gives how late the refusals came.
    fn client(&self, server: &Running) -> Result<Histogram<u64>> {
        let request = response::get(&format!("/spin?us={}", JOB.as_micros()));
        let mut client = Client::connect(server.address)?;
        let mut lateness = latencies();
        let start = Instant::now();
        while start.elapsed() < self.window {
            let sent = Instant::now();
            let (status, _) = client.ask(&request)?;
            let waited = sent.elapsed();
            ensure!(status == 504, "a job past its deadline was answered {status} after {waited:?}, not 504");
            ensure!(waited + EARLY >= LIMIT, "a deadline of {LIMIT:?} was answered after {waited:?}");
            record(&mut lateness, waited.saturating_sub(LIMIT));
        }
        ensure!(!lateness.is_empty(), "no client was answered");
        Ok(lateness)
    }
}
