//! What a fuzzer of the decoder runs.

use super::*;

/// A frame, a task or a result: read without a panic, and then the same whether it is read again as it came or as it would be written.
pub fn wire(bytes: &[u8]) {
    if let Some(command) = decode::<Command<'_>>(bytes) {
        assert_eq!(decode(&encode(&command)), Some(command));
    }
    if let Some(task) = decode::<Task<'_>>(bytes) {
        assert_eq!(decode(&encode(&task)), Some(task));
    }
    if let Some(outcome) = decode::<Outcome<'_>>(bytes) {
        assert_eq!(decode(&encode(&outcome)).as_ref(), Some(&outcome));
        if let Outcome::Answer { status, headers, body } = outcome {
            let _ = response(status, headers, Bytes::copy_from_slice(body));
        }
    }
    if let Some(arrived) = super::super::task::arrived(bytes) {
        let _ = (arrived.head.path(), arrived.head.query_string(), arrived.head.headers().len());
        let _ = arrived.payload.open::<crate::Request>();
    }
}
