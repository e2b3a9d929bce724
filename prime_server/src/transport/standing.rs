//! Whether a process can do what it is for, as its health check says.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

/// What keeps it from that, if something does.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<Option<Cow<'static, str>>>);

/// While it finishes what it has.
pub(crate) const DRAINING: &str = "draining";

impl Standing {
    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_deref().map(str::to_owned)
    }

    pub(crate) fn set(&self, trouble: Option<Cow<'static, str>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
