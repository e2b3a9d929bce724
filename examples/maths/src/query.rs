//! Reading a query: what is missing, unknown or no number is malformed, what is out of bounds is refused.

use std::num::IntErrorKind;

use prime_server::Request;
use serde::de::DeserializeOwned;

use crate::polynomial::Polynomial;
use crate::refusal::Refusal;

/// The most coefficients of a polynomial.
pub(crate) const MAX_COEFFICIENTS: usize = 1000;

/// Reads the query's parameters as texts. The example is a right request, for the sentence that says what is wrong.
pub(crate) fn read<T: DeserializeOwned>(request: &Request, example: &str) -> Result<T, Refusal> {
    request.query().map_err(|error| Refusal::Malformed(format!("{error}; {example} would be right")))
}

/// The polynomial of a list of coefficients.
pub(crate) fn polynomial(list: &str) -> Result<Polynomial, Refusal> {
    let count = list.split(',').count();
    if count > MAX_COEFFICIENTS {
        return Err(Refusal::Unprocessable(format!(
            "`c` has {count} coefficients, and may have {MAX_COEFFICIENTS} at most"
        )));
    }
    let wrong = "`c` is a list of finite numbers with commas between them, from the lowest power up, such as c=1,2,3";
    let coefficients: Option<Vec<f64>> = list.split(',').map(finite).collect();
    coefficients.map(Polynomial::new).ok_or_else(|| Refusal::Malformed(wrong.to_owned()))
}

/// A finite number.
pub(crate) fn number(name: &str, text: &str) -> Result<f64, Refusal> {
    finite(text).ok_or_else(|| Refusal::Malformed(format!("`{name}` is a finite number, such as {name}=0.5")))
}

fn finite(text: &str) -> Option<f64> {
    // A plus is a space where a query has been decoded.
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A whole number.
pub(crate) fn whole(name: &str, text: &str) -> Result<i64, Refusal> {
    text.trim().parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
            Refusal::Unprocessable(format!("`{name}` is a whole number from {} to {}", i64::MIN, i64::MAX))
        }
        _ => Refusal::Malformed(format!("`{name}` is a whole number, in digits, such as {name}=4")),
    })
}

/// Refuses a range that begins after its end.
pub(crate) fn in_order<N: PartialOrd>(from: N, to: N) -> Result<(), Refusal> {
    if from <= to {
        return Ok(());
    }
    Err(Refusal::Unprocessable("`from` is above `to`: give the smaller one as `from`".to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_in_all_usual_ways() {
        for (text, value) in [("4", 4.0), ("-0.5", -0.5), ("1e-3", 1e-3), (" 4", 4.0), (".5", 0.5), ("5.", 5.0)] {
            assert_eq!(number("x", text), Ok(value));
        }
        assert_eq!(polynomial("1,-2.5,3e2"), Ok(Polynomial::new(vec![1.0, -2.5, 300.0])));
        assert_eq!(polynomial(" 1, 2"), Ok(Polynomial::new(vec![1.0, 2.0])));
        assert_eq!(whole("n", "-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(whole("n", " 7"), Ok(7));
    }

    #[test]
    fn what_is_no_number_is_malformed() {
        for text in ["", " ", "x", "1 2", "0x10", "1,2", "nan", "NaN", "inf", "-inf", "infinity", "1e999", "-1e999"] {
            assert!(matches!(number("x", text), Err(Refusal::Malformed(_))), "{text}");
        }
        for list in ["", ",", "1,", ",1", "1,,2", "1;2", "1,x", "1,nan", "inf"] {
            assert!(matches!(polynomial(list), Err(Refusal::Malformed(_))), "{list}");
        }
        for text in ["", "-", "1.0", "1e3", "x", "0x10", "--1"] {
            assert!(matches!(whole("n", text), Err(Refusal::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let list = |length: usize| vec!["1"; length].join(",");
        assert!(polynomial(&list(MAX_COEFFICIENTS)).is_ok());
        assert!(matches!(polynomial(&list(MAX_COEFFICIENTS + 1)), Err(Refusal::Unprocessable(_))));
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999999999"] {
            assert!(matches!(whole("n", text), Err(Refusal::Unprocessable(_))), "{text}");
        }
        assert!(matches!(in_order(2, 1), Err(Refusal::Unprocessable(_))));
        assert!(in_order(1, 1).is_ok() && in_order(-0.0, 0.0).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_read_is_finite(text in "[-+0-9.eE,naif ]{0,30}") {
            if let Ok(polynomial) = polynomial(&text) {
                prop_assert!(polynomial.is_finite());
            }
            if let Ok(number) = number("x", &text) {
                prop_assert!(number.is_finite());
            }
        }
    }
}
