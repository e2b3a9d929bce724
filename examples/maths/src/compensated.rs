//! Sums that keep what rounding takes from them.

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

/// A sum in two doubles: what it comes to, and what rounding has lost on the way. Its error is about that of one rounding, however
/// many terms there are and in whatever parts they are added.
#[derive(Message, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    rounded: f64,
    lost: f64,
}

impl Sum {
    /// Adds a term.
    pub(crate) fn add(&mut self, term: f64) {
        // Knuth's two-sum: without a branch, and exact whichever of the two is larger.
        let rounded = self.rounded + term;
        let added = rounded - self.rounded;
        self.lost += (self.rounded - (rounded - added)) + (term - added);
        self.rounded = rounded;
    }

    /// Adds the sum of other terms.
    pub(crate) fn add_sum(&mut self, other: Self) {
        self.add(other.rounded);
        self.add(other.lost);
    }

    /// What it comes to. Not finite if any term or sum on the way was not.
    pub(crate) fn value(self) -> f64 {
        self.rounded + self.lost
    }
}

impl Extend<f64> for Sum {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, terms: I) {
        terms.into_iter().for_each(|term| self.add(term));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(terms: &[f64]) -> f64 {
        let mut sum = Sum::default();
        sum.extend(terms.iter().copied());
        sum.value()
    }

    #[test]
    fn small_terms_beside_large_ones_count() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[]), 0.0);
    }

    #[test]
    fn parts_come_to_the_same() {
        let mut whole = Sum::default();
        for part in [[1.0, 1e16], [1.0, -1e16], [1.0, 3.0]] {
            let mut sum = Sum::default();
            sum.extend(part);
            whole.add_sum(sum);
        }
        assert_eq!(whole.value(), 6.0);
    }

    #[test]
    fn what_overflows_stays_so() {
        for terms in [&[f64::MAX, f64::MAX][..], &[f64::MAX, f64::MAX, f64::MIN], &[f64::INFINITY, 1.0], &[f64::NAN]] {
            assert!(!sum(terms).is_finite(), "{terms:?}");
        }
    }
}
