//! Contestants driven in turn, round after round, so that a noisy moment touches all of them alike.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::judge::Requirement;
use crate::sample::{Metric, Sample};
use crate::server::{Absent, Running, Server};
use crate::stats::Spread;

/// A way of putting a server under load.
pub(crate) trait Drive {
    /// Warms `server` up, drives it over one measured window and gives the figures.
    ///
    /// An error makes the run void: an answer that was not 2xx, a broken connection, a server that
    /// ended.
    fn drive(&self, server: &Running, round: u32) -> Result<Sample>;
}

/// A server under one kind of load.
pub(crate) struct Contestant {
    /// What the report calls it.
    pub(crate) label: &'static str,
    pub(crate) server: Server,
    pub(crate) drive: Box<dyn Drive>,
}

/// What a scenario compares and what it demands.
pub(crate) struct Contest {
    pub(crate) contestants: Vec<Contestant>,
    /// The contestant that the report's ratios are taken to.
    pub(crate) yardstick: Option<&'static str>,
    pub(crate) requirements: Vec<Requirement>,
    /// What a reader has to know beside the figures.
    pub(crate) notes: Vec<String>,
}

/// The runs of one contestant, one a round.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) label: &'static str,
    /// Nothing where the run was void.
    pub(crate) samples: Vec<Option<Sample>>,
    /// Why runs were void.
    pub(crate) voids: Vec<String>,
    /// Why it was not there to be measured.
    pub(crate) absent: Option<String>,
}

impl Runs {
    /// A figure over all rounds.
    pub(crate) fn spread(&self, metric: Metric) -> Option<Spread> {
        Spread::of(self.samples.iter().flatten().filter_map(|sample| sample.get(metric)))
    }

    /// A figure's ratio to another contestant's of the same round, over all rounds that both have.
    pub(crate) fn ratio(&self, other: &Self, metric: Metric) -> Option<Spread> {
        Spread::of(self.beside(other, metric).map(|(one, other)| one / other))
    }

    /// What a figure is above another contestant's, as [`ratio`](Self::ratio).
    pub(crate) fn difference(&self, other: &Self, metric: Metric) -> Option<Spread> {
        Spread::of(self.beside(other, metric).map(|(one, other)| one - other))
    }

    fn beside(&self, other: &Self, metric: Metric) -> impl Iterator<Item = (f64, f64)> {
        let figure = move |sample: &Option<Sample>| sample.as_ref()?.get(metric);
        let rounds = std::iter::zip(&self.samples, &other.samples);
        rounds.filter_map(move |(one, other)| Some((figure(one)?, figure(other)?)))
    }

    /// What its runs measured.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.samples.iter().flatten().flat_map(Sample::metrics)
    }
}

/// Runs every contestant once a round, in an order that rotates; `progress` hears what goes on.
pub(crate) fn run(contest: &Contest, rounds: u32, progress: impl Fn(&str)) -> Vec<Runs> {
    let mut runs: Vec<Runs> = contest
        .contestants
        .iter()
        .map(|contestant| Runs { label: contestant.label, samples: Vec::new(), voids: Vec::new(), absent: None })
        .collect();
    for round in 0..rounds {
        for index in order(contest.contestants.len(), round) {
            let runs = &mut runs[index];
            if runs.absent.is_some() {
                continue;
            }
            let contestant = &contest.contestants[index];
            progress(&format!("round {} of {rounds}: {}", round + 1, contestant.label));
            match start_and_drive(contestant, round) {
                Ok(sample) => runs.samples.push(Some(sample)),
                Err(error) => match error.downcast::<Absent>() {
                    Ok(Absent(why)) => {
                        progress(&format!("{} is left out: {why}", contestant.label));
                        runs.absent = Some(why);
                    }
                    Err(error) => {
                        let why = format!("round {}: {error:#}", round + 1);
                        progress(&format!("void: {}, {why}", contestant.label));
                        runs.samples.push(None);
                        runs.voids.push(why);
                    }
                },
            }
        }
    }
    runs
}

fn start_and_drive(contestant: &Contestant, round: u32) -> Result<Sample> {
    let server = contestant.server.start()?;
    contestant.drive.drive(&server, round)
}

/// Each round begins with another contestant.
fn order(contestants: usize, round: u32) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |place| (place + round as usize) % contestants)
}

/// Runs by their label, for requirements that name two.
pub(crate) fn by_label(runs: &[Runs]) -> BTreeMap<&'static str, &Runs> {
    runs.iter().map(|runs| (runs.label, runs)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(label: &'static str, figures: &[Option<f64>]) -> Runs {
        let sample = |figure: &Option<f64>| figure.map(|value| Sample::default().with(Metric::CpuMicros, value));
        Runs { label, samples: figures.iter().map(sample).collect(), voids: Vec::new(), absent: None }
    }

    #[test]
    fn every_round_begins_with_another() {
        assert_eq!(order(3, 0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(order(3, 4).collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let ours = runs("ours", &[Some(1.0), Some(8.0), None, Some(3.0)]);
        let theirs = runs("theirs", &[Some(2.0), Some(16.0), Some(1.0), None]);
        let ratio = ours.ratio(&theirs, Metric::CpuMicros);
        assert_eq!(ratio, Some(Spread { median: 0.5, least: 0.5, most: 0.5 }));
        assert_eq!(ours.spread(Metric::CpuMicros).map(|spread| spread.median), Some(3.0));
        assert_eq!(ours.ratio(&theirs, Metric::P50Micros), None);
    }

    struct Fails;

    impl Drive for Fails {
        fn drive(&self, _: &Running, _: u32) -> Result<Sample> {
            anyhow::bail!("never driven")
        }
    }

    #[test]
    fn an_absent_contestant_is_no_failure() {
        let contest = Contest {
            contestants: vec![Contestant {
                label: "ours",
                server: Server::Absent("not wired".to_owned()),
                drive: Box::new(Fails),
            }],
            yardstick: None,
            requirements: Vec::new(),
            notes: Vec::new(),
        };
        let runs = run(&contest, 3, |_| {});
        assert_eq!(runs[0].absent.as_deref(), Some("not wired"));
        assert!(runs[0].voids.is_empty());
    }
}
