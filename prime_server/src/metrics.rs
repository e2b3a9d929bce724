//! What a pipeline counts, and its page in Prometheus text.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::context::Reason;

/// How a job ended at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It went on to another stage.
    Forwarded,
    /// It was answered.
    Answered,
    /// Its worker has told its proxy what came of it, which the proxy does not read.
    Done,
    /// The stage panicked: 500.
    Panicked,
    /// The queue was full: 503.
    QueueFull,
    /// No worker was there for too long: 503.
    NoWorker,
    /// It waited at a proxy that drains, and its front end sends it elsewhere.
    GivenBack,
    /// It takes longer than the time that it had left: 504.
    Hopeless,
    /// The worker was lost: 502.
    Lost,
    /// It had made too many hops: 508.
    HopLimit,
    /// Nobody waited for it any more.
    Cancelled(Reason),
}

impl Ended {
    const ALL: [Ended; 16] = [
        Ended::Forwarded,
        Ended::Answered,
        Ended::Done,
        Ended::Panicked,
        Ended::QueueFull,
        Ended::NoWorker,
        Ended::GivenBack,
        Ended::Hopeless,
        Ended::Lost,
        Ended::HopLimit,
        Ended::Cancelled(Reason::Disconnected),
        Ended::Cancelled(Reason::TimedOut),
        Ended::Cancelled(Reason::ShuttingDown),
        Ended::Cancelled(Reason::SlowReader),
        Ended::Cancelled(Reason::Overloaded),
        Ended::Cancelled(Reason::Answered),
    ];

    fn index(self) -> usize {
        Self::ALL.iter().position(|ended| *ended == self).expect("ALL is complete")
    }

    fn as_str(self) -> &'static str {
        match self {
            Ended::Forwarded => "forwarded",
            Ended::Answered => "answered",
            Ended::Done => "done",
            Ended::Panicked => "panicked",
            Ended::QueueFull => "queue_full",
            Ended::NoWorker => "no_worker",
            Ended::GivenBack => "given_back",
            Ended::Hopeless => "hopeless",
            Ended::Lost => "lost",
            Ended::HopLimit => "hop_limit",
            Ended::Cancelled(reason) => reason.as_str(),
        }
    }
}

/// Which part of a stage a process has, and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// All of it.
    Whole,
    /// Its queue: jobs are run elsewhere.
    Queue,
    /// Its workers: what waits here has left the queue before its turn.
    Work,
}

/// What one stage counts. Atomics only: a worker never waits here for another.
#[derive(Debug)]
pub(crate) struct StageMetrics {
    stage: Box<str>,
    queue_delay: Histogram,
    run_time: Histogram,
    /// How many jobs are run in one call, of a stage that takes several.
    batch: Option<Histogram>,
    ended: Box<[IntCounter]>,
    /// Jobs that were given to another worker after theirs was lost.
    pub(crate) retried: IntCounter,
    /// Jobs that lost their slot.
    demoted: IntCounter,
    /// How many jobs run at a time.
    pub(crate) workers: IntGauge,
}

impl StageMetrics {
    pub(crate) fn stage(&self) -> &str {
        &self.stage
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.queue_delay.observe(time.as_secs_f64());
    }

    pub(crate) fn ran(&self, time: Duration) {
        self.run_time.observe(time.as_secs_f64());
    }

    /// So many jobs ran in one call.
    pub(crate) fn batch(&self, jobs: usize) {
        if let Some(batch) = &self.batch {
            batch.observe(jobs as f64);
        }
    }

    pub(crate) fn demoted(&self) {
        self.demoted.inc();
    }

    pub(crate) fn ended(&self, how: Ended) {
        self.ended[how.index()].inc();
    }

    /// How many jobs ran, and for how long all together.
    pub(crate) fn runs(&self) -> (u64, Duration) {
        (self.run_time.get_sample_count(), Duration::from_secs_f64(self.run_time.get_sample_sum()))
    }
}

#[cfg(test)]
impl StageMetrics {
    /// How many jobs ended, by how, where that is not 0.
    pub(crate) fn ends(&self) -> Vec<(&'static str, u64)> {
        let counts = Ended::ALL.iter().zip(&self.ended).map(|(how, count)| (how.as_str(), count.get()));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// How many jobs have waited.
    pub(crate) fn waits(&self) -> u64 {
        self.queue_delay.get_sample_count()
    }
}

/// What a pipeline counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    queue: IntGaugeVec,
    running: IntGaugeVec,
    pub(crate) in_flight: IntGauge,
    pub(crate) connections: IntGauge,
    answers: Answers,
    refused: IntCounterVec,
    /// Frames of other processes that were of no protocol.
    pub(crate) malformed: IntCounter,
}

/// Answers by status. Each status is looked up by name once, since this is counted for every request.
#[derive(Debug)]
struct Answers {
    by_name: IntCounterVec,
    by_code: Box<[OnceLock<IntCounter>]>,
}

impl Answers {
    fn new(by_name: IntCounterVec) -> Self {
        Self { by_name, by_code: (0..1000).map(|_| OnceLock::new()).collect() }
    }

    fn of(&self, status: StatusCode) -> &IntCounter {
        let counter = &self.by_code[usize::from(status.as_u16())];
        counter.get_or_init(|| self.by_name.with_label_values(&[status.as_str()]))
    }
}

