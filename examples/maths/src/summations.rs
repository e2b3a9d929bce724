//! Summations: the range splits into parts, which share the pool with those of other requests, and their sums are joined.

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

use crate::compensated::Sum;
use crate::polynomial::Polynomial;
use crate::query;
use crate::refusal::Refusal;

/// The most terms of a summation.
pub(crate) const MAX_TERMS: u64 = 1_000_000_000;

/// The most parts that a range is split into.
pub(crate) const MAX_PARTS: usize = 64;

/// Fewer terms than this are not worth a part of their own.
const TERMS_OF_A_PART: u64 = 1 << 12;

/// How many coefficients are gone through between two looks at whether anybody still waits.
const CHECK_EVERY: u64 = 1 << 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    c: String,
    from: String,
    to: String,
}

/// A part of the range.
#[derive(Message, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Part {
    polynomial: Polynomial,
    from: i64,
    terms: u64,
}

/// The answer.
#[derive(Serialize, Debug, PartialEq)]
pub(crate) struct Summation {
    summation: f64,
}

/// Reads the query, and divides the range.
#[stage(workers = 1)]
pub(crate) fn summation(request: Request) -> Result<Split<Part>, Refusal> {
    let Query { c, from, to } = query::read(&request, "/summation?c=1,2&from=1&to=100")?;
    let polynomial = query::polynomial(&c)?;
    let (from, to) = (query::whole("from", &from)?, query::whole("to", &to)?);
    query::in_order(from, to)?;
    if to.abs_diff(from) >= MAX_TERMS {
        let wrong = format!("from `from` to `to` there may be {MAX_TERMS} whole numbers at most");
        return Err(Refusal::Unprocessable(wrong));
    }
    Ok(divided(&polynomial, from, to))
}

/// Divides what is to be summed into parts that differ by one term at most.
fn divided(polynomial: &Polynomial, from: i64, to: i64) -> Split<Part> {
    let terms = to.abs_diff(from) + 1;
    let parts = terms.div_ceil(TERMS_OF_A_PART).min(MAX_PARTS as u64);
    let begin = |part: u64| terms * part / parts;
    let part = |at: u64| Part {
        polynomial: polynomial.clone(),
        from: from.saturating_add_unsigned(begin(at)),
        terms: begin(at + 1) - begin(at),
    };
    (0..parts).map(part).collect()
}

/// Sums one part. Whole numbers that no double can hold are rounded to the nearest, and so is each value of the polynomial: where its
/// terms all but cancel, as those of (x - 1e8)² do near 1e8, what is left of a value may be rounding.
#[stage(idempotent)]
pub(crate) fn sum(Part { polynomial, from, terms }: Part, cx: &Context) -> Result<Sum, ErrorResponse> {
    let stride = (CHECK_EVERY / (polynomial.degree() as u64 + 1)).max(1);
    let mut sum = Sum::default();
    let mut done = 0;
    while done < terms {
        cx.check()?;
        let pause = terms.min(done + stride);
        sum.extend((done..pause).map(|term| polynomial.at(from.saturating_add_unsigned(term) as f64)));
        done = pause;
        if !sum.value().is_finite() {
            return Err(Refusal::overflow().into());
        }
    }
    Ok(sum)
}

/// Adds the sums of the parts.
#[stage(workers = 1, idempotent)]
pub(crate) fn total(sums: Join<Sum>) -> Result<Json<Summation>, Refusal> {
    let mut total = Sum::default();
    sums.into_iter().for_each(|sum| total.add_sum(sum));
    let summation = total.value();
    if summation.is_finite() { Ok(Json(Summation { summation })) } else { Err(Refusal::overflow()) }
}

#[cfg(test)]
mod tests {
    use prime_server::Reason;
    use proptest::prelude::*;

    use super::*;

    fn summed(coefficients: &[f64], from: i64, to: i64) -> f64 {
        let parts = divided(&Polynomial::new(coefficients.to_vec()), from, to);
        let sums = parts.parts().iter().map(|part| sum(part.clone(), &Context::test()).unwrap()).collect();
        total(sums).unwrap().0.summation
    }

