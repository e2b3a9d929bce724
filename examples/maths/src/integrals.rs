//! Integrals by Romberg's method: a cycle, one refinement a round, until the result holds still or the rounds are used up.

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

use crate::compensated::Sum;
use crate::polynomial::Polynomial;
use crate::query;
use crate::refusal::Refusal;

/// The most rounds. Each takes twice the points of the one before.
pub(crate) const MAX_ROUNDS: u32 = 12;

/// The error that is good enough, relative to the integral, or absolute where the integral is below 1.
const TOLERANCE: f64 = 1e-10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    c: String,
    from: String,
    to: String,
}

/// An integral after some rounds.
#[derive(Message, Serialize, Deserialize, Debug, PartialEq)]
pub(crate) struct Refinement {
    polynomial: Polynomial,
    from: f64,
    to: f64,
    /// How many there were: the range is in 2^rounds panels.
    rounds: u32,
    /// Romberg's row: the trapezoidal sum, then what is extrapolated from it and those before, the best last.
    row: Vec<f64>,
    /// The trapezoidal sum of [`Polynomial::size_at`], to which the rounding errors are in proportion. That function is convex, so that
    /// this is never too small.
    size: f64,
    /// The last round changed next to nothing.
    is_steady: bool,
}

/// The answer.
#[derive(Serialize, Debug, PartialEq)]
pub(crate) struct Integral {
    integral: f64,
    /// An estimate: how much the last round changed, and what rounding may have.
    error: f64,
    rounds: u32,
    /// Whether the error is within the tolerance.
    converged: bool,
}

/// Where a round leads.
#[derive(Routes, Debug, PartialEq)]
pub(crate) enum Next {
    /// To the next refinement.
    #[to(refine)]
    Again(Refinement),
    /// To the client.
    Done(Json<Integral>),
}

/// Reads the query, and begins with one panel.
#[stage(workers = 1)]
pub(crate) fn integral(request: Request) -> Result<Refinement, Refusal> {
    let Query { c, from, to } = query::read(&request, "/integral?c=0,1&from=0&to=4")?;
    let polynomial = query::polynomial(&c)?;
    let (from, to) = (query::number("from", &from)?, query::number("to", &to)?);
    query::in_order(from, to)?;
    Ok(Refinement::new(polynomial, from, to))
}

impl Refinement {
    fn new(polynomial: Polynomial, from: f64, to: f64) -> Self {
        let half = (to - from) / 2.0;
        // Each value is scaled before they are added, so that only what is too large itself overflows.
        let trapezoid = half * polynomial.at(from) + half * polynomial.at(to);
        let size = half * polynomial.size_at(from) + half * polynomial.size_at(to);
        Self { polynomial, from, to, rounds: 0, row: vec![trapezoid], size, is_steady: false }
    }

    /// Halves the panels.
    fn refined(&self) -> Self {
        let panels = 1_u32 << self.rounds;
        let width = (self.to - self.from) / f64::from(panels);
        let (mut sum, mut size) = (Sum::default(), self.size / 2.0);
        for panel in 0..panels {
            let middle = self.from + (f64::from(panel) + 0.5) * width;
            sum.add(width / 2.0 * self.polynomial.at(middle));
            size += width / 2.0 * self.polynomial.size_at(middle);
        }
        let mut row = Vec::with_capacity(self.row.len() + 1);
        let mut best = self.row[0] / 2.0 + sum.value();
        row.push(best);
        let mut weight = 1.0;
        for before in &self.row {
            weight *= 4.0;
            best += (best - before) / (weight - 1.0);
            row.push(best);
        }
        Self { polynomial: self.polynomial.clone(), rounds: self.rounds + 1, row, size, ..*self }
    }

    /// The best that is known.
    fn best(&self) -> f64 {
        self.row.last().copied().unwrap_or_default()
    }

    /// What rounding may have made of it: some roundings for each coefficient, of the values and of where they were taken.
    fn rounding(&self) -> f64 {
        4.0 * (self.polynomial.degree() + 1) as f64 * f64::EPSILON * self.size
    }
}

/// Refines once.
#[stage(idempotent)]
pub(crate) fn refine(before: Refinement) -> Result<Next, Refusal> {
    let mut refined = before.refined();
    let (integral, rounds) = (refined.best(), refined.rounds);
    let error = (integral - before.best()).abs() + refined.rounding();
    if !integral.is_finite() || !error.is_finite() {
        return Err(Refusal::overflow());
    }
    let degree = refined.polynomial.degree();
    // Up to this degree the result is exact but for rounding. Above it, two estimates can agree by chance, and at as many points as it
    // has zeros a polynomial can seem to be none.
    let is_exact = degree <= 2 * rounds as usize + 1;
    let is_seen = before.is_steady && 1_usize << rounds >= degree;
    refined.is_steady = error <= TOLERANCE * integral.abs().max(1.0);
    let converged = refined.is_steady && (is_exact || is_seen);
    if converged || rounds >= MAX_ROUNDS {
        return Ok(Next::Done(Json(Integral { integral, error, rounds, converged })));
    }
    Ok(Next::Again(refined))
}

#[cfg(test)]
mod tests;
