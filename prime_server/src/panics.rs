//! Panics of the user's code end where they happen.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the user's code; an error is what it said when it panicked.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let said = said(panic.as_ref()).to_owned();
        // What a panic carries is the user's too, and can panic when it is dropped. Then there is nothing left but to leak it.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        said
    })
}

/// Logs, where whatever the log is written by must not take this thread with it: a subscriber can panic, as one does that writes
/// to a standard error that nobody reads any more.
pub(crate) fn log(write: impl FnOnce()) {
    let _ = caught(write);
}

/// What a panic said, if it said it in words.
fn said(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<&str>().copied();
    words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_what_it_said() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("words")), Err::<(), _>("words".to_owned()));
        assert_eq!(caught(|| panic!("{}", 7)), Err::<(), _>("7".to_owned()));
        assert_eq!(caught(|| std::panic::panic_any(7)), Err::<(), _>("(no message)".to_owned()));
    }

    #[test]
    fn a_panic_whose_payload_panics_when_it_is_dropped_is_caught_too() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::panic_any(Bomb);
            }
        }
        assert!(caught(|| std::panic::panic_any(Bomb)).is_err());
    }
}
