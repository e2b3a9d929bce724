//! What one run of one contestant measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::server::Running;

/// A quantity; the order is the order of a table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    RequestsPerSecond,
    CpuMicros,
    QuietP50Micros,
    P50Micros,
    TimesQuiet,
    P99Micros,
    CheapP50Millis,
    CheapP99Millis,
    HeavyP50Millis,
    HeavyP99Millis,
    HeavyMaxMillis,
    SentLateP99Millis,
    LatenessP50Millis,
    LatenessP99Millis,
    IdleCpuMillis,
    ResidentMib,
    GrowthMib,
    KibEach,
    DescriptorsLeft,
    FreedSeconds,
    HopMicros,
    RoundsPerSecond,
    OthersP99Millis,
    Goodput,
    LateShare,
    RefusedP99Millis,
    AfterwardsP99Millis,
}

impl Metric {
    /// The column's title, with the unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "req/s",
            Self::CpuMicros => "CPU µs/req",
            Self::QuietP50Micros => "quiet p50 µs",
            Self::P50Micros => "p50 µs",
            Self::TimesQuiet => "p50 / quiet",
            Self::P99Micros => "p99 µs",
            Self::CheapP50Millis => "cheap p50 ms",
            Self::CheapP99Millis => "cheap p99 ms",
            Self::HeavyP50Millis => "heavy p50 ms",
            Self::HeavyP99Millis => "heavy p99 ms",
            Self::HeavyMaxMillis => "heavy max ms",
            Self::SentLateP99Millis => "sent late p99 ms",
            Self::LatenessP50Millis => "late p50 ms",
            Self::LatenessP99Millis => "late p99 ms",
            Self::IdleCpuMillis => "CPU ms",
            Self::ResidentMib => "resident MiB",
            Self::GrowthMib => "growth MiB",
            Self::KibEach => "KiB each",
            Self::DescriptorsLeft => "descriptors left",
            Self::FreedSeconds => "freed after s",
            Self::HopMicros => "CPU µs/hop",
            Self::RoundsPerSecond => "rounds/s",
            Self::OthersP99Millis => "others' p99 ms",
            Self::Goodput => "goodput",
            Self::LateShare => "late",
            Self::RefusedP99Millis => "refused p99 ms",
            Self::AfterwardsP99Millis => "afterwards p99 ms",
        }
    }
}

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Sample(BTreeMap<Metric, f64>);

impl Sample {
    /// This sample with one more figure.
    pub(crate) fn with(mut self, metric: Metric, value: f64) -> Self {
        self.0.insert(metric, value);
        self
    }

    /// One figure, where this run measured it.
    pub(crate) fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric).copied()
    }

    /// What this run measured.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.0.keys().copied()
    }
}

/// The stretch of time over which a server's processor time is counted.
pub(crate) struct Window {
    opened: Instant,
    cpu: Duration,
}

impl Window {
    /// Begins now.
    pub(crate) fn open(server: &Running) -> Result<Self> {
        Ok(Self { opened: Instant::now(), cpu: server.cpu()? })
    }

    /// How long it has been open.
    pub(crate) fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The processor time that the server has used since.
    pub(crate) fn cpu(&self, server: &Running) -> Result<Duration> {
        Ok(server.cpu()?.saturating_sub(self.cpu))
    }
}

/// A latency histogram in nanoseconds, to three significant digits.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

/// Adds a latency to `histogram`.
pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    histogram.record(nanos).expect("the histogram grows by itself");
}

/// A quantile in nanoseconds, as a number to be scaled.
pub(crate) fn quantile(histogram: &Histogram<u64>, q: f64) -> f64 {
    histogram.value_at_quantile(q) as f64
}

/// `time` in microseconds for each of `requests`.
pub(crate) fn micros_each(time: Duration, requests: u64) -> f64 {
    time.as_secs_f64() * 1e6 / requests as f64
}
