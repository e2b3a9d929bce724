//! Why a request gets no result: a status, and a sentence that says what would be right.

use prime_server::prelude::*;

/// A request that gets no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot be read. Answers 400.
    Malformed(String),
    /// It can be read, and will not be done. Answers 422.
    Unprocessable(String),
}

impl Refusal {
    /// A result that is too large for a double.
    pub(crate) fn overflow() -> Self {
        Self::Unprocessable(format!(
            "the result, or a number on the way to it, is beyond the largest double, {:.1e}: smaller coefficients would do, \
             or a smaller order or range",
            f64::MAX
        ))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, sentence) = match self {
            Self::Malformed(sentence) => (StatusCode::BAD_REQUEST, sentence),
            Self::Unprocessable(sentence) => (StatusCode::UNPROCESSABLE_ENTITY, sentence),
        };
        (status, sentence + "\n").into_response()
    }
}
