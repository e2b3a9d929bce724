//! How service times are distributed.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt};

use super::LONGEST;
use crate::job::Nanos;

/// The largest of a Pareto distribution's service times, for its least: it is cut off there.
const SPREAD: f64 = 1e4;

/// A distribution of service times. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All alike.
    Constant {
        /// What each takes.
        time: f64,
    },
    /// However long a job has run, it has as long to go.
    Exponential {
        /// What they take in the mean.
        mean: f64,
    },
    /// Short ones and long ones.
    Bimodal {
        /// The part of the jobs that is long.
        part: f64,
        /// What the others take.
        short: f64,
        /// What they take.
        long: f64,
    },
    /// Many short ones, and few that have most of the time, cut off at 10^4 times the least.
    Pareto {
        /// The shortest.
        least: f64,
        /// The tail's exponent: the less, the heavier.
        alpha: f64,
    },
}

/// What theory has to know of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// The mean, in seconds.
    pub mean: f64,
    /// The mean of the squares, in seconds squared.
    pub square: f64,
}

impl Shape {
    /// The names, with what is understood where no numbers are given.
    pub const NAMES: [(&str, Self); 4] = [
        ("constant", Self::Constant { time: 100.0 }),
        ("exponential", Self::Exponential { mean: 1000.0 }),
        ("bimodal", Self::Bimodal { part: 0.06, short: 8.0, long: 8000.0 }),
        ("pareto", Self::Pareto { least: 8.0, alpha: 1.1 }),
    ];

    /// A job's service time and its class.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> (Nanos, u8) {
        let share = rng.random::<f64>();
        let (micros, class) = match *self {
            Self::Constant { time } => (time, 0),
            Self::Exponential { mean } => (-mean * (1.0 - share).ln(), 0),
            Self::Bimodal { part, long, .. } if share < part => (long, 1),
            Self::Bimodal { short, .. } => (short, 0),
            Self::Pareto { least, alpha } => {
                let times = (1.0 - share * (1.0 - SPREAD.powf(-alpha))).powf(-1.0 / alpha);
                (least * times, times.log10().clamp(0.0, 3.0) as u8)
            }
        };
        (((micros * 1e3).round() as Nanos).max(1), class)
    }

    /// What the classes are, in the order of their numbers.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        match *self {
            Self::Constant { .. } | Self::Exponential { .. } => vec!["all".to_owned()],
            Self::Bimodal { short, long, .. } => vec![time(short), time(long)],
            Self::Pareto { least, .. } => {
                (0..4).map(|decade| format!("from {}", time(least * 10_f64.powi(decade)))).collect()
            }
        }
    }

    /// Its first two moments.
    #[must_use]
    pub fn moments(&self) -> Moments {
        let (mean, square) = match *self {
            Self::Constant { time } => (time, time * time),
            Self::Exponential { mean } => (mean, 2.0 * mean * mean),
            Self::Bimodal { part, short, long } => {
                let mix = |short: f64, long: f64| (1.0 - part) * short + part * long;
                (mix(short, long), mix(short * short, long * long))
            }
            Self::Pareto { least, alpha } => (pareto(least, alpha, 1.0), pareto(least, alpha, 2.0)),
        };
        Moments { mean: mean * 1e-6, square: square * 1e-12 }
    }

    fn is_possible(&self) -> bool {
        let is_time = |time: f64| (1e-3..=LONGEST).contains(&time);
        match *self {
            Self::Constant { time } | Self::Exponential { mean: time } => is_time(time),
            Self::Bimodal { part, short, long } => (0.0..=1.0).contains(&part) && is_time(short) && is_time(long),
            Self::Pareto { least, alpha } => is_time(least * SPREAD) && is_time(least) && (0.1..=10.0).contains(&alpha),
        }
    }
}

/// The mean of the `n`th powers of a bounded Pareto distribution.
fn pareto(least: f64, alpha: f64, n: f64) -> f64 {
    let above = n - alpha;
    // How much there is between the least and the largest; the limit where both powers are the same.
    let between = if above.abs() < 1e-9 { SPREAD.ln() } else { (SPREAD.powf(above) - 1.0) / above };
    alpha * least.powf(n) * between / (1.0 - SPREAD.powf(-alpha))
}

fn time(micros: f64) -> String {
    match micros {
        ..1e3 => format!("{micros} µs"),
        ..1e6 => format!("{} ms", micros / 1e3),
        _ => format!("{} s", micros / 1e6),
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant { time: each } => write!(f, "all of {}", time(each)),
            Self::Exponential { mean } => write!(f, "exponential, {} in the mean", time(mean)),
            Self::Bimodal { part, short, long } => {
                write!(f, "{} % of {} among {}", (part * 1e5).round() / 1e3, time(long), time(short))
            }
            Self::Pareto { least, alpha } => {
                write!(f, "Pareto of {alpha}, {} to {}", time(least), time(least * SPREAD))
            }
        }
    }
}

impl FromStr for Shape {
    type Err = String;

    /// `NAME` or `NAME:NUMBER,...`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, numbers) = text.split_once(':').map_or((text, None), |(name, numbers)| (name, Some(numbers)));
        let known = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape);
        let Some(usual) = known else {
            let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            return Err(format!("the workloads are {}", names.join(", ")));
        };
        let Some(numbers) = numbers else { return Ok(usual) };
        let numbers: Result<Vec<f64>, _> = numbers.split(',').map(str::parse).collect();
        let shape = match (usual, numbers.as_deref()) {
            (Self::Constant { .. }, Ok(&[time])) => Some(Self::Constant { time }),
            (Self::Exponential { .. }, Ok(&[mean])) => Some(Self::Exponential { mean }),
            (Self::Bimodal { .. }, Ok(&[part, short, long])) => Some(Self::Bimodal { part, short, long }),
            (Self::Pareto { .. }, Ok(&[least, alpha])) => Some(Self::Pareto { least, alpha }),
            _ => None,
        };
        shape.filter(Self::is_possible).ok_or_else(|| {
            "write constant:TIME, exponential:MEAN, bimodal:LONG_PART,SHORT,LONG or pareto:LEAST,ALPHA, times in µs from 0.001 to 10^9, \
             a part from 0 to 1, an alpha from 0.1 to 10"
                .to_owned()
        })
    }
}
