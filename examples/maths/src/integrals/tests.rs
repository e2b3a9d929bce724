//! Integrals against antiderivatives, and those that do not converge.

use proptest::prelude::*;

use super::*;

fn integrated(coefficients: &[f64], from: f64, to: f64) -> Result<Integral, Refusal> {
    let mut refinement = Refinement::new(Polynomial::new(coefficients.to_vec()), from, to);
    loop {
        match refine(refinement)? {
            Next::Again(next) => refinement = next,
            Next::Done(Json(integral)) => return Ok(integral),
        }
    }
}

/// By the antiderivative.
fn exact(coefficients: &[f64], from: f64, to: f64) -> f64 {
    let term = |(power, c): (usize, &f64)| c / (power + 1) as f64;
    let mut antiderivative = vec![0.0];
    antiderivative.extend(coefficients.iter().enumerate().map(term));
    let antiderivative = Polynomial::new(antiderivative);
    antiderivative.at(to) - antiderivative.at(from)
}

/// x^power.
fn power(power: usize) -> Vec<f64> {
    let mut coefficients = vec![0.0; power];
    coefficients.push(1.0);
    coefficients
}

#[test]
fn integrals_of_low_degree_are_exact_after_a_few_rounds() {
    for (coefficients, from, to, value, rounds) in [
        (&[0.0, 1.0][..], 0.0, 4.0, 8.0, 1),
        (&[5.0], -1.0, 1.0, 10.0, 1),
        (&[0.0], -1e6, 1e6, 0.0, 1),
        (&[0.0, 0.0, 3.0], 0.0, 2.0, 8.0, 2),
        (&[1.0, 2.0, 3.0], -1.0, 1.0, 4.0, 2),
        (&[0.0, 0.0, 0.0, 4.0], 0.0, 3.0, 81.0, 2),
        (&[1.0, 2.0, 3.0], 2.0, 2.0, 0.0, 1),
    ] {
        let Integral { integral, error, rounds: taken, converged } = integrated(coefficients, from, to).unwrap();
        assert_eq!((taken, converged), (rounds, true), "{coefficients:?}");
        assert!((integral - value).abs() <= error && error < 1e-12, "{coefficients:?}: {integral} +- {error}");
    }
}

#[test]
fn two_estimates_that_agree_by_chance_prove_nothing() {
    let mut coefficients = power(16);
    coefficients[16] = 10_000.0;
    coefficients[12] = -18_483.120_737_693_27;
    let Integral { integral, error, converged, .. } = integrated(&coefficients, -1.0, 1.0).unwrap();
    assert!(converged && (integral - exact(&coefficients, -1.0, 1.0)).abs() <= error, "{integral} +- {error}");
}

#[test]
fn high_degrees_take_more_rounds() {
    for (degree, rounds) in [(10, 4..=6), (50, 8..=10), (200, 11..=12)] {
        let it = integrated(&power(degree), 0.0, 1.0).unwrap();
        let exact = 1.0 / (degree + 1) as f64;
        assert!(it.converged && rounds.contains(&it.rounds), "{it:?}");
        assert!((it.integral - exact).abs() <= it.error && it.error <= TOLERANCE, "{it:?}");
    }
}

#[test]
fn a_degree_too_high_for_the_rounds_does_not_converge_and_says_so() {
    for (from, to, exact) in [(0.0, 1.0, 1e-3), (0.0, 2.0, 2_f64.powi(1000) / 1000.0)] {
        let it = integrated(&power(999), from, to).unwrap();
        assert_eq!((it.rounds, it.converged), (MAX_ROUNDS, false));
        assert!((it.integral - exact).abs() <= it.error && it.error > TOLERANCE * exact.max(1.0), "{it:?}");
    }
}

#[test]
fn terms_that_cancel_do_not_converge_and_say_so() {
    // The odd powers come to 1e39 in each half and to nothing together, and take the digits of the rest with them.
    let coefficients = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let it = integrated(&coefficients, -1e5, 1e5).unwrap();
    assert_eq!((it.rounds, it.converged), (MAX_ROUNDS, false));
    assert!((it.integral - 2e5).abs() <= it.error, "{it:?}");
}

#[test]
fn a_polynomial_that_is_zero_wherever_one_looks_first_is_not_taken_for_zero() {
    // x²(x² - 1/4)²(x² - 1)², zero at all points of the first two rounds and below zero nowhere.
    let coefficients = [0.0, 0.0, 1.0, 0.0, -10.0, 0.0, 33.0, 0.0, -40.0, 0.0, 16.0].map(|c| c / 16.0);
    let polynomial = Polynomial::new(coefficients.to_vec());
    assert!([-1.0, -0.5, 0.0, 0.5, 1.0].iter().all(|x| polynomial.at(*x) == 0.0));
    let it = integrated(&coefficients, -1.0, 1.0).unwrap();
    let exact = exact(&coefficients, -1.0, 1.0);
    assert!(it.converged && exact > 0.007 && (it.integral - exact).abs() <= it.error, "{it:?} {exact}");
}

#[test]
fn only_what_is_too_large_overflows() {
    assert!(integrated(&[f64::MAX / 2.0], 0.0, 1.0).unwrap().converged);
    for (coefficients, from, to) in [
        (&[f64::MAX][..], 0.0, 2.0),
        (&[1.0], -f64::MAX, f64::MAX),
        (&[0.0], -f64::MAX, f64::MAX),
        (&[0.0, 0.0, 1.0], 0.0, 1e200),
        (&[0.0, f64::MAX, -f64::MAX], 1.0, 3.0),
        // The error alone.
        (&[f64::MAX, -f64::MAX], 0.5, 0.9),
    ] {
        assert_eq!(integrated(coefficients, from, to), Err(Refusal::overflow()), "{coefficients:?} {from} {to}");
    }
}

proptest! {
    #[test]
    fn an_integral_is_the_difference_of_the_antiderivative(
        c in proptest::collection::vec(-10_i32..=10, 1..8),
        from in -30_i32..30,
        width in 0_i32..60,
    ) {
        let c: Vec<f64> = c.into_iter().map(f64::from).collect();
        let (from, to) = (f64::from(from) / 10.0, f64::from(from + width) / 10.0);
        let it = integrated(&c, from, to).unwrap();
        let size = Refinement::new(Polynomial::new(c.clone()), from, to).size;
        // The antiderivative's own rounding comes on top.
        let bound = it.error + 1e-13 * size + 1e-13;
        prop_assert!(it.converged && (it.integral - exact(&c, from, to)).abs() <= bound, "{:?}", it);
    }

    #[test]
    fn the_integral_of_a_derivative_is_the_difference(
        c in proptest::collection::vec(-100_i32..=100, 1..10),
        from in -2.0_f64..2.0,
        width in 0.0_f64..3.0,
    ) {
        let polynomial = Polynomial::new(c.into_iter().map(f64::from).collect());
        let to = from + width;
        let mut refinement = Refinement::new(polynomial.derivative(), from, to);
        let it = loop {
            match refine(refinement).unwrap() {
                Next::Again(next) => refinement = next,
                Next::Done(Json(integral)) => break integral,
            }
        };
        let difference = polynomial.at(to) - polynomial.at(from);
        let rounding = 1e-14 * (polynomial.size_at(to) + polynomial.size_at(from));
        prop_assert!(it.converged || it.error > TOLERANCE);
        prop_assert!((it.integral - difference).abs() <= it.error + rounding, "{:?} {}", it, difference);
    }
}
