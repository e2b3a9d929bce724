//! Derivatives: a cycle, one order a round, so that a high order lets low ones by.

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

use crate::polynomial::Polynomial;
use crate::query;
use crate::refusal::Refusal;

/// The highest order, which takes as many hops.
pub(crate) const MAX_ORDER: u32 = 999;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    c: String,
    order: String,
}

/// A polynomial and how many times it is still to be derived.
#[derive(Message, Serialize, Deserialize, Debug, PartialEq)]
pub(crate) struct Derivation {
    polynomial: Polynomial,
    order: u32,
}

/// The answer.
#[derive(Serialize, Debug, PartialEq)]
pub(crate) struct Derivative {
    derivative: Polynomial,
}

/// Where a round leads.
#[derive(Routes, Debug, PartialEq)]
pub(crate) enum Next {
    /// To the next order.
    #[to(differentiate)]
    Again(Derivation),
    /// To the client.
    Done(Json<Derivative>),
}

/// Reads the query.
#[stage(workers = 1)]
pub(crate) fn derivative(request: Request) -> Result<Derivation, Refusal> {
    let Query { c, order } = query::read(&request, "/derivative?c=1,2,3&order=2")?;
    let polynomial = query::polynomial(&c)?;
    let order = u32::try_from(query::whole("order", &order)?).ok().filter(|order| *order <= MAX_ORDER);
    let wrong = || Refusal::Unprocessable(format!("`order` is a whole number from 0 to {MAX_ORDER}"));
    Ok(Derivation { polynomial, order: order.ok_or_else(wrong)? })
}

/// Takes one derivative.
#[stage(idempotent)]
pub(crate) fn differentiate(Derivation { polynomial, order }: Derivation) -> Result<Next, Refusal> {
    let (polynomial, order) = if order == 0 { (polynomial, 0) } else { (polynomial.derivative(), order - 1) };
    if !polynomial.is_finite() {
        return Err(Refusal::overflow());
    }
    Ok(match order {
        0 => Next::Done(Json(Derivative { derivative: polynomial })),
        order => Next::Again(Derivation { polynomial, order }),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Goes round until it is done, and says how many rounds that took.
    fn derived(coefficients: &[f64], order: u32) -> Result<(Polynomial, u32), Refusal> {
        let mut derivation = Derivation { polynomial: Polynomial::new(coefficients.to_vec()), order };
        let mut rounds = 1;
        loop {
            match differentiate(derivation)? {
                Next::Again(next) => derivation = next,
                Next::Done(Json(Derivative { derivative })) => return Ok((derivative, rounds)),
            }
            rounds += 1;
        }
    }

    /// By the formula: the coefficient of x^k is that of x^(k + order), times (k + 1)(k + 2)...(k + order).
    fn by_formula(coefficients: &[f64], order: u32) -> Polynomial {
        let order = order as usize;
        let term = |(k, c): (usize, &f64)| c * (k + 1..=k + order).map(|factor| factor as f64).product::<f64>();
        Polynomial::new(coefficients.iter().skip(order).enumerate().map(term).collect())
    }

    #[test]
    fn a_round_takes_one_order() {
        for (order, rounds) in [(0, 1), (1, 1), (2, 2), (7, 7), (MAX_ORDER, MAX_ORDER)] {
            assert_eq!(derived(&[1.0, 2.0, 3.0], order).unwrap().1, rounds);
        }
    }

    #[test]
    fn orders_above_the_degree_come_to_zero() {
        for zero in [&[][..], &[0.0], &[5.0], &[1.0, 2.0, 3.0]] {
            assert_eq!(derived(zero, 3).unwrap().0, Polynomial::new(vec![0.0]));
        }
    }

    #[test]
    fn factorials_are_exact_as_long_as_doubles_are() {
        let mut power = vec![0.0; 18];
        power.push(1.0);
        assert_eq!(derived(&power, 18).unwrap().0, Polynomial::new(vec![6_402_373_705_728_000.0]));
    }

    #[test]
    fn what_overflows_is_refused() {
        let power = |power: usize| [vec![0.0; power], vec![1.0]].concat();
        assert!(derived(&power(170), 170).is_ok());
        assert_eq!(derived(&power(171), 171), Err(Refusal::overflow()), "171! is beyond a double");
        assert_eq!(derived(&[0.0, 0.0, f64::MAX], 1), Err(Refusal::overflow()));
    }

    proptest! {
        #[test]
        fn derivatives_are_those_of_the_formula(
            coefficients in proptest::collection::vec(-1000_i32..=1000, 0..12),
            order in 0_u32..14,
        ) {
            let coefficients: Vec<f64> = coefficients.into_iter().map(f64::from).collect();
            prop_assert_eq!(derived(&coefficients, order).unwrap().0, by_formula(&coefficients, order));
        }
    }
}