    /// Faulhaber: the sums of the powers 0 to 3 of 1..=n. They hold for n = 0 and below too, as sums that go backwards.
    fn faulhaber(coefficients: [i128; 4], from: i64, to: i64) -> i128 {
        let up_to = |n: i128| {
            let triangle = n * (n + 1) / 2;
            let sums = [n, triangle, n * (n + 1) * (2 * n + 1) / 6, triangle * triangle];
            std::iter::zip(coefficients, sums).map(|(c, sum)| c * sum).sum::<i128>()
        };
        up_to(to.into()) - up_to(i128::from(from) - 1)
    }

    #[test]
    fn sums_of_powers_are_faulhaber_s() {
        let n = 100_000;
        for coefficients in [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [4, -3, 2, -1]] {
            for (from, to) in [(1, 1), (0, 0), (1, 100), (-50, 50), (-7, -7), (1, n), (-n, n), (n - 1, n)] {
                let exact = faulhaber(coefficients, from, to) as f64;
                let sum = summed(&coefficients.map(|c| c as f64), from, to);
                assert!(
                    (sum - exact).abs() <= f64::EPSILON * exact.abs(),
                    "{coefficients:?} {from}..={to}: {sum} {exact}"
                );
            }
        }
    }

    #[test]
    fn parts_follow_each_other_and_are_of_one_size() {
        let polynomial = Polynomial::new(vec![1.0]);
        for (from, to, count) in [
            (5, 5, 1),
            (1, 4096, 1),
            (1, 4097, 2),
            (-1_000_000, 1_000_000, MAX_PARTS),
            (i64::MAX - 999_999_999, i64::MAX, MAX_PARTS),
            (i64::MIN, i64::MIN + 999_999_999, MAX_PARTS),
        ] {
            let divided = divided(&polynomial, from, to);
            let mut next = i128::from(from);
            for part in divided.parts() {
                assert_eq!(i128::from(part.from), next);
                next += i128::from(part.terms);
            }
            assert_eq!((next - 1, divided.parts().len()), (to.into(), count));
            let sizes = divided.parts().iter().map(|part| part.terms);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }

    #[test]
    fn what_overflows_is_refused() {
        let part = |c: &[f64], terms| Part { polynomial: Polynomial::new(c.to_vec()), from: 1, terms };
        assert!(sum(part(&[f64::MAX], 1), &Context::test()).is_ok());
        assert!(sum(part(&[f64::MAX], 2), &Context::test()).is_err());
        assert!(sum(part(&[0.0, 0.0, f64::MAX, -f64::MAX], 3), &Context::test()).is_err());
        let half = sum(part(&[f64::MAX], 1), &Context::test()).unwrap();
        assert_eq!(total([half, half].into_iter().collect()), Err(Refusal::overflow()));
    }

    #[test]
    fn a_cancelled_part_stops() {
        let part = Part { polynomial: Polynomial::new(vec![1.0]), from: 1, terms: 2 };
        assert!(sum(part, &Context::test_cancelled(Reason::Answered)).is_err());
    }

    proptest! {
        #[test]
        fn a_sum_is_the_closed_form(c in proptest::array::uniform4(-9_i32..=9), from in -400_i64..400, terms in 0_i64..9000) {
            let to = from + terms;
            let exact = faulhaber(c.map(i128::from), from, to) as f64;
            let sum = summed(&c.map(f64::from), from, to);
            prop_assert!((sum - exact).abs() <= f64::EPSILON * exact.abs(), "{} {}", sum, exact);
        }

        #[test]
        fn the_parts_make_no_difference_beyond_rounding(
            c in proptest::collection::vec(-1.0_f64..1.0, 1..6),
            from in -300_i64..300,
            terms in 1_u64..3000,
            cut in 0_u64..3000,
        ) {
            let polynomial = Polynomial::new(c);
            let part = |from, terms| sum(Part { polynomial: polynomial.clone(), from, terms }, &Context::test()).unwrap();
            let cut = cut.min(terms);
            let whole = part(from, terms).value();
            let parts = [part(from, cut), part(from.saturating_add_unsigned(cut), terms - cut)];
            let joined = total(parts.into_iter().collect()).unwrap().0.summation;
            // What is lost from the losses is a double's precision smaller still.
            let sizes: f64 = (0..terms).map(|n| polynomial.at(from.saturating_add_unsigned(n) as f64).abs()).sum();
            let bound = f64::EPSILON * whole.abs() + 1e4 * f64::EPSILON.powi(2) * sizes;
            prop_assert!((whole - joined).abs() <= bound, "{} {}", whole, joined);
        }
    }
}
