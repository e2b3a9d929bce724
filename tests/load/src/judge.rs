//! Required figures, and whether the measured ones meet them.

use std::fmt;

use serde::Serialize;

use crate::contest::{Runs, by_label};
use crate::sample::Metric;
use crate::stats::Spread;

/// A bound on a figure of one contestant, or on its ratio to another's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    pub(crate) of: &'static str,
    pub(crate) metric: Metric,
    pub(crate) bound: Bound,
    /// Whose figure it is compared with, and how; without one the bound is the figure itself.
    pub(crate) against: Option<(&'static str, Relation)>,
}

/// How two figures of a round are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Relation {
    /// One as a multiple of the other.
    Ratio,
    /// One less the other.
    Difference,
}

/// Which side of a figure is the good one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// How a requirement came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Met,
    FellShort,
    /// A run that the figure needs went wrong, so the figure proves nothing.
    Void,
    /// A contestant is not there to be measured.
    NotWired,
}

/// A requirement with the figure measured for it.
#[derive(Debug, Serialize)]
pub(crate) struct Judgement {
    pub(crate) required: String,
    pub(crate) measured: Option<Spread>,
    pub(crate) verdict: Verdict,
}

impl Requirement {
    /// A bound on the ratio of two contestants' figures.
    pub(crate) fn ratio(of: &'static str, metric: Metric, bound: Bound, against: &'static str) -> Self {
        Self { of, metric, bound, against: Some((against, Relation::Ratio)) }
    }

    /// A bound on what one contestant's figure is above another's.
    pub(crate) fn difference(of: &'static str, metric: Metric, bound: Bound, against: &'static str) -> Self {
        Self { of, metric, bound, against: Some((against, Relation::Difference)) }
    }

    /// A bound on a figure itself.
    pub(crate) fn figure(of: &'static str, metric: Metric, bound: Bound) -> Self {
        Self { of, metric, bound, against: None }
    }

    /// Judges the median over the rounds.
    pub(crate) fn judge(&self, runs: &[Runs]) -> Judgement {
        let runs = by_label(runs);
        let find = |label| *runs.get(label).expect("a requirement names contestants of its own scenario");
        let (of, against) = (find(self.of), self.against.map(|(label, relation)| (find(label), relation)));
        let measured = match against {
            None => of.spread(self.metric),
            Some((against, Relation::Ratio)) => of.ratio(against, self.metric),
            Some((against, Relation::Difference)) => of.difference(against, self.metric),
        };
        let named: Vec<&Runs> = [of].into_iter().chain(against.map(|(against, _)| against)).collect();
        let verdict = if named.iter().any(|runs| runs.absent.is_some()) {
            Verdict::NotWired
        } else if named.iter().any(|runs| !runs.voids.is_empty()) {
            Verdict::Void
        } else if measured.is_some_and(|figure| self.bound.holds(figure.median)) {
            Verdict::Met
        } else {
            Verdict::FellShort
        };
        Judgement { required: self.to_string(), measured, verdict }
    }
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, figure) = match self.bound {
            Bound::AtMost(most) => ("<=", most),
            Bound::AtLeast(least) => (">=", least),
        };
        write!(f, "{}: {} {sign} {figure}", self.of, self.metric.title())?;
        match self.against {
            None => Ok(()),
            Some((against, Relation::Ratio)) => write!(f, " x {against}"),
            Some((against, Relation::Difference)) => write!(f, " above {against}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::FellShort => "fell short",
            Self::Void => "void",
            Self::NotWired => "not wired",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn runs(label: &'static str, cpu: f64) -> Runs {
        let samples = vec![Some(Sample::default().with(Metric::CpuMicros, cpu))];
        Runs { label, samples, voids: Vec::new(), absent: None }
    }

    fn verdict(ours: Runs) -> Verdict {
        let requirement = Requirement::ratio("ours", Metric::CpuMicros, Bound::AtMost(0.9), "theirs");
        assert_eq!(requirement.to_string(), "ours: CPU µs/req <= 0.9 x theirs");
        requirement.judge(&[ours, runs("theirs", 10.0)]).verdict
    }

    #[test]
    fn the_bound_itself_is_good_enough() {
        assert_eq!(verdict(runs("ours", 9.0)), Verdict::Met);
        assert_eq!(verdict(runs("ours", 9.1)), Verdict::FellShort);
    }

    #[test]
    fn a_void_run_spoils_a_good_figure() {
        assert_eq!(verdict(Runs { voids: vec!["round 2: broken".to_owned()], ..runs("ours", 1.0) }), Verdict::Void);
    }

    #[test]
    fn who_is_absent_is_not_judged() {
        let absent = Runs { samples: Vec::new(), absent: Some("later".to_owned()), ..runs("ours", 1.0) };
        assert_eq!(verdict(absent), Verdict::NotWired);
    }

    #[test]
    fn a_figure_of_its_own_needs_no_other() {
        let requirement = Requirement::figure("ours", Metric::CpuMicros, Bound::AtLeast(5.0));
        assert_eq!(requirement.judge(&[runs("ours", 5.0)]).verdict, Verdict::Met);
    }
}
