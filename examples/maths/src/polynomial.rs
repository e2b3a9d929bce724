//! Polynomials by their coefficients, from the lowest power up: `[1.0, 2.0, 3.0]` is 1 + 2x + 3x².

use prime_server::Schema;
use serde::{Deserialize, Serialize};

/// A polynomial. It has at least one coefficient, and the last is not 0 unless it is the only one.
#[derive(Schema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Polynomial(Vec<f64>);

impl Polynomial {
    /// Of these coefficients; of none, 0.
    pub(crate) fn new(mut coefficients: Vec<f64>) -> Self {
        let length = coefficients.iter().rposition(|c| *c != 0.0).map_or(0, |last| last + 1);
        coefficients.truncate(length);
        if coefficients.is_empty() {
            coefficients.push(0.0);
        }
        Self(coefficients)
    }

    /// The highest power.
    pub(crate) fn degree(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Whether no coefficient has overflowed.
    pub(crate) fn is_finite(&self) -> bool {
        self.0.iter().all(|c| c.is_finite())
    }

    /// Its value at `x`, by Horner's rule.
    pub(crate) fn at(&self, x: f64) -> f64 {
        self.0.iter().rfold(0.0, |value, c| value * x + c)
    }

    /// What its terms come to at `x` if none has a sign. The rounding errors of [`at`](Self::at) are in proportion to this, and not to
    /// the value, where terms cancel each other.
    pub(crate) fn size_at(&self, x: f64) -> f64 {
        let x = x.abs();
        self.0.iter().rfold(0.0, |size, c| size * x + c.abs())
    }

    /// Its derivative.
    pub(crate) fn derivative(&self) -> Self {
        Self::new(self.0.iter().enumerate().skip(1).map(|(power, c)| c * power as f64).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polynomial(coefficients: &[f64]) -> Polynomial {
        Polynomial::new(coefficients.to_vec())
    }

    #[test]
    fn its_value_is_that_of_its_terms() {
        assert_eq!(polynomial(&[1.0, 2.0, 3.0]).at(2.0), 17.0);
        assert_eq!(polynomial(&[1.0, -2.0, 3.0]).at(-2.0), 17.0);
        assert_eq!(polynomial(&[1.0, -2.0, 3.0]).size_at(-2.0), 17.0);
        assert_eq!(polynomial(&[1.0, -2.0, 3.0]).size_at(2.0), 17.0);
        assert_eq!(polynomial(&[5.0]).at(1e300), 5.0);
        assert_eq!(polynomial(&[]).at(7.0), 0.0);
    }

    #[test]
    fn zeros_at_its_end_do_not_count() {
        assert_eq!(polynomial(&[]), polynomial(&[0.0]));
        assert_eq!(polynomial(&[-0.0, 0.0]), polynomial(&[0.0]));
        assert_eq!(polynomial(&[0.0, 2.0, 0.0, 0.0]), Polynomial(vec![0.0, 2.0]));
        let degrees = [&[][..], &[0.0], &[7.0], &[0.0, 0.0, 1.0, 0.0]].map(|c| polynomial(c).degree());
        assert_eq!(degrees, [0, 0, 0, 2]);
    }

    #[test]
    fn its_derivative_has_each_power_as_a_factor() {
        assert_eq!(polynomial(&[1.0, 2.0, 3.0, 4.0]).derivative(), polynomial(&[2.0, 6.0, 12.0]));
        for zero in [&[][..], &[0.0], &[7.0], &[0.0, 0.0]] {
            assert_eq!(polynomial(zero).derivative(), Polynomial(vec![0.0]));
        }
    }
}
