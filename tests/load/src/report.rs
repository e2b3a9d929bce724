//! What a scenario's runs come to, as tables to read or as JSON to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::contest::{Contest, Runs};
use crate::judge::{Judgement, Verdict};
use crate::sample::{Metric, Sample};
use crate::stats::Spread;

/// The metrics whose ratio to the yardstick is worth a column, and its title.
const COMPARED: [(Metric, &str); 3] =
    [(Metric::RequestsPerSecond, "req/s ratio"), (Metric::CpuMicros, "CPU ratio"), (Metric::P50Micros, "p50 ratio")];

/// One scenario's results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    about: &'static str,
    rounds: u32,
    contestants: Vec<Row>,
    yardstick: Option<&'static str>,
    requirements: Vec<Judgement>,
    notes: Vec<String>,
}

/// One contestant's medians.
#[derive(Debug, Serialize)]
struct Row {
    label: &'static str,
    figures: BTreeMap<Metric, Spread>,
    /// To the yardstick, of the same round.
    ratios: BTreeMap<Metric, Spread>,
    runs: Vec<Option<Sample>>,
    void_runs: Vec<String>,
    not_wired: Option<String>,
}

impl Report {
    pub(crate) fn new(
        scenario: &'static str,
        about: &'static str,
        rounds: u32,
        contest: &Contest,
        runs: Vec<Runs>,
    ) -> Self {
        let requirements = contest.requirements.iter().map(|requirement| requirement.judge(&runs)).collect();
        let yardstick = contest.yardstick.and_then(|label| runs.iter().find(|runs| runs.label == label));
        let contestants = runs
            .iter()
            .map(|one| Row {
                label: one.label,
                figures: one.metrics().filter_map(|metric| Some((metric, one.spread(metric)?))).collect(),
                ratios: COMPARED
                    .into_iter()
                    .filter_map(|(metric, _)| Some((metric, one.ratio(yardstick?, metric)?)))
                    .collect(),
                runs: one.samples.clone(),
                void_runs: one.voids.clone(),
                not_wired: one.absent.clone(),
            })
            .collect();
        let notes = contest.notes.clone();
        Self { scenario, about, rounds, contestants, yardstick: contest.yardstick, requirements, notes }
    }

    /// Whether everything required was met.
    pub(crate) fn is_good(&self) -> bool {
        self.requirements.iter().all(|judgement| judgement.verdict == Verdict::Met)
    }

    fn figures_table(&self) -> Vec<Vec<String>> {
        let metrics: BTreeSet<Metric> = self.contestants.iter().flat_map(|row| row.figures.keys().copied()).collect();
        let compared: Vec<(Metric, &str)> = COMPARED
            .into_iter()
            .filter(|(metric, _)| self.contestants.iter().any(|row| row.ratios.contains_key(metric)))
            .collect();
        let mut table = vec![vec!["contestant".to_owned()]];
        table[0].extend(metrics.iter().map(|metric| metric.title().to_owned()));
        table[0].extend(compared.iter().map(|(_, title)| (*title).to_owned()));
        for row in &self.contestants {
            let figures = metrics.iter().map(|metric| cell(row.figures.get(metric), Figure));
            let ratios = compared.iter().map(|(metric, _)| cell(row.ratios.get(metric), Ratio));
            table.push(std::iter::once(row.label.to_owned()).chain(figures).chain(ratios).collect());
        }
        table
    }

    fn requirements_table(&self) -> Vec<Vec<String>> {
        let mut table = vec![["required", "measured", "least", "most", "verdict"].map(str::to_owned).to_vec()];
        for judgement in &self.requirements {
            let measured = judgement.measured.as_ref();
            let side =
                |pick: fn(&Spread) -> f64| measured.map_or("-".to_owned(), |spread| Ratio(pick(spread)).to_string());
            table.push(vec![
                judgement.required.clone(),
                side(|spread| spread.median),
                side(|spread| spread.least),
                side(|spread| spread.most),
                judgement.verdict.to_string(),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = if self.rounds == 1 { "1 round".to_owned() } else { format!("medians of {} rounds", self.rounds) };
        writeln!(f, "{}: {} ({rounds})", self.scenario, self.about)?;
        write_table(f, &self.figures_table())?;
        if let Some(yardstick) = self.yardstick {
            writeln!(f, "  ratios are to {yardstick}, taken within each round")?;
        }
        for row in &self.contestants {
            for why in row.not_wired.iter() {
                writeln!(f, "  not wired: {}: {why}", row.label)?;
            }
            for why in &row.void_runs {
                writeln!(f, "  void run: {}, {why}", row.label)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        if self.requirements.is_empty() {
            writeln!(f, "  no figure is required yet")
        } else {
            write_table(f, &self.requirements_table())
        }
    }
}

/// A measured figure, with as many digits as it deserves.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.0.abs() {
            100.0.. => 0,
            10.0.. => 1,
            _ => 2,
        };
        write!(f, "{:.digits$}", self.0)
    }
}

/// A figure that is held against a bound.
struct Ratio(f64);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

fn cell<T: fmt::Display>(spread: Option<&Spread>, show: fn(f64) -> T) -> String {
    spread.map_or("-".to_owned(), |spread| show(spread.median).to_string())
}

/// The first column to the left, figures to the right.
fn write_table(f: &mut fmt::Formatter<'_>, table: &[Vec<String>]) -> fmt::Result {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
    for row in table {
        write!(f, "  {:<1$}", row[0], widths[0])?;
        for (text, width) in row.iter().zip(&widths).skip(1) {
            write!(f, "  {text:>width$}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Bound, Requirement};

    fn report() -> Report {
        let runs = |label, rate| Runs {
            label,
            samples: vec![Some(Sample::default().with(Metric::RequestsPerSecond, rate))],
            voids: Vec::new(),
            absent: None,
        };
        let absent = Runs { samples: Vec::new(), absent: Some("later".to_owned()), ..runs("third", 1.0) };
        let contest = Contest {
            contestants: Vec::new(),
            yardstick: Some("theirs"),
            requirements: vec![Requirement::ratio("ours", Metric::RequestsPerSecond, Bound::AtLeast(1.15), "theirs")],
            notes: vec!["the moon was full".to_owned()],
        };
        Report::new(
            "fixed",
            "a fixed answer",
            1,
            &contest,
            vec![runs("ours", 60_000.0), runs("theirs", 50_000.0), absent],
        )
    }

    #[test]
    fn tables_line_up() {
        assert_eq!(
            report().to_string(),
            "fixed: a fixed answer (1 round)\n\
             \x20 contestant  req/s  req/s ratio\n\
             \x20 ours        60000        1.200\n\
             \x20 theirs      50000        1.000\n\
             \x20 third           -            -\n\
             \x20 ratios are to theirs, taken within each round\n\
             \x20 not wired: third: later\n\
             \x20 the moon was full\n\
             \x20 required                      measured  least   most  verdict\n\
             \x20 ours: req/s >= 1.15 x theirs     1.200  1.200  1.200      met\n"
        );
        assert!(report().is_good());
    }

    #[test]
    fn json_holds_every_run() {
        let json = serde_json::to_value(report()).expect("a report is plain data");
        assert_eq!(json["contestants"][0]["runs"][0]["requests_per_second"], 60_000.0);
        assert_eq!(json["requirements"][0]["verdict"], "met");
    }
}