/// From 10 µs to 42 s, four times further each: the costs that one service meets differ by orders of magnitude.
const FIRST_BUCKET: f64 = 10e-6;
const BUCKET_FACTOR: f64 = 4.0;
const BUCKETS: usize = 12;

impl Metrics {
    pub(crate) fn new(pipeline: &str) -> Self {
        let registry = Registry::new_custom(
            Some("prime".into()),
            Some([("pipeline".to_owned(), pipeline.to_owned())].into_iter().collect()),
        )
        .expect("prime is a legal prefix");
        let per_stage = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["stage"]).expect("legal names");
            register(&registry, gauge)
        };
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help).expect("legal names"));
        let counter = |name: &str, help: &str, label: &str| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), &[label]).expect("legal names"))
        };
        Self {
            queue: per_stage("stage_queue_length", "Jobs that wait for a worker."),
            running: per_stage("stage_in_flight", "Jobs that a worker runs."),
            in_flight: gauge("requests_in_flight", "Requests accepted and not yet answered."),
            connections: gauge("connections", "Open connections."),
            answers: Answers::new(counter("answers_total", "Answers by status code.", "code")),
            malformed: register(
                &registry,
                IntCounter::new("malformed_frames_total", "Frames of other processes that were dropped.")
                    .expect("legal names"),
            ),
            refused: counter("refused_total", "Requests answered at the door, by reason.", "reason"),
            registry,
        }
    }

    /// What a process counts that has so much of a stage. Only what it can count is on the page.
    pub(crate) fn stage(&self, stage: &str, share: Share) -> StageMetrics {
        let labels = || [("stage".to_owned(), stage.to_owned())].into_iter().collect();
        let histogram = |name: &str, help: &str, shown: bool| {
            let buckets = prometheus::exponential_buckets(FIRST_BUCKET, BUCKET_FACTOR, BUCKETS).expect("positive");
            let options = HistogramOpts::new(name, help).const_labels(labels()).buckets(buckets);
            let histogram = Histogram::with_opts(options).expect("legal names");
            if shown { register(&self.registry, histogram) } else { histogram }
        };
        let outcomes =
            Opts::new("stage_outcomes_total", "Jobs that ended at this stage, by how.").const_labels(labels());
        let retried = Opts::new("stage_retried_total", "Jobs tried again since their worker was lost.");
        let retried = IntCounter::with_opts(retried.const_labels(labels())).expect("legal names");
        let demoted = Opts::new("stage_demoted_total", "Jobs that ran for long while others waited, and made room.");
        let demoted = IntCounter::with_opts(demoted.const_labels(labels())).expect("legal names");
        let workers = Opts::new("stage_workers", "Workers that may run a job at the same time.");
        let workers = IntGauge::with_opts(workers.const_labels(labels())).expect("legal names");
        let outcomes = register(&self.registry, IntCounterVec::new(outcomes, &["reason"]).expect("legal names"));
        let queue_delay = match share {
            Share::Work => ("stage_ahead_delay_seconds", "How long jobs that were taken ahead waited for a thread."),
            _ => ("stage_queue_delay_seconds", "How long jobs waited for a worker."),
        };
        StageMetrics {
            stage: stage.into(),
            queue_delay: histogram(queue_delay.0, queue_delay.1, true),
            run_time: histogram("stage_run_seconds", "How long jobs ran.", share != Share::Queue),
            batch: None,
            retried: if share == Share::Queue { register(&self.registry, retried) } else { retried },
            workers: if share == Share::Queue { workers } else { register(&self.registry, workers) },
            demoted: if share == Share::Queue { demoted } else { register(&self.registry, demoted) },
            ended: Ended::ALL.iter().map(|ended| outcomes.with_label_values(&[ended.as_str()])).collect(),
        }
    }

    /// As [`stage`](Self::stage), of one whose workers take several jobs at a time.
    pub(crate) fn stage_in_batches(&self, stage: &str, share: Share) -> StageMetrics {
        let buckets = prometheus::exponential_buckets(1.0, 2.0, 11).expect("positive");
        let options = HistogramOpts::new("stage_batch_jobs", "How many jobs were run in one call.").buckets(buckets);
        let options = options.const_labels([("stage".to_owned(), stage.to_owned())].into_iter().collect());
        let batch = register(&self.registry, Histogram::with_opts(options).expect("legal names"));
        StageMetrics { batch: Some(batch), ..self.stage(stage, share) }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.answers.of(status).inc();
    }

    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// The page, with the present loads (stage, waiting, running).
    pub(crate) fn render(&self, loads: &[(String, usize, usize)]) -> Vec<u8> {
        for (stage, waiting, running) in loads {
            self.queue.with_label_values(&[stage]).set(*waiting as i64);
            self.running.with_label_values(&[stage]).set(*running as i64);
        }
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page).expect("a vector takes it all");
        page
    }

    /// The content type of [`render`](Self::render)'s page.
    pub(crate) fn content_type() -> &'static str {
        prometheus::TEXT_FORMAT
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("each name and label set is registered once");
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_counter() {
        assert!(Reason::ALL.into_iter().all(|reason| Ended::ALL.contains(&Ended::Cancelled(reason))));
    }
}
